package migration_test

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ustclug/pve-reconcile/internal/strictyaml"
	"github.com/ustclug/pve-reconcile/reconciler/migration"
	"github.com/ustclug/pve-reconcile/reconciler/step"
	"github.com/ustclug/pve-reconcile/reconciler/vm"
	"github.com/ustclug/pve-reconcile/schema"
)

// specs are the manifests of a story.
type specs struct {
	want  schema.Migration
	guest schema.VM
}

const docker2 = `
source: {host: mirrors2, power: {systemd: qemu@docker2.service, qmp: /run/docker2.qmp}, disks: [{zvol: pool0/qemu/docker2, to: scsi0}]}
target: {virtualMachine: docker2, staging: rpool/data/migrations}
cutover: {mode: Approve, window: "Sat 02:00-06:00 Asia/Shanghai", maxDowntime: 2h}
`

const docker2VM = `
node: pve-5
vmid: 200
power: Running
onboot: true
cpu: {cores: 4}
memory: 16Gi
scsihw: virtio-scsi-pci
agent: {enabled: true}
disks: {scsi0: {storage: local-zfs, size: 300Gi, discard: true}}
networks: {net0: {model: virtio, bridge: vmbr2, mac: "00:50:56:9f:00:22"}}
`

// object reads a spec of a kind. Lines of over replace the fields of the same name in text.
func object[T interface{ Validate() []schema.Fault }](t testing.TB, kind, name, text, over string) T {
	t.Helper()
	fields := map[string]bool{}
	for line := range strings.Lines(over) {
		if key, _, ok := strings.Cut(line, ":"); ok && !strings.HasPrefix(line, " ") {
			fields[key] = true
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "apiVersion: %s\nkind: %s\nmetadata: {name: %s}\nspec:\n", schema.APIVersion, kind, name)
	for line := range strings.Lines(text) {
		if key, _, _ := strings.Cut(line, ":"); strings.TrimSpace(line) != "" && !fields[key] {
			b.WriteString("  " + line)
		}
	}
	for line := range strings.Lines(over) {
		b.WriteString("  " + line)
	}
	docs, problems := strictyaml.Documents("test", []byte(b.String()))
	var v T
	if len(docs) == 1 {
		problems = append(problems, docs[0].Decode(&v)...)
	}
	for _, p := range problems {
		t.Fatalf("%s\n%s", p, b.String())
	}
	for _, f := range v.Validate() {
		t.Fatalf("%s: %s\n%s", f.Path, f.Text, b.String())
	}
	return v
}

func resolved(t testing.TB, migrationSpec, vmSpec string) specs {
	t.Helper()
	s := specs{
		want:  object[schema.Migration](t, schema.KindMigration, "docker2", docker2, migrationSpec).Resolve("ustclug", "ustc", "git@example:infra"),
		guest: object[schema.VM](t, schema.KindVM, "docker2", docker2VM, vmSpec).Resolve("ustclug", "ustc"),
	}
	for _, f := range s.want.CheckTarget(s.guest) {
		t.Fatal(f.Path, f.Text)
	}
	return s
}

// facts reads what is observed, one line a thing. Nothing said, everything is well: both hosts answer, the guest runs on the
// source, and nothing was done yet.
//
//	now: 2026-11-28T02:30:00+08:00
//	source: @1 @2 written=5M fenced shutdown=TIME    @NAME is a snapshot of ours, held; ~ after it: not held; ? somebody else's
//	staging: @1 token=2                              token=TO[<FROM][!ERROR]
//	target: copied=1 copying=2 started               a user property, with a snapshot's name where it is a guid
//	parent: here | foreign | other-repository | for=TARGET | has=SLOT
//	                                                 the file system around the staging zvols, and zvols in it
//	power: running | stopped masked
//	vm: absent | aside | stopped | running | up      aside: as until Boot; stopped and running: as the manifest says; up: it runs
//	host mirrors2: error TEXT | clock TIME | free 1T | zfs VERSION | health WORD | no-staging | encrypted KEYSTATUS
//	pool pve-5: raidz2 of 10 FEATURES                features it lacks
//
// A line is about scsi0 unless it says otherwise: "source scsi1: ...". Sizes have units, times are RFC 3339.
func facts(t testing.TB, s specs, text string) migration.Observed {
	t.Helper()
	r := reading{t: t, specs: s, have: blank(s)}
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(strings.TrimSpace(line), " #")
		subject, rest, ok := strings.Cut(line, ": ")
		if !ok {
			subject, ok = strings.CutSuffix(line, ":")
			if !ok && line != "" {
				t.Fatalf("%q: a fact is SUBJECT: WORDS", line)
			}
		}
		if line != "" {
			r.line(strings.Fields(subject), strings.Fields(rest), rest)
		}
	}
	return r.have
}

