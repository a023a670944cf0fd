package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/ustclug/pve-reconcile/reconciler"
	"github.com/ustclug/pve-reconcile/reconciler/admit"
	"github.com/ustclug/pve-reconcile/reconciler/step"
)

// marks are the first column of a report.
var marks = map[reconciler.Verdict]string{
	reconciler.InSync: " ", reconciler.Changes: "~", reconciler.RestartNeeded: "r", reconciler.Drifted: "d", reconciler.Blocked: "!", reconciler.Busy: "!",
	reconciler.Suspended: "s", reconciler.Waiting: "w", reconciler.Unknown: "?", reconciler.Failed: "x", reconciler.Refused: "x", reconciler.Orphaned: "o", reconciler.Migrating: "m",
}

func title(p *program) string { return titleOf(p.revision) }

// printPlan shows what would be done, object by object, and what is seen and left alone.
func printPlan(w io.Writer, p *program, r reconciler.Report) {
	w = visible{w}
	printAlarms(w, r)
	fmt.Fprintln(w, title(p))
	printFinding(w, r.Source)
	printProblems(w, r.Problems)
	if all := p.suspended(); all != "" {
		fmt.Fprintln(w, "everything is "+all)
	}
	for _, o := range r.Objects {
		if o.Verdict != reconciler.InSync || len(o.Plan.Notes) > 0 || o.Suspended != nil {
			printObject(w, o)
		}
	}
	for _, n := range r.Notes {
		fmt.Fprintln(w, "note:", n)
	}
	if r.ExitCode() == exitOK {
		fmt.Fprintf(w, "no changes: %s as declared\n", count(r.Count(reconciler.InSync), "object"))
		return
	}
	fmt.Fprintln(w, summary(r))
}

// printRest shows what was done and what is left.
func printRest(w io.Writer, r reconciler.Report) {
	printAlarms(w, r)
	printFinding(w, r.Source)
	printProblems(w, r.Problems)
	for _, o := range r.Objects {
		if len(o.Done) > 0 || o.Verdict != reconciler.InSync {
			printShort(w, o)
		}
	}
	for _, n := range r.Notes {
		fmt.Fprintln(w, "note:", n)
	}
	if r.Stopped {
		fmt.Fprintln(w, "stopped between two steps, as told; the next run goes on from what is then true")
	}
	fmt.Fprintln(w, summary(r))
}

// printAlarms puts first what matters more than all else.
func printAlarms(w io.Writer, r reconciler.Report) {
	for _, o := range r.Objects {
		if o.Alarm != "" {
			fmt.Fprintln(w, "!!!", o.Alarm)
		}
	}
}

// printFinding shows what stands against the revision, with both sides and what to do.
func printFinding(w io.Writer, f *admit.Finding) {
	if f == nil {
		return
	}
	fmt.Fprintf(w, "! source %s: %s\n", f.Reason, f.Text)
	for _, c := range f.Dropped {
		fmt.Fprintf(w, "    - %s\n", c)
	}
	for _, c := range f.Added {
		fmt.Fprintf(w, "    + %s\n", c)
	}
	fmt.Fprintf(w, "    %s\n", f.Advice)
}

// printObject shows an object, and of a migration all that a person may want to decide on.
func printObject(w io.Writer, o reconciler.Object) { showObject(w, o, true) }

// printShort shows an object after something was done.
func printShort(w io.Writer, o reconciler.Object) { showObject(w, o, false) }

func showObject(w io.Writer, o reconciler.Object, whole bool) {
	where := ""
	switch {
	case o.ID.VMID != 0:
		where = fmt.Sprintf(" (%s/%d)", o.ID.Node, o.ID.VMID)
	case o.ID.Node != "" && o.ID.Node != o.Name:
		where = " (" + o.ID.Node + ")"
	}
	fmt.Fprintf(w, "%s %s/%s%s%s\n", marks[o.Verdict], short[o.Kind], o.Name, where, verdictWord(o))
	if o.Migration != nil {
		printMigration(w, o, whole)
	}
	for _, d := range o.Done {
		fmt.Fprintf(w, "    done: %s%s\n", wrapped(d.Step), took(d.Took))
		from := "PVE warns: "
		if _, ok := d.Step.(step.OnHost); ok {
			from = ""
		}
		for _, warning := range d.Outcome.Warnings {
			fmt.Fprintf(w, "          %s%s\n", from, warning)
		}
	}
	for _, s := range o.Plan.Steps {
		if whole || o.Migration == nil {
			fmt.Fprintf(w, "    %s\n", wrapped(s))
		}
	}
	printDiffs(w, o.Found)
	printOthers(w, o.Others)
	for _, x := range o.Plan.Waits {
		fmt.Fprintf(w, "    %s: %s\n", x.Reason, x.Text)
	}
	if o.Suspended != nil {
		fmt.Fprintf(w, "    %s\n", o.Suspended)
	}
	if len(o.Plan.Restart) > 0 {
		fmt.Fprintf(w, "    written, waits for %s of the guest: %s\n", o.Awaited(), strings.Join(waiting(o.Plan), ", "))
	}
	if o.Err != nil {
		fmt.Fprintf(w, "    %v\n", o.Err)
	}
	for _, n := range o.Plan.Notes {
		fmt.Fprintf(w, "    note: %s\n", n)
	}
}

