package migration

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ustclug/pve-reconcile/reconciler/step"
	"github.com/ustclug/pve-reconcile/reconciler/vm"
	"github.com/ustclug/pve-reconcile/schema"
)

// view is all that is decided from: what git wants, what was observed, and what follows from both.
type view struct {
	want        schema.Migration
	guest, base schema.VM
	have        Observed
	uid, tag    string
	host        string // of the target
	disks       []disk
	asidePlan   func() step.Plan // what the guest still needs to be as it has to be until Boot
}

// disk is one disk with the snapshots of its source that are ours.
type disk struct {
	Disk
	zvol   string              // of the manifest
	cuts   []Snapshot          // of the source, with our mark, oldest first
	staged map[string]Snapshot // of the staging zvol, by guid
	common int                 // index in cuts of the newest one that was received; -1
}

func look(want schema.Migration, guest, base schema.VM, have Observed) view {
	v := view{want: want, guest: guest, base: base, have: have, uid: want.UID(), tag: want.Tag(), host: want.TargetHost(guest.Spec.Node)}
	v.asidePlan = sync.OnceValue(func() step.Plan { return vm.Plan(Aside(guest), base, have.VM) })
	for _, spec := range want.Spec.Source.Disks {
		d := disk{zvol: spec.Zvol, common: -1, staged: map[string]Snapshot{}}
		d.Slot = spec.To
		if i := slices.IndexFunc(have.Disks, func(o Disk) bool { return o.Slot == spec.To }); i >= 0 {
			d.Disk = have.Disks[i]
		}
		for _, s := range d.Staging.Snapshots {
			d.staged[s.GUID] = s
		}
		for _, s := range d.Source.Snapshots {
			if s.Props[step.PropMark] == v.uid {
				if _, received := d.staged[s.GUID]; received {
					d.common = len(d.cuts)
				}
				d.cuts = append(d.cuts, s)
			}
		}
		v.disks = append(v.disks, d)
	}
	return v
}

func (v view) spec() schema.MigrationSpec { return v.want.Spec }

// every tells whether something holds for each disk.
func (v view) every(holds func(disk) bool) bool {
	return !slices.ContainsFunc(v.disks, func(d disk) bool { return !holds(d) })
}

func (v view) some(holds func(disk) bool) bool { return slices.ContainsFunc(v.disks, holds) }

func (v view) zvols() []string {
	var out []string
	for _, d := range v.disks {
		out = append(out, d.zvol)
	}
	return out
}

func (v view) targets() []string {
	var out []string
	for _, d := range v.disks {
		if d.Target.Exists {
			out = append(out, d.Target.Name)
		}
	}
	return out
}

// last is the newest snapshot of the source that is ours.
func (d disk) last() (Snapshot, bool) {
	if len(d.cuts) == 0 {
		return Snapshot{}, false
	}
	return d.cuts[len(d.cuts)-1], true
}

// received is the newest snapshot of the source that the staging zvol has too.
func (d disk) received() (Snapshot, bool) {
	if d.common < 0 {
		return Snapshot{}, false
	}
	return d.cuts[d.common], true
}

// current tells whether the newest snapshot of the source that is ours was received.
func (d disk) current() bool { return d.common >= 0 && d.common == len(d.cuts)-1 }

// final is the snapshot taken after the guest was shut down, while it still is the source's last state.
func (d disk) final() (Snapshot, bool) {
	s, ok := d.last()
	return s, ok && s.Props[step.PropFinal] == "yes" && s.Written == 0
}

// delta is what was written to the source since the newest snapshot that was received.
func (d disk) delta() int64 {
	s, ok := d.received()
	if !ok {
		return d.Source.Referenced
	}
	return s.Written
}

func (v view) delta() int64 {
	var sum int64
	for _, d := range v.disks {
		sum += d.delta()
	}
	return sum
}

// pass is the number of incremental passes that every disk has behind it; -1 before the first stream.
func (v view) pass() int {
	least := -1
	for i, d := range v.disks {
		s, _ := d.received()
		n, _ := strconv.Atoi(s.Props[step.PropPass])
		if i == 0 || n-1 < least {
			least = n - 1
		}
	}
	return least
}

// holds tells whether the target's zvol has the content of a snapshot, all of it.
func (d disk) holds(guid string) bool {
	copied, copying := d.Target.Local[step.PropCopied], d.Target.Local[step.PropCopying]
	return guid != "" && copied == guid && (copying == "" || copying == copied)
}

// proof is the snapshot of the target's zvol taken when its content was proven; what was written since tells who touched it.
func (v view) proof(d disk) (Snapshot, bool) {
	for _, s := range slices.Backward(d.Target.Snapshots) {
		if s.Props[step.PropMark] == v.uid {
			return s, true
		}
	}
	return Snapshot{}, false
}

func (v view) started() bool {
	return v.some(func(d disk) bool { return d.Target.Local[step.PropStarted] != "" })
}

func (v view) booted() bool {
	return v.some(func(d disk) bool { return d.Target.Local[step.PropBooted] != "" })
}

// wrote is what the target's guest wrote since the proof; known only where every disk has one.
func (v view) wrote() (sum int64, known bool) {
	known = true
	for _, d := range v.disks {
		p, ok := v.proof(d)
		sum, known = sum+p.Written, known && ok
	}
	return sum, known
}

// ran tells whether PVE may have started the guest since its disks were proven; an earlier start, which somebody tried
// by hand, is overwritten by the proven copy.
func (v view) ran() bool {
	at := v.have.LastStart
	return v.have.Ran && (at.IsZero() || v.some(func(d disk) bool {
		p, ok := v.proof(d)
		return !ok || !at.Before(p.Created)
	}))
}