type reading struct {
	t testing.TB
	specs
	have migration.Observed
}

const tib = int64(1) << 40

// blank is the world before anything was done.
func blank(s specs) migration.Observed {
	now := time.Date(2026, 11, 27, 18, 30, 0, 0, time.UTC) // Saturday 02:30 in Shanghai
	features := map[string]string{"lz4_compress": "active", "embedded_data": "active", "large_blocks": "enabled"}
	o := migration.Observed{
		Now:    now,
		Source: migration.Host{Name: "mirrors2", Clock: now, ZFS: "2.1.11-1", Tools: "2.1.11-1", Pools: map[string]migration.Pool{"pool0": {Name: "pool0", Health: "ONLINE", Ashift: 12, Features: features, Vdevs: []migration.Vdev{{"raidz2", 6}, {"raidz2", 6}}}}},
		Target: migration.Host{Name: "pve-5", Clock: now, ZFS: "2.3.4-pve1", Tools: "2.3.4-pve1", Pools: map[string]migration.Pool{"rpool": {Name: "rpool", Health: "ONLINE", Ashift: 12, Features: features, Vdevs: []migration.Vdev{{"raidz2", 10}}}}},
		Power:  migration.Power{State: "running"},
		VM:     vm.Observed{},
		Rates:  migration.Rates{Send: 100e6, Copy: 500e6, Hash: 900e6, Shutdown: 30 * time.Second, Boot: 45 * time.Second},
	}
	o.Target.Staging = migration.Dataset{Name: s.want.Spec.Target.Staging, Exists: true, Type: "filesystem", Available: 4 * tib, Encryption: "off"}
	for i, d := range s.want.Spec.Source.Disks {
		size := s.guest.Spec.Disks[d.To].Size.Bytes
		o.Disks = append(o.Disks, migration.Disk{Slot: d.To, Source: migration.Dataset{
			Name: d.Zvol, Exists: true, GUID: fmt.Sprintf("100%d", i), Type: "volume", Volsize: size, Volblocksize: 8 << 10, Used: size * 2012 / 1000, Referenced: size * 2012 / 1000, Logical: size,
			Encryption: "off", Compression: "off", Local: map[string]string{}, Device: fmt.Sprintf("/dev/zd%d", 16*i), Openers: []string{"qemu-system-x86 (4711)"},
		}})
	}
	return o
}

func (r *reading) disk(words []string) *migration.Disk {
	slot := "scsi0"
	if len(words) > 1 {
		slot = words[1]
	}
	for i := range r.have.Disks {
		if r.have.Disks[i].Slot == slot {
			return &r.have.Disks[i]
		}
	}
	r.t.Fatalf("no disk %s", slot)
	return nil
}

