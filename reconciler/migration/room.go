package migration

import (
	"fmt"
	"path"
	"slices"
)

// slop is what is wanted to be free beside what is predicted.
const slop = 1.1

// room is what is needed and free at one place on the target's host.
type room struct {
	at              string // the dataset
	free            int64
	staging, target int64
	thick           bool // some of the guest's disks there are
	told            bool // what fits is told too
}

// checkSpace: what is received and the guest's disks may lie in one pool, in two, or below a quota.
func checkSpace(v view) (out []Finding) {
	if !v.have.Target.Staging.Exists {
		return nil // said elsewhere
	}
	rooms := []room{{at: v.spec().Target.Staging, free: v.have.Target.Staging.Available, told: true}}
	for _, d := range v.disks {
		s := v.space(d)
		rooms[0].staging += max(0, s.Staging-d.Staging.Used)
		need, free := v.needs(d, s)
		apart := d.Target.Exists && poolOf(d.Target.Name) != poolOf(rooms[0].at)
		if !apart {
			rooms[0].target += need
			rooms[0].thick = rooms[0].thick || d.Target.RefReserv > 0
		}
		if !d.Target.Exists {
			continue
		}
		at := path.Dir(d.Target.Name)
		i := slices.IndexFunc(rooms[1:], func(r room) bool { return r.at == at }) + 1
		if i == 0 {
			i, rooms = len(rooms), append(rooms, room{at: at, free: free, told: apart})
		}
		rooms[i].target += need
		rooms[i].free = min(rooms[i].free, free)
		rooms[i].thick = rooms[i].thick || d.Target.RefReserv > 0
	}
	for _, r := range rooms {
		if len(out) == 0 || r.told || out[0].Severity != Blocker { // else the pool has too little, which is said
			out = append(out, r.finding(v)...)
		}
	}
	return out
}

// needs is what a disk of the guest still takes where it is, and what is free there for it. A thick one has its space; the
// snapshot that proves it needs as much again as it holds, beside what is reserved.
func (v view) needs(d disk, s Space) (need, free int64) {
	t := d.Target
	switch _, proven := v.proof(d); {
	case t.RefReserv == 0:
		return max(0, s.Target-t.Used), t.Available
	case proven:
		return 0, t.Available
	}
	return min(s.Target, t.RefReserv), max(0, t.Available-max(0, t.RefReserv-t.Referenced))
}

func (r room) finding(v view) []Finding {
	parts := bytes(r.target) + " for the guest's disks"
	if r.at == v.spec().Target.Staging {
		parts = bytes(r.staging) + " in staging, " + parts
	}
	if r.thick {
		parts += ", which are thick: a snapshot of them needs as much as they hold"
	}
	need := int64(float64(r.staging+r.target) * slop)
	switch {
	case need > r.free:
		return blocker(fmt.Sprintf("%s are free in %s on %s, and %s are needed: %s, and a tenth more", bytes(r.free), r.at, v.host, bytes(need), parts),
			"free space, raise a quota, or trim the guest's file systems on the source first")
	case r.told:
		return []Finding{{Severity: Fine, Text: fmt.Sprintf("%s will be used on %s (%s), %s are free", bytes(r.staging+r.target), v.host, parts, bytes(r.free))}}
	}
	return nil
}
