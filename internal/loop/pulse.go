package loop

import (
	"fmt"
	"time"
)

// Pulse is when a loop last did what it does over and over.
type Pulse struct {
	Began    time.Time // zero: it does not run yet
	Ticked   time.Time // what was found was written
	Asking   time.Time // since when the source is being asked; zero: it is not
	Asked    time.Time // when the source was asked last, whatever it said
	Followed time.Time // since when this revision is followed
	Passes   int       // over everything that were begun
}

// Patience is how long each part of a loop may take before it counts as stuck. It is more than its own time limits allow.
type Patience struct {
	Tick   time.Duration // between two looks at the clock
	Source time.Duration // one look at the source, with the pause before
	Round  time.Duration // between two turns of the queue while objects are looked at; steps are bounded by their own limits
}

func (l *Loop) beat(with func(p *Pulse, now time.Time)) {
	now := l.Reconciler.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	with(&l.pulse, now)
}

// Stuck says what makes no progress, "" when everything does. An unreachable source or host, an object that fails, and a long
// step are no such thing: the loop goes on around them.
func (s Status) Stuck(now time.Time, p Patience) string {
	over := func(since time.Time, limit time.Duration) bool { return !since.IsZero() && now.Sub(since) > limit }
	since := func(t time.Time) string { return now.Sub(t).Round(time.Second).String() }
	ticked, asked := s.Pulse.Ticked, s.Pulse.Asked
	if ticked.IsZero() {
		ticked = s.Pulse.Began
	}
	if asked.IsZero() {
		asked = s.Pulse.Began
	}
	switch {
	case over(ticked, p.Tick):
		return fmt.Sprintf("the loop has stood still for %s: is the disk of the state directory stuck?", since(ticked))
	case over(s.Pulse.Asking, p.Source):
		return fmt.Sprintf("the source has been asked for %s without an end", since(s.Pulse.Asking))
	case s.Pulse.Asking.IsZero() && over(asked, p.Source):
		return fmt.Sprintf("the source was not asked for %s", since(asked))
	case s.Queue.Observing > 0 && over(s.Queue.Turned, p.Round):
		return fmt.Sprintf("%d objects have been looked at for %s without an end", s.Queue.Observing, since(s.Queue.Turned))
	}
	return ""
}

// Settled says what is missing until every object was looked at once under a revision, "" when nothing is.
func (s Status) Settled() string {
	switch {
	case s.Source.Revision.Commit == "" && s.Source.Error != "":
		return "no revision is followed yet: " + s.Source.Error
	case s.Source.Revision.Commit == "":
		return "no revision is followed yet"
	case s.Looked < s.Objects:
		return fmt.Sprintf("%d of %d objects were not looked at yet", s.Objects-s.Looked, s.Objects)
	}
	return ""
}