func (r *reading) line(subject, words []string, rest string) {
	switch subject[0] {
	case "now":
		r.have.Now = r.time(rest)
		r.have.Source.Clock, r.have.Target.Clock = r.have.Now, r.have.Now
	case "source":
		r.dataset(&r.disk(subject).Source, words, true)
	case "staging":
		d := r.disk(subject)
		d.Staging = migration.Dataset{Name: r.want.StagingZvol(d.Slot), Exists: true, GUID: "2" + d.Source.GUID, Type: "volume", Volsize: d.Source.Volsize, Local: map[string]string{
			step.PropMark: r.want.UID(), step.PropSource: d.Source.GUID, "readonly": "on", "volmode": "none",
		}}
		r.parent("here")
		r.dataset(&d.Staging, words, false)
	case "target":
		d := r.disk(subject)
		if !d.Target.Exists {
			r.vm("aside")
		}
		r.dataset(&d.Target, words, true)
	case "parent":
		r.parent(rest)
	case "power":
		r.power(words)
	case "vm":
		for _, w := range words {
			r.vm(w)
		}
	case "host":
		r.host(subject[1], words)
	case "rates":
		r.have.Rates = migration.Rates{}
	case "pool":
		r.pool(subject[1], words)
	default:
		r.t.Fatalf("unknown subject %q", subject)
	}
}

func (r *reading) time(text string) time.Time {
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		r.t.Fatal(err)
	}
	return at
}

func (r *reading) parent(word string) {
	p := migration.Dataset{Name: r.want.StagingParent(), Exists: true, GUID: "3000", Type: "filesystem", Local: map[string]string{step.PropMark: r.want.UID(), step.PropClaim: r.want.Claim()}}
	switch word {
	case "absent":
		p = migration.Dataset{}
	case "foreign":
		p.Local = nil
	case "other-repository":
		p.Local[step.PropClaim] = "4711"
	}
	if target, is := strings.CutPrefix(word, "for="); is {
		p.Local[step.PropTarget] = target
	}
	if slot, is := strings.CutPrefix(word, "has="); is {
		r.have.Target.Received = append(r.have.Target.Received, r.want.StagingZvol(slot))
	}
	r.have.Target.Parent = p
}

func (r *reading) power(words []string) {
	r.have.Power.State = words[0]
	for _, w := range words[1:] {
		switch key, value, _ := strings.Cut(w, "="); key {
		case "masked":
			r.have.Power.Masked = true
		case "autostart":
			r.have.Power.Autostart = value
		case "graceless":
			r.have.Power.Graceful = "the unit has no ExecStop"
		case "text":
			r.have.Power.Text = value
		default:
			r.t.Fatalf("power: %q", w)
		}
	}
	if words[0] != "running" {
		for i := range r.have.Disks {
			r.have.Disks[i].Source.Openers = nil
		}
	}
}

func (r *reading) host(name string, words []string) {
	h := &r.have.Source
	if name == "pve-5" {
		h = &r.have.Target
	}
	switch words[0] {
	case "error":
		h.Error = strings.Join(words[1:], " ")
	case "clock":
		h.Clock = r.time(words[1])
	case "free":
		h.Staging.Available = size(r.t, words[1])
	case "zfs":
		h.ZFS, h.Tools = words[1], words[1]
	case "health":
		for name, p := range h.Pools {
			p.Health = words[1]
			h.Pools[name] = p
		}
	case "encrypted":
		h.Staging.Encryption, h.Staging.Key = "aes-256-gcm", words[1]
	case "no-staging":
		h.Staging.Exists = false
	default:
		r.t.Fatalf("host: %q", words)
	}
}

// pool reads the layout of the pool of a host: raidz2 of 6 ashift 12, without lz4_compress.
func (r *reading) pool(host string, words []string) {
	pools := r.have.Source.Pools
	if host == "pve-5" {
		pools = r.have.Target.Pools
	}
	for name, p := range pools {
		disks, err := strconv.Atoi(words[2])
		if err != nil {
			r.t.Fatal(err)
		}
		p.Vdevs = []migration.Vdev{{Type: words[0], Disks: disks}}
		p.Features = maps.Clone(p.Features)
		for _, w := range words[3:] {
			delete(p.Features, w)
		}
		pools[name] = p
	}
}

func size(t testing.TB, text string) int64 {
	digits := strings.TrimRight(text, "KMGT")
	n, err := strconv.ParseFloat(digits, 64)
	if err != nil {
		t.Fatal(err)
	}
	return int64(n * float64(map[string]int64{"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": tib}[text[len(digits):]]))
}

// snapshotProps are the user properties whose value is the guid of a snapshot, written by its name.
var guidProps = []string{"copied", "copying"}

