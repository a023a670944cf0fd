package main

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/ustclug/pve-reconcile/internal/config"
	"github.com/ustclug/pve-reconcile/internal/secret"
	"github.com/ustclug/pve-reconcile/internal/webhook"
)

// relisten is how long to wait before an address is listened on again.
const relisten = 30 * time.Second

// hints delivers whenever something says that the source may have moved: a repository on this machine that is watched, or a
// call of the webhook. Polling goes on beside them, and where they fail.
func (p *program) hints(ctx context.Context) <-chan struct{} {
	out := make(chan struct{}, 1)
	watcher := p.source.Watch(func(text string) { p.log.Warn(text) })
	var calls <-chan struct{}
	if c := p.config.Webhook; c != nil {
		r := webhook.New(c.Path, p.config.Source.Branch,
			func() (config.Secret, error) { return secret.Line(c.SecretFile) },
			func(text string) { p.log.Warn(text) })
		calls = r.Changed()
		go p.keepServing(ctx, "no webhooks are received, polling goes on", func() error { return p.receive(ctx, r, *c) })
	}
	go func() {
		defer watcher.Close()
		for {
			select {
			case <-ctx.Done():
				return
			case <-watcher.Changed():
			case <-calls:
			}
			select {
			case out <- struct{}{}:
			default: // not taken yet: one is enough
			}
		}
	}()
	return out
}

// receive serves the webhook.
func (p *program) receive(ctx context.Context, r *webhook.Receiver, c config.Webhook) error {
	l, err := webhook.Listen(c)
	if err != nil {
		return err
	}
	p.log.Info("listening for webhooks", zap.String("address", l.Addr().String()), zap.String("path", c.Path))
	return r.Serve(ctx, l, c)
}

// keepServing serves until ctx ends. An address that is taken, or a bad certificate, is told once and tried again.
func (p *program) keepServing(ctx context.Context, failed string, serve func() error) {
	said := ""
	for ctx.Err() == nil {
		err := serve()
		if err != nil && err.Error() != said {
			said = err.Error()
			p.log.Error(failed, zap.Error(err))
		}
		select {
		case <-ctx.Done():
		case <-time.After(relisten):
		}
	}
}
