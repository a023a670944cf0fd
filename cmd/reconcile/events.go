package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/ustclug/pve-reconcile/internal/config"
	"github.com/ustclug/pve-reconcile/internal/socket"
	"github.com/ustclug/pve-reconcile/internal/state"
	"github.com/ustclug/pve-reconcile/reconciler"
)

// runEvents prints what happened, from the history, and with --follow what happens from now on.
func runEvents(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	f := flag.NewFlagSet("events", flag.ContinueOnError)
	var c common
	c.register(f)
	follow := f.Bool("follow", false, "go on with what happens from now on, until interrupted")
	last := f.Int("last", 20, "`number` of past events to begin with; 0 none, -1 all")
	since := f.Duration("since", 0, "only what is not older: 24h")
	words, code, done := parse(f, args, stdout, stderr)
	if done {
		return code
	}
	words = objectNames(words)
	conf, err := loadConfig(c.file)
	if err != nil {
		return failed(stderr, err)
	}
	show := func(e reconciler.Event) error {
		if len(words) > 0 && !slices.Contains(words, e.Name) && !slices.Contains(words, e.Kind+"/"+e.Name) {
			return nil
		}
		return printEvent(stdout, c.output, e)
	}
	var stream *http.Response
	if *follow { // before the past is read: nothing falls between
		if stream, err = openEvents(ctx, conf); err != nil {
			return failed(stderr, err)
		}
		defer stream.Body.Close()
	}
	past, err := pastEvents(conf.StateDir, words, *last, *since)
	if err != nil {
		return failed(stderr, err)
	}
	var newest time.Time
	for _, e := range past {
		newest = e.Time
		if err := show(e); err != nil {
			return failed(stderr, err)
		}
	}
	if stream == nil {
		if len(past) == 0 && *last != 0 && *since == 0 && len(words) == 0 && c.output != "json" {
			fmt.Fprintf(stderr, "reconcile: no history in %s: the daemon writes it; `reconcile --once` prints what it does\n", conf.StateDir)
		}
		return exitOK
	}
	err = followEvents(stream.Body, newest, show)
	if ctx.Err() != nil {
		return exitOK
	}
	return failed(stderr, err)
}

// pastEvents reads the end of the history.
func pastEvents(dir string, names []string, last int, since time.Duration) ([]reconciler.Event, error) {
	var out []reconciler.Event
	if last == 0 {
		return nil, nil
	}
	err := state.JournalIn(dir).Each(func(line json.RawMessage) error {
		var e reconciler.Event
		if json.Unmarshal(line, &e) != nil {
			return nil // of another version
		}
		if since > 0 && time.Since(e.Time) > since || len(names) > 0 && !slices.Contains(names, e.Name) && !slices.Contains(names, e.Kind+"/"+e.Name) {
			return nil
		}
		out = append(out, e)
		if last > 0 && len(out) > 2*last {
			out = slices.Clone(out[len(out)-last:])
		}
		return nil
	})
	if last > 0 && len(out) > last {
		out = out[len(out)-last:]
	}
	return out, err
}

func openEvents(ctx context.Context, conf config.Config) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://daemon/events", nil)
	if err != nil {
		return nil, err
	}
	res, err := socket.Client(conf.Socket.Path).Do(req)
	if errors.Is(err, socket.ErrNobody) {
		return nil, fmt.Errorf("no daemon answers on %s, so nothing can be followed; without --follow the past is shown", conf.Socket.Path)
	}
	return res, err
}

// followEvents shows what comes, until it ends, which is always an error.
func followEvents(r io.Reader, newest time.Time, show func(reconciler.Event) error) error {
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return errors.New("the daemon has ended, or this was too slow to follow it")
		}
		if err != nil {
			return err
		}
		var e reconciler.Event
		if err := json.Unmarshal(line, &e); err != nil {
			return err
		}
		if !e.Time.After(newest) {
			continue // shown already, out of the history
		}
		if err := show(e); err != nil {
			return err
		}
	}
}

// printEvent prints one event in a line, and its steps below.
func printEvent(w io.Writer, output string, e reconciler.Event) error {
	if output == "json" {
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false)
		return enc.Encode(e)
	}
	w = visible{w}
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %-8s", e.Time.Local().Format("2006-01-02 15:04:05"), e.Type)
	if e.Name != "" {
		b.WriteString("  " + short[e.Kind] + "/" + e.Name)
	}
	switch e.Type {
	case reconciler.EventRevision:
		fmt.Fprintf(&b, "  %.10s %q by %s", e.Revision, e.Subject, strings.TrimSpace(strings.Split(e.Author, "<")[0]))
	case reconciler.EventVerdict:
		b.WriteString("  ")
		if e.Was != "" {
			fmt.Fprintf(&b, "%s -> ", e.Was)
		}
		b.WriteString(string(e.Verdict))
	case reconciler.EventApplied:
		fmt.Fprintf(&b, "  %.10s by %s", e.Revision, strings.TrimSpace(strings.Split(e.Author, "<")[0]))
	case reconciler.EventStarted, reconciler.EventStopped, reconciler.EventSource, reconciler.EventRound, reconciler.EventSuspend, reconciler.EventResume, reconciler.EventLease:
	}
	if e.Message != "" && e.Type != reconciler.EventApplied {
		b.WriteString("  " + e.Message)
	}
	b.WriteString("\n")
	for _, s := range e.Steps {
		word := "done"
		if s.Error != "" {
			word = "failed"
		}
		fmt.Fprintf(&b, "    %s: %s (%.1fs)\n", word, s.Step, s.Seconds)
		if s.Error != "" {
			fmt.Fprintf(&b, "        %s\n", s.Error)
		}
		for _, t := range append(s.Tasks, s.Warnings...) {
			fmt.Fprintf(&b, "        %s\n", t)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