func (r *reading) dataset(d *migration.Dataset, words []string, own bool) {
	written := int64(0)
	for _, w := range words {
		key, value, valued := strings.Cut(w, "=")
		switch {
		case strings.HasPrefix(w, "@"):
			r.snapshot(d, w[1:], own)
		case key == "written":
			written = size(r.t, value)
		case key == "token":
			d.Token = token(value)
		case key == "size":
			d.Volsize = size(r.t, value)
		case key == "ref":
			d.Referenced = size(r.t, value)
		case key == "free":
			d.Available = size(r.t, value)
		case w == "thick":
			d.RefReserv = d.Volsize
		case w == "elsewhere":
			d.Name = strings.Replace(d.Name, "rpool/data", "tank", 1)
		case key == "used":
			d.Used = size(r.t, value)
		case key == "guid":
			d.GUID = value
		case key == "block":
			d.Volblocksize = size(r.t, value)
		case key == "logical":
			d.Logical = size(r.t, value)
		case key == "compression":
			d.Compression = value
		case w == "absent":
			*d = migration.Dataset{}
		case w == "encrypted":
			d.Encryption, d.Key = "aes-256-gcm", "available"
		case w == "locked":
			d.Encryption, d.Key = "aes-256-gcm", "unavailable"
		case w == "fenced":
			d.Local["readonly"], d.Local["volmode"], d.Device = "on", "none", ""
			d.Local[step.PropFence] = "readonly=-,volmode=dev"
		case w == "unmarked":
			delete(d.Local, step.PropMark)
		case key == "open":
			d.Openers = append(d.Openers, value)
		case key == "holder":
			d.Openers = append(d.Openers, "held by "+value)
		case w == "device":
			d.Device = "/dev/zd0"
		case key == "readonly" || key == "volmode":
			d.Local[key] = value
		case slices.Contains(guidProps, key):
			d.Local[step.PropPrefix+key] = "guid-" + value
		case key == "clone":
			d.Clones = append(d.Clones, value)
		default:
			if !valued {
				value = r.have.Now.UTC().Format(time.RFC3339)
			}
			d.Local[step.PropPrefix+key] = strings.ReplaceAll(value, "_", " ")
			if key == "shutdown" {
				d.Local[step.PropMark] = r.want.UID()
			}
		}
	}
	for i := range d.Snapshots {
		if d.Snapshots[i].Written == 0 {
			d.Snapshots[i].Written = written
		}
	}
}

func token(text string) *migration.Token {
	text, fault, _ := strings.Cut(text, "!")
	to, from, incremental := strings.Cut(text, "<")
	tk := &migration.Token{Text: "1-token-" + to, ToGUID: "guid-" + to, Error: fault, Bytes: 1 << 30, Left: 1 << 30}
	if incremental {
		tk.FromGUID = "guid-" + from
	}
	return tk
}

// snapshot reads NAME[~][?][:prop=value...]; own: it carries our mark, as those on staging zvols do not.
func (r *reading) snapshot(d *migration.Dataset, text string, own bool) {
	parts := strings.Split(text, ":")
	name := strings.TrimRight(parts[0], "~?")
	flags := parts[0][len(name):]
	s := migration.Snapshot{Name: "reconcile-docker2-" + name, GUID: "guid-" + name, Created: r.have.Now.Add(-time.Hour), Holds: []string{r.want.Tag()}, Props: map[string]string{}}
	if own {
		s.Props[step.PropMark] = r.want.UID()
		if _, err := strconv.Atoi(name); err == nil {
			s.Props[step.PropPass] = name
		}
		if strings.HasPrefix(name, "final") {
			s.Props[step.PropFinal], s.Props[step.PropPass] = "yes", "99"
		}
	}
	if strings.Contains(flags, "~") {
		s.Holds = nil
	}
	if strings.Contains(flags, "?") {
		s.Name, s.Holds, s.Props = name, nil, map[string]string{}
	}
	for _, p := range parts[1:] {
		switch key, value, _ := strings.Cut(p, "="); key {
		case "written":
			s.Written = size(r.t, value)
		case "copied":
			s.Props[step.PropCopied] = "guid-" + value
		default:
			s.Props[step.PropPrefix+key] = value
		}
	}
	d.Snapshots = append(d.Snapshots, s)
}

