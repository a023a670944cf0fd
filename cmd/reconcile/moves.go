package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"go.uber.org/zap"
	"golang.org/x/term"

	"github.com/ustclug/pve-reconcile/internal/blockcopy"
	"github.com/ustclug/pve-reconcile/internal/host"
	"github.com/ustclug/pve-reconcile/internal/live"
	"github.com/ustclug/pve-reconcile/internal/secret"
	"github.com/ustclug/pve-reconcile/internal/state"
	"github.com/ustclug/pve-reconcile/internal/zfs"
	"github.com/ustclug/pve-reconcile/reconciler"
	"github.com/ustclug/pve-reconcile/schema"
)

// moves lets migrations be made: their hosts, and where their state is kept.
func (p *program) moves(world *live.World) {
	hosts := map[string]*host.Host{}
	for name, c := range p.config.Hosts {
		hosts[name] = host.New(name, c, secret.Key)
	}
	name, _ := os.Hostname()
	p.reconciler.Moves = reconciler.Moves{
		State:      state.MigrationsIn(p.config.StateDir),
		Me:         state.Holder{PID: os.Getpid(), Host: name, Command: "reconcile", Since: time.Now()},
		Possible:   len(hosts) > 0,
		Repository: p.config.Source.URL + "#" + p.config.Source.Path,
	}
	world.Hosts(hosts, func(x zfs.Progress) {
		now := time.Now()
		p.reconciler.Moves.State.Report(x.Mark, state.Progress{
			Step: x.Step, Disk: x.Disk, Done: x.Done, Total: x.Total, Rate: x.Rate, ETA: x.ETA.Seconds(), Final: x.Final,
			Began: now.Add(-time.Duration(x.Seconds * float64(time.Second))), Updated: now,
		})
	})
}

// progress adds how far a migration's long steps are.
func (p *program) progress(o *objectJSON) {
	if o.Migration == nil {
		return
	}
	if now, err := p.reconciler.Moves.State.Progress(o.Name); err != nil {
		o.Notes = append(o.Notes, err.Error())
	} else if now != nil {
		o.Migration.Progress = now
	}
}

// attend says that this process looks after the migrations of its pass, until it ends. Who only watches is told by it.
func (p *program) attend() {
	for _, m := range p.input.Set.Migrations {
		name := m.Object.Metadata.Name
		if p.attended[name] != nil || !p.input.Wants(reconciler.Key{Kind: schema.KindMigration, Name: name}) {
			continue
		}
		f, err := p.reconciler.Moves.State.Attend(name)
		if err != nil {
			p.log.Warn("nobody can tell that this run looks after the migration", zap.String("migration", name), zap.Error(err))
			continue
		}
		if p.attended == nil {
			p.attended = map[string]*os.File{}
		}
		p.attended[name] = f
	}
}

// left are the migrations of a report whose next step takes long.
func left(r reconciler.Report) []string {
	var out []string
	for _, o := range r.Objects {
		if o.Kind == schema.KindMigration && o.Left {
			out = append(out, o.Name)
		}
	}
	return out
}

// awaited are the migrations of a report that are to be looked at again soon, and how soon.
func awaited(r reconciler.Report) (names []string, pause time.Duration) {
	for _, o := range r.Objects {
		if m := o.Migration; m != nil && m.Soon > 0 && o.Verdict == reconciler.Migrating {
			names, pause = append(names, reconciler.Key{Kind: o.Kind, Name: o.Name}.String()), max(pause, m.Soon)
		}
	}
	return names, pause
}

// detach lets processes of their own make the long steps of migrations, and what comes after, so that nothing else waits.
func (p *program) detach(names []string, c common, stdout io.Writer) error {
	var errs []error
	for _, name := range names {
		errs = append(errs, p.detachOne(name, c, stdout))
	}
	return errors.Join(errs...)
}

