package blockcopy

import (
	"context"
	"sync/atomic"
	"time"
)

// Phase is what a copy is doing.
type Phase string

// The phases, in the order they come.
const (
	PhaseScan   Phase = "scan"   // reading the source to find what cannot be read
	PhaseCopy   Phase = "copy"   // reading, comparing, writing
	PhaseVerify Phase = "verify" // reading the target back
	PhaseHash   Phase = "hash"   // reading only, there is no target
)

// Progress is where a copy is. Sizes are in bytes. The counters never go back; Done begins anew with each phase.
type Progress struct {
	Phase Phase `json:"phase"`
	Size  int64 `json:"size"` // of the source
	Done  int64 `json:"done"` // of Size in this phase, what an earlier run did included
	Counts
	Rate    int64         `json:"rate"`              // Done per second, lately
	ETA     time.Duration `json:"-"`                 // to the end of the phase; 0: not known
	Elapsed time.Duration `json:"-"`                 // since the copy began
	Final   bool          `json:"final,omitempty"`   // the last one: nothing follows
	Resumed int64         `json:"resumed,omitempty"` // offset at which an earlier run is continued
}

// Counts is what a copy moved and saved, in bytes.
type Counts struct {
	Read      int64 `json:"read"`      // read from the source
	Holes     int64 `json:"holes"`     // not read: the source has a hole there
	Zeros     int64 `json:"zeros"`     // read, and nothing but zeros
	Same      int64 `json:"same"`      // delta: the target had the same bytes, zeros included
	Skipped   int64 `json:"skipped"`   // of the source, everything whose bytes were not written: holes, zeros, same
	Written   int64 `json:"written"`   // written to the target, zeros that had to be written included
	Discarded int64 `json:"discarded"` // of the target, discarded or punched out
	Hashed    int64 `json:"hashed"`    // of both ends; holes are hashed without being looked at and not counted
	Verified  int64 `json:"verified"`  // of the target, read back and found right
}

type counter = atomic.Int64

// meter is what the workers count.
type meter struct {
	read, holes, zeros, same, content, written, discarded, hashed, verified counter

	done    counter // of the phase
	phase   atomic.Value
	began   time.Time
	resumed counter
}

func (m *meter) counts() Counts {
	return Counts{
		Read: m.read.Load(), Holes: m.holes.Load(), Zeros: m.zeros.Load(), Same: m.same.Load(),
		Skipped: m.read.Load() + m.holes.Load() - m.content.Load(),
		Written: m.written.Load(), Discarded: m.discarded.Load(), Hashed: m.hashed.Load(), Verified: m.verified.Load(),
	}
}

// start enters a phase of which an earlier run has done some.
func (m *meter) start(p Phase, done int64) {
	m.done.Store(done)
	m.phase.Store(p)
}

// watch reports every interval until the context ends, and then once more.
func (m *meter) watch(ctx context.Context, size int64, interval time.Duration, report func(Progress)) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	var pace pace
	for {
		select {
		case now := <-ticker.C:
			report(m.progress(size, &pace, now))
		case <-ctx.Done():
			p := m.progress(size, &pace, time.Now())
			p.Final = true
			report(p)
			return
		}
	}
}

func (m *meter) progress(size int64, pace *pace, now time.Time) Progress {
	phase, _ := m.phase.Load().(Phase)
	p := Progress{
		Phase: phase, Size: size, Done: m.done.Load(), Counts: m.counts(),
		Elapsed: now.Sub(m.began), Resumed: m.resumed.Load(),
	}
	p.Rate = pace.add(phase, p.Done, now)
	if p.Rate > 0 {
		p.ETA = time.Duration(float64(p.Size-p.Done) / float64(p.Rate) * float64(time.Second))
	}
	return p
}

// pace smooths a rate over the last few reports.
type pace struct {
	phase Phase
	done  int64
	at    time.Time
	rate  float64
}

func (p *pace) add(phase Phase, done int64, now time.Time) int64 {
	if p.phase != phase {
		*p = pace{phase: phase, done: done, at: now}
		return 0
	}
	if seconds := now.Sub(p.at).Seconds(); seconds > 0 {
		latest := float64(done-p.done) / seconds
		if p.rate == 0 {
			p.rate = latest
		}
		p.rate += 0.3 * (latest - p.rate)
		p.done, p.at = done, now
	}
	return int64(p.rate)
}
