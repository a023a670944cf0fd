package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"reflect"
	"strings"
	"sync"
	"syscall"
	"time"

	sd "github.com/coreos/go-systemd/v22/daemon"
	"go.uber.org/zap"

	"github.com/ustclug/pve-reconcile/internal/loop"
	"github.com/ustclug/pve-reconcile/internal/metrics"
	"github.com/ustclug/pve-reconcile/internal/notify"
	"github.com/ustclug/pve-reconcile/internal/source"
	"github.com/ustclug/pve-reconcile/internal/state"
	"github.com/ustclug/pve-reconcile/reconciler"
)

// glance is how long a census counts: PVE's own run states are as old (FACTS §7).
const glance = 10 * time.Second

// daemon is what runs until it is told to stop.
type daemon struct {
	*program
	journal *state.Journal
	events  *feed
	metrics *metrics.Metrics
	outbox  *notify.Outbox
	began   time.Time

	mu   sync.Mutex
	loop *loop.Loop      // the one that runs, or ran last
	idle string          // why this one does not act, "" when it does
	wake <-chan struct{} // delivers when the source may have moved
}

// runDaemon follows the source and keeps everything as it says.
func runDaemon(ctx context.Context, c common, args []string, stderr io.Writer) int {
	c.logFormat = cmp.Or(c.logFormat, defaultFormat(stderr))
	p, err := assemble(c, stderr)
	if err != nil {
		return failed(stderr, err)
	}
	release, err := p.waitTurn(ctx, args)
	if err != nil {
		return failed(stderr, err)
	}
	if release == nil {
		return exitOK // told to stop while it waited
	}
	defer release()
	// Read again under the lock: the one before may have written since.
	if err := p.reopen(); err != nil {
		return failed(stderr, err)
	}
	p.reconciler.Moves.Long, p.reconciler.Moves.Ending = reconciler.AllSteps, ctx.Done()
	d, err := p.daemon(p.hints(ctx))
	if err != nil {
		return failed(stderr, err)
	}
	stop, err := d.serve(ctx)
	if err != nil {
		return failed(stderr, err)
	}
	defer stop()
	go d.heed(ctx)
	defer d.supervise(ctx)()
	defer d.notify()()
	if m := p.config.Metrics; m != nil {
		go p.keepServing(ctx, "nobody can read metrics", func() error { return d.showMetrics(ctx, m.Listen) })
	}
	p.log.Info("started", zap.String("version", version()), zap.String("source", p.source.String()), zap.String("state", p.config.StateDir))
	d.act(ctx, strings.TrimSpace("reconcile "+strings.Join(args, " ")))
	p.log.Info("stopped between steps, as told")
	return exitOK
}

// waitTurn takes the lock of the state directory, and waits for it as long as another process has it.
func (p *program) waitTurn(ctx context.Context, args []string) (release func(), err error) {
	host, _ := os.Hostname()
	me := state.Holder{PID: os.Getpid(), Host: host, Command: strings.TrimSpace("reconcile " + strings.Join(args, " ")), Since: time.Now()}
	said := ""
	for {
		release, err := state.Lock(p.config.StateDir, me)
		var held *state.HeldError
		if !errors.As(err, &held) {
			return release, err
		}
		if now := held.Error(); now != said {
			said = now
			p.log.Warn("waiting: another one is at work", zap.String("held", now))
			systemd(ready, "STATUS=waiting: "+now)
		}
		systemd(alive)
		select {
		case <-ctx.Done():
			return nil, nil
		case <-time.After(500 * time.Millisecond):
		}
	}
}

// reopen reads the state again, which may have been written since it was read without the lock.
func (p *program) reopen() (err error) {
	state.Tidy(p.config.StateDir, time.Now())
	if p.reconciler.Ledger, err = state.Open(p.config.StateDir); err == nil {
		p.reconciler.Flaps, err = state.OpenFlaps(p.config.StateDir)
	}
	return err
}

// daemon puts the loop together. wake delivers when the source may have moved.
func (p *program) daemon(wake <-chan struct{}) (d *daemon, err error) {
	d = &daemon{program: p, journal: state.JournalIn(p.config.StateDir), events: newFeed(), began: time.Now(), wake: wake}
	p.reconciler.Fresh = glance
	d.metrics = metrics.New(d.sources())
	if d.outbox, err = d.openOutbox(d.standings); err != nil {
		return nil, err
	}
	d.loop = d.newLoop(nil)
	return d, nil
}

