package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/ustclug/pve-reconcile/reconciler"
	"github.com/ustclug/pve-reconcile/reconciler/step"
	"github.com/ustclug/pve-reconcile/reconciler/vm"
	"github.com/ustclug/pve-reconcile/schema"
)

// printDiffs shows value by value why something is to be done. What a step shows in full already (a new device), and what
// notes and the list of keys that wait for a restart say, is not said again.
func printDiffs(w io.Writer, diffs []step.Diff) {
	for _, d := range diffs {
		if text := why(d); text != "" {
			fmt.Fprintf(w, "    %s: %s\n", d.Name(), text)
		}
	}
}

// why is a difference in words, "" for one that needs none.
func why(d step.Diff) string {
	d.Have, d.Base, d.Want = legible(d.Key, d.Have), legible(d.Key, d.Base), legible(d.Key, d.Want)
	switch d.Cause {
	case step.New:
		if d.Have != "" {
			return fmt.Sprintf("%s -> %s (new in the manifest)", brief(d.Have), brief(d.Want))
		}
	case step.Git:
		switch {
		case d.Want == "":
			return brief(d.Have) + " -> unset (gone from git)"
		case d.Base == "" || d.Base == d.Have || d.Prop == "" && strings.Contains(d.Want, ","):
			return fmt.Sprintf("%s -> %s (changed in git)", brief(d.Have), brief(d.Want))
		}
		return fmt.Sprintf("%s -> %s (changed in git from %s)", brief(d.Have), brief(d.Want), brief(d.Base))
	case step.Drift:
		if d.Report {
			return fmt.Sprintf("%s, git says %s (changed on the host, left alone: driftPolicy is Report)", brief(d.Have), brief(d.Want))
		}
		return fmt.Sprintf("%s -> %s (changed on the host)", brief(d.Have), brief(d.Want))
	case step.Pending, step.Undeclared:
	}
	return ""
}

// mostTasks is how many tasks of others are shown; the newest are the likeliest.
const mostTasks = 3

// printOthers shows who may have changed the host. Not every change makes a task, so none is said to be the one.
func printOthers(w io.Writer, tasks []vm.Task) {
	for _, t := range tasks[:min(mostTasks, len(tasks))] {
		fmt.Fprintf(w, "    since it was as declared: %s\n", deed(t))
	}
	if more := len(tasks) - mostTasks; more > 0 {
		fmt.Fprintf(w, "    ... and %d more in PVE's task list\n", more)
	}
}

// deed says what was done, by whom and when.
func deed(t vm.Task) string {
	return fmt.Sprintf("%s by %s, %s", t.Type, t.User, time.Unix(t.At, 0).UTC().Format("2006-01-02 15:04 MST"))
}

// legible is a value of a setting for people: of SSH keys, which PVE keeps URL-encoded, the ends and the comments.
func legible(key, value string) string {
	row, ok := schema.RowOf(key)
	if !ok || value == "" {
		return value
	}
	public := row.SSHKeys(value)
	if public == nil {
		return value
	}
	for i, k := range public {
		if f := strings.Fields(k); len(f) > 1 {
			public[i] = strings.Join(append([]string{"..." + f[1][max(0, len(f[1])-8):]}, f[2:]...), " ")
		}
	}
	return strings.Join(public, ", ")
}

// brief is a value that fits into a line.
func brief(value string) string {
	value = strings.Join(strings.Fields(value), " ")
	if value == "" {
		return "unset"
	}
	if r := []rune(value); len(r) > 60 {
		return string(r[:57]) + "..."
	}
	return value
}

// waiting lists the keys that wait for a restart, with the value that runs and the one that comes.
func waiting(p step.Plan) []string {
	out := slices.Clone(p.Restart)
	for i, key := range out {
		for _, d := range p.Diffs {
			if d.Key == key && d.Cause == step.Pending {
				out[i] = fmt.Sprintf("%s (%s -> %s)", key, brief(d.Have), brief(d.Want))
			}
		}
	}
	return out
}

// drifted names what somebody changed on the host, ahead of the commands that undo it.
func drifted(o reconciler.Object) string {
	var names []string
	for _, d := range o.Found {
		if d.Cause == step.Drift {
			names = append(names, d.Name())
		}
	}
	if len(names) == 0 {
		return ""
	}
	return "changed on the host: " + strings.Join(names, ", ") + "; "
}
