package migration_test

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ustclug/pve-reconcile/reconciler/migration"
	"github.com/ustclug/pve-reconcile/reconciler/step"
	"github.com/ustclug/pve-reconcile/reconciler/vm"
	"github.com/ustclug/pve-reconcile/schema"
)

// world is a pure world in memory: two hosts with datasets, a guest that writes, and PVE. It does what the real commands do
// and refuses what they refuse; a zvol's content is a few blocks, each with the number of the write that made it.
type world struct {
	specs
	rng    *rand.Rand
	now    time.Time     // true time, the hosts' clocks
	jump   time.Duration // by how much the program's clock is wrong
	sets   map[string]*dataset
	parent string
	vm     vm.Observed
	power  string
	masked bool
	stays  bool // the guest ignores shutdown
	silent bool // the agent never answers
	rot    bool // the next stream arrives with a wrong block (openzfs#4904)
	writes int
	guids  int
	ran    bool

	lastStart time.Time

	log    []string
	broken []string // invariants that do not hold
	letGo  bool     // somebody destroyed his snapshots of the source, as he was asked
	stuck  int      // refusals in a row

	startedOn bool      // the target's last start was on the source's last state
	byHand    bool      // the last start of any guest was the operator's
	up        time.Time // when the target was started last
	wrote     bool      // the target's guest has written since then
	ours      bool      // the target has been started by a step, or a start was taken over
}

type dataset struct {
	host, name, guid, kind string
	blocks                 []int
	writes                 int
	props                  map[string]string
	snaps                  []*snap
	token                  *partial
	foreign                bool
}

type snap struct {
	name, guid string
	blocks     []int
	writes     int
	holds      map[string]bool
	props      map[string]string
	foreign    bool
	created    time.Time
}

type partial struct{ to, from string }

const blockCount = 4

func newWorld(s specs, rng *rand.Rand) *world {
	w := &world{specs: s, rng: rng, now: time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC), sets: map[string]*dataset{}, power: "running", parent: s.want.StagingParent()}
	for _, d := range s.want.Spec.Source.Disks {
		z := w.create("mirrors2", d.Zvol, "volume")
		w.write(z)
		w.write(z)
		z.snaps = append(z.snaps, &snap{name: "backup", guid: w.guid(), blocks: slices.Clone(z.blocks), writes: z.writes, holds: map[string]bool{}, props: map[string]string{}, foreign: true})
	}
	w.create("pve-5", s.want.Spec.Target.Staging, "filesystem").foreign = true
	return w
}

func (w *world) guid() string {
	w.guids++
	return strconv.Itoa(w.guids)
}

func (w *world) create(host, name, kind string) *dataset {
	d := &dataset{host: host, name: name, guid: w.guid(), kind: kind, props: map[string]string{}}
	if kind == "volume" {
		d.blocks = make([]int, blockCount)
	}
	w.sets[host+":"+name] = d
	return d
}

func (w *world) write(d *dataset) {
	w.writes++
	d.writes++
	d.blocks[w.rng.IntN(blockCount)] = w.writes
}

func (w *world) source(i int) *dataset { return w.sets["mirrors2:"+w.want.Spec.Source.Disks[i].Zvol] }

func (w *world) staging(i int) *dataset {
	return w.sets["pve-5:"+w.want.StagingZvol(w.want.Spec.Source.Disks[i].To)]
}

func (w *world) target(i int) *dataset {
	slot := w.want.Spec.Source.Disks[i].To
	return w.sets["pve-5:rpool/data/"+strings.TrimPrefix(volid(w.vm.Running[slot]), "local-zfs:")]
}

func (w *world) count() int { return len(w.want.Spec.Source.Disks) }

func (w *world) violate(format string, args ...any) {
	w.broken = append(w.broken, fmt.Sprintf(format, args...))
}

