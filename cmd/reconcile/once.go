package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"
	"golang.org/x/term"

	"github.com/ustclug/pve-reconcile/internal/state"
	"github.com/ustclug/pve-reconcile/reconciler"
)

// runOnce makes one pass. Cron mails what is printed, so a pass without news prints nothing.
func runOnce(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	f := flag.NewFlagSet("once", flag.ContinueOnError)
	var c common
	c.register(f)
	once := f.Bool("once", false, "make one pass and exit")
	wait := f.Bool("wait", false, "with --once: make the long steps of migrations too, and show how far they are; else they go on in the background")
	f.StringVar(&c.logFormat, "log-format", "", "text or json; left out, the daemon writes text to a terminal and json elsewhere")
	words, code, done := parse(f, args, stdout, stderr)
	if done {
		return code
	}
	if !*once {
		if len(words) > 0 || *wait {
			return usage(stderr, "the daemon looks after every object; `reconcile --once %s` makes one pass over some", strings.Join(words, " "))
		}
		if !given(f, "log-level") {
			c.logLevel = "info"
		}
		return runDaemon(ctx, c, args, stderr)
	}
	p, err := assemble(c, stderr)
	if err != nil {
		return failed(stderr, err)
	}
	p.reconciler.Moves.Ending = ctx.Done()
	o := onePass{program: p, common: c, command: strings.TrimSpace("reconcile " + strings.Join(args, " ")), words: objectNames(words), stdout: stdout, stderr: stderr}
	if *wait {
		return o.waiting(ctx)
	}
	release, err := p.begin(o.command)
	if isHeld(err) {
		return o.held(err)
	}
	if err != nil {
		return failed(stderr, err)
	}
	defer release()
	r, err := o.make(ctx, o.words, false)
	if err == nil {
		err = p.detach(left(r), c, stderr)
	}
	if err != nil {
		return failed(stderr, err)
	}
	return onceCode(r)
}

// onePass is what --once was asked to do.
type onePass struct {
	*program
	common
	command        string
	words          []string
	stdout, stderr io.Writer
}

// held says that somebody else acts, which is fine.
func (o onePass) held(by error) int {
	text := fmt.Sprintf("another run is at work, nothing done: %v", by)
	if o.output == "json" {
		if err := printJSON(o.stdout, o.program, reconciler.Report{Notes: []string{text}}); err != nil {
			return failed(o.stderr, err)
		}
		return exitOK
	}
	fmt.Fprintln(o.stdout, text)
	return exitOK
}

// make makes one pass over some objects, under the lock. A quiet one says only what it did, and errors.
func (o onePass) make(ctx context.Context, words []string, quiet bool) (r reconciler.Report, err error) {
	p := o.program
	o.words = words // what was looked at is all that can be told of
	// Read again under the lock: the run before may have written since.
	if err = p.reopen(); err == nil {
		err = p.read(ctx, words)
	}
	if err == nil && p.input.Accept != nil {
		err = p.input.Accept()
	}
	if err != nil {
		o.tellOnce(ctx, r, err)
		return r, err
	}
	p.attend()
	r = p.reconciler.Apply(ctx, p.input)
	p.keepConditions(r)
	defer o.tellOnce(ctx, r, nil) // after what was done is printed
	if quiet && !r.Changed() && onceCode(r) != exitError {
		return r, nil
	}
	if o.output == "json" {
		return r, printJSON(o.stdout, p, r)
	}
	sayOnce(o.stdout, p, r)
	return r, nil
}

