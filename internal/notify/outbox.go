// Package notify tells people and forges what is new: by webhook, mail and commit status, from an outbox in the state
// directory that outlives the process. It never holds up the loop, never tells the same thing twice in a row, and decides
// nothing about an object. A receiver that was told just before a crash may be told once more after it.
package notify

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/ustclug/pve-reconcile/internal/config"
	"github.com/ustclug/pve-reconcile/internal/notice"
	"github.com/ustclug/pve-reconcile/reconciler"
)

// Options are what an Outbox works with.
type Options struct {
	Dir    string // state directory
	Host   string // this machine's name
	To     map[string]config.Notify
	Secret func(file string) (config.Secret, error)
	// Standings are what is to be said of commits now. Asked often; it has to answer at once.
	Standings func() []notice.Standing
	Log       *zap.Logger
	Now       func() time.Time
}

// The bounds of what waits for a receiver.
const (
	mostWaiting = 200
	mostBatch   = 100
	mostCommits = 50
	oldest      = 24 * time.Hour
	forgotten   = 7 * 24 * time.Hour // an object nobody spoke of
	timeout     = 30 * time.Second   // of one delivery
)

// retry is the pause after a delivery that failed.
var retry = reconciler.Backoff{First: 2 * time.Second, Max: 10 * time.Minute}

// Outbox holds what is to be told.
type Outbox struct {
	o         Options
	places    []*place
	saving    sync.Mutex
	unwritten string // why it could not be written last, "" when it could; belongs to saving
	mu        sync.Mutex
	changed   bool // since it was written
}

// place is one receiver.
type place struct {
	name string
	conf config.Notify
	send func(context.Context, []entry, int) error
	wake chan struct{}
	kept

	sent, failed, given int
}

// Open reads the outbox of a state directory.
func Open(o Options) (*Outbox, error) {
	f, err := read(o.Dir)
	if err != nil {
		return nil, err
	}
	b := &Outbox{o: o}
	for name, conf := range o.To {
		p := &place{name: name, conf: conf, wake: make(chan struct{}, 1), kept: f.Places[name]}
		if p.About == nil {
			p.About = map[string]*about{}
		}
		for _, a := range p.About {
			a.seen = o.Now()
		}
		if p.send, err = sender(conf, o); err != nil {
			return nil, fmt.Errorf("notify.%s: %w", name, err)
		}
		b.places = append(b.places, p)
	}
	return b, nil
}

// Observe takes note of an event. It waits for nobody.
func (b *Outbox) Observe(e reconciler.Event) {
	m := notice.Message{
		Host: b.o.Host, Kind: e.Kind, Name: e.Name, Cluster: e.Cluster, Verdict: string(e.Verdict), Reason: e.Reason, Text: e.Message,
		Revision: e.Revision, Author: e.Author,
	}
	switch e.Type {
	case reconciler.EventRound, reconciler.EventVerdict: // of what no round is made there is only the verdict
	case reconciler.EventSource:
		m.Kind, m.Verdict = notice.KindSource, e.Reason
	case reconciler.EventRevision:
		m.Kind, m.Verdict, m.Reason, m.Text = notice.KindSource, "Followed", "Followed", ""
	case reconciler.EventStarted, reconciler.EventStopped, reconciler.EventApplied, reconciler.EventSuspend, reconciler.EventResume, reconciler.EventLease:
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range b.places {
		if p.conf.CommitStatus == nil && slices.Contains(p.conf.Kinds, m.Kind) {
			b.changed = p.hear(m, b.o.Now()) || b.changed
		}
	}
}

// Run delivers until ctx ends. What was not delivered then is kept for the next start.
func (b *Outbox) Run(ctx context.Context) {
	var all sync.WaitGroup
	for _, p := range b.places {
		all.Go(func() { b.deliver(ctx, p) })
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for ctx.Err() == nil {
		b.turn()
		b.save()
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
	all.Wait()
	b.save()
}

// turn queues what has stood long enough.
func (b *Outbox) turn() {
	var standings []notice.Standing
	if slices.ContainsFunc(b.places, func(p *place) bool { return p.conf.CommitStatus != nil }) {
		standings = b.o.Standings()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.o.Now()
	for _, p := range b.places {
		var moved bool
		if p.conf.CommitStatus != nil {
			moved = p.stand(standings, now)
		} else {
			moved = p.ripen(now)
		}
		if moved = p.bound(now) || moved; moved {
			b.changed = true
		}
		if len(p.Queue) > 0 {
			select {
			case p.wake <- struct{}{}:
			default:
			}
		}
	}
}

// deliver sends what waits for one receiver, in order, however long that takes.
func (b *Outbox) deliver(ctx context.Context, p *place) {
	pause, said := 0, ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.wake:
		}
		tried, err := b.try(ctx, p)
		switch {
		case !tried:
			continue
		case err == nil:
			if said != "" {
				b.o.Log.Info("notifications are delivered again", zap.String("to", p.name))
			}
			pause, said = 0, ""
			continue
		case ctx.Err() != nil:
			return
		}
		if err.Error() != said {
			said = err.Error()
			b.o.Log.Warn("notifications cannot be delivered; they are kept and tried again", zap.String("to", p.name), zap.Error(err))
		}
		pause++
		select {
		case <-ctx.Done():
			return
		case <-time.After(retry.Pause(pause)):
		}
	}
}

// try makes one delivery to a receiver, if anything waits for it.
func (b *Outbox) try(ctx context.Context, p *place) (tried bool, err error) {
	b.mu.Lock()
	batch := slices.Clone(p.Queue[:min(len(p.Queue), mostBatch)])
	if p.conf.CommitStatus != nil {
		batch = batch[:min(len(batch), 1)]
	}
	dropped := p.Dropped
	b.mu.Unlock()
	if len(batch) == 0 {
		return false, nil
	}
	limited, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if err = p.send(limited, batch, dropped); err != nil && ctx.Err() != nil {
		return true, err // told to end: nobody's failure
	}
	b.mu.Lock()
	if err == nil {
		p.delivered(batch, dropped)
		b.changed = true
	} else {
		p.failed++
	}
	b.mu.Unlock()
	if err == nil {
		b.save()
	}
	return true, err
}

// Once tells at once what was observed, for a process that ends now: nothing has to stand any longer. Each receiver is tried
// until it has everything, fails, or ctx ends; what is left waits for whoever comes next.
func (b *Outbox) Once(ctx context.Context) {
	for _, p := range b.places {
		p.conf.After = 0
	}
	b.turn()
	b.save()
	var all sync.WaitGroup
	for _, p := range b.places {
		all.Go(func() {
			tried, err := true, error(nil)
			for tried && err == nil && ctx.Err() == nil {
				tried, err = b.try(ctx, p)
			}
			b.trouble(p, err)
		})
	}
	all.Wait()
	b.save()
}

// trouble says why a receiver could not be told, when that is not what was said last.
func (b *Outbox) trouble(p *place, err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	b.mu.Lock()
	news := p.Trouble != text
	p.Trouble, b.changed = text, b.changed || news
	b.mu.Unlock()
	if news && err != nil {
		b.o.Log.Warn("notifications cannot be delivered; they are kept for the next pass", zap.String("to", p.name), zap.Error(err))
	}
}

// Count is how it stands with one receiver.
type Count struct{ Waiting, Sent, Failed, Dropped int }

// Counts are those of all receivers, by name.
func (b *Outbox) Counts() map[string]Count {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := map[string]Count{}
	for _, p := range b.places {
		out[p.name] = Count{len(p.Queue), p.sent, p.failed, p.given}
	}
	return out
}
