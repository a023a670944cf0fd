package migration

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/ustclug/pve-reconcile/reconciler/step"
)

// firstSent: every disk has a snapshot that both sides have, and hold. Once the target's disks are ours, a hold that is
// missing is the matter of the stage that received what it should keep.
func firstSent(v view) bool {
	return fullySent(v) || v.every(func(d disk) bool {
		_, ok := d.received()
		return ok && v.marked(d)
	})
}

// fullySent: every disk has a snapshot that both sides have, and hold.
func fullySent(v view) bool {
	return v.reached() || v.every(func(d disk) bool {
		s, ok := d.received()
		return ok && held(s, v.tag) && held(d.staged[s.GUID], v.tag)
	})
}

// sendAll brings every disk to a first snapshot that both sides have.
func sendAll(v view) work {
	if v.some(func(d disk) bool { return len(d.cuts) == 0 }) {
		w := v.stagingPlace()
		if len(w.steps) == 0 {
			w.add(v.snapshot("", func(d disk) bool { return len(d.cuts) == 0 }))
		}
		return w
	}
	return v.send()
}

// stagingPlace makes the file system that is received below.
func (v view) stagingPlace() (w work) {
	if !v.have.Target.Parent.Exists {
		w.add(step.CreateStaging{Host: v.host, Dataset: v.parent(), Set: map[string]string{step.PropMark: v.uid, step.PropClaim: v.want.Claim(), step.PropTarget: v.target()}})
	}
	return w
}

// snapshot takes the next snapshot of the disks that need one, all at the same moment. kind is "" or "final".
func (v view) snapshot(kind string, needs func(disk) bool) step.Step {
	s := step.SnapshotDisks{Host: v.source(), Tag: v.tag, Set: map[string]string{step.PropMark: v.uid}}
	pass := 0
	for _, d := range v.disks {
		if needs(d) {
			s.Datasets = append(s.Datasets, d.zvol)
		}
		for _, c := range d.cuts {
			n, _ := strconv.Atoi(c.Props[step.PropPass])
			pass = max(pass, n)
		}
	}
	s.Set[step.PropPass] = strconv.Itoa(pass + 1)
	name := "reconcile-" + v.want.Metadata.Name + "-" + strconv.Itoa(pass+1)
	if kind == "final" {
		s.Set[step.PropFinal] = "yes"
		name = "reconcile-" + v.want.Metadata.Name + "-final"
	}
	s.Name = v.unused(name)
	return s
}

// unused is a name of a snapshot that no source zvol has yet: "x", else "x-2", "x-3".
func (v view) unused(name string) string {
	taken := func(name string) bool {
		return v.some(func(d disk) bool {
			return slices.ContainsFunc(d.Source.Snapshots, func(s Snapshot) bool { return s.Name == name }) ||
				slices.ContainsFunc(d.Staging.Snapshots, func(s Snapshot) bool { return s.Name == name })
		})
	}
	for n, try := 2, name; ; n++ {
		if !taken(try) {
			return try
		}
		try = name + "-" + strconv.Itoa(n)
	}
}

// send brings the newest snapshot of every disk over, holds it on both sides and drops what it replaces.
func (v view) send() work {
	w := v.stagingPlace()
	if len(w.steps) > 0 {
		return w
	}
	if refs := v.unheld(); len(refs) > 0 { // what the next stream needs is held before it is sent
		w.add(step.HoldSnapshots{Host: v.source(), Snapshots: refs, Tag: v.tag})
		return w
	}
	for _, d := range v.disks {
		if !d.current() {
			v.sendDisk(d, &w)
		}
	}
	if len(w.steps)+len(w.waits) > 0 {
		return w
	}
	if refs := v.unheldThere(); len(refs) > 0 {
		w.add(step.HoldSnapshots{Host: v.host, Snapshots: refs, Tag: v.tag})
		return w
	}
	v.prune(&w)
	return w
}

// unheld lists snapshots of the source that are needed and not held.
func (v view) unheld() (refs []step.SnapshotRef) {
	for _, d := range v.disks {
		for i, s := range d.cuts {
			if (i == d.common || i == len(d.cuts)-1) && !held(s, v.tag) {
				refs = append(refs, d.ref(s))
			}
		}
	}
	return refs
}

// unheldThere lists received snapshots that are needed and not held.
func (v view) unheldThere() (refs []step.SnapshotRef) {
	for _, d := range v.disks {
		if s, ok := d.received(); ok && !held(d.staged[s.GUID], v.tag) {
			refs = append(refs, v.stagingRef(d, d.staged[s.GUID]))
		}
	}
	return refs
}

// sendDisk decides how the newest snapshot of a disk gets over. A token is looked at first: while there is one, nothing
// else can be received.
func (v view) sendDisk(d disk, w *work) {
	zvol := v.want.StagingZvol(d.Slot)
	newest, _ := d.last()
	base, incremental := d.received()
	s := step.SendSnapshot{
		Disk: d.Slot, From: v.source(), Snapshot: d.ref(newest), To: v.host, Dataset: zvol, Mark: v.uid,
		Set: v.receiveAs(d), Rate: v.spec().Transfer.Rate.Bytes,
		Compressed: v.want.Compressed() && v.both(compressor(d.Source.Compression)), LargeBlocks: d.Source.Volblocksize > 128<<10,
		Proving:      v.want.Proves() && !v.began(),
		EmbeddedData: v.both("embedded_data") && !encrypted(v.have.Target.Staging), // what is encrypted has no embedded blocks, and refuses such streams
	}
	if incremental {
		s.Base = d.ref(base)
	}
	switch t := d.Staging.Token; {
	case t != nil && v.resumable(d, *t):
		for _, c := range d.cuts {
			if c.GUID == t.ToGUID {
				s.Snapshot = d.ref(c)
			}
		}
		s.Token = t.Text
		w.add(s)
	case t != nil:
		w.add(step.AbortReceive{Host: v.host, Dataset: zvol})
	case incremental:
		v.increment(d, s, w)
	case d.Staging.Exists: // nothing in it goes on from anything the source still has
		v.destroyStaging(d, w)
		w.notes = append(w.notes, fmt.Sprintf("%s: the source has none of the snapshots that %s holds any more: it is sent anew", d.Slot, zvol))
	default:
		w.add(s)
	}
}

