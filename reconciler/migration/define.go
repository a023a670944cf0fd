package migration

import (
	"fmt"
	"strings"

	"github.com/ustclug/pve-reconcile/reconciler/step"
	"github.com/ustclug/pve-reconcile/schema"
)

// emptyZvol is what a zvol that PVE has just made can take at most: no content, some metadata.
const emptyZvol = 1 << 20

// defined: PVE has the guest as the manifest says, with a zvol of ours behind every disk that is moved.
func defined(v view) bool {
	if v.reached() {
		return true
	}
	p := v.asidePlan()
	return len(p.Steps) == 0 && len(p.Waits) == 0 && !v.have.VM.IsRunning() && v.every(v.marked)
}

// Aside is the manifest's guest as it has to be until Boot: nothing starts it, nothing removes it.
func Aside(guest schema.VM) schema.VM {
	no, yes := false, true
	guest.Spec.Power, guest.Spec.RestartPolicy = "Unmanaged", "Never"
	guest.Spec.OnBoot, guest.Spec.Protection = &no, &yes
	return guest
}

// marked tells whether the zvol behind a disk is ours, and meant for this source.
func (v view) marked(d disk) bool {
	t := d.Target
	return t.Exists && t.Local[step.PropMark] == v.uid && t.Local[step.PropSource] == d.Source.GUID
}

// define brings the guest there, and marks its zvols once they are seen to be fresh.
func define(v view) (w work) {
	if v.have.VM.IsRunning() {
		w.wait(step.TargetRunning, v.runningText())
		return w
	}
	p := v.asidePlan()
	w.steps, w.waits, w.notes = p.Steps, p.Waits, p.Notes
	if len(w.steps)+len(w.waits) > 0 {
		return w
	}
	for _, d := range v.disks {
		switch reason, why := v.unfit(d); {
		case v.marked(d):
		case why != "":
			w.wait(reason, d.Slot+": "+why)
		default:
			w.add(v.set(v.host, []string{d.Target.Name}, v.marks(d)))
		}
	}
	return w
}

// unfit says why the zvol behind a disk of a guest that exists cannot be filled; "" when it can.
func (v view) unfit(d disk) (reason, why string) {
	t, mark := d.Target, d.Target.Local[step.PropMark]
	switch {
	case !t.Exists:
		return step.Missing, fmt.Sprintf("there is no zvol behind %s on %s: its storage has to be a zfspool there", orUnknown(d.Volid), v.host)
	case t.Readonly:
		return step.Missing, fmt.Sprintf("%s is read-only, so that nothing can be copied into it: `zfs inherit readonly` or `zfs set readonly=off` on %s, or on what is above it", t.Name, v.host)
	case t.Volmode == "none":
		return step.Missing, fmt.Sprintf("%s has no device (volmode=none), so that nothing can be copied into it: `zfs set volmode=default` on it or on what is above it on %s", t.Name, v.host)
	case mark != "" && mark != v.uid:
		return step.Foreign, fmt.Sprintf("%s belongs to another migration (%s=%s)", t.Name, step.PropMark, mark)
	case mark == v.uid && t.Local[step.PropSource] != d.Source.GUID && t.Local[step.PropSource] != "":
		return step.Foreign, fmt.Sprintf("%s was filled from another zvol than %s (guid %s, not %s): put the manifest back, or give the guest a fresh disk", t.Name, d.zvol, t.Local[step.PropSource], d.Source.GUID)
	case mark == "" && v.have.Ran && v.guest.Adopts():
		return step.Foreign, fmt.Sprintf("guest %d has run on PVE, and what it wrote to %s would be overwritten: give the guest a fresh disk", v.guest.Spec.VMID, t.Name)
	case mark == "" && (t.Referenced > emptyZvol || len(t.Snapshots) > 0):
		return step.Foreign, fmt.Sprintf("%s holds %s that this migration did not bring, and would be overwritten: give the guest a fresh disk", t.Name, bytes(t.Referenced))
	}
	return "", ""
}

func (v view) runningText() string {
	text := fmt.Sprintf("guest %d runs on PVE, though this migration has not started it: shut it down (`qm shutdown %d`). What it wrote is overwritten by the next copy", v.guest.Spec.VMID, v.guest.Spec.VMID)
	if v.every(func(d disk) bool { _, ok := v.proof(d); return ok }) {
		text += fmt.Sprintf("; to keep it as the guest from now on, `zfs set %s=%s %s` on %s", step.PropStarted, v.there(), strings.Join(v.targets(), " "), v.host)
	}
	return text
}
