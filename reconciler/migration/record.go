package migration

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ustclug/pve-reconcile/schema"
)

// Record is the work record of a migration as Markdown: what was done, when, with which commands and figures. It can be
// asked for while the work still goes on. Times are printed in zone.
func Record(want schema.Migration, guest schema.VM, s Status, done []Entry, zone *time.Location) string {
	var b strings.Builder
	r := record{want: want, guest: guest, status: s, zone: zone}
	for _, e := range done {
		if e.Error == "" {
			r.done = append(r.done, e)
		} else {
			r.failed = append(r.failed, e)
		}
	}
	date := ""
	if len(done) > 0 {
		date = r.at(began(done[0])).Format("2006-01-02") + " "
	}
	fmt.Fprintf(&b, "### %sMove %s from %s to %s\n\n", date, want.Metadata.Name, want.Spec.Source.Host, guest.Spec.Node)
	fmt.Fprintf(&b, "%s\n", r.summary())
	for _, part := range []func() string{r.story, r.stages, r.sizes, r.commands, r.trouble} {
		if text := part(); text != "" {
			b.WriteString("\n" + text)
		}
	}
	return b.String()
}

type record struct {
	want         schema.Migration
	guest        schema.VM
	status       Status
	done, failed []Entry
	zone         *time.Location
}

func (r record) at(t time.Time) time.Time { return t.In(r.zone) }

// began is when a step began.
func began(e Entry) time.Time {
	return e.Time.Add(-time.Duration(e.Seconds * float64(time.Second)))
}

// summary says in sentences what moved where, how long it was off, and where it stands.
func (r record) summary() string {
	var zvols []string
	for _, d := range r.want.Spec.Source.Disks {
		zvols = append(zvols, fmt.Sprintf("`%s` (%s)", d.Zvol, d.To))
	}
	text := fmt.Sprintf("The guest ran on %s on %s. It becomes guest %d of %s, with new disks of its own.", r.want.Spec.Source.Host, strings.Join(zvols, ", "), r.guest.Spec.VMID, r.guest.Spec.Node)
	if off, up := r.downtime(); !off.IsZero() {
		if up.IsZero() {
			text += fmt.Sprintf(" It was asked to shut down at %s and has not started on %s yet.", r.at(off).Format("2006-01-02 15:04:05"), r.guest.Spec.Node)
		} else {
			text += fmt.Sprintf(" It was off for %s, from %s to %s.", short(up.Sub(off)), r.at(off).Format("2006-01-02 15:04:05"), r.at(up).Format("15:04:05"))
			if took := RatesOf(r.done).Boot; took > 0 {
				text += fmt.Sprintf(" Its agent answered %s after its start.", short(took))
			}
		}
	}
	switch {
	case r.status.Finished && r.status.Table == "abort":
		text += " The migration was aborted, and all is as it was."
	case r.status.Finished:
		text += " The migration is done."
	case r.status.Number > 0:
		text += fmt.Sprintf(" It is at %s (%d of %d): %s.", r.status.Stage, r.status.Number, r.status.Of, r.status.Doing)
	}
	for _, w := range r.status.Waits {
		text += fmt.Sprintf(" It waits (%s): %s.", w.Reason, strings.TrimSuffix(w.Text, "."))
	}
	return text
}

// downtime is from when the guest was last asked to shut down until it was started on the target.
func (r record) downtime() (off, up time.Time) {
	for _, e := range r.done {
		switch {
		case e.Kind == "shutdown":
			off, up = began(e), time.Time{}
		case e.Kind == "start" && !off.IsZero():
			up = e.Time
		}
	}
	return off, up
}

// stages is a table of what each stage took and moved.
func (r record) stages() string {
	var b strings.Builder
	var names []string
	for _, e := range r.done {
		if !slices.Contains(names, e.Stage) {
			names = append(names, e.Stage)
		}
	}
	if len(names) == 0 {
		return ""
	}
	b.WriteString("| stage | began | took | moved | rate |\n|---|---|---|---|---|\n")
	for _, name := range names {
		var first, last time.Time
		var moved int64
		var busy float64
		var notes []string
		for _, e := range r.done {
			if e.Stage != name {
				continue
			}
			if first.IsZero() {
				first = began(e)
			}
			last = e.Time
			switch e.Kind {
			case "send", "copy", "hash":
				moved += e.Figures.Bytes
				busy += e.Figures.Seconds
				notes = append(notes, fmt.Sprintf("%s %s %s", e.Disk, e.Kind, bytes(e.Figures.Bytes)))
			case "trim":
				notes = append(notes, "trimmed "+bytes(e.Figures.Bytes))
			}
		}
		rate := ""
		if moved > 0 && busy > 0 {
			rate = bytes(int64(float64(moved)/busy)) + "/s"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", name, r.at(first).Format("01-02 15:04:05"), short(last.Sub(first)), strings.Join(notes, ", "), rate)
	}
	return b.String()
}

// sizes is a table of what each disk took, as last seen at each place.
func (r record) sizes() string {
	type key struct{ disk, place string }
	last := map[key]Size{}
	var order []key
	for _, e := range append(slices.Clone(r.done), r.failed...) {
		for _, s := range e.Sizes {
			k := key{s.Disk, s.Place}
			if _, ok := last[k]; !ok {
				order = append(order, k)
			}
			last[k] = s
		}
	}
	if len(order) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString("| disk | place | dataset | volblocksize | size | used |\n|---|---|---|---|---|---|\n")
	for _, k := range order {
		s := last[k]
		fmt.Fprintf(&b, "| %s | %s | `%s` | %s | %s | %s |\n", s.Disk, s.Place, s.Dataset, bytes(s.Volblocksize), bytes(s.Volsize), bytes(s.Used))
	}
	return b.String()
}

// commands lists what was done, as an operator would type it.
func (r record) commands() string {
	if len(r.done) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString("```\n")
	for _, e := range r.done {
		fmt.Fprintf(&b, "%s  %s\n", r.at(began(e)).Format("01-02 15:04:05"), e.Step)
	}
	b.WriteString("```\n")
	return b.String()
}

// trouble lists what failed on the way.
func (r record) trouble() string {
	var b strings.Builder
	for _, e := range r.failed {
		fmt.Fprintf(&b, "- %s, %s: %s\n", r.at(e.Time).Format("2006-01-02 15:04:05"), e.Stage, e.Error)
	}
	if b.Len() == 0 {
		return ""
	}
	return "What went wrong on the way:\n\n" + b.String()
}