// width is where a long command goes on in the next line, as a shell reads it.
const width = 110

// wrapped prints a command so that it fits a terminal and can still be pasted into a shell: it is only broken before an
// option, never inside quotes.
func wrapped(s step.Step) string {
	var b strings.Builder
	column, quotes := 0, 0
	for i, part := range strings.Split(s.String(), " --") {
		if i > 0 {
			if quotes%2 == 0 && column+len(part)+3 > width {
				b.WriteString(" \\\n       ")
				column = 8
			}
			b.WriteString(" --")
		}
		b.WriteString(part)
		column += len(part) + 3
		quotes += strings.Count(part, "'")
	}
	return b.String()
}

var short = map[string]string{"VirtualMachine": "vm", "Node": "node", "Migration": "migration"}

func verdictWord(o reconciler.Object) string {
	switch o.Verdict {
	case reconciler.InSync, reconciler.Changes:
		return ""
	case reconciler.RestartNeeded:
		if o.Power == "stopped" {
			return " start needed"
		}
		return " restart needed"
	case reconciler.Refused:
		return " refused: see the problems above"
	case reconciler.Migrating, reconciler.Drifted, reconciler.Suspended, reconciler.Waiting, reconciler.Blocked, reconciler.Busy, reconciler.Unknown, reconciler.Failed, reconciler.Orphaned:
		return " " + strings.ToLower(string(o.Verdict))
	}
	return ""
}

func took(d time.Duration) string {
	if d < time.Second {
		return ""
	}
	return fmt.Sprintf(" (%s)", d.Round(time.Second))
}

// summary counts objects by verdict in one line.
func summary(r reconciler.Report) string {
	var parts []string
	steps := 0
	for _, o := range r.Objects {
		steps += len(o.Done)
	}
	if steps > 0 {
		parts = append(parts, count(steps, "step")+" done")
	}
	for _, c := range []struct {
		v    reconciler.Verdict
		text string
	}{
		{reconciler.InSync, "as declared"},
		{reconciler.Changes, "to change"},
		{reconciler.Migrating, "migrating"},
		{reconciler.RestartNeeded, "waiting for a restart"},
		{reconciler.Drifted, "drifted"},
		{reconciler.Blocked, "blocked"},
		{reconciler.Suspended, "suspended"},
		{reconciler.Waiting, "waiting"},
		{reconciler.Busy, "busy"},
		{reconciler.Unknown, "unknown"},
		{reconciler.Failed, "failed"},
		{reconciler.Refused, "refused"},
		{reconciler.Orphaned, "orphaned"},
	} {
		if n := r.Count(c.v); n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, c.text))
		}
	}
	if r.Source != nil {
		parts = append([]string{string(r.Source.Reason)}, parts...)
	}
	if n := len(r.Problems); n > 0 {
		parts = append(parts, count(n, "problem")+" in manifests")
	}
	return strings.Join(parts, ", ")
}

// cut keeps a message to its beginning; plan has the whole.
func cut(s string) string {
	if r := []rune(s); len(r) > width {
		return string(r[:width-3]) + "..."
	}
	return s
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// message is what matters most about an object, in one line.
func message(o reconciler.Object) string {
	if o.Migration != nil && o.Err == nil && o.Suspended == nil {
		text := standing(o.Migration)
		if len(o.Plan.Waits) > 0 {
			return text + ", " + o.Plan.Waits[0].Reason + ": " + o.Plan.Waits[0].Text
		}
		if o.Migration.Doing != "" {
			text += ": " + o.Migration.Doing
		}
		return text
	}
	switch {
	case o.Err != nil:
		return o.Err.Error()
	case o.Suspended != nil:
		return o.Suspended.String()
	case len(o.Plan.Waits) > 0:
		return o.Plan.Waits[0].Reason + ": " + o.Plan.Waits[0].Text
	case len(o.Plan.Restart) > 0:
		return "waits for " + o.Awaited() + ": " + strings.Join(o.Plan.Restart, ", ")
	case len(o.Plan.Steps) > 0:
		return drifted(o) + strings.Join(step.Texts(o.Plan.Steps), "; ")
	case len(o.Plan.Drifted()) > 0:
		return strings.TrimSuffix(drifted(o), "; ")
	case len(o.Plan.Notes) > 0:
		return o.Plan.Notes[0]
	}
	return ""
}
