package migration

import (
	"fmt"
	"strings"
	"time"

	"github.com/ustclug/pve-reconcile/reconciler/step"
	"github.com/ustclug/pve-reconcile/reconciler/vm"
	"github.com/ustclug/pve-reconcile/schema"
)

// bootPatience is how long the guest agent is waited for before the guest counts as up without it.
const bootPatience = 10 * time.Minute

// bootPause is how soon a guest that starts is looked at again.
const bootPause = 3 * time.Second

// up: the guest was seen to be up.
func up(v view) bool {
	return v.every(func(d disk) bool { return d.Target.Local[step.PropBooted] != "" })
}

// bootGate: every interlock has to hold while the guest is not running yet.
func bootGate(v view) (waits []step.Wait) {
	if v.started() && v.have.VM.IsRunning() || v.booted() {
		return nil
	}
	if _, texts := v.interlocked(); len(texts) > 0 {
		return []step.Wait{{Reason: step.Interlocked, Text: strings.Join(texts, "; ")}}
	}
	return nil
}

// boot notes on the zvols that the guest is about to be started, starts it, gives it what was held back until it runs, and
// waits until it is up. The note comes first: whatever is found after it, the target may have started. Starting with the
// host comes last: a reboot of the host must not start a guest whose start was not decided here.
func boot(v view) (w work) {
	running, rest := v.have.VM.IsRunning(), v.bootPlan()
	switch {
	case v.booted(): // on some of the zvols
		w.add(v.set(v.host, v.targets(), map[string]string{step.PropBooted: v.there()}))
	case !v.all(step.PropStarted):
		w.add(v.set(v.host, v.targets(), map[string]string{step.PropStarted: v.there()}))
		if !running {
			w.add(step.StartVM{ID: v.guest.ID()})
		}
	case !running:
		w.add(step.StartVM{ID: v.guest.ID()})
	case len(rest.Steps) > 0:
		w.steps = rest.Steps
	default:
		v.await(&w)
	}
	return w
}

func (v view) all(prop string) bool {
	return v.every(func(d disk) bool { return d.Target.Local[prop] != "" })
}

// bootPlan is what the guest's own plan does once it runs. What the guest was given until now, and its manifest does not
// say, is taken back: its protection.
func (v view) bootPlan() step.Plan {
	guest := v.guest
	guest.Spec.Power, guest.Spec.RestartPolicy = "Running", "Never"
	return vm.Plan(guest, schema.Overlay(Aside(v.guest), v.base), v.have.VM)
}

// await notes that the guest is up: its agent answers, or it has none that could, or has had time enough.
func (v view) await(w *work) {
	since, known := v.since(step.PropStarted)
	if v.hasAgent() && v.have.Agent != "up" && (!known || since < bootPatience) {
		w.notes = append(w.notes, fmt.Sprintf("the guest runs; its agent does not answer yet (it counts as up without it %s after its start)", short(bootPatience)))
		w.soon = bootPause
		return
	}
	w.add(v.set(v.host, v.targets(), map[string]string{step.PropBooted: v.there()}))
}

// hasAgent tells whether the manifest says that an agent runs in the guest.
func (v view) hasAgent() bool {
	a := v.guest.Spec.Agent
	return a != nil && a.Enabled != nil && *a.Enabled
}

// trimmed: the file systems are trimmed, or it is known why not, and nothing keeps the trimmed space.
func trimmed(v view) bool {
	return (!v.want.Trims() || v.all(step.PropTrimmed)) && !v.some(func(d disk) bool { _, ok := v.proof(d); return ok })
}

// trim has the guest trim its file systems. The snapshot that proved the content goes first, since it keeps what is trimmed.
func trim(v view) (w work) {
	for _, d := range v.disks {
		if p, ok := v.proof(d); ok {
			w.add(step.DestroySnapshots{Host: v.host, Tag: v.tag, Mark: v.uid, Snapshots: []step.SnapshotRef{{Dataset: d.Target.Name, Name: p.Name, GUID: p.GUID}}})
		}
	}
	if len(w.steps) > 0 || !v.want.Trims() || v.all(step.PropTrimmed) {
		return w
	}
	switch {
	case v.have.Agent == "up" && v.have.VM.IsRunning():
		w.add(step.TrimGuest{ID: v.guest.ID(), Host: v.host, Datasets: v.targets()})
	case v.have.VM.IsRunning() && v.hasAgent() && v.recently(step.PropBooted, bootPatience):
		w.notes = append(w.notes, "the guest's agent does not answer yet; without it nothing is trimmed")
		w.soon = bootPause
	case !v.have.VM.IsRunning():
		w.notes = append(w.notes, "the guest is off; its file systems are trimmed when it runs again")
	default:
		w.add(v.set(v.host, v.targets(), map[string]string{step.PropTrimmed: "no: the guest agent does not answer"}))
		w.notes = append(w.notes, "no guest agent: run `fstrim -av` inside the guest")
	}
	return w
}

func (v view) recently(prop string, span time.Duration) bool {
	since, known := v.since(prop)
	return !known || since < span
}
