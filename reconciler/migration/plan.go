package migration

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/ustclug/pve-reconcile/reconciler/step"
	"github.com/ustclug/pve-reconcile/schema"
)

// Status is what is decided about a migration, and what people see of it.
type Status struct {
	step.Plan
	Number, Of int    // "4 of 10"
	Doing      string // what happens in the stage
	Table      string // "" for the way there; "rollback" or "abort" while one of those is under way
	Conditions []Condition
	Findings   []Finding
	Spaces     []Space
	Forecast   *Forecast     // from the first pass on, until the target has started
	Hash       string        // what cutover.approve has to name; "" before there is anything to approve
	Delta      int64         // bytes written to the source since the newest snapshot received
	Passes     int           // incremental passes behind it
	Within     time.Duration // the steps have to end in that time, lest the guest is off for too long; 0: no limit
	Soon       time.Duration // look again after so long: what is awaited takes minutes, and ends by itself; 0: nothing is
	Awaited    string        // who has to move, when something waits: "a commit", "the window", "a person", "the host"
	Finished   bool
}

// Condition tells of one stage whether it is done.
type Condition struct {
	Type   string // the stage's name
	Status bool
	Reason string // CamelCase: "Done", "NotReached", "InProgress", or a wait's reason
	Text   string
}

// Plan says what to do next. guest is the target's manifest with cluster and uuid resolved, base what applied revisions
// declared of it.
func Plan(want schema.Migration, guest, base schema.VM, have Observed) step.Plan {
	return Decide(want, guest, base, have).Plan
}

// Decide says what to do next, and where the migration stands.
func Decide(want schema.Migration, guest, base schema.VM, have Observed) Status {
	v := look(want, guest, base, have)
	s := v.decide()
	if s.Stage != Unknown {
		v.describe(&s)
	}
	s.Within = v.within()
	if len(s.Waits) > 0 {
		s.Awaited = cmp.Or(awaited[s.Waits[0].Reason], "a person")
	}
	return s
}

// within is how long the guest may still be off. A step that takes longer is to be broken off, so that the cutover can be
// taken back.
func (v view) within() time.Duration {
	limit := v.spec().Cutover.MaxDowntime.Duration
	if limit == 0 || !v.began() || v.launched() || v.takenBack() {
		return 0
	}
	return max(time.Second, limit-v.down()+time.Second)
}

// awaited is who ends a wait, where that is not a person at one of the hosts.
var awaited = map[string]string{
	step.NotApproved: "a commit", step.TooLong: "a commit", step.Refused: "a commit", step.WindowClosed: "the window", step.HostUnknown: "the host", step.Locked: "PVE",
}

func (v view) decide() Status {
	switch blind := v.blind(); {
	case len(blind) > 0:
		return Status{Plan: step.Plan{Stage: Unknown, Waits: blind}, Of: len(stages)}
	case v.diverted() != "":
		return v.standing(stages, "", func(int) work { return waiting(step.Refused, v.diverted()) })
	case v.split() != "":
		return v.standing(stages, "", func(int) work { return waiting(step.SplitBrain, v.split()) })
	case v.spec().Abort && v.mayAbort() != "":
		return v.standing(stages, "", func(int) work { return waiting(step.Refused, v.mayAbort()) })
	case v.adoptable():
		return v.standing(stages, "", func(int) work {
			return work{
				steps: []step.Step{v.set(v.host, v.targets(), map[string]string{step.PropStarted: v.there()})},
				notes: []string{fmt.Sprintf("guest %d was started by hand on the proven content: that is taken as its start", v.guest.Spec.VMID)},
			}
		})
	case v.spec().Abort:
		return v.standing(abort, "abort", v.row(abort))
	case v.giveUp() != "":
		s := v.standing(giveBack, "rollback", v.row(giveBack))
		s.Notes = append(s.Notes, "the cutover is taken back: "+v.giveUp())
		return s
	case v.have.VM.IsRunning() && !v.started():
		return v.standing(stages, "", func(int) work { return waiting(step.TargetRunning, v.runningText()) })
	case v.cancelled():
		return v.standing(stages, "", func(int) work {
			w := forgetCutover(v)
			w.waits, w.notes = cutoverGate(v), []string{"the cutover has not reached the guest yet, and may not go on: it is not begun"}
			return w
		})
	}
	return v.standing(stages, "", v.row(stages))
}

func waiting(reason, text string) work { return work{waits: []step.Wait{{Reason: reason, Text: text}}} }

// row is what the table's current row asks for.
func (v view) row(table []stage) func(int) work {
	return func(i int) work {
		if gate := table[i].gate; gate != nil {
			if waits := gate(v); len(waits) > 0 {
				return work{waits: waits}
			}
		}
		return table[i].next(v)
	}
}

