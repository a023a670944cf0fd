package migration

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/ustclug/pve-reconcile/reconciler/step"
)

// proven: the target holds the source's last state, its content was compared, and nobody has written to it since.
func proven(v view) bool {
	return v.reached() || v.every(func(d disk) bool { return v.holdsLast(d) == "" })
}

func (d disk) finalGUID() string {
	s, ok := d.final()
	if !ok {
		return ""
	}
	return s.GUID
}

// holdsLast says why the target's zvol may not be taken for the source's last state; "" when it may.
func (v view) holdsLast(d disk) string {
	final, ok := d.final()
	p, proof := v.proof(d)
	switch {
	case !ok:
		return "the source was not snapshotted after the guest was shut down"
	case !d.holds(final.GUID):
		return "the last snapshot is not copied"
	case v.expected(d) == "":
		return "what it should hold is not hashed"
	case !proof || p.Props[step.PropCopied] != final.GUID:
		return "it has no snapshot that shows who wrote to it since"
	case p.Props[step.PropHash] != v.expected(d):
		return "its content is not the source's"
	case p.Written > 0:
		return bytes(p.Written) + " were written to it since it was proven"
	}
	return ""
}

// expected is the hash that the target's content has to have: that of the source's last snapshot, or with verify: None
// that of what was received.
func (v view) expected(d disk) string {
	final, ok := d.final()
	switch {
	case !ok:
		return ""
	case v.want.Proves():
		return final.Props[step.PropHash]
	}
	return d.staged[final.GUID].Props[step.PropHash]
}

// prove copies the last snapshot, takes a snapshot of the copy, and compares the hashes of both, read from their devices.
// The copy is hashed as its snapshot, so that nobody can write between the hash and the snapshot.
func prove(v view) (w work) {
	if v.doubtful() {
		w.wait(step.TargetWritten, fmt.Sprintf("guest %d may have run, and the snapshot that would show what it wrote is gone. To drop what it may have written: `zfs inherit %s %s` on %s. To keep it, start the guest: `qm start %d`",
			v.guest.Spec.VMID, step.PropStarted, strings.Join(v.targets(), " "), v.host, v.guest.Spec.VMID))
		return w
	}
	for _, d := range v.disks {
		switch final, ok := d.final(); {
		case !ok || v.expected(d) != "":
		case v.want.Proves():
			w.add(v.hashOf(d, v.source(), d.ref(final), d.Source.Volsize))
		case d.holds(final.GUID): // not beside its copy: both read it through the same clone
			w.add(v.hashOf(d, v.host, v.stagingRef(d, d.staged[final.GUID]), d.Source.Volsize))
		}
	}
	copies := v.copyAll(disk.final)
	if len(copies.steps) > 0 && !Long(copies.steps[0]) {
		return copies
	}
	w.add(copies.steps...)
	if len(w.steps) > 0 {
		return w
	}
	for _, d := range v.disks {
		v.proveDisk(d, &w)
	}
	if len(w.steps)+len(w.waits) > 0 {
		return w
	}
	for _, d := range v.disks {
		if p, ok := v.proof(d); ok && p.Props[step.PropHash] == "" {
			w.add(v.hashOf(d, v.host, step.SnapshotRef{Dataset: d.Target.Name, Name: p.Name, GUID: p.GUID}, d.Target.Volsize))
		}
	}
	return w
}

// hashOf hashes what the source has, on a zvol that has so many bytes.
func (v view) hashOf(d disk, host string, s step.SnapshotRef, volsize int64) step.Step {
	return step.HashSnapshot{Disk: d.Slot, Host: host, Snapshot: s, Size: d.Source.Volsize, Volsize: volsize, Rate: v.spec().Transfer.Rate.Bytes, Mark: v.uid}
}

// proveDisk goes on where the last snapshot is copied: its snapshot is taken, and what somebody did since is seen.
func (v view) proveDisk(d disk, w *work) {
	final, _ := d.final()
	p, there := v.proof(d)
	ref := step.SnapshotRef{Dataset: d.Target.Name, Name: p.Name, GUID: p.GUID}
	switch {
	case !there:
		w.add(step.SnapshotDisks{
			Host: v.host, Datasets: []string{d.Target.Name}, Name: "reconcile-" + v.want.Metadata.Name + "-copied", Tag: v.tag,
			Set: map[string]string{step.PropMark: v.uid, step.PropCopied: final.GUID},
		})
	case p.Props[step.PropCopied] != final.GUID:
		w.add(step.DestroySnapshots{Host: v.host, Tag: v.tag, Mark: v.uid, Snapshots: []step.SnapshotRef{ref}})
	case p.Written > 0 && (v.ran() || v.started()): // it may be the guest who wrote
		w.wait(step.TargetWritten, fmt.Sprintf("%s: %s were written to %s after it was copied, and the guest may have run. To drop that: `zfs inherit %s %s` and `zfs inherit %s %s` on %s. To keep it, start the guest: `qm start %d`",
			d.Slot, bytes(p.Written), d.Target.Name, step.PropCopied, d.Target.Name, step.PropStarted, d.Target.Name, v.host, v.guest.Spec.VMID))
	case p.Written > 0:
		w.notes = append(w.notes, fmt.Sprintf("%s: %s were written to %s since it was copied: it is copied again", d.Slot, bytes(p.Written), d.Target.Name))
		w.add(v.set(v.host, []string{d.Target.Name}, nil, step.PropCopied, step.PropHash))
	case p.Props[step.PropHash] != "" && p.Props[step.PropHash] != v.expected(d):
		v.mismatched(d, final, w)
	}
}

// mismatched has the copy and both hashes made once more; the second time the cutover is taken back.
func (v view) mismatched(d disk, final Snapshot, w *work) {
	n, _ := strconv.Atoi(d.Target.Local[step.PropMismatch])
	w.notes = append(w.notes, fmt.Sprintf("%s: the content of %s is not that of %s@%s", d.Slot, d.Target.Name, d.zvol, final.Name))
	w.add(
		v.set(v.host, []string{d.Target.Name}, map[string]string{step.PropMismatch: strconv.Itoa(n + 1)}, step.PropCopied, step.PropHash),
	)
	if v.want.Proves() {
		w.add(v.set(v.source(), []string{d.ref(final).String()}, nil, step.PropHash))
	} else {
		w.add(v.set(v.host, []string{v.stagingRef(d, d.staged[final.GUID]).String()}, nil, step.PropHash))
	}
}

// Long tells whether a step can take hours: then the steps of several disks are made at the same time.
func Long(s step.Step) bool {
	switch s.(type) {
	case step.SendSnapshot, step.CopyDisk, step.HashSnapshot:
		return true
	default:
		return false
	}
}

// Together is how many of the first steps of a plan may be made at the same time: the long ones of several disks.
func Together(steps []step.Step) int {
	n := 0
	for n < len(steps) && Long(steps[n]) {
		n++
	}
	return max(n, min(1, len(steps)))
}
