package schema

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/google/uuid"
)

// Resolve fills in what the manifest leaves to the place it is used in: the uid, which marks everything the migration makes
// (UUIDv5 of owner, cluster and name), and the claim, which tells this repository from another one with the same manifest.
func (m Migration) Resolve(owner, cluster, repository string) Migration {
	m.uid = uuid.NewSHA1(namespace, []byte(owner+"\x00"+cluster+"\x00migration\x00"+m.Metadata.Name)).String()
	m.claim = uuid.NewSHA1(namespace, []byte(owner+"\x00claim\x00"+repository)).String()
	return m
}

// UID is the mark of everything that the migration makes; "" before Resolve.
func (m Migration) UID() string { return m.uid }

// Claim is the mark of the repository that drives the migration; "" before Resolve.
func (m Migration) Claim() string { return m.claim }

// Tag is the hold tag of the migration.
func (m Migration) Tag() string { return "reconcile-" + m.uid[:min(8, len(m.uid))] }

// StagingParent is the file system below which the migration receives.
func (m Migration) StagingParent() string { return m.Spec.Target.Staging + "/" + m.Metadata.Name }

// StagingZvol is the dataset into which the disk of a slot is received.
func (m Migration) StagingZvol(slot string) string { return m.StagingParent() + "/" + slot }

// TargetHost is the host of the config file on which the target's zvols are; the guest's node has the same name unless
// the manifest says otherwise.
func (m Migration) TargetHost(node string) string { return cmp.Or(m.Spec.Target.Host, node) }

// Window is when the guest may be stopped; zero is always.
func (m Migration) Window() Window {
	if m.Spec.Cutover.Window == "" {
		return Window{}
	}
	w, _ := ParseWindow(m.Spec.Cutover.Window) // Validate has seen it
	return w
}

// UnmarshalScalar lets `source: Keep` stand for a mapping without Destroy.
func (r *RetireSource) UnmarshalScalar(text string) error {
	if text == "Keep" {
		r.Destroy = nil
		return nil
	}
	return fmt.Errorf("%.40q is neither Keep nor a mapping: write Keep, or {Destroy: {after: 720h}}", text)
}

func (*RetireSource) words() []string { return []string{"Keep"} }

// Validate lists everything wrong with the migration's manifest that can be known without a host.
func (m Migration) Validate() []Fault {
	var f faults
	m.Metadata.check(&f)
	if strings.Contains(m.Metadata.Name, "..") || len(m.Metadata.Name) > 60 {
		f.add("metadata.name", "%q cannot be part of the names of snapshots: at most 60 characters, no two dots in a row", m.Metadata.Name)
	}
	checkStruct(&f, reflect.ValueOf(m.Spec), "spec")
	m.Spec.Source.Power.check(&f, "spec.source.power")
	m.checkDisks(&f)
	m.checkCutover(&f)
	return f
}

func (p SourcePower) check(f *faults, at string) {
	var ways []string
	for _, w := range []struct {
		name string
		set  bool
	}{{"systemd", p.Systemd != ""}, {"qmp", p.QMP != "" && p.Systemd == ""}, {"libvirt", p.Libvirt != ""}, {"pve", p.PVE != nil}, {"command", p.Command != nil}} {
		if w.set {
			ways = append(ways, w.name)
		}
	}
	if len(ways) > 1 {
		f.add(at, "%s: a guest is switched one way; only systemd and qmp go together", strings.Join(ways, " and "))
	}
	if p.PVE != nil && p.PVE.VMID == 0 {
		f.add(at+".pve.vmid", "required: PVE's id of the guest on the source host")
	}
	if c := p.Command; c != nil && (c.Mask == "") != (c.Unmask == "") {
		f.add(at+".command", "mask and unmask belong together: what is masked for the cutover is unmasked when it is taken back")
	}
}

func (m Migration) checkDisks(f *faults) {
	disks := m.Spec.Source.Disks
	if disks != nil && len(disks) == 0 {
		f.add("spec.source.disks", "required: at least one {zvol: POOL/NAME, to: scsi0}")
	}
	for i, d := range disks {
		at := "spec.source.disks[" + itoa(i) + "]"
		checkStruct(f, reflect.ValueOf(d), at)
		if row, ok := RowOf(d.To); d.To != "" && (!ok || !row.Drive()) && diskSlot.MatchString(d.To) {
			f.add(at+".to", "%q is no slot that PVE has", d.To)
		}
		for _, before := range disks[:i] {
			if d.Zvol != "" && before.Zvol == d.Zvol {
				f.add(at+".zvol", "%s is moved twice", d.Zvol)
			}
			if d.To != "" && before.To == d.To {
				f.add(at+".to", "%s gets two zvols", d.To)
			}
		}
		if name := d.Zvol + m.longestSnapshot(); len(name) > maxZFSName {
			f.add(at+".zvol", "names of its snapshots get longer than the 255 characters that ZFS allows: %s", name)
		}
		if s := m.Spec.Target.Staging; s != "" && m.Spec.Target.Host == m.Spec.Source.Host && (d.Zvol+"/" == s+"/" || strings.HasPrefix(d.Zvol+"/", m.StagingParent()+"/") || strings.HasPrefix(s+"/", d.Zvol+"/")) {
			f.add(at+".zvol", "%s and the staging dataset %s lie in one another", d.Zvol, s)
		}
	}
	if name := m.StagingZvol("virtio15") + m.longestSnapshot(); len(name) > maxZFSName {
		f.add("spec.target.staging", "names below it get longer than the 255 characters that ZFS allows: %s", name)
	}
}