// standing is the status at the first row of a table that is not done.
func (v view) standing(table []stage, name string, next func(int) work) Status {
	i, found := pick(table, v)
	s := Status{Number: i + 1, Of: len(table), Table: name}
	switch {
	case found:
		s.Stage, s.Doing = table[i].name, table[i].doc
	case name == "" && v.split() != "": // through, and then somebody started the source again
		s.Number, s.Stage = len(table), table[len(table)-1].name
	default:
		s.Number, s.Stage, s.Finished = len(table), Done, true
		if name == "abort" {
			s.Notes = v.aborted()
		}
		return s
	}
	w := next(min(i, len(table)-1))
	s.Steps, s.Waits, s.Notes, s.Soon = w.steps, w.waits, append(s.Notes, w.notes...), w.soon
	return s
}

// blind says which host did not answer. Once the target is up, the source is of no concern until it is retired.
func (v view) blind() (waits []step.Wait) {
	for _, h := range []Host{v.have.Source, v.have.Target} {
		if h.Error != "" && (h.Name != v.have.Source.Name || !v.booted()) {
			waits = append(waits, step.Wait{Reason: step.HostUnknown, Text: fmt.Sprintf("%s: %s", h.Name, h.Error)})
		}
	}
	return waits
}

// split is why two copies of the guest may have lived at the same time; "" when they have not. Nothing is done then: which
// one is right, only a person knows.
func (v view) split() string {
	if !v.launched() || v.have.Source.Error != "" {
		return ""
	}
	if v.running() {
		return fmt.Sprintf("the guest runs on %s, and was started on PVE as well: shut one of them down, at once. Nothing is done until then", v.source())
	}
	for _, d := range v.disks {
		if last, ok := d.last(); ok && last.Props[step.PropFinal] == "yes" && last.Written > 0 && !v.retiring(d) {
			return fmt.Sprintf("%s were written to %s on %s after the guest had been started on PVE: its data lives at two places now. Compare them; to drop what was written there: `zfs rollback %s@%s`",
				bytes(last.Written), d.zvol, v.source(), d.zvol, last.Name)
		}
	}
	return ""
}

// retiring: the source's snapshots are about to go, or gone; a zvol that was unfenced then is in somebody's hands.
func (v view) retiring(d disk) bool {
	return v.all(step.PropBooted) && v.spec().Retire.Source.Destroy == nil && stagingGone(v)
}

// adoptable: the target runs, though not started from here, on exactly the content that was proven, with the source off
// and fenced, and has not written yet. Then its start is taken over. Once something was written, nobody can tell whether
// that was the guest, so that a person decides.
func (v view) adoptable() bool {
	if !v.have.VM.IsRunning() || v.started() || v.spec().Abort {
		return false
	}
	for _, d := range v.disks {
		if p, ok := v.proof(d); !ok || p.Props[step.PropCopied] != d.finalGUID() {
			return false
		}
	}
	return !slices.ContainsFunc(interlocks, func(i interlock) bool { return i.name != "InTime" && i.fails(v) != "" })
}

// describe adds what people see.
func (v view) describe(s *Status) {
	s.Findings = v.findings()
	s.Passes, s.Delta = max(0, v.pass()), v.delta()
	if !v.booted() {
		for _, d := range v.disks {
			if d.Source.Exists {
				s.Spaces = append(s.Spaces, v.space(d))
			}
		}
	}
	if !v.started() && fullySent(v) && v.every(v.marked) {
		f := v.forecast()
		s.Forecast, s.Hash = &f, v.hash()
	}
	if s.Stage == Preflight {
		for _, f := range s.Findings {
			if f.Severity == Blocker {
				s.Waits = append(s.Waits, step.Wait{Reason: step.Preflight, Text: f.Check + ": " + f.String()})
			}
		}
	}
	if s.Table != "" {
		return
	}
	for i, row := range stages {
		c := Condition{Type: row.name, Status: i+1 < s.Number || s.Finished, Reason: "Done"}
		switch {
		case c.Status:
		case i+1 > s.Number:
			c.Reason = "NotReached"
		case len(s.Waits) > 0:
			c.Reason, c.Text = s.Waits[0].Reason, s.Waits[0].Text
		default:
			c.Reason, c.Text = "InProgress", row.doc
		}
		s.Conditions = append(s.Conditions, c)
	}
}

// Holds says why the guest's own plan may neither make nor start it; "" when it may (law 13). The migration's own state
// decides: until the guest was seen to be up, and after it was aborted, it is held.
func Holds(want schema.Migration, have Observed) (why string) {
	v := look(want, schema.VM{}, schema.VM{}, have)
	name := "Migration/" + want.Metadata.Name
	switch {
	case v.have.Target.Error != "":
		return name + " moves it here, and its state is not known: " + v.have.Target.Error
	case v.all(step.PropBooted):
		return ""
	case v.spec().Abort:
		return name + " was aborted: delete both manifests, or take `abort: true` out"
	case v.started():
		return name + " moves it here, and has not seen it up yet"
	}
	return name + " moves it here, and has not started it yet"
}