// newLoop makes a loop that has seen nothing yet.
func (d *daemon) newLoop(moved <-chan loop.Move) *loop.Loop {
	p, conf := d.program, d.config
	return loop.New(loop.Options{
		Reconciler: p.reconciler,
		Fetch: func(ctx context.Context) (source.Revision, error) {
			fetching, cancel := context.WithTimeout(ctx, fetchTimeout)
			defer cancel()
			return p.source.Fetch(fetching)
		},
		Load: func(ctx context.Context, rev source.Revision) (reconciler.Input, error) {
			return p.inputOf(ctx, rev, nil)
		},
		Admit: func(_ context.Context, _ source.Revision, in reconciler.Input) error {
			if f := blocked(in); f != nil {
				return f
			}
			return in.Accept()
		},
		Wake: d.wake,
		Poll: time.Duration(conf.Source.Interval), Drift: time.Duration(conf.Interval),
		Retry:     reconciler.Backoff{First: time.Duration(conf.Retry.First), Max: time.Duration(conf.Retry.Max)},
		Crowd:     conf.Limits.Cluster,
		Moved:     moved,
		State:     conf.StateDir,
		Observers: d.observers(),
		Log:       p.log,
	})
}

// current is the loop that runs.
func (d *daemon) current() *loop.Loop {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.loop
}

// record keeps the history: all but that a round was made.
func (d *daemon) record(e reconciler.Event) {
	if e.Type == reconciler.EventRound {
		return
	}
	if err := d.journal.Append(e); err != nil {
		d.log.Error("not in the history", zap.Error(err), zap.Any("event", e))
	}
}

// heed looks at everything when told to by SIGHUP.
func (d *daemon) heed(ctx context.Context) {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	for {
		select {
		case <-ctx.Done():
			return
		case <-hup:
			d.log.Info("told by SIGHUP to look now")
			d.comparedToFile()
			systemd("RELOADING=1", sd.SdNotifyMonotonicUsec())
			d.current().Look(nil)
			systemd(ready)
		}
	}
}

// comparedToFile says when the config file is another one than this daemon has read: who edited it may take a SIGHUP for
// enough.
func (d *daemon) comparedToFile() {
	switch now, err := loadConfig(d.file); {
	case err != nil:
		d.log.Warn("the config file cannot be used any more; what was read at the start is in force, and the next start would fail", zap.Error(err))
	case !reflect.DeepEqual(now, d.config):
		d.log.Warn("the config file was changed since the start: what was read then is in force until a restart", zap.String("file", d.file))
	}
}

// daemonJSON is what the daemon says of itself.
type daemonJSON struct {
	PID     int         `json:"pid"`
	Version string      `json:"version"`
	Since   time.Time   `json:"since"`
	Source  loop.Source `json:"source"`
	Objects int         `json:"objects"` // declared
	// Blind: nothing was looked at yet, so that what is not listed is not known.
	Blind bool `json:"blind,omitempty"`
	// StandingBy: why this daemon does not act; left out when it does.
	StandingBy string    `json:"standingBy,omitempty"`
	Queue      queueJSON `json:"queue"`
}

type queueJSON struct {
	Ready   int         `json:"ready"`
	Working int         `json:"working"`
	Pausing []pauseJSON `json:"pausing"`
}

type pauseJSON struct {
	Object   string    `json:"object"`
	Until    time.Time `json:"until"`
	Failures int       `json:"failures"`
}

// status is the answer to `reconcile status`.
func (d *daemon) status() reportJSON {
	s := d.current().Status()
	r := s.Report()
	out := reportJSON{Revision: s.Source.Revision, ExitCode: r.ExitCode(), Objects: []objectJSON{}, Problems: problemsJSON(s.Problems), Notes: []string{}, API: d.asked(), Suspended: d.suspended()}
	for _, it := range s.Items {
		o := objectOf(it.Object)
		d.progress(&o)
		o.Done, o.Conditions, o.Looked = []doneJSON{}, it.Conditions, it.Looked
		out.Objects = append(out.Objects, o)
	}
	out.Source = findingOf(s.Source.Finding)
	if s.Source.Error != "" && s.Source.Finding == nil {
		out.ExitCode = exitError
	}
	out.Daemon = &daemonJSON{
		PID: os.Getpid(), Version: version(), Since: d.began, Source: s.Source, Objects: s.Objects,
		Queue: queueJSON{Ready: s.Queue.Ready, Working: s.Queue.Working, Pausing: []pauseJSON{}},
	}
	d.mu.Lock()
	out.Daemon.StandingBy = d.idle
	d.mu.Unlock()
	if s.Blind() && out.Daemon.StandingBy == "" {
		out.Daemon.Blind, out.ExitCode = true, exitError
		out.Notes = append(out.Notes, fmt.Sprintf("the daemon, begun at %s, has not looked at anything yet: ask again in a moment, or look yourself with `reconcile status --look`", d.began.Local().Format("15:04:05")))
	}
	for _, x := range s.Queue.Pausing {
		out.Daemon.Queue.Pausing = append(out.Daemon.Queue.Pausing, pauseJSON{x.Key.String(), x.Until, x.Failures})
	}
	return out
}

// suspended says why everything is suspended, "" when it is not.
func (p *program) suspended() string {
	all, err := p.reconciler.Suspended()
	if err != nil {
		return "suspended: " + err.Error()
	}
	if x, ok := all[state.Everything]; ok {
		return x.String()
	}
	return ""
}
