package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"

	"github.com/ustclug/pve-reconcile/internal/gate"
	"github.com/ustclug/pve-reconcile/internal/source"
	"github.com/ustclug/pve-reconcile/reconciler/admit"
)

// runAck accepts what stands against the newest revision, or shows it. It writes to the state directory and nowhere else.
func runAck(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	f := flag.NewFlagSet("ack", flag.ContinueOnError)
	var c common
	c.register(f)
	words, code, done := parse(f, args, stdout, stderr)
	if done {
		return code
	}
	if len(words) > 1 {
		return usage(stderr, "ack takes one commit; without one it shows what waits")
	}
	p, err := assemble(c, stderr)
	if err != nil {
		return failed(stderr, err)
	}
	fetching, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	tip, err := p.source.Fetch(fetching)
	if err != nil {
		return failed(stderr, err)
	}
	a, err := p.acknowledge(ctx, tip, words)
	var finding *admit.Finding
	switch {
	case errors.Is(err, gate.ErrNothingToAcknowledge):
		return p.sayAck(c, stdout, stderr, ackJSON{Revision: tip})
	case errors.As(err, &finding): // not verified: nobody can accept that
		printFinding(stderr, finding)
		return exitPerson
	case err != nil:
		return failed(stderr, err)
	}
	out := ackJSON{
		Revision: a.Revision, Waits: true, Dropped: commitTexts(a.History.Dropped), Added: commitTexts(a.History.Added),
		Gone: list(a.History.Gone), Before: a.Before, After: a.After,
		DroppedCount: a.History.DroppedCount, AddedCount: a.History.AddedCount,
	}
	if len(words) == 1 {
		if err := a.Accept(); err != nil {
			return failed(stderr, err)
		}
		out.Accepted = true
		out.Told = askDaemon(ctx, p.config, "POST", "/trigger", objectsJSON{}, &objectsJSON{}) == nil
	}
	return p.sayAck(c, stdout, stderr, out)
}

// acknowledge prepares the acceptance of the commit that was named, or of the newest one.
func (p *program) acknowledge(ctx context.Context, tip source.Revision, words []string) (*gate.Acknowledgement, error) {
	rev := tip
	if len(words) == 1 {
		found, err := p.source.Find(ctx, tip.Commit, words[0])
		if err != nil {
			return nil, fmt.Errorf("%w; `reconcile ack` without a commit shows what waits", err)
		}
		rev.Commit, rev.Author, rev.Subject, rev.When = found.Commit, found.Author, found.Subject, found.When
	}
	return gate.New(p.config, p.source).Acknowledge(ctx, tip.Commit, rev, p.reconciler.Ledger, func() (int, error) {
		set, err := p.load(ctx, rev.Commit)
		return set.Objects(), err
	})
}

// ackJSON is the shape of `ack -o json`, documented in docs/output.md.
type ackJSON struct {
	Revision source.Revision `json:"revision"`
	// Waits: it would not be let through as it is; Accepted: now it is.
	Waits        bool     `json:"waits"`
	Accepted     bool     `json:"accepted"`
	Told         bool     `json:"told"` // a daemon was told to look
	Dropped      []string `json:"dropped"`
	DroppedCount int      `json:"droppedCount"`
	Gone         []string `json:"gone"`
	Added        []string `json:"added"`
	AddedCount   int      `json:"addedCount"`
	Before       int      `json:"objectsBefore"`
	After        int      `json:"objectsAfter"`
}

func commitTexts(commits []admit.Commit) []string {
	out := []string{}
	for _, c := range commits {
		out = append(out, c.String())
	}
	return out
}

// sayAck prints what was accepted, or what waits to be: exit code 3 then.
func (p *program) sayAck(c common, stdout, stderr io.Writer, a ackJSON) int {
	code := exitOK
	if a.Waits && !a.Accepted {
		code = exitPerson
	}
	if c.output == "json" {
		a.Dropped, a.Gone, a.Added = list(a.Dropped), list(a.Gone), list(a.Added)
		if err := writeJSON(stdout, a); err != nil {
			return failed(stderr, err)
		}
		return code
	}
	fmt.Fprintf(stdout, "revision %s %q by %s\n", a.Revision.Short(), a.Revision.Subject, a.Revision.Author)
	if !a.Waits {
		fmt.Fprintln(stdout, "nothing waits to be acknowledged: it is let through as it is")
		return code
	}
	p.printSide(stdout, "-", a.Dropped, a.DroppedCount)
	for _, gone := range a.Gone {
		fmt.Fprintf(stdout, "    - %s, which the repository no longer has\n", shorten(gone))
	}
	p.printSide(stdout, "+", a.Added, a.AddedCount)
	fmt.Fprintf(stdout, "    objects declared: %d before, %d now\n", a.Before, a.After)
	if a.Accepted {
		who := "the next run applies it"
		if a.Told {
			who = "the daemon was told"
		}
		left := "Guests that no manifest declares any more are left alone"
		if a.DroppedCount > 0 || len(a.Gone) > 0 {
			left = "What the dropped commits gave stays on the guests"
		}
		fmt.Fprintf(stdout, "accepted: %s. %s\n", who, left)
		return code
	}
	fmt.Fprintf(stdout, "not accepted yet; if that is meant: reconcile ack %s\n", a.Revision.Short())
	return code
}

func (p *program) printSide(w io.Writer, sign string, commits []string, count int) {
	for _, c := range commits {
		fmt.Fprintf(w, "    %s %s\n", sign, c)
	}
	if more := count - len(commits); more > 0 {
		fmt.Fprintf(w, "    %s and %d more\n", sign, more)
	}
}
