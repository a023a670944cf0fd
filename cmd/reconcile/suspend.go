package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/user"
	"strings"
	"time"

	"github.com/ustclug/pve-reconcile/internal/socket"
	"github.com/ustclug/pve-reconcile/internal/state"
	"github.com/ustclug/pve-reconcile/manifests"
	"github.com/ustclug/pve-reconcile/reconciler"
)

// runSuspend tells the daemon, and cron's runs, to make no steps of some objects or of any.
func runSuspend(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	f := flag.NewFlagSet("suspend", flag.ContinueOnError)
	in := objectsJSON{By: whoami()}
	span := f.Duration("for", 0, "for a `duration`: 2h, 90m; without it until resumed")
	f.StringVar(&in.Reason, "reason", "", "why, for whoever wonders; needed")
	until := f.String("until", "", "until a `time`: 2026-01-31T18:00, in the zone of this machine or with one")
	return tell(ctx, f, args, stdout, stderr, func(names []string) (objectsJSON, error) {
		in.Objects = names
		if strings.TrimSpace(in.Reason) == "" {
			return in, errors.New("say why, with --reason: it is what others read who wonder")
		}
		t, err := end(*span, *until, time.Now())
		if !t.IsZero() {
			in.Until = &t
		}
		return in, err
	}, "/suspend", (*program).suspendHere, "suspended")
}

// runResume ends a suspension, and lets go on what stopped because it flapped.
func runResume(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	f := flag.NewFlagSet("resume", flag.ContinueOnError)
	return tell(ctx, f, args, stdout, stderr, func(names []string) (objectsJSON, error) { return objectsJSON{Objects: names, By: whoami()}, nil },
		"/resume", (*program).resumeHere, "resumed")
}

// tell asks the daemon to do something; without one it is done here.
func tell(ctx context.Context, f *flag.FlagSet, args []string, stdout, stderr io.Writer, read func([]string) (objectsJSON, error), path string,
	here func(*program, []string, objectsJSON) error, word string,
) int {
	var c common
	c.register(f)
	words, code, done := parse(f, args, stdout, stderr)
	if done {
		return code
	}
	names := objectNames(words)
	in, err := read(names)
	if err != nil {
		return usage(stderr, "%s: %v", f.Name(), err)
	}
	conf, err := loadConfig(c.file)
	if err != nil {
		return failed(stderr, err)
	}
	err = askDaemon(ctx, conf, "POST", path, in, &in)
	if errors.Is(err, socket.ErrNobody) {
		var p *program
		var keys []string
		if p, err = assemble(c, stderr); err == nil {
			keys, err = p.keys(ctx, names)
		}
		if err == nil {
			err = here(p, keys, in)
		}
	}
	if err != nil {
		return failed(stderr, err)
	}
	what := strings.Join(words, ", ")
	if what == "" {
		what = "everything"
	}
	if c.output == "json" {
		if err := encode(stdout, in); err != nil {
			return failed(stderr, err)
		}
		return exitOK
	}
	fmt.Fprintf(stdout, "%s: %s\n", what, word)
	return exitOK
}

// keys are what names mean in the newest revision, or everything.
func (p *program) keys(ctx context.Context, names []string) ([]string, error) {
	if len(names) == 0 {
		return []string{state.Everything}, nil
	}
	rev, err := p.source.Fetch(ctx)
	if rev.Commit == "" {
		return nil, err
	}
	set, err := p.load(ctx, rev.Commit)
	if err != nil {
		return nil, err
	}
	var keys, unknown []string
	for _, n := range names {
		found := named(p.reconciler, set, n)
		if len(found) == 0 {
			unknown = append(unknown, n)
		}
		keys = append(keys, found...)
	}
	if len(unknown) > 0 {
		return nil, unknownError(unknown, rev, vmidsOf(set))
	}
	return keys, nil
}

func named(r *reconciler.Reconciler, set manifests.Set, name string) []string {
	var out []string
	for _, k := range r.NewPass(reconciler.Input{Set: set}).Keys() {
		if k.Name == name || k.String() == name {
			out = append(out, k.String())
		}
	}
	return out
}

func (p *program) suspendHere(keys []string, in objectsJSON) error {
	return p.suspendAll(keys, in, func(string, state.Suspension) {})
}

func (p *program) resumeHere(keys []string, _ objectsJSON) error {
	return p.resumeAll(keys, func(string) {})
}

func (p *program) suspendAll(keys []string, in objectsJSON, did func(string, state.Suspension)) error {
	x := state.Suspension{Reason: in.Reason, By: in.By, Since: time.Now().Truncate(time.Second)}
	if in.Until != nil {
		x.Until = *in.Until
	}
	for _, key := range keys {
		if err := p.suspensions.Suspend(key, x); err != nil {
			return err
		}
		did(key, x)
	}
	return nil
}

func (p *program) resumeAll(keys []string, did func(string)) error {
	for _, key := range keys {
		if _, err := p.suspensions.Resume(key, time.Now()); err != nil {
			return err
		}
		if err := p.reconciler.Flaps.Forget(key); err != nil {
			return err
		}
		did(key)
	}
	return nil
}

// end is when a suspension ends; zero when it does not by itself.
func end(span time.Duration, until string, now time.Time) (time.Time, error) {
	switch {
	case span < 0:
		return time.Time{}, errors.New("--for is in the past")
	case span > 0 && until != "":
		return time.Time{}, errors.New("--for and --until say the same: give one of them")
	case span > 0:
		return now.Add(span).Truncate(time.Second), nil
	case until == "":
		return time.Time{}, nil
	}
	for _, form := range []string{time.RFC3339, "2006-01-02T15:04", "2006-01-02 15:04", "2006-01-02"} {
		if t, err := time.ParseInLocation(form, until, time.Local); err == nil {
			if !t.After(now) {
				return t, fmt.Errorf("--until: %s is in the past", until)
			}
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("--until: %q is no time: write it as 2026-01-31T18:00", until)
}

// whoami names who asks, as well as it can be known.
func whoami() string {
	if by := os.Getenv("SUDO_USER"); by != "" {
		return by
	}
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return ""
}

// eventOf is an event about an object that is named by its key.
func eventOf(t reconciler.EventType, key, message string) reconciler.Event {
	kind, name, _ := strings.Cut(key, "/")
	return reconciler.Event{Type: t, Kind: kind, Name: name, Message: message}
}
