package migration

import (
	"time"

	"github.com/ustclug/pve-reconcile/reconciler/step"
)

// passPause is the least time between two passes that are made because somebody is awaited.
const passPause = 10 * time.Minute

// precopied: the passes are made, the bulk is copied, and what was written since is small, or as small as it gets.
func precopied(v view) bool {
	switch {
	case v.reached() || v.began():
		return true
	case v.want.MaxPasses() == 0:
		return v.every(disk.current) && fullySent(v) && v.pruned()
	}
	return v.every(disk.current) && !v.wantsPass() && v.bulkCopied() && fullySent(v) && v.pruned()
}

// bulkCopied: the target holds the newest snapshot received.
func (v view) bulkCopied() bool {
	return v.every(func(d disk) bool {
		s, _ := d.received()
		return d.holds(s.GUID)
	})
}

// wantsPass tells whether another incremental pass is due: until the delta is small or the passes are used up, and after
// that now and then, while the cutover may not begin.
func (v view) wantsPass() bool {
	if v.delta() <= v.want.UntilDelta() || v.want.MaxPasses() == 0 {
		return false
	}
	if v.pass() < v.want.MaxPasses() {
		return true
	}
	return len(cutoverGate(v)) > 0 && v.age() >= passPause
}

// age is how old the newest common snapshot of any disk is.
func (v view) age() time.Duration {
	oldest := time.Duration(0)
	for _, d := range v.disks {
		if s, ok := d.received(); ok {
			oldest = max(oldest, v.clock(v.have.Source).Sub(s.Created))
		}
	}
	return oldest
}

// precopy makes one pass after the other. The first copy is made at once, since it takes longest; a later one when the
// passes are through, since each reads the whole disk.
func precopy(v view) work {
	if w := v.send(); len(w.steps)+len(w.waits) > 0 {
		return w
	}
	if !v.bulkCopied() && (!v.wantsPass() || !v.copiedOnce()) {
		return v.copyAll(disk.received)
	}
	var w work
	if v.wantsPass() {
		w.add(v.snapshot("", func(disk) bool { return true }))
	}
	return w
}

// copiedOnce: every target zvol has had a whole copy.
func (v view) copiedOnce() bool {
	return v.every(func(d disk) bool { return d.Target.Local[step.PropCopied] != "" })
}

// copyAll copies the snapshots given into the target's zvols that do not hold them. Copies of several disks may run at the
// same time. What was proven once is so no more.
func (v view) copyAll(of func(disk) (Snapshot, bool)) (w work) {
	for _, d := range v.disks {
		s, ok := of(d)
		if !ok || d.holds(s.GUID) {
			continue
		}
		if v.started() { // it was not: only the proof shows that, which is about to go
			return forgetStart(v)
		}
		if p, there := v.proof(d); there {
			w.add(step.DestroySnapshots{Host: v.host, Tag: v.tag, Mark: v.uid, Snapshots: []step.SnapshotRef{{Dataset: d.Target.Name, Name: p.Name, GUID: p.GUID}}})
		}
	}
	if len(w.steps) > 0 {
		return w
	}
	for _, d := range v.disks {
		s, ok := of(d)
		if !ok || d.holds(s.GUID) {
			continue
		}
		w.add(step.CopyDisk{
			Disk: d.Slot, Host: v.host, Snapshot: v.stagingRef(d, d.staged[s.GUID]), Target: d.Target.Name, TargetGUID: d.Target.GUID, Size: d.Source.Volsize,
			Fresh: d.Target.Local[step.PropCopied] == "" && d.Target.Local[step.PropCopying] == "" && d.Target.Referenced <= emptyZvol && !v.have.Ran,
			Rate:  v.spec().Transfer.Rate.Bytes, Set: map[string]string{step.PropCopied: s.GUID}, Mark: v.uid, Tag: v.tag,
		})
	}
	return w
}
