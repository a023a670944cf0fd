package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/ustclug/pve-reconcile/internal/config"
	"github.com/ustclug/pve-reconcile/internal/state"
	"github.com/ustclug/pve-reconcile/schema"
)

// runWatch shows how far migrations are, until they are finished or wait for a person.
func runWatch(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	f := flag.NewFlagSet("watch", flag.ContinueOnError)
	var c common
	c.registerText(f)
	every := f.Duration("every", 2*time.Second, "how often to look, a `duration`")
	words, code, done := parse(f, args, stdout, stderr)
	if done {
		return code
	}
	conf, err := loadConfig(c.file)
	if err != nil {
		return failed(stderr, err)
	}
	w := watcher{conf: conf, common: c, words: objectNames(words), stdout: stdout, stderr: stderr, state: state.MigrationsIn(conf.StateDir)}
	for {
		more, code, err := w.look(ctx)
		if err != nil {
			return failed(stderr, err)
		}
		if !more {
			return code
		}
		select {
		case <-ctx.Done():
			return exitOK
		case <-time.After(*every):
		}
	}
}

// watcher shows what changed since it looked last.
type watcher struct {
	common
	conf           config.Config
	words          []string
	stdout, stderr io.Writer

	state *state.Migrations

	said string // where the migrations stood
	bars int    // lines on the terminal that are drawn over
	seen []string
}

// look shows the migrations once. more tells whether one is under way: somebody was there to make its steps before it was
// looked at. Who ends after that has left it as the next look finds it.
func (w *watcher) look(ctx context.Context) (more bool, code int, err error) {
	atWork := w.seen == nil || slices.ContainsFunc(w.seen, w.state.Attended)
	r, err := statusNow(ctx, w.common, w.conf, w.words, false, w.stderr)
	if err != nil {
		if ctx.Err() != nil {
			return false, exitOK, nil
		}
		return false, exitError, err
	}
	var heads, left []string
	atWork, w.seen = atWork || r.Daemon != nil, nil
	for _, o := range r.Objects {
		m := o.Migration
		if m == nil && o.Kind != schema.KindMigration {
			continue
		}
		w.seen = append(w.seen, o.Name)
		heads = append(heads, fmt.Sprintf("migration/%s %s", o.Name, o.Message))
		atWork = atWork || m != nil && (m.Elsewhere != "" || len(m.Progress) > 0)
		if m == nil || !m.Finished {
			left = append(left, unattended(o))
		}
	}
	if w.seen == nil {
		return false, exitError, errors.New("no manifest declares such a migration")
	}
	w.show(heads, r.progress(w.width()))
	if len(left) > 0 && !atWork {
		fmt.Fprintln(w.stdout, strings.Join(left, "\n"))
	}
	return len(left) > 0 && atWork, r.ExitCode, nil
}

// unattended says in one line why a migration that is not finished does not go on by itself, and what lets it.
func unattended(o objectJSON) string {
	text, next := "nobody is at work on migration/"+o.Name, fmt.Sprintf("`reconcile --once %s` goes on", o.Name)
	switch m := o.Migration; {
	case o.Error != "":
		return fmt.Sprintf("%s: %s; %s when that is mended", text, o.Error, next)
	case len(o.Waits) > 0 && m != nil && m.Awaited != "":
		return fmt.Sprintf("%s: it waits for %s (%s); %s after that", text, m.Awaited, o.Waits[0].Reason, next)
	case len(o.Waits) > 0:
		return fmt.Sprintf("%s: it waits (%s); %s after that", text, o.Waits[0].Reason, next)
	case len(o.Steps) == 0 && len(o.Notes) > 0:
		return fmt.Sprintf("%s: %s; %s after that", text, o.Notes[len(o.Notes)-1], next)
	}
	return text + ": " + next
}

func (w *watcher) width() int {
	if f, ok := w.stdout.(*os.File); ok {
		if columns, _, err := term.GetSize(int(f.Fd())); err == nil && columns > 0 {
			return columns - 1
		}
	}
	return 120
}

// show prints where the migrations stand when that is news, and draws the bars anew.
func (w *watcher) show(heads, bars []string) {
	f, ok := w.stdout.(*os.File)
	terminal := ok && term.IsTerminal(int(f.Fd()))
	if terminal {
		erase(w.stdout, w.bars)
		w.bars = len(bars)
	}
	if text := strings.Join(heads, "\n"); text != w.said {
		w.said = text
		fmt.Fprintln(w.stdout, text)
	}
	for _, b := range bars {
		fmt.Fprintln(w.stdout, b)
	}
}
