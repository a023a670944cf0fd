package main

import (
	"bytes"
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
	"github.com/ustclug/pve-reconcile/internal/socket"
	"github.com/ustclug/pve-reconcile/internal/source"
	"github.com/ustclug/pve-reconcile/reconciler"
)

// runStatus asks the daemon; when none runs it looks itself.
func runStatus(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	f := flag.NewFlagSet("status", flag.ContinueOnError)
	var c common
	c.register(f)
	watch := f.Bool("watch", false, "show it again whenever it changes, until interrupted")
	look := f.Bool("look", false, "look at the hosts now, even when a daemon runs")
	words, code, done := parse(f, args, stdout, stderr)
	if done {
		return code
	}
	conf, err := loadConfig(c.file)
	if err != nil {
		return failed(stderr, err)
	}
	words = objectNames(words)
	r, err := statusNow(ctx, c, conf, words, *look, stderr)
	if err != nil {
		return failed(stderr, err)
	}
	if err := showStatus(stdout, c, r); err != nil {
		return failed(stderr, err)
	}
	if *watch {
		return watchStatus(ctx, c, conf, words, r, stdout, stderr)
	}
	return r.ExitCode
}

// statusNow is what the daemon says, or else what a look finds.
func statusNow(ctx context.Context, c common, conf config.Config, only []string, look bool, stderr io.Writer) (reportJSON, error) {
	var r reportJSON
	if !look {
		err := askDaemon(ctx, conf, "GET", "/status", nil, &r)
		if !errors.Is(err, socket.ErrNobody) {
			if err == nil {
				err = r.restrict(only)
			}
			return r, err
		}
	}
	p, err := assemble(c, stderr)
	if err == nil {
		err = p.read(ctx, only)
	}
	if err != nil {
		return r, err
	}
	r = p.report(p.reconciler.Plan(ctx, p.input))
	if ctx.Err() != nil {
		err = errors.New("stopped")
	}
	return r, err
}

// restrict keeps the objects of these names only.
func (r *reportJSON) restrict(names []string) error {
	if len(names) == 0 || r.Daemon != nil && r.Daemon.Blind { // nobody can tell yet whether there are such
		return nil
	}
	var kept []objectJSON
	for _, name := range names {
		n := len(kept)
		for _, o := range r.Objects {
			if o.Name == name || o.Kind+"/"+o.Name == name {
				kept = append(kept, o)
			}
		}
		if len(kept) == n {
			vmids := map[string]int{}
			for _, o := range r.Objects {
				vmids[o.Name] = o.VMID
			}
			return unknownError([]string{name}, r.Revision, vmids)
		}
	}
	r.Objects = kept
	r.ExitCode = exitOf(*r)
	return nil
}

// exitOf is the exit code of a report whose objects were picked.
func exitOf(r reportJSON) int {
	out := reconciler.Report{Source: r.Source.finding()}
	for _, o := range r.Objects {
		out.Objects = append(out.Objects, reconciler.Object{Verdict: reconciler.Verdict(o.Verdict)})
	}
	return out.ExitCode()
}

func showStatus(w io.Writer, c common, r reportJSON) error {
	if c.output == "json" {
		return encode(w, r)
	}
	printStatus(visible{w}, r)
	return nil
}

// watchStatus shows the status again when it changed.
func watchStatus(ctx context.Context, c common, conf config.Config, only []string, last reportJSON, stdout, stderr io.Writer) int {
	shown := text(last)
	for {
		select {
		case <-ctx.Done():
			return exitOK
		case <-time.After(time.Second):
		}
		r, err := statusNow(ctx, c, conf, only, false, stderr)
		if ctx.Err() != nil {
			return exitOK
		}
		if err != nil {
			fmt.Fprintln(stderr, "reconcile:", err)
			continue
		}
		if now := text(r); now != shown {
			shown = now
			if f, ok := stdout.(*os.File); ok && c.output != "json" && term.IsTerminal(int(f.Fd())) {
				fmt.Fprint(stdout, "\x1b[H\x1b[2J")
			}
			if err := showStatus(stdout, c, r); err != nil {
				return failed(stderr, err)
			}
		}
	}
}

func text(r reportJSON) string {
	var b bytes.Buffer
	printStatus(visible{&b}, r)
	return b.String()
}

// printStatus shows one line an object.
func printStatus(w io.Writer, r reportJSON) {
	for _, o := range r.Objects {
		if o.Alarm != "" {
			fmt.Fprintln(w, "!!!", o.Alarm)
		}
	}
	if r.Revision.Commit != "" {
		fmt.Fprintln(w, titleOf(r.Revision))
	}
	if r.Daemon != nil {
		d := *r.Daemon
		if r.Source != nil { // said below, with both sides
			d.Source.Error = ""
		}
		printDaemon(w, d)
	}
	if r.Suspended != "" {
		fmt.Fprintln(w, "everything is "+r.Suspended)
	}
	printFinding(w, r.Source.finding())
	for _, p := range r.Problems {
		fmt.Fprintln(w, p.problem())
	}
	for _, n := range r.Notes {
		fmt.Fprintln(w, n)
	}
	if len(r.Objects) == 0 && (r.Source != nil || r.Daemon != nil && r.Daemon.Blind) {
		return
	}
	table(w, func(t io.Writer) { printStates(t, r) })
	for _, line := range r.progress(width) {
		fmt.Fprintln(w, "  "+line)
	}
	fmt.Fprintln(w, r.summary())
}

func printStates(t io.Writer, r reportJSON) {
	fmt.Fprintln(t, "OBJECT\tNODE\tVMID\tPOWER\tSTATUS\tAPPLIED\tMESSAGE")
	for _, o := range r.Objects {
		vmid := "-"
		if o.VMID != 0 {
			vmid = fmt.Sprint(o.VMID)
		}
		fmt.Fprintf(t, "%s/%s\t%s\t%s\t%s\t%s\t%s\t%s\n", short[o.Kind], o.Name, dash(o.Node), vmid, dash(o.Power), o.Verdict, dash(o.Applied[:min(10, len(o.Applied))]), cut(o.Message))
	}
}

// progress says how far the long steps of migrations are, one line each.
func (r reportJSON) progress(width int) []string {
	var out []string
	for _, o := range r.Objects {
		if o.Migration == nil {
			continue
		}
		for _, x := range o.Migration.Progress {
			out = append(out, o.Name+" "+progressLine(x, width-len(o.Name)-1))
		}
	}
	return out
}

// summary counts the objects by verdict in one line.
func (r reportJSON) summary() string {
	report := reconciler.Report{Source: r.Source.finding()}
	for _, o := range r.Objects {
		report.Objects = append(report.Objects, reconciler.Object{Verdict: reconciler.Verdict(o.Verdict)})
	}
	for _, p := range r.Problems {
		report.Problems = append(report.Problems, p.problem())
	}
	return summary(report)
}

func titleOf(r source.Revision) string {
	return fmt.Sprintf("revision %s %q by %s", r.Short(), r.Subject, strings.TrimSpace(strings.Split(r.Author, "<")[0]))
}

func printDaemon(w io.Writer, d daemonJSON) {
	if d.StandingBy != "" {
		fmt.Fprintln(w, "standing by: "+d.StandingBy)
	}
	if d.Source.Error != "" {
		fmt.Fprintf(w, "the source cannot be followed since %s: %s\n", d.Source.Since.Local().Format("2006-01-02 15:04"), d.Source.Error)
	}
	if n := d.Queue.Ready + d.Queue.Working; n > 0 {
		fmt.Fprintf(w, "at work: %d of %s to look at\n", n, count(d.Objects, "object"))
	}
}
