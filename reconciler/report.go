package reconciler

import (
	"cmp"
	"strings"
	"time"

	"github.com/ustclug/pve-reconcile/internal/state"
	"github.com/ustclug/pve-reconcile/internal/strictyaml"
	"github.com/ustclug/pve-reconcile/reconciler/admit"
	"github.com/ustclug/pve-reconcile/reconciler/migration"
	"github.com/ustclug/pve-reconcile/reconciler/step"
	"github.com/ustclug/pve-reconcile/reconciler/vm"
	"github.com/ustclug/pve-reconcile/schema"
)

// Verdict is what a pass has to say of one object.
type Verdict string

// The verdicts. The worst of a pass decides the exit code.
const (
	InSync        Verdict = "InSync"        // as declared
	Changes       Verdict = "Changes"       // differs; the steps would make it as declared
	RestartNeeded Verdict = "RestartNeeded" // written, but the guest still runs with old values
	Drifted       Verdict = "Drifted"       // changed on the host, and driftPolicy: Report leaves it to a person
	Blocked       Verdict = "Blocked"       // a person must act
	Suspended     Verdict = "Suspended"     // differs; a person suspended the work on it
	Waiting       Verdict = "Waiting"       // for its maintenance window, or for what it depends on
	Busy          Verdict = "Busy"          // time will help: the next run tries again
	Unknown       Verdict = "Unknown"       // could not be observed: nothing is concluded (law 8)
	Failed        Verdict = "Failed"        // a step failed
	Refused       Verdict = "Refused"       // the manifest has problems
	Migrating     Verdict = "Migrating"     // a migration is under way, or moves this guest here
	Orphaned      Verdict = "Orphaned"      // was applied once, has no manifest any more, is left alone
)

// Object is the report on one object.
type Object struct {
	Kind    string
	Name    string
	ID      schema.ID
	Power   string // live: "running", "stopped", "" when unknown or absent
	UUID    string
	Verdict Verdict
	Plan    step.Plan   // what is left to do
	Found   []step.Diff // what was not alike before anything was done
	Others  []vm.Task   // what others did since it was last as declared, where something was changed on the host
	Table   []vm.Row    // every value from all sides, where Input asked for it
	Given   string      // the revision last carried out in full, "" when none is known
	Done    []Done      // what was done in this pass
	Tried   *Tried      // the step that failed, nil when none did
	Err     error
	Alarm   string    // what has to be seen before all else, "" mostly
	Base    string    // newest revision that was applied, "" when none
	Since   time.Time // when it was last found or made in sync with it
	// Suspended says why no step is made, nil when nobody suspended the object.
	Suspended *state.Suspension
	Opens     time.Time // when the window opens that it waits for; zero: it waits for none

	Migration *migration.Status // of a Migration
	Elsewhere string            // who makes its steps at this moment, "" when nobody else does
	Left      bool              // its next step takes long, and is made by somebody else

	declared bool // is as the revision says, which the ledger notes
}

// compare orders objects by kind and name.
func (o Object) compare(p Object) int {
	return cmp.Or(strings.Compare(o.Kind+"/"+o.Name, p.Kind+"/"+p.Name), strings.Compare(o.ID.Cluster, p.ID.Cluster), o.ID.VMID-p.ID.VMID)
}

// Done is one step that was made.
type Done struct {
	Step    step.Step
	Outcome step.Outcome
	Took    time.Duration
}

// Tried is a step that failed.
type Tried struct {
	Done
	Err error
}

// Report is what a pass found and did.
type Report struct {
	Revision string
	Source   *admit.Finding // why the revision was not let through, or not in full; nil when it was
	Objects  []Object       // by kind and name
	Problems []strictyaml.Problem
	Notes    []string // about the source and the clusters
	Stopped  bool     // told to stop between steps
}

// severity orders verdicts from fine to bad.
var severity = map[Verdict]int{InSync: 0, Orphaned: 0, Migrating: 0, Changes: 1, RestartNeeded: 2, Drifted: 2, Blocked: 2, Suspended: 2, Waiting: 2, Busy: 2, Unknown: 3, Failed: 3, Refused: 3}

// ExitCode is the contract of the command line: 0 nothing to do, 2 changes, 3 a person is needed, 1 an error.
func (r Report) ExitCode() int {
	worst := 0
	for _, o := range r.Objects {
		worst = max(worst, severity[o.Verdict])
	}
	if r.Source != nil {
		worst = max(worst, 2)
	}
	if len(r.Problems) > 0 {
		worst = 3
	}
	return [...]int{0, 2, 3, 1}[worst]
}

// Count tells how many objects have a verdict.
func (r Report) Count(v Verdict) int {
	n := 0
	for _, o := range r.Objects {
		if o.Verdict == v {
			n++
		}
	}
	return n
}

// Changed tells whether the pass made any change.
func (r Report) Changed() bool {
	for _, o := range r.Objects {
		if len(o.Done) > 0 {
			return true
		}
	}
	return false
}
