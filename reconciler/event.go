package reconciler

import "time"

// EventType says what happened.
type EventType string

// The types of events.
const (
	EventStarted  EventType = "Started"  // the daemon began
	EventStopped  EventType = "Stopped"  // the daemon ends, as told
	EventRevision EventType = "Revision" // a newer revision is followed from now on
	EventSource   EventType = "Source"   // the source can no longer be read, or again: Reason and Message say
	EventApplied  EventType = "Applied"  // steps of one object were made, or tried: the record of what was done
	EventVerdict  EventType = "Verdict"  // what is said of an object changed
	EventRound    EventType = "Round"    // a round ended, whatever it found; not kept in the history
	EventSuspend  EventType = "Suspend"  // work on an object or on everything was suspended
	EventResume   EventType = "Resume"   // and goes on
	EventLease    EventType = "Lease"    // another one may act now, or this one again
)

// Event is one thing that happened, for those who watch: history, metrics, notifications. It is plain and is not changed
// once it was handed out.
type Event struct {
	Time     time.Time  `json:"time"`
	Type     EventType  `json:"type"`
	Kind     string     `json:"kind,omitempty"`
	Name     string     `json:"name,omitempty"`
	Cluster  string     `json:"cluster,omitempty"`
	Node     string     `json:"node,omitempty"`
	VMID     int        `json:"vmid,omitempty"`
	Revision string     `json:"revision,omitempty"` // commit, 40 digits
	Author   string     `json:"author,omitempty"`   // of the revision
	Subject  string     `json:"subject,omitempty"`  // of the revision
	Verdict  Verdict    `json:"verdict,omitempty"`
	Was      Verdict    `json:"was,omitempty"`     // the verdict before
	Reason   string     `json:"reason,omitempty"`  // CamelCase
	Message  string     `json:"message,omitempty"` // for people
	Steps    []StepMade `json:"steps,omitempty"`
	Seconds  float64    `json:"seconds,omitempty"` // the round took
}

// StepMade is one step of an Applied event.
type StepMade struct {
	Step     string   `json:"step"` // as a command
	Tasks    []string `json:"tasks,omitempty"`
	Warnings []string `json:"warnings,omitempty"`
	Error    string   `json:"error,omitempty"` // "": it was made
	Seconds  float64  `json:"seconds"`
}

// Observer is told of events, one at a time and in order. It must not block.
type Observer func(Event)
