package reconciler

import (
	"slices"
	"strings"
	"time"

	"github.com/ustclug/pve-reconcile/reconciler/step"
)

// Condition is one thing that can be said of an object, in the shape Kubernetes gives them.
type Condition struct {
	Type               string    `json:"type"`
	Status             string    `json:"status"` // True, False, Unknown
	Reason             string    `json:"reason"` // CamelCase
	Message            string    `json:"message,omitempty"`
	LastTransitionTime time.Time `json:"lastTransitionTime"` // when Status became what it is
}

// The types of conditions.
const (
	Ready           = "Ready"  // nothing stands in the way of what is declared
	Synced          = "Synced" // all that is declared is written
	CondRestart     = "RestartNeeded"
	CondDrifted     = "Drifted" // something was changed on the host and is still so
	CondBlocked     = "Blocked" // a person must act
	CondUnknown     = "Unknown" // could not be looked at
	CondSuspended   = "Suspended"
	conditionTrue   = "True"
	conditionFalse  = "False"
	conditionUnsure = "Unknown"
)

// Conditions says of an object what holds. What held before keeps its time.
func Conditions(o Object, before []Condition, now time.Time) []Condition {
	reason, message := o.Why()
	unsure := o.Verdict == Unknown
	drift := slices.IndexFunc(o.Plan.Diffs, func(d step.Diff) bool { return d.Cause == step.Drift })
	suspended := o.Suspended != nil
	out := []Condition{
		{Type: Ready, Status: told(o.Ready(), unsure), Reason: reason, Message: message},
		{Type: Synced, Status: told(o.Verdict == InSync || o.Verdict == RestartNeeded, unsure), Reason: reason, Message: message},
		{Type: CondRestart, Status: told(len(o.Plan.Restart) > 0, unsure), Reason: pick(len(o.Plan.Restart) > 0, "Pending", "NothingPending"), Message: strings.Join(o.Plan.Restart, ", ")},
		{Type: CondDrifted, Status: told(drift >= 0, unsure), Reason: pick(drift >= 0, "ChangedOnHost", "AsApplied")},
		{Type: CondBlocked, Status: told(o.Verdict == Blocked || o.Verdict == Refused, false), Reason: reason, Message: message},
		{Type: CondUnknown, Status: told(unsure, false), Reason: pick(unsure, reason, "Observed")},
		{Type: CondSuspended, Status: told(suspended, false), Reason: pick(suspended, "Suspended", "NotSuspended")},
	}
	if drift >= 0 {
		out[3].Message = o.Plan.Diffs[drift].Name()
	}
	if unsure {
		out[5].Message = message
	}
	if suspended {
		out[6].Message = o.Suspended.String()
	}
	for i := range out {
		c := &out[i]
		c.LastTransitionTime = now
		if j := slices.IndexFunc(before, func(b Condition) bool { return b.Type == c.Type && b.Status == c.Status }); j >= 0 {
			c.LastTransitionTime = before[j].LastTransitionTime
		}
		if c.Type == CondBlocked && c.Status == conditionFalse {
			c.Reason, c.Message = "NotBlocked", ""
		}
	}
	return out
}

// Ready tells whether nothing stands in the way of what an object declares: others may depend on it.
func (o Object) Ready() bool {
	return o.Verdict == InSync || o.Verdict == RestartNeeded || o.Verdict == Drifted
}

func told(yes, unsure bool) string {
	switch {
	case unsure:
		return conditionUnsure
	case yes:
		return conditionTrue
	}
	return conditionFalse
}

func pick(yes bool, a, b string) string {
	if yes {
		return a
	}
	return b
}

// Awaited is what settles the changes that are written and pending.
func (o Object) Awaited() string {
	if o.Power == "stopped" {
		return "the next start"
	}
	return "a restart"
}

// Why is the reason of the verdict, for machines, and in words.
func (o Object) Why() (reason, message string) {
	switch {
	case o.Err != nil:
		return string(o.Verdict), o.Err.Error()
	case len(o.Plan.Waits) > 0:
		return o.Plan.Waits[0].Reason, o.Plan.Waits[0].Text
	case len(o.Plan.Restart) > 0:
		return string(o.Verdict), "waits for " + o.Awaited() + ": " + strings.Join(o.Plan.Restart, ", ")
	case len(o.Plan.Steps) > 0:
		return string(o.Verdict), strings.Join(step.Texts(o.Plan.Steps), "; ")
	case o.Verdict == Refused:
		return string(o.Verdict), "the manifest has problems"
	}
	return string(o.Verdict), ""
}