// launched tells whether the target's guest may have been started: then the source never is again. Noted, but neither
// running nor known to PVE as started, it was not.
func (v view) launched() bool {
	wrote, _ := v.wrote()
	return v.booted() || v.started() && (v.have.VM.IsRunning() || v.ran() || wrote > 0)
}

// used tells whether the target's guest has run on the proven content: it has been started by us, and runs, or wrote.
func (v view) used() bool {
	wrote, _ := v.wrote()
	return v.booted() || v.started() && (v.have.VM.IsRunning() || v.ran() && wrote > 0)
}

// doubtful: the guest may have run and written, and what would show it is gone.
func (v view) doubtful() bool {
	_, known := v.wrote()
	return v.started() && v.have.Ran && !known && !v.used()
}

// shutdown is when the cutover that is under way began; "" when none is.
func (v view) shutdown() string {
	for _, d := range v.disks {
		if at := d.Source.Local[step.PropShutdown]; at != "" {
			return at
		}
	}
	return ""
}

func (v view) began() bool { return v.shutdown() != "" }

// down is for how long the cutover has been under way.
func (v view) down() time.Duration {
	at, err := time.Parse(time.RFC3339, v.shutdown())
	if err != nil {
		return 0
	}
	return max(0, v.clock(v.have.Source).Sub(at))
}

// takenBack tells whether the cutover that is under way was given up. The mark names the cutover it belongs to, so that no
// two clocks have to agree.
func (v view) takenBack() bool {
	return v.began() && v.some(func(d disk) bool { return first(d.Source.Local[step.PropRolledBack]) == v.shutdown() })
}

func first(words string) string {
	word, _, _ := strings.Cut(words, " ")
	return word
}

// overrun tells whether the guest has been off for longer than the manifest allows, before the target has started.
func (v view) overrun() bool {
	limit := v.spec().Cutover.MaxDowntime.Duration
	return limit > 0 && v.began() && !v.launched() && v.down() > limit
}

// stopped tells whether the guest on the source host is off, and nothing has its zvols open.
func (v view) stopped() bool {
	return v.have.Power.State == "stopped" && v.every(func(d disk) bool { return len(d.Source.Openers) == 0 })
}

func (v view) running() bool { return v.have.Power.State == "running" }

// fenced: nobody can write to the source's zvol. A zvol that somebody had open when it was set read-only goes on being
// written (OpenZFS 2.1), so the proof is that its device is gone.
func (d disk) fenced() bool {
	return d.Source.Local["readonly"] == "on" && d.Source.Local["volmode"] == "none" && d.Source.Device == "" && len(d.Source.Openers) == 0
}

// masks tells whether the guest can be kept from being started on the source host.
func (v view) masks() bool {
	p := v.spec().Source.Power
	return p.Systemd != "" || p.Libvirt != "" || p.PVE != nil || p.Command != nil && p.Command.Mask != ""
}

// startable tells whether the guest can be started again on the source host.
func (v view) startable() bool {
	p := v.spec().Source.Power
	return p.QMP == "" || p.Systemd != ""
}

// since is how long ago something was noted on the target's zvols; false when it was not, or when the host's clock and
// ours do not agree about it.
func (v view) since(prop string) (time.Duration, bool) {
	for _, d := range v.disks {
		at, err := time.Parse(time.RFC3339, d.Target.Local[prop])
		if err != nil {
			continue
		}
		if skew, _ := v.skew(); skew > maxSkew {
			return 0, false
		}
		return v.clock(v.have.Target).Sub(at), true
	}
	return 0, false
}

// maxSkew is how much the clocks of the program and the hosts may differ where a time of day decides.
const maxSkew = 5 * time.Minute

// skew is the largest difference between our clock and that of a host, and the host.
func (v view) skew() (most time.Duration, host string) {
	for _, h := range []Host{v.have.Source, v.have.Target} {
		if h.Clock.IsZero() {
			continue
		}
		if s := v.have.Now.Sub(h.Clock).Abs(); s > most {
			most, host = s, h.Name
		}
	}
	return most, host
}

// clock is the time on a host: what is noted on its datasets is told by its own clock, which does not jump with ours.
func (v view) clock(h Host) time.Time {
	if h.Clock.IsZero() {
		return v.have.Now
	}
	return h.Clock
}

// here and there are the times on the source's and the target's host, as they are noted.
func (v view) here() string  { return v.clock(v.have.Source).UTC().Format(time.RFC3339) }
func (v view) there() string { return v.clock(v.have.Target).UTC().Format(time.RFC3339) }

// marks are the user properties of a dataset of ours.
func (v view) marks(d disk) map[string]string {
	return map[string]string{step.PropMark: v.uid, step.PropSource: d.Source.GUID}
}

func (v view) set(host string, datasets []string, set map[string]string, inherit ...string) step.Step {
	return step.SetProperties{Host: host, Datasets: datasets, Set: set, Inherit: inherit}
}

func (v view) source() string { return v.spec().Source.Host }

// parent is the name of the file system that staging zvols are below.
func (v view) parent() string { return v.want.StagingParent() }

func (d disk) ref(s Snapshot) step.SnapshotRef {
	return step.SnapshotRef{Dataset: d.zvol, Name: s.Name, GUID: s.GUID}
}

func (v view) stagingRef(d disk, s Snapshot) step.SnapshotRef {
	return step.SnapshotRef{Dataset: v.want.StagingZvol(d.Slot), Name: s.Name, GUID: s.GUID}
}

func held(s Snapshot, tag string) bool { return slices.Contains(s.Holds, tag) }

// reached tells whether the migration is so far that what lies before the cutover need not be looked at any more.
func (v view) reached() bool { return v.booted() || v.used() }

func orUnknown(text string) string { return cmp.Or(text, "not known") }