// observe is what a look at both hosts and PVE gives.
func (w *world) observe() migration.Observed {
	o := blank(w.specs)
	o.Now, o.Source.Clock, o.Target.Clock = w.now.Add(w.jump), w.now, w.now
	o.Power = migration.Power{State: w.power, Masked: w.masked}
	o.VM, o.Ran, o.LastStart, o.Disks = w.vm, w.ran, w.lastStart, nil
	o.VM.Running = maps.Clone(w.vm.Running)
	if w.vm.IsRunning() && !w.silent {
		o.Agent = "up"
	}
	if p := w.sets["pve-5:"+w.parent]; p != nil {
		o.Target.Parent = w.show(p)
		for name := range w.sets {
			if zvol, there := strings.CutPrefix(name, "pve-5:"); there && strings.HasPrefix(zvol, w.parent+"/") {
				o.Target.Received = append(o.Target.Received, zvol)
			}
		}
	}
	for i, d := range w.want.Spec.Source.Disks {
		disk := migration.Disk{Slot: d.To}
		if z := w.source(i); z != nil {
			disk.Source = w.show(z)
			disk.Source.Volblocksize, disk.Source.Compression, disk.Source.Encryption = 8<<10, "off", "off"
			if z.props["volmode"] != "none" {
				disk.Source.Device = "/dev/zd" + strconv.Itoa(i)
			}
			if w.power == "running" {
				disk.Source.Openers = []string{"qemu (1)"}
			}
		}
		if z := w.staging(i); z != nil {
			disk.Staging = w.show(z)
		}
		if z := w.target(i); z != nil {
			disk.Target, disk.Volid = w.show(z), volid(w.vm.Running[d.To])
		}
		o.Disks = append(o.Disks, disk)
	}
	return o
}

func (w *world) show(d *dataset) migration.Dataset {
	out := migration.Dataset{Name: d.name, Exists: true, GUID: d.guid, Type: d.kind, Available: 4 * tib, Local: maps.Clone(d.props)}
	if d.kind == "volume" {
		out.Volsize = 1 << 30
		if d.writes > 0 {
			out.Referenced, out.Used, out.Logical = 1<<30, 1<<30, 1<<30
		}
	}
	for _, s := range d.snaps {
		v := migration.Snapshot{Name: s.name, GUID: s.guid, Created: s.created, Written: int64(d.writes-s.writes) << 20, Props: maps.Clone(s.props)}
		for tag := range s.holds {
			v.Holds = append(v.Holds, tag)
		}
		out.Snapshots = append(out.Snapshots, v)
	}
	if d.token != nil {
		t := &migration.Token{Text: "1-" + d.token.to, ToGUID: d.token.to, FromGUID: d.token.from}
		if w.sent(d.token.to) == nil || d.token.from != "" && w.sent(d.token.from) == nil {
			t.Error = "used in the initial send no longer exists"
		}
		out.Token = t
		if len(d.snaps) == 0 {
			out.Volsize = 0
		}
	}
	return out
}

// sent finds a snapshot of the source by guid.
func (w *world) sent(guid string) *snap {
	for i := range w.count() {
		if z := w.source(i); z != nil {
			if s := z.byGUID(guid); s != nil {
				return s
			}
		}
	}
	return nil
}

func (d *dataset) byGUID(guid string) *snap {
	for _, s := range d.snaps {
		if s.guid == guid {
			return s
		}
	}
	return nil
}

func (d *dataset) find(name string) *snap {
	for _, s := range d.snaps {
		if s.name == name {
			return s
		}
	}
	return nil
}

var (
	errCrash  = errors.New("crash")
	errRefuse = errors.New("refused")
)

func refuse(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{errRefuse}, args...)...)
}

func content(blocks []int) string { return fmt.Sprint(blocks) }

