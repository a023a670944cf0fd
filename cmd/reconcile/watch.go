package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/ustclug/pve-reconcile/internal/config"
)

// runWatch shows how far migrations are, until they are finished or wait for a person.
func runWatch(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	f := flag.NewFlagSet("watch", flag.ContinueOnError)
	var c common
	c.register(f)
	every := f.Duration("every", 2*time.Second, "how `often` to look")
	words, code, done := parse(f, args, stdout, stderr)
	if done {
		return code
	}
	conf, err := loadConfig(c.file)
	if err != nil {
		return failed(stderr, err)
	}
	w := watcher{conf: conf, common: c, words: objectNames(words), stdout: stdout, stderr: stderr}
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

	said   string // where the migrations stood
	bars   int    // lines on the terminal that are drawn over
	nobody int    // looks in a row at which nobody was at work
}

// calm is for how many looks nobody has to be at work before nobody is taken to be: between two steps there is a pause.
const calm = 3

// look shows the migrations once. more tells whether one is under way.
func (w *watcher) look(ctx context.Context) (more bool, code int, err error) {
	r, err := statusNow(ctx, w.common, w.conf, w.words, false, w.stderr)
	if err != nil {
		if ctx.Err() != nil {
			return false, exitOK, nil
		}
		return false, exitError, err
	}
	var heads []string
	found, atWork := false, r.Daemon != nil
	finished := true
	for _, o := range r.Objects {
		m := o.Migration
		if m == nil && o.Kind != "Migration" {
			continue
		}
		found = true
		heads = append(heads, fmt.Sprintf("migration/%s %s", o.Name, o.Message))
		atWork = atWork || m != nil && (m.Elsewhere != "" || m.Background || len(m.Progress) > 0)
		finished = finished && m != nil && m.Finished
	}
	if !found {
		return false, exitError, errors.New("no manifest declares such a migration")
	}
	w.show(heads, r.progress(w.width()))
	if w.nobody++; atWork {
		w.nobody = 0
	}
	return !finished && w.nobody < calm, r.ExitCode, nil
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
