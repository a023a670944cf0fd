package migration

import (
	"fmt"
	"strings"
	"time"
)

// story tells what was done in the order it was done, with the figures that matter, as a person would write it down. It
// leaves out what has not happened yet.
func (r record) story() string {
	var told []string
	tell := func(format string, args ...any) { told = append(told, fmt.Sprintf(format, args...)) }
	if full := r.total("send", FullSend); full.count > 0 {
		tell("While the guest ran, a snapshot was sent: %s.", full)
	}
	if passes := r.total("send", Precopy); passes.count > 0 {
		tell("%s brought over what was written meanwhile: %s.", plural(passes.count, "increment"), passes)
	}
	if bulk := r.total("copy", Precopy); bulk.count > 0 {
		tell("What was received was copied into the new disks: %s.", bulk)
	}
	if off, _ := r.downtime(); !off.IsZero() {
		tell("On %s the guest was shut down.", r.at(off).Format("2006-01-02 at 15:04:05"))
	}
	if last := r.total("send", FinalIncremental); last.count > 0 {
		tell("The last increment was %s.", last)
	}
	if copied := r.total("copy", Copy); copied.count > 0 {
		tell("Copying took %s: %s read.", copied.took(), bytes(copied.bytes))
	}
	if hashed := r.total("hash", Copy); hashed.count > 0 {
		with := "the source's last snapshot"
		if !r.want.Proves() {
			with = "what was received"
		}
		tell("The content of the new disks was compared with %s, by the hashes of both, read from their devices.", with)
	}
	told = append(told, r.space()...)
	if len(told) == 0 {
		return ""
	}
	return strings.Join(told, " ") + "\n"
}

// total is what the steps of a kind in a stage moved.
type total struct {
	count   int
	bytes   int64
	seconds float64
}

func (r record) total(kind, stage string) (t total) {
	for _, e := range r.done {
		if e.Kind == kind && e.Stage == stage {
			t.count++
			t.bytes += e.Figures.Bytes
			t.seconds += e.Figures.Seconds
		}
	}
	return t
}

func (t total) took() string { return short(time.Duration(t.seconds * float64(time.Second))) }

func (t total) String() string {
	text := fmt.Sprintf("%s in %s", bytes(t.bytes), t.took())
	if t.seconds >= 1 {
		text += fmt.Sprintf(" (%s/s)", bytes(int64(float64(t.bytes)/t.seconds)))
	}
	return text
}

// space says what the disks took at each place, and what trimming gave back.
func (r record) space() (told []string) {
	for _, d := range r.want.Spec.Source.Disks {
		source, received := r.size(d.To, "source", ""), r.size(d.To, "staging", "")
		before, after := r.size(d.To, "target", "trim"), r.size(d.To, "target", "")
		copied := r.total("copy", Precopy).count + r.total("copy", Copy).count
		if source.Used == 0 || after.Used == 0 || copied == 0 {
			continue
		}
		text := fmt.Sprintf("%s took %s on %s (volblocksize=%s)", d.To, bytes(source.Used), r.want.Spec.Source.Host, blocks(source.Volblocksize))
		if received.Used > 0 {
			text += fmt.Sprintf(", %s as received", bytes(received.Used))
		}
		text += fmt.Sprintf(", and takes %s in its new zvol (volblocksize=%s)", bytes(after.Used), blocks(after.Volblocksize))
		if before.Used > after.Used {
			text += fmt.Sprintf(", after %s before the file systems were trimmed", bytes(before.Used))
		}
		told = append(told, text+".")
	}
	return told
}

// size is what a dataset took when it was last seen, or with a kind before the step of that kind.
func (r record) size(disk, place, kind string) (last Size) {
	for _, e := range r.done {
		for _, s := range e.Sizes {
			if s.Disk == disk && s.Place == place && (kind == "" || e.Kind == kind) {
				last = s
			}
		}
	}
	return last
}

func plural(n int, noun string) string {
	if n == 1 {
		return "One " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