// maxZFSName is how long the name of a dataset or snapshot may be.
const maxZFSName = 255

// longestSnapshot is what is added to the name of a zvol at most.
func (m Migration) longestSnapshot() string { return "@reconcile-" + m.Metadata.Name + "-final99" }

var diskSlot = leaf(mustField[MigrationDisk]("To"), nil, "").Pattern

func mustField[T any](name string) reflect.StructField {
	f, ok := reflect.TypeFor[T]().FieldByName(name)
	if !ok {
		panic("schema: no field " + name)
	}
	return f
}

func (m Migration) checkCutover(f *faults) {
	c := m.Spec.Cutover
	if m.Mode() == "Window" && c.Window == "" {
		f.add("spec.cutover.window", "required with mode: Window, as in \"Sat 02:00-06:00 Asia/Shanghai\"")
	}
	if p := m.Spec.Source.Power; c.Kill && p.Command != nil && p.Command.Kill == "" {
		f.add("spec.cutover.kill", "there is no way to: spec.source.power.command has no kill")
	}
}

// What is taken where the manifest says nothing stands in the tags of the fields; these read it from there.

// Mode is when the cutover may begin: Approve, Window or Auto.
func (m Migration) Mode() string { return cmp.Or(m.Spec.Cutover.Mode, tagged[Cutover]("Mode")) }

// ShutdownTimeout is how long the guest may take to shut down.
func (m Migration) ShutdownTimeout() Duration {
	return spanOr[Cutover](m.Spec.Cutover.ShutdownTimeout, "ShutdownTimeout")
}

// Staging is how long the received copy is kept.
func (m Migration) Staging() Duration { return spanOr[Retire](m.Spec.Retire.Staging, "Staging") }

// MaxPasses is how many incremental passes are made before the cutover.
func (m Migration) MaxPasses() int {
	if n := m.Spec.Precopy.MaxPasses; n != nil {
		return *n
	}
	n, _ := readInt(tagged[Precopy]("MaxPasses"))
	return n.(int)
}

// UntilDelta is the number of bytes written since the last pass below which no further one is made.
func (m Migration) UntilDelta() int64 {
	if s := m.Spec.Precopy.UntilDelta; s != nil {
		return s.Bytes
	}
	var s Size
	_ = s.UnmarshalText([]byte(tagged[Precopy]("UntilDelta")))
	return s.Bytes
}

// Proves tells whether the content of source and target is compared before the target starts.
func (m Migration) Proves() bool { return m.Spec.Verify != "None" }

// Trims tells whether file systems are trimmed after the first start.
func (m Migration) Trims() bool { return m.Spec.FSTrim == nil || *m.Spec.FSTrim }

// Compressed tells whether blocks are sent as they are compressed on disk.
func (m Migration) Compressed() bool {
	return m.Spec.Transfer.Compressed == nil || *m.Spec.Transfer.Compressed
}

func tagged[T any](field string) string { return mustField[T](field).Tag.Get("default") }

func spanOr[T any](d Duration, field string) Duration {
	if d.Duration == 0 {
		_ = d.UnmarshalText([]byte(tagged[T](field)))
	}
	return d
}

// Slots lists the target's disks that are moved, in the order of the manifest.
func (m Migration) Slots() []string {
	var out []string
	for _, d := range m.Spec.Source.Disks {
		out = append(out, d.To)
	}
	return out
}

// CheckTarget lists what is wrong with the guest as the target of the migration.
func (m Migration) CheckTarget(v VM) []Fault {
	var f faults
	const target = "spec.target.virtualMachine"
	if v.Absent() {
		f.add(target, "%s is to be deleted (state: Absent)", v.Metadata.Name)
		return f
	}
	if v.Spec.Power == "Stopped" {
		f.add(target, "%s has power: Stopped, but the migration starts it: write power: Running or leave it out", v.Metadata.Name)
	}
	for i, d := range m.Spec.Source.Disks {
		at := "spec.source.disks[" + itoa(i) + "].to"
		disk := v.Spec.Disks[d.To]
		switch {
		case disk == nil && d.To != "":
			f.word(at, d.To, sortedSlots(v), "%s declares no disk %s: it has %s", v.Metadata.Name, d.To, strings.Join(sortedSlots(v), ", "))
		case disk == nil:
		case disk.Storage == "" || disk.Size == nil || disk.ImportFrom != "":
			f.add(at, "%s of %s is not a fresh disk: write {storage: ..., size: ...}, so that PVE allocates the zvol the source is copied into", d.To, v.Metadata.Name)
		}
	}
	if v.Ignores("protection", "") || v.Ignores("onboot", "") {
		f.add(target, "%s ignores protection or onboot, which the migration has to set until the guest boots", v.Metadata.Name)
	}
	return f
}

func sortedSlots(v VM) []string {
	var out []string
	for k := range v.Spec.Disks {
		out = append(out, k)
	}
	slices.SortFunc(out, CompareKeys)
	return out
}