func (p *program) detachOne(name string, c common, stdout io.Writer) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	dir := filepath.Join(p.config.StateDir, "migrations", name)
	if err := state.Make(dir); err != nil {
		return err
	}
	log, err := os.OpenFile(filepath.Join(dir, "log"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	file, err := filepath.Abs(c.file)
	if err != nil {
		return err
	}
	cmd := exec.Command(self, "--once", "--wait", "--config", file, "--log-level", "info", "Migration/"+name)
	// It inherits that somebody looks after the migration, so that nobody is taken to while it begins.
	attending, err := p.reconciler.Moves.State.Attend(name)
	if err != nil {
		return err
	}
	defer attending.Close()
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.Dir = attending, log, log, "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("migration/%s: go on in the background: %w", name, err)
	}
	fmt.Fprintf(stdout, "migration/%s goes on in the background (pid %d): `reconcile watch %s` shows how far it is, %s what it says\n", name, cmd.Process.Pid, name, log.Name())
	return cmd.Process.Release()
}

// makeLong makes the long steps that are next, of several migrations at the same time. Other runs may go on meanwhile.
func (p *program) makeLong(ctx context.Context, names []string) []reconciler.Object {
	// The lock of the migration, and one that its steps take on the target's host, keep others off: the lease is for the rest.
	fence := p.world.Fence
	p.reconciler.Moves.Long, p.world.Fence = reconciler.OnlyLong, nil
	defer func() { p.reconciler.Moves.Long, p.world.Fence = reconciler.NoLong, fence }()
	in := p.input
	in.Around = nil
	pass := p.reconciler.NewPass(in)
	out := make([]reconciler.Object, len(names))
	var all sync.WaitGroup
	for i, name := range names {
		all.Go(func() { out[i] = pass.Round(ctx, reconciler.Key{Kind: schema.KindMigration, Name: name}, true, nil) })
	}
	all.Wait()
	return out
}

// bars shows on w how far the long steps of migrations are, until stop is called: as bars on a terminal, as a line every half
// minute elsewhere.
func (p *program) bars(names []string, w io.Writer) (stop func()) {
	f, ok := w.(*os.File)
	terminal := ok && term.IsTerminal(int(f.Fd()))
	every := 30 * time.Second
	if terminal {
		every = 500 * time.Millisecond
	}
	over := make(chan struct{})
	var done sync.WaitGroup
	done.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		lines := 0
		for {
			select {
			case <-over:
				erase(w, lines)
				return
			case <-tick.C:
			}
			width := 120
			if terminal {
				erase(w, lines)
				if columns, _, err := term.GetSize(int(f.Fd())); err == nil && columns > 0 {
					width = columns
				}
			}
			text := p.progressLines(names, width-1)
			for _, line := range text {
				fmt.Fprintln(w, line)
			}
			if terminal {
				lines = len(text)
			}
		}
	})
	return func() { close(over); done.Wait() }
}

// erase takes back the last lines on a terminal.
func erase(w io.Writer, lines int) {
	if lines > 0 {
		fmt.Fprintf(w, "\x1b[%dA\x1b[J", lines)
	}
}

func (p *program) progressLines(names []string, width int) []string {
	var out []string
	for _, name := range names {
		progress, err := p.reconciler.Moves.State.Progress(name)
		if err != nil {
			out = append(out, err.Error())
		}
		for _, x := range progress {
			out = append(out, name+" "+progressLine(x, width-len(name)-1))
		}
	}
	return out
}

// progressLine is how far one long step is, in at most so many columns.
func progressLine(x state.Progress, width int) string {
	total, share, eta := "?", 0.0, "?"
	if x.Total > 0 {
		total, share = blockcopy.Bytes(x.Total), min(1, float64(x.Done)/float64(x.Total))
	}
	switch {
	case x.Final:
		eta = "0s"
	case x.ETA > 0:
		eta = time.Duration(x.ETA * float64(time.Second)).Round(time.Second).String()
	}
	head := fmt.Sprintf("%-7s %-6s %3.0f%%", x.Disk, x.Step, 100*share)
	tail := fmt.Sprintf(" %s/%s %s/s ETA %s", blockcopy.Bytes(x.Done), total, blockcopy.Bytes(x.Rate), eta)
	bar := ""
	if room := min(40, width-len(head)-len(tail)-3); room >= 10 {
		full := int(share * float64(room))
		bar = " [" + strings.Repeat("#", full) + strings.Repeat(".", room-full) + "]"
	}
	line := head + bar + tail
	return line[:min(len(line), max(width, 0))]
}