// waiting makes passes and the long steps of migrations in turn, until no long step is next, and nothing is awaited that takes
// minutes. The locks are only held for the passes.
func (o onePass) waiting(ctx context.Context) int {
	words, quiet, busy := o.words, false, 0
	for {
		release, err := o.turn(ctx)
		if err != nil || release == nil {
			return ended(o.stderr, err)
		}
		r, err := o.make(ctx, words, quiet)
		release()
		if err != nil {
			return failed(o.stderr, err)
		}
		names := left(r)
		switch soon, pause := awaited(r); {
		case ctx.Err() != nil:
			return onceCode(r)
		case len(names) > 0:
			words, quiet = o.words, false
		case len(soon) > 0: // nothing else is asked about meanwhile
			if words, quiet = soon, true; !sleep(ctx, pause) {
				return onceCode(r)
			}
			continue
		case quiet: // what became of all else
			words, quiet = o.words, false
			continue
		default:
			return onceCode(r)
		}
		stop := o.bars(names, o.stderr)
		made := o.makeLong(ctx, names)
		stop()
		code, stuck := onceCode(reconciler.Report{Objects: made}), false
		for _, m := range made {
			if len(m.Done) > 0 || m.Err != nil || m.Tried != nil {
				printShort(o.stdout, m)
			}
			stuck = stuck || m.Tried != nil
		}
		if busy++; !stuck {
			busy = 0
		}
		if code == exitError || ctx.Err() != nil || stuck && (busy > busyMost || slices.ContainsFunc(made, func(m reconciler.Object) bool { return m.Verdict == reconciler.Blocked && m.Tried != nil })) {
			return code
		}
		if stuck && !sleep(ctx, busyPause) {
			return code
		}
	}
}

// A long step that somebody else keeps from being made, by a lock or by changing what was decided on, is tried again after
// busyPause, busyMost times in a row.
const (
	busyPause = 2 * time.Second
	busyMost  = 60
)

// sleep tells whether it was not told to end meanwhile.
func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

func ended(stderr io.Writer, err error) int {
	if err != nil {
		return failed(stderr, err)
	}
	return exitOK
}

// turn waits until nobody else acts; without an error it returns nothing when it was told to end meanwhile.
func (o onePass) turn(ctx context.Context) (release func(), err error) {
	for said := false; ; said = true {
		release, err := o.begin(o.command)
		if !isHeld(err) {
			return release, err
		}
		if !said {
			o.log.Info("waiting: another one is at work", zap.Error(err))
		}
		select {
		case <-ctx.Done():
			return nil, nil
		case <-time.After(500 * time.Millisecond):
		}
	}
}

// begin makes sure that nobody else acts: neither here nor on another node of the clusters.
func (p *program) begin(command string) (release func(), err error) {
	host, _ := os.Hostname()
	unlock, err := state.Lock(p.config.StateDir, state.Holder{PID: os.Getpid(), Host: host, Command: command, Since: time.Now()})
	if err != nil {
		return nil, err
	}
	free, err := p.lease(command)
	if err != nil {
		unlock()
		return nil, err
	}
	return func() { free(); unlock() }, nil
}

// given tells whether a flag was on the command line.
func given(f *flag.FlagSet, name string) bool {
	found := false
	f.Visit(func(fl *flag.Flag) { found = found || fl.Name == name })
	return found
}

// sayOnce prints what is news: changes and errors always, what is blocked or waits for a restart when that differs from
// the run before. A person at a terminal is always answered.
func sayOnce(stdout io.Writer, p *program, r reconciler.Report) {
	left := r
	left.Objects = slices.Clone(r.Objects)
	for i := range left.Objects {
		left.Objects[i].Done, left.Objects[i].Found = nil, left.Objects[i].Plan.Diffs
	}
	var text strings.Builder
	if r.Source != nil || onceCode(r) != exitOK || len(r.Notes) > 0 || r.Count(reconciler.Orphaned) > 0 {
		printRest(&text, left)
	}
	known := state.Reported(p.config.StateDir, text.String())
	f, isFile := stdout.(*os.File)
	switch {
	case r.Changed(), onceCode(r) == exitError, text.Len() > 0 && !known, isFile && term.IsTerminal(int(f.Fd())):
		fmt.Fprintln(visible{stdout}, title(p))
		printRest(visible{stdout}, r)
	}
}

// onceCode: 0 in sync afterwards, 3 blocked or restart needed, 1 an error. Changes that are left were cut short.
func onceCode(r reconciler.Report) int {
	if code := r.ExitCode(); code != exitChanges {
		return code
	}
	return exitError
}