// vm puts a guest there as PVE would have made it.
func (r *reading) vm(word string) {
	guest := r.guest
	no, yes := false, true
	switch word {
	case "absent":
		r.have.VM = vm.Observed{}
		for i := range r.have.Disks {
			r.have.Disks[i].Target, r.have.Disks[i].Volid = migration.Dataset{}, ""
		}
		return
	case "ran":
		r.have.Ran = true
		return
	case "agent":
		r.have.Agent = "up"
		return
	case "up": // it runs, configured as it is
		r.have.VM.Status, r.have.Ran = "running", true
		return
	case "locked":
		r.have.VM.Running["lock"] = "backup"
		return
	case "elsewhere":
		r.have.VM.Running["scsi0"] = "local-zfs:vm-200-disk-9,discard=on,size=300G"
		return
	case "elsewhere-none":
		r.vm("aside")
		r.have.VM.Running["scsi0"] = "local-lvm:vm-200-disk-0,discard=on,size=300G"
		for i := range r.have.Disks {
			r.have.Disks[i].Target, r.have.Disks[i].Volid = migration.Dataset{}, "local-lvm:vm-200-disk-0"
		}
		return
	case "moved":
		r.have.VM.Node = "pve-6"
		return
	case "stranger":
		r.have.VM.Running["smbios1"] = "uuid=00000000-0000-0000-0000-000000000001"
		return
	case "aside":
		guest.Spec.OnBoot, guest.Spec.Protection = &no, &yes
	case "stopped", "running":
	default:
		r.t.Fatalf("vm: %q", word)
	}
	r.have.VM = made(r.t, guest)
	if word == "running" {
		r.have.VM.Status, r.have.Ran = "running", true
	}
	for i := range r.have.Disks {
		d := &r.have.Disks[i]
		if d.Target.Exists {
			continue
		}
		d.Volid = volid(r.have.VM.Running[d.Slot])
		d.Target = migration.Dataset{
			Name: "rpool/data/" + strings.TrimPrefix(d.Volid, "local-zfs:"), Exists: true, GUID: fmt.Sprintf("500%d", i), Type: "volume", Volsize: r.guest.Spec.Disks[d.Slot].Size.Bytes,
			Volblocksize: 16 << 10, Referenced: 56 << 10, Available: 4 * tib, Compression: "lz4", Local: map[string]string{step.PropMark: r.want.UID(), step.PropSource: d.Source.GUID},
		}
	}
}

func volid(text string) string {
	id, _, _ := strings.Cut(text, ",")
	return id
}

// made is a guest as its own plan makes it.
func made(t testing.TB, guest schema.VM) vm.Observed {
	uuid := guest.Spec.UUID
	guest.Spec.UUID = "" // an adopted guest is never made: then one like it is
	plan := vm.Plan(guest.Resolve("ustclug", "ustc"), schema.VM{}, vm.Observed{})
	create, ok := plan.Steps[0].(step.CreateVM)
	if !ok {
		t.Fatal(plan)
	}
	o := vm.Observed{Exists: true, Node: guest.Spec.Node, Status: "stopped", Digest: "d1", Running: maps.Clone(create.Set)}
	o.Running["smbios1"] = "uuid=" + uuid
	n := 0
	for _, key := range slices.SortedFunc(maps.Keys(create.Set), schema.CompareKeys) {
		row, ok := schema.RowOf(key)
		if !ok || !row.Drive() {
			continue
		}
		props := row.Parse(create.Set[key])
		storage, gib, fresh := strings.Cut(props["file"], ":")
		if _, err := strconv.Atoi(gib); fresh && err == nil {
			props["file"], props["size"] = fmt.Sprintf("%s:vm-%d-disk-%d", storage, guest.Spec.VMID, n), gib+"G"
			o.Running[key] = row.Print(props)
			n++
		}
	}
	return o
}