// do makes a step. cut tells that it is to be interrupted half-way, where it can be.
func (w *world) do(s step.Step, cut bool) error {
	switch s := s.(type) {
	case step.CreateVM:
		return w.createVM(s)
	case step.SetConfig:
		if !w.vm.Exists || s.Digest != w.vm.Digest {
			return step.ErrStale
		}
		maps.Copy(w.vm.Running, s.Set)
		for _, k := range s.Delete {
			delete(w.vm.Running, k)
		}
		w.vm.Digest += "x"
		return nil
	case step.StartVM:
		return w.startVM()
	case step.DeleteVM:
		return w.deleteVM()
	case step.SnapshotDisks:
		return w.snapshot(s)
	case step.HoldSnapshots:
		for _, r := range s.Snapshots {
			if p := w.at(s.Host, r); p != nil {
				p.holds[s.Tag] = true
			}
		}
		return nil
	case step.DestroySnapshots:
		return w.destroySnapshots(s, cut)
	case step.CreateStaging:
		w.create(s.Host, s.Dataset, "filesystem").props = maps.Clone(s.Set)
		return nil
	case step.SendSnapshot:
		return w.send(s, cut)
	case step.AbortReceive:
		return w.abortReceive(s)
	case step.CopyDisk:
		return w.copy(s, cut)
	case step.HashSnapshot:
		p := w.at(s.Host, s.Snapshot)
		if p == nil || cut {
			return refuse("no snapshot to hash, or interrupted")
		}
		p.props[step.PropHash] = content(p.blocks)
		return nil
	case step.SetProperties:
		return w.setProperties(s, cut)
	case step.ShutdownSource:
		return w.shutdownSource(s)
	case step.StartSource:
		return w.startSource()
	case step.MaskSource:
		w.masked = !s.Off
		return nil
	case step.DestroyDataset:
		return w.destroyDataset(s)
	case step.RollbackStaging:
		return w.rollback(s)
	case step.TrimGuest:
		for _, name := range s.Datasets {
			w.sets[s.Host+":"+name].props[step.PropTrimmed] = "1"
		}
		return nil
	default:
		w.violate("a step that no migration makes: %s", s)
		return nil
	}
}

func (w *world) at(host string, r step.SnapshotRef) *snap {
	d := w.sets[host+":"+r.Dataset]
	if d == nil {
		return nil
	}
	if s := d.byGUID(r.GUID); s != nil && s.name == r.Name {
		return s
	}
	return nil
}

func (w *world) createVM(s step.CreateVM) error {
	if w.vm.Exists {
		return refuse("exists")
	}
	w.vm = vm.Observed{Exists: true, Node: s.ID.Node, Status: "stopped", Digest: "d", Running: maps.Clone(s.Set)}
	n := 0
	for _, key := range slices.SortedFunc(maps.Keys(s.Set), schema.CompareKeys) {
		row, ok := schema.RowOf(key)
		if !ok || !row.Drive() {
			continue
		}
		props := row.Parse(s.Set[key])
		props["file"], props["size"] = fmt.Sprintf("local-zfs:vm-200-disk-%d", n), "1G"
		w.vm.Running[key] = row.Print(props)
		w.create("pve-5", fmt.Sprintf("rpool/data/vm-200-disk-%d", n), "volume")
		n++
	}
	return nil
}

func (w *world) deleteVM() error {
	switch {
	case w.vm.IsRunning():
		return refuse("running")
	case w.vm.Running["protection"] == "1":
		return refuse("protected")
	case w.ours || w.ran:
		w.violate("a guest that has run is deleted")
	}
	for i := range w.count() {
		t := w.target(i)
		if t != nil && slices.ContainsFunc(t.snaps, func(s *snap) bool { return len(s.holds) > 0 }) {
			return refuse("held")
		}
	}
	for i := range w.count() {
		if t := w.target(i); t != nil {
			delete(w.sets, "pve-5:"+t.name)
		}
	}
	w.vm = vm.Observed{}
	return nil
}

// last tells whether every target zvol has what the source has now.
func (w *world) last() bool {
	for i := range w.count() {
		s, t := w.source(i), w.target(i)
		if s == nil || t == nil || content(s.blocks) != content(t.blocks) {
			return false
		}
	}
	return true
}

func (w *world) startVM() error {
	if w.vm.IsRunning() {
		return refuse("runs")
	}
	if w.power == "running" {
		w.violate("the target is started while the source runs")
	}
	if !w.ours || !w.startedOn {
		if !w.last() {
			w.violate("the target is started on bytes that are not the source's last state")
		}
		w.startedOn = true
	}
	if !w.ours {
		w.up = w.now
	}
	w.vm.Status, w.ran, w.ours, w.byHand, w.lastStart = "running", true, true, false, w.now
	return nil
}

