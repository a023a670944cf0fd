package migration

import (
	"time"

	"github.com/ustclug/pve-reconcile/reconciler/step"
)

// Entry is one step in the record of a migration.
type Entry struct {
	Time    time.Time    `json:"time"` // when it ended
	Stage   string       `json:"stage"`
	Kind    string       `json:"kind"` // send, copy, hash, shutdown, start, up, trim; "" for all others
	Step    string       `json:"step"` // as a command
	Disk    string       `json:"disk,omitempty"`
	Seconds float64      `json:"seconds"`
	Figures step.Figures `json:"figures,omitzero"`
	Notes   []string     `json:"notes,omitempty"`
	Error   string       `json:"error,omitempty"` // "": it was made
	Sizes   []Size       `json:"sizes,omitempty"` // as they were before it
}

// Size is what a dataset took when a step was made.
type Size struct {
	Disk         string `json:"disk"`
	Place        string `json:"place"` // source, staging, target
	Dataset      string `json:"dataset"`
	Used         int64  `json:"used"` // bytes, as are the others
	Referenced   int64  `json:"referenced"`
	Volsize      int64  `json:"volsize"`
	Volblocksize int64  `json:"volblocksize"`
}

// NewEntry is the record of a step made in a stage, after what was observed.
func NewEntry(stage string, have Observed, s step.Step, out step.Outcome, ended time.Time, took time.Duration) Entry {
	e := Entry{Time: ended, Stage: stage, Step: s.String(), Seconds: took.Seconds(), Figures: out.Figures, Notes: out.Warnings}
	e.Kind, e.Disk = sort(s)
	if p, ok := s.(step.SetProperties); ok && p.Set[step.PropBooted] != "" && have.Agent == "up" {
		e.Kind, e.Figures.Seconds = "up", have.sinceStart(p).Seconds()
	}
	for _, d := range have.Disks {
		for _, at := range []struct {
			place string
			Dataset
		}{{"source", d.Source}, {"staging", d.Staging}, {"target", d.Target}} {
			if at.Exists {
				e.Sizes = append(e.Sizes, Size{d.Slot, at.place, at.Name, at.Used, at.Referenced, at.Volsize, at.Volblocksize})
			}
		}
	}
	return e
}

// sinceStart is how long before a note that the guest is up its start was noted, by the clock of the host that both are of; 0
// when that is not known.
func (o Observed) sinceStart(note step.SetProperties) time.Duration {
	up, err := time.Parse(time.RFC3339, note.Set[step.PropBooted])
	for _, d := range o.Disks {
		if at, bad := time.Parse(time.RFC3339, d.Target.Local[step.PropStarted]); err == nil && bad == nil {
			return max(0, up.Sub(at))
		}
	}
	return 0
}

// sort tells what kind of step it is, where figures are kept by kind, and of which disk.
func sort(s step.Step) (kind, disk string) {
	switch s := s.(type) {
	case step.SendSnapshot:
		return "send", s.Disk
	case step.CopyDisk:
		return "copy", s.Disk
	case step.HashSnapshot:
		return "hash", s.Disk
	case step.ShutdownSource:
		return "shutdown", ""
	case step.TrimGuest:
		return "trim", ""
	case step.StartVM:
		return "start", ""
	default:
		return "", ""
	}
}

// worthwhile is how many bytes a step has to have moved for its rate to say something about the next.
const worthwhile = 64 << 20

// bootSpan is what a guest took to come up, from its start to the answer of its agent. What was looked at too late to tell counts
// as not measured.
func bootSpan(spent float64) time.Duration {
	if took := seconds(spent); took < bootPatience {
		return took
	}
	return 0
}

// RatesOf are the figures that a record holds, the newest of each kind. Small steps say little about large ones: they count
// only while there is nothing better.
func RatesOf(record []Entry) Rates {
	var r Rates
	most := map[*float64]int64{}
	for _, e := range record {
		if e.Error != "" {
			continue
		}
		moved, spent := e.Figures.Bytes-e.Figures.Resumed, e.Figures.Seconds
		var rate *float64
		switch e.Kind {
		case "send":
			rate = &r.Send
		case "copy":
			rate = &r.Copy
		case "hash":
			rate = &r.Hash
		case "shutdown":
			r.Shutdown = seconds(e.Seconds)
		case "up":
			r.Boot = bootSpan(spent)
		}
		if rate == nil || moved <= 0 || spent <= 0 {
			continue
		}
		if moved >= min(worthwhile, most[rate]) {
			*rate, most[rate] = float64(moved)/spent, max(most[rate], moved)
		}
	}
	return r
}
