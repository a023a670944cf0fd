package migration

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ustclug/pve-reconcile/reconciler/step"
	"github.com/ustclug/pve-reconcile/schema"
)

// mayAbort is why a migration cannot be aborted; "" when it can.
func (v view) mayAbort() string {
	if v.launched() {
		return fmt.Sprintf("guest %d has run on PVE, and holds what was written since: going back to %s would lose that. Take `abort: true` out; to go back all the same, do it by hand",
			v.guest.Spec.VMID, v.source())
	}
	for _, d := range v.disks {
		if !d.Source.Exists {
			return fmt.Sprintf("%s is gone from %s, so that what was received of it may be all there is: nothing is removed", d.zvol, v.source())
		}
	}
	return ""
}

// targetGone: nothing is left of a guest that this migration made and that never ran. One that was there before, or ran,
// is left alone.
func targetGone(v view) bool { return !v.have.VM.Exists || !v.removable() }

// removable tells whether the guest may be deleted with its disks: it was made by this program, has never run, and holds
// nothing but what this migration copied. The guest on the source host has everything that is in it.
func (v view) removable() bool {
	vm := v.have.VM
	return vm.Exists && !v.guest.Adopts() && strings.EqualFold(schema.UUID(vm.Running), v.guest.Spec.UUID) && !vm.IsRunning() && !v.have.Ran && !v.started() &&
		len(v.strangers()) == 0 && v.every(func(d disk) bool {
		return d.Target.Exists && (v.marked(d) || d.Target.Referenced <= emptyZvol && len(d.Target.Snapshots) == 0)
	})
}

// strangers are disks of the guest that this migration did not fill.
func (v view) strangers() (out []string) {
	for key, text := range v.have.VM.Desired() {
		row, ok := schema.RowOf(key)
		switch {
		case strings.HasPrefix(key, "unused"):
			out = append(out, key)
		case !ok || !row.Drive() || !row.Family():
		case row.Parse(text)["media"] == "cdrom" || slices.Contains(v.want.Slots(), key):
		default:
			out = append(out, key)
		}
	}
	slices.Sort(out)
	return out
}

// removeTarget deletes the guest. It is protected until then.
func removeTarget(v view) (w work) {
	for _, d := range v.disks {
		if p, ok := v.proof(d); ok {
			w.add(step.DestroySnapshots{Host: v.host, Tag: v.tag, Mark: v.uid, Snapshots: []step.SnapshotRef{{Dataset: d.Target.Name, Name: p.Name, GUID: p.GUID}}})
		}
	}
	vm := v.have.VM
	switch {
	case len(w.steps) > 0:
	case vm.Running["lock"] != "":
		w.wait(step.Locked, fmt.Sprintf("PVE has locked guest %d (%s)", v.guest.Spec.VMID, vm.Running["lock"]))
	case vm.Running["protection"] != "" && vm.Running["protection"] != "0":
		w.add(step.SetConfig{ID: v.guest.ID(), Digest: vm.Digest, Set: map[string]string{"protection": "0"}})
	default:
		w.add(step.DeleteVM{ID: v.guest.ID()})
	}
	return w
}

// sourceMarks are the user properties that a migration sets on the source's zvols.
var sourceMarks = []string{step.PropShutdown, step.PropTarget, step.PropAutostart, step.PropFence, step.PropRolledBack, step.PropMark}

// targetMarks are those that a target keeps which is not removed.
var targetMarks = []string{step.PropStarted, step.PropCopied, step.PropCopying, step.PropHash, step.PropMismatch, step.PropProgress, step.PropSource, step.PropMark}

func unmarked(v view) bool {
	return v.every(func(d disk) bool {
		return len(d.cuts) == 0 && len(set(d.Source, sourceMarks)) == 0 && len(set(d.Target, targetMarks)) == 0
	})
}

// set lists those of some properties that a dataset has.
func set(d Dataset, props []string) (out []string) {
	for _, p := range props {
		if d.Local[p] != "" {
			out = append(out, p)
		}
	}
	return out
}

func removeMarks(v view) (w work) {
	for _, d := range v.disks {
		v.dropCuts(d, &w)
	}
	for _, d := range v.disks {
		if p := set(d.Source, sourceMarks); len(p) > 0 {
			w.add(v.set(v.source(), []string{d.zvol}, nil, p...))
		}
		if p := set(d.Target, targetMarks); len(p) > 0 {
			w.add(v.set(v.host, []string{d.Target.Name}, nil, p...))
		}
	}
	return w
}

// aborted is what is told when everything is put back.
func (v view) aborted() []string {
	notes := []string{fmt.Sprintf("aborted: delete the manifests of Migration/%s and of VirtualMachine/%s, which would be made and started otherwise", v.want.Metadata.Name, v.guest.Metadata.Name)}
	if v.have.VM.Exists {
		notes = append(notes, fmt.Sprintf("guest %d is left alone, since it was there before, has run, or has data that did not come from here: remove it with `qm set %d --protection 0 && qm destroy %d`", v.guest.Spec.VMID, v.guest.Spec.VMID, v.guest.Spec.VMID))
	}
	return notes
}