func (w *world) snapshot(s step.SnapshotDisks) error {
	for _, name := range s.Datasets {
		if d := w.sets[s.Host+":"+name]; d == nil || d.find(s.Name) != nil {
			return refuse("no dataset, or a snapshot of that name")
		}
	}
	for _, name := range s.Datasets {
		d := w.sets[s.Host+":"+name]
		d.snaps = append(d.snaps, &snap{name: s.Name, guid: w.guid(), blocks: slices.Clone(d.blocks), writes: d.writes, holds: map[string]bool{s.Tag: true}, props: maps.Clone(s.Set), created: w.now})
		if w.rng.IntN(20) == 0 {
			d.find(s.Name).holds = map[string]bool{} // killed between the two commands
		}
	}
	return nil
}

func (w *world) destroySnapshots(s step.DestroySnapshots, cut bool) error {
	for i, r := range s.Snapshots {
		d, p := w.sets[s.Host+":"+r.Dataset], w.at(s.Host, r)
		if p == nil {
			continue
		}
		if p.foreign {
			w.violate("a snapshot of somebody else is destroyed: %s", r)
		}
		if d.token != nil && d.token.from == r.GUID {
			return refuse("has dependent clones")
		}
		if other := maps.Clone(p.holds); len(other) > 0 {
			delete(other, s.Tag)
			if len(other) > 0 {
				return refuse("held by somebody else")
			}
		}
		if cut && i > 0 {
			return errCrash
		}
		d.snaps = slices.DeleteFunc(d.snaps, func(x *snap) bool { return x == p })
	}
	return nil
}

func (w *world) send(s step.SendSnapshot, cut bool) error {
	from := w.at(s.From, s.Snapshot)
	d := w.sets[s.To+":"+s.Dataset]
	switch {
	case from == nil:
		return refuse("no such snapshot")
	case s.Token != "" && (d == nil || d.token == nil || d.token.to != from.guid):
		return refuse("no such token")
	case s.Token == "" && d != nil && d.token != nil:
		return refuse("busy: an interrupted receive")
	case s.Token == "" && s.Base.Name == "" && d != nil:
		return refuse("destination exists")
	}
	base := s.Base.GUID
	if s.Token != "" {
		base = d.token.from
	}
	if base != "" {
		if d == nil || len(d.snaps) == 0 || d.snaps[len(d.snaps)-1].guid != base || w.sent(base) == nil {
			return refuse("the base does not match")
		}
		if d.writes != d.snaps[len(d.snaps)-1].writes {
			return refuse("modified")
		}
	}
	if d == nil {
		d = w.create(s.To, s.Dataset, "volume")
		d.props = maps.Clone(s.Set)
	}
	d.token = &partial{from.guid, base}
	if cut {
		return errCrash
	}
	d.token, d.blocks = nil, slices.Clone(from.blocks)
	if w.rot {
		w.rot = false
		d.blocks[0] = -1
	}
	d.writes++
	d.snaps = append(d.snaps, &snap{name: from.name, guid: from.guid, blocks: slices.Clone(d.blocks), writes: d.writes, holds: map[string]bool{}, props: map[string]string{}, created: from.created})
	return nil
}

func (w *world) abortReceive(s step.AbortReceive) error {
	d := w.sets[s.Host+":"+s.Dataset]
	if d == nil || d.token == nil {
		return refuse("nothing to abort")
	}
	d.token = nil
	if len(d.snaps) == 0 {
		delete(w.sets, s.Host+":"+s.Dataset)
	}
	return nil
}

func (w *world) copy(s step.CopyDisk, cut bool) error {
	from, to := w.at(s.Host, s.Snapshot), w.sets[s.Host+":"+s.Target]
	if from == nil || to == nil || to.guid != s.TargetGUID {
		return refuse("no snapshot or zvol")
	}
	if w.vm.IsRunning() {
		w.violate("a disk of a running guest is written")
	}
	if w.wrote {
		w.violate("a disk is written that a guest has written to since it was started here")
	}
	to.props[step.PropCopying] = from.guid
	for i := range to.blocks {
		if cut && w.rng.IntN(3) == 0 {
			return errCrash
		}
		if s.Fresh && from.blocks[i] == 0 {
			continue // taken for zeros already
		}
		to.blocks[i] = from.blocks[i]
		to.writes++
	}
	maps.Copy(to.props, s.Set)
	if cut {
		return errCrash
	}
	delete(to.props, step.PropCopying)
	return nil
}

