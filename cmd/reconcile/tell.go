package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	sd "github.com/coreos/go-systemd/v22/daemon"
	"go.uber.org/zap"

	"github.com/ustclug/pve-reconcile/internal/loop"
	"github.com/ustclug/pve-reconcile/internal/metrics"
	"github.com/ustclug/pve-reconcile/internal/pve"
	"github.com/ustclug/pve-reconcile/internal/state"
	"github.com/ustclug/pve-reconcile/reconciler"
)

// observers are told of everything that happens, in this order.
func (d *daemon) observers() []reconciler.Observer {
	return []reconciler.Observer{d.record, d.events.publish, d.metrics.Observe, d.outbox.Observe}
}

// sources are where metrics come from.
func (d *daemon) sources() metrics.Sources {
	return metrics.Sources{
		Status:   func() loop.Status { return d.current().Status() },
		Standing: d.standing, Stuck: d.stuck, Version: version(), Now: time.Now,
		Suspended: func() bool { return d.suspended() != "" },
		Calls: func() map[string]pve.Tally {
			out := map[string]pve.Tally{}
			for name, c := range d.clusters {
				out[name] = c.Calls()
			}
			return out
		},
		Progress: func(migration string) []state.Progress {
			now, _ := d.reconciler.Moves.State.Progress(migration) // a damaged file is told by status
			return now
		},
		Outbox: func() metrics.Outbox {
			o := metrics.Outbox{Sent: map[string]int{}, Failed: map[string]int{}, Dropped: map[string]int{}}
			for name, c := range d.outbox.Counts() {
				o.Waiting += c.Waiting
				o.Sent[name], o.Failed[name], o.Dropped[name] = c.Sent, c.Failed, c.Dropped
			}
			return o
		},
	}
}

// showMetrics answers whoever watches over the daemon.
func (d *daemon) showMetrics(ctx context.Context, listen string) error {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", listen)
	if err != nil {
		return err
	}
	d.log.Info("listening for scrapes", zap.String("address", l.Addr().String()))
	server := &http.Server{
		Handler: d.metrics.Routes(), ErrorLog: zap.NewStdLog(d.log),
		ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: time.Minute, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10,
	}
	go func() {
		<-ctx.Done()
		_ = server.Close()
	}()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func (d *daemon) standing() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.idle
}

// stuck says what makes no progress, "" when everything does, or another daemon acts.
func (d *daemon) stuck() string {
	if d.standing() != "" {
		return ""
	}
	return d.current().Status().Stuck(time.Now(), loop.Patience{
		Tick: 15 * time.Minute, Source: fetchTimeout + time.Duration(d.config.Source.Interval) + 10*time.Minute, Round: 30 * time.Minute,
	})
}

// What systemd is told (sd_notify(3)).
const (
	ready    = sd.SdNotifyReady
	alive    = sd.SdNotifyWatchdog
	stopping = sd.SdNotifyStopping
)

// systemd tells systemd how it stands. Without systemd nothing is told to nobody; one that does not listen is not worth a word.
func systemd(lines ...string) { _, _ = sd.SdNotify(false, strings.Join(lines, "\n")) }

// glances is how often systemd is told how it stands.
const glances = 5 * time.Second

// supervise tells systemd that the daemon is ready, how it stands when that changed, and that it is alive as long as it makes
// progress. When the returned function was called it tells nothing more.
func (d *daemon) supervise(ctx context.Context) (stop func()) {
	every := glances
	if limit, err := sd.SdWatchdogEnabled(false); err == nil && limit > 0 {
		every = min(every, limit/3)
	}
	over, done := make(chan struct{}), make(chan struct{})
	systemd(ready, "STATUS="+d.summary())
	go func() {
		defer close(done)
		tick := time.NewTicker(every)
		defer tick.Stop()
		ending := ctx.Done()
		said, complained := "", ""
		for {
			why := d.stuck()
			if why == "" {
				systemd(alive)
			} else if why != complained {
				d.log.Error("no progress: systemd is told nothing more, and will start the daemon anew", zap.String("why", why))
			}
			complained = why
			if now := d.summary(); now != said && ctx.Err() == nil {
				said = now
				systemd("STATUS=" + now)
			}
			select {
			case <-over:
				return
			case <-ending:
				ending = nil
				systemd(stopping, "STATUS=stopping: steps that were begun are seen to their end")
			case <-tick.C:
			}
		}
	}()
	return func() { close(over); <-done }
}

// summary is how it stands, in one line.
func (d *daemon) summary() string {
	if why := d.standing(); why != "" {
		return "standing by: " + why
	}
	s := d.current().Status()
	if s.Source.Revision.Commit == "" {
		return s.Settled()
	}
	r := s.Report()
	text := fmt.Sprintf("revision %s: %d of %d objects as declared", s.Source.Revision.Short(), r.Count(reconciler.InSync), s.Objects)
	if s.Source.Error != "" {
		text += "; the source cannot be followed since " + s.Source.Since.Local().Format("2006-01-02 15:04")
	}
	if all := d.suspended(); all != "" {
		text += "; everything is suspended"
	}
	return text
}