// increment sends from the common snapshot, which has to be the newest of the staging zvol, and untouched. Newer ones of
// ours, which the source has lost, go; those of others stay until their owner removes them.
func (v view) increment(d disk, s step.SendSnapshot, w *work) {
	newer := d.newer(s.Base.GUID)
	base := d.staged[s.Base.GUID]
	switch why := v.covered(d); {
	case why != "":
		w.wait(step.StagingTampered, why)
	case len(newer) > 0:
		var refs []step.SnapshotRef
		for _, x := range newer {
			refs = append(refs, v.stagingRef(d, x))
		}
		w.add(step.DestroySnapshots{Host: v.host, Snapshots: refs, Tag: v.tag, Mark: v.uid})
	case base.Written > 0:
		w.add(step.RollbackStaging{Host: v.host, Snapshot: v.stagingRef(d, base), Mark: v.uid})
		w.notes = append(w.notes, fmt.Sprintf("%s: %s has %s that did not come from its newest snapshot, which is taken back", d.Slot, s.Dataset, bytes(base.Written)))
	default:
		w.add(s)
	}
}

// newer are the snapshots of the staging zvol after one.
func (d disk) newer(guid string) []Snapshot {
	return d.Staging.Snapshots[1+slices.IndexFunc(d.Staging.Snapshots, func(s Snapshot) bool { return s.GUID == guid }):]
}

// covered is why nothing can be received on top of what was; "" when it can.
func (v view) covered(d disk) string {
	s, ok := d.received()
	if !ok {
		return ""
	}
	foreign := v.foreign(d.newer(s.GUID))
	if len(foreign) == 0 {
		return ""
	}
	return fmt.Sprintf("%s has snapshots that are not this migration's (%s), and newer than the last one received, so that nothing can be received on top of them: remove them with `zfs destroy` on %s",
		v.want.StagingZvol(d.Slot), names(foreign), v.host)
}

// foreign lists snapshots of a staging zvol that were not received.
func (v view) foreign(of []Snapshot) []Snapshot {
	return slices.DeleteFunc(slices.Clone(of), func(s Snapshot) bool {
		return held(s, v.tag) || strings.HasPrefix(s.Name, "reconcile-"+v.want.Metadata.Name+"-")
	})
}

// resumable tells whether an interrupted receive can go on: it is of a snapshot of ours, from one that is common, and the
// source can still send it.
func (v view) resumable(d disk, t Token) bool {
	ours := slices.ContainsFunc(d.cuts, func(s Snapshot) bool { return s.GUID == t.ToGUID })
	base, incremental := d.received()
	from := t.FromGUID == "" && !incremental
	if newest := len(d.Staging.Snapshots) - 1; incremental && newest >= 0 { // and nothing was done to it since
		from = t.FromGUID == base.GUID && d.Staging.Snapshots[newest].GUID == base.GUID && d.Staging.Snapshots[newest].Written == 0
	}
	return ours && from && t.Error == ""
}

// receiveAs are the properties of a staging zvol: nothing may mount, import or open it.
func (v view) receiveAs(d disk) map[string]string {
	set := map[string]string{"readonly": "on", "volmode": "none", "snapdev": "hidden", "refreservation": "none"}
	maps.Copy(set, v.marks(d))
	return set
}

// compressor is the feature that a pool needs to take blocks as they are compressed.
func compressor(compression string) string {
	if strings.HasPrefix(compression, "zstd") {
		return "zstd_compress"
	}
	return "lz4_compress"
}

// both tells whether the pools at both ends know a feature.
func (v view) both(feature string) bool {
	for _, h := range []struct {
		host    Host
		dataset string
	}{{v.have.Source, v.disks[0].zvol}, {v.have.Target, v.parent()}} {
		if state := h.host.Pools[poolOf(h.dataset)].Features[feature]; state != "enabled" && state != "active" {
			return false
		}
	}
	return true
}

// prune drops, on both sides, what is older than the newest common snapshot and not being copied.
func (v view) prune(w *work) {
	var here, there []step.SnapshotRef
	for _, d := range v.disks {
		for i, s := range d.cuts {
			if i < d.common {
				here = append(here, d.ref(s))
			}
		}
		keep, ok := d.received()
		for _, s := range d.Staging.Snapshots {
			if s.GUID == keep.GUID || !ok {
				break
			}
			if s.GUID != d.Target.Local[step.PropCopying] && slices.Contains(s.Holds, v.tag) {
				there = append(there, v.stagingRef(d, s))
			}
		}
	}
	if len(here) > 0 {
		w.add(step.DestroySnapshots{Host: v.source(), Snapshots: here, Tag: v.tag, Mark: v.uid})
	}
	if len(there) > 0 {
		w.add(step.DestroySnapshots{Host: v.host, Snapshots: there, Tag: v.tag, Mark: v.uid})
	}
}

// pruned tells whether nothing is left that a newer snapshot replaces.
func (v view) pruned() bool {
	var w work
	v.prune(&w)
	return len(w.steps) == 0
}
