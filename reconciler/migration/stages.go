package migration

import (
	"time"

	"github.com/ustclug/pve-reconcile/reconciler/step"
)

// A stage is one row of the migration. What is done is read off the world; a stage is done while any later one is.
type stage struct {
	name string
	doc  string                 // for people: what happens
	done func(view) bool        // evidence in the world
	gate func(view) []step.Wait // why it may not begin; nil: it always may
	next func(view) work        // what leads there
}

// work is what is to be done next, or what has to move first.
type work struct {
	steps []step.Step
	waits []step.Wait
	notes []string
	soon  time.Duration // as in Status
}

func (w *work) add(s ...step.Step) { w.steps = append(w.steps, s...) }

func (w *work) wait(reason, text string) {
	w.waits = append(w.waits, step.Wait{Reason: reason, Text: text})
}

// The names of the stages.
const (
	Preflight        = "Preflight"
	FullSend         = "FullSend"
	Define           = "Define"
	Precopy          = "Precopy"
	Cutover          = "Cutover"
	FinalIncremental = "FinalIncremental"
	Copy             = "Copy"
	Boot             = "Boot"
	FSTrim           = "FSTrim"
	Retire           = "Retire"
	// Unknown: a host did not answer, so that no stage can be told.
	Unknown = "Unknown"
	// Done: no row is left.
	Done = "Done"
)

// stages is the whole migration in order. The stage is the first row that is not done. To add a stage, add a row.
var stages []stage

// giveBack is the table that takes a cutover back, before the target has started: nothing is lost.
var giveBack []stage

// abort is the table that puts everything back as it was, when the manifest says abort: true.
var abort []stage

func init() { // some rows look at the table they are in
	stages = []stage{
		{Preflight, "hosts, pools, space, policy and identity are looked at", cleared, nil, nothing},
		{FullSend, "a snapshot of each disk is sent to the target's host while the guest runs", firstSent, nil, sendAll},
		{Define, "PVE makes the guest with fresh disks, stopped and protected", defined, nil, define},
		{Precopy, "what was written meanwhile is sent, and copied into the fresh disks", precopied, nil, precopy},
		{Cutover, "the guest is shut down, and its zvols are fenced", cutOver, cutoverGate, cutover},
		{FinalIncremental, "the last writes are sent", finallySent, nil, sendFinal},
		{Copy, "and copied, and the content is proven", proven, nil, prove},
		{Boot, "the guest starts on PVE", up, bootGate, boot},
		{FSTrim, "the guest trims its file systems", trimmed, nil, trim},
		{Retire, "staging is removed, and the source as the manifest says", retired, nil, retire},
	}
	giveBack = []stage{
		{name: "NoteRollback", doc: "the cutover is noted as taken back, which voids its approval", done: rollbackNoted, next: noteRollback},
		{name: "ForgetStart", doc: "the target is not about to be started any more", done: func(v view) bool { return !v.started() }, next: forgetStart},
		{name: "Unfence", doc: "the source's zvols get back what was set on them", done: unfenced, next: unfence},
		{name: "Unmask", doc: "the guest may be started again on the source host", done: unmasked, next: unmask},
		{name: "StartSource", doc: "the guest runs again on the source host", done: sourceRuns, gate: sourceGate, next: startSource},
		{name: "ForgetCutover", doc: "the cutover is over", done: func(v view) bool { return !v.began() }, next: forgetCutover},
	}
	abort = []stage{
		{name: "ForgetStart", doc: "the target is not about to be started any more", done: func(v view) bool { return !v.started() }, next: forgetStart},
		{name: "Unfence", doc: "the source's zvols get back what was set on them", done: unfenced, next: unfence},
		{name: "Unmask", doc: "the guest may be started again on the source host", done: unmaskedForAbort, next: unmask},
		{name: "StartSource", doc: "the guest runs again on the source host", done: func(v view) bool { return !v.began() || v.running() }, gate: sourceGate, next: startSource},
		{name: "RemoveStaging", doc: "what was received is destroyed", done: stagingGone, next: removeStaging},
		{name: "RemoveTarget", doc: "the guest made for it is removed, which never ran", done: targetGone, next: removeTarget},
		{name: "RemoveMarks", doc: "our snapshots, holds and properties are removed from the source", done: unmarked, next: removeMarks},
	}
}

// pick is the first row that is not done.
func pick(table []stage, v view) (int, bool) {
	for i, s := range table {
		if !s.done(v) {
			return i, true
		}
	}
	return len(table), false
}

func nothing(view) work { return work{} }
