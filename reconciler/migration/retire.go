package migration

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ustclug/pve-reconcile/reconciler/step"
)

// retireSoon is how long before it is due the end of staging is waited for.
const retireSoon = time.Minute

// retired: staging is gone, and the source is as the manifest says.
func retired(v view) bool { return stagingGone(v) && sourceRetired(v) }

func stagingGone(v view) bool {
	return !v.have.Target.Parent.Exists && v.every(func(d disk) bool { return !d.Staging.Exists })
}

func sourceRetired(v view) bool {
	if v.spec().Retire.Source.Destroy != nil {
		return v.have.Source.Error == "" && v.every(func(d disk) bool { return !d.Source.Exists })
	}
	return v.have.Source.Error == "" && v.every(func(d disk) bool { return len(d.cuts) == 0 })
}

// retire removes what is not needed any more, once the target has run for as long as the manifest says.
func retire(v view) (w work) {
	if !stagingGone(v) {
		if left, ok := v.due(v.want.Staging().Duration); !ok && left <= 0 {
			w.notes = append(w.notes, fmt.Sprintf("%s is kept until the guest runs on PVE again", v.parent()))
		} else if !ok {
			w.notes = append(w.notes, fmt.Sprintf("%s is kept for another %s", v.parent(), short(left)))
			if _, known := v.since(step.PropBooted); known && left <= retireSoon {
				w.soon = max(left, time.Second) // what is compared is noted in whole seconds
			}
		} else {
			return removeStaging(v)
		}
	}
	if v.have.Source.Error != "" {
		w.notes = append(w.notes, fmt.Sprintf("%s is not reachable: %s", v.source(), v.have.Source.Error))
		return w
	}
	switch d := v.spec().Retire.Source.Destroy; {
	case d != nil:
		v.destroySource(d.After.Duration, &w)
	case stagingGone(v):
		for _, disk := range v.disks {
			v.dropCuts(disk, &w)
		}
	}
	return w
}

// due tells whether the target has run for so long, and else how much is left.
func (v view) due(span time.Duration) (left time.Duration, ok bool) {
	since, known := v.since(step.PropBooted)
	if !known {
		return span, false
	}
	return span - since, since >= span && v.have.VM.IsRunning()
}

// dropCuts releases and destroys our snapshots of a source's zvol.
func (v view) dropCuts(d disk, w *work) {
	var refs []step.SnapshotRef
	for _, s := range d.cuts {
		refs = append(refs, d.ref(s))
	}
	if len(refs) > 0 {
		w.add(step.DestroySnapshots{Host: v.source(), Snapshots: refs, Tag: v.tag, Mark: v.uid})
	}
}

// destroySource destroys the source's zvols, which nothing brings back: the target has run that long and still does, the
// source has not, and nothing was written to it since its last snapshot, which is the one the target started from.
func (v view) destroySource(after time.Duration, w *work) {
	if left, ok := v.due(after); !ok {
		if left > 0 {
			w.notes = append(w.notes, fmt.Sprintf("%s on %s is destroyed in %s, if the guest runs on PVE then", strings.Join(v.zvols(), ", "), v.source(), short(left)))
		} else {
			w.notes = append(w.notes, "the source is destroyed only while the guest runs on PVE")
		}
		return
	}
	for _, d := range v.disks {
		if !d.Source.Exists {
			continue
		}
		if why := v.keepSource(d); why != "" {
			w.wait(step.Refused, fmt.Sprintf("%s on %s is not destroyed: %s. Where that cannot be mended, write `source: Keep` and destroy it by hand", d.zvol, v.source(), why))
			continue
		}
		w.add(step.DestroyDataset{Host: v.source(), Dataset: d.zvol, GUID: d.Source.GUID, Mark: v.uid, Snapshots: true, Tag: v.tag})
	}
	if len(w.waits) > 0 {
		w.steps = slices.DeleteFunc(w.steps, func(s step.Step) bool { d, ok := s.(step.DestroyDataset); return ok && d.Host == v.source() })
	}
}

// keepSource is why a source's zvol may not be destroyed; "" when it may.
func (v view) keepSource(d disk) string {
	foreign := slices.DeleteFunc(slices.Clone(d.Source.Snapshots), func(s Snapshot) bool { return s.Props[step.PropMark] == v.uid })
	final, ok := d.final()
	switch {
	case v.have.Power.State != "stopped" || len(d.Source.Openers) > 0:
		return "its guest is not off"
	case d.Source.Local[step.PropMark] != v.uid:
		return "it does not carry this migration's mark"
	case !d.fenced():
		return "it is not fenced any more (readonly=on, volmode=none): somebody may use it"
	case !ok || !d.holds(final.GUID):
		return "its last snapshot is not the one the guest started from"
	case len(foreign) > 0:
		return fmt.Sprintf("it has snapshots that are not of this migration (%s): destroy them first", names(foreign))
	case len(d.Source.Clones) > 0:
		return fmt.Sprintf("clones depend on it (%s)", strings.Join(d.Source.Clones, ", "))
	}
	return ""
}

func names(snapshots []Snapshot) string {
	var out []string
	for _, s := range snapshots {
		out = append(out, "@"+s.Name)
	}
	return strings.Join(out, " ")
}

// removeStaging destroys what was received, then the file system around it.
func removeStaging(v view) (w work) {
	for _, d := range v.disks {
		zvol := v.want.StagingZvol(d.Slot)
		switch {
		case !d.Staging.Exists:
		case d.Staging.Token != nil && len(d.Staging.Snapshots) > 0:
			w.add(step.AbortReceive{Host: v.host, Dataset: zvol}) // what it brought pins the snapshot it began from
		default:
			v.destroyStaging(d, &w)
		}
	}
	if p := v.have.Target.Parent; len(w.steps)+len(w.waits) == 0 && p.Exists {
		w.add(step.DestroyDataset{Host: v.host, Dataset: v.parent(), GUID: p.GUID, Mark: v.uid})
	}
	return w
}

// destroyStaging destroys what was received of a disk. A snapshot that somebody else took of it is left to him.
func (v view) destroyStaging(d disk, w *work) {
	zvol := v.want.StagingZvol(d.Slot)
	foreign := v.foreign(d.Staging.Snapshots)
	if len(foreign) > 0 {
		w.wait(step.StagingTampered, fmt.Sprintf("%s on %s is to be destroyed, but somebody took a snapshot of it (%s): destroy that first", zvol, v.host, names(foreign)))
		return
	}
	w.add(step.DestroyDataset{Host: v.host, Dataset: zvol, GUID: d.Staging.GUID, Mark: v.uid, Snapshots: len(d.Staging.Snapshots) > 0, Tag: v.tag})
}