func (w *world) setProperties(s step.SetProperties, cut bool) error {
	for i, name := range s.Datasets {
		if cut && i > 0 {
			return errCrash
		}
		dataset, snapshot, isSnap := strings.Cut(name, "@")
		d := w.sets[s.Host+":"+dataset]
		if d == nil {
			return refuse("no dataset %s", name)
		}
		props := d.props
		if isSnap {
			p := d.find(snapshot)
			if p == nil {
				return refuse("no snapshot %s", name)
			}
			props = p.props
		}
		if s.Set[step.PropStarted] != "" && w.vm.IsRunning() && !w.ours {
			if !w.startedOn {
				w.violate("a start by hand is taken over that was not on the source's last state")
			}
			w.ours, w.up = true, w.now
		}
		maps.Copy(props, s.Set)
		for _, p := range s.Inherit {
			if cut && w.rng.IntN(2) == 0 {
				return errCrash
			}
			delete(props, p)
		}
	}
	return nil
}

func (w *world) shutdownSource(s step.ShutdownSource) error {
	if w.stays && !s.Kill {
		w.now = w.now.Add(s.Timeout)
		return refuse("the guest does not shut down")
	}
	w.power = "stopped"
	return nil
}

func (w *world) startSource() error {
	switch {
	case w.masked:
		return refuse("masked")
	case w.fenced():
		return refuse("read-only")
	case w.power == "running":
		return nil
	}
	if w.vm.IsRunning() {
		w.violate("the source is started while the target runs")
	}
	if w.wrote {
		w.violate("the source is started, and the target has newer data")
	}
	w.power, w.byHand, w.ours = "running", false, false
	return nil
}

func (w *world) fenced() bool {
	for i := range w.count() {
		if z := w.source(i); z == nil || z.props["readonly"] == "on" || z.props["volmode"] == "none" {
			return true
		}
	}
	return false
}

func (w *world) destroyDataset(s step.DestroyDataset) error {
	d := w.sets[s.Host+":"+s.Dataset]
	if d == nil {
		return nil
	}
	switch {
	case d.foreign:
		w.violate("a dataset of somebody else is destroyed: %s", s.Dataset)
	case d.guid != s.GUID || d.props[step.PropMark] != s.Mark:
		return refuse("not the one that was meant")
	case d.props[step.PropCopied] != "" || d.props[step.PropStarted] != "":
		w.violate("a target's zvol is destroyed: %s", s.Dataset)
	}
	for name := range w.sets {
		if strings.HasPrefix(name, s.Host+":"+s.Dataset+"/") {
			return refuse("has children")
		}
	}
	for _, p := range d.snaps {
		if p.foreign || !s.Snapshots {
			return refuse("has snapshots")
		}
	}
	if s.Host == "mirrors2" {
		w.sourceDestroyed()
	}
	delete(w.sets, s.Host+":"+s.Dataset)
	return nil
}

func (w *world) sourceDestroyed() {
	after := w.want.Spec.Retire.Source.Destroy
	switch {
	case after == nil:
		w.violate("the source is destroyed, and no manifest says so")
	case !w.vm.IsRunning() || !w.ours:
		w.violate("the source is destroyed, and the target does not run")
	case w.now.Sub(w.up) < after.After.Duration:
		w.violate("the source is destroyed %s after the target's first start", w.now.Sub(w.up))
	case w.power != "stopped":
		w.violate("the source is destroyed, and its guest runs")
	}
}

func (w *world) rollback(s step.RollbackStaging) error {
	d, p := w.sets[s.Host+":"+s.Snapshot.Dataset], w.at(s.Host, s.Snapshot)
	if p == nil || d.snaps[len(d.snaps)-1] != p {
		return refuse("not the newest snapshot")
	}
	d.blocks, d.writes = slices.Clone(p.blocks), p.writes
	return nil
}
