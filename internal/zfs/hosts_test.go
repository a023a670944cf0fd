package zfs_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/ustclug/pve-reconcile/internal/sim/zhost"
	"github.com/ustclug/pve-reconcile/internal/sim/zhost/reach"
	"github.com/ustclug/pve-reconcile/internal/zfs"
	"github.com/ustclug/pve-reconcile/reconciler/migration"
	"github.com/ustclug/pve-reconcile/reconciler/step"
)

func TestMain(m *testing.M) { os.Exit(reach.Main(m)) }

// binary builds the program that is sent to hosts, once.
var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "zfs-test")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "reconcile")
	cmd := exec.Command("go", "build", "-trimpath", "-o", path, "github.com/ustclug/pve-reconcile/cmd/reconcile")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = errors.Join(err, errors.New(string(out)))
	}
	return path, err
})

const (
	uid   = "0b5fb1c4-6f6f-5d5e-9a52-111111111111"
	tag   = "reconcile-0b5fb1c4"
	zvol  = "pool0/qemu/docker2"
	stage = "rpool/data/migrations/docker2"
	disk  = "rpool/data/vm-200-disk-0"
)

const (
	sourceText = "pool pool0 layout=raidz2:6,raidz2:6 disk=2T\nzvol " + zvol + " volsize=24M volblocksize=8k data=30%\n" +
		"guest docker2 disks=" + zvol + " systemd=qemu@docker2.service qmp=/run/docker2.qmp running writes=16K every=50ms\n"
	targetText = "pool rpool layout=raidz2:10 disk=2T\nfilesystem rpool/data\nzvol " + disk + " volsize=24M volblocksize=16k\n"
)

// stand is two simulated hosts and the machines of a config file that reach them.
type stand struct {
	t        *testing.T
	source   *zhost.Host
	target   *zhost.Host
	machines *zfs.Machines
	mu       sync.Mutex
	progress []zfs.Progress
	watch    func(zfs.Progress) // nil: nobody
}

func newStand(t *testing.T) *stand {
	t.Helper()
	t.Parallel()
	program, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	s := &stand{t: t}
	s.machines = &zfs.Machines{Binary: program, OnProgress: func(p zfs.Progress) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.progress = append(s.progress, p)
		if s.watch != nil {
			s.watch(p)
		}
	}}
	fleet, hosts := reach.Hosts(t, map[string]string{"mirrors2": sourceText, "pve-5": targetText})
	s.source, s.target, s.machines.Hosts = fleet.Host("mirrors2"), fleet.Host("pve-5"), hosts
	return s
}

func (s *stand) do(st step.OnHost) step.Figures {
	s.t.Helper()
	f, err := s.machines.Do(s.t.Context(), st)
	if err != nil {
		s.t.Fatalf("%s: %v", st, err)
	}
	return f
}

func (s *stand) see(name string, q zfs.Question) zfs.Answer {
	s.t.Helper()
	a := zfs.Observe(s.t.Context(), s.machines.Hosts[name], q)
	if a.Host.Error != "" {
		s.t.Fatal(a.Host.Error)
	}
	return a
}

func (s *stand) dataset(name, dataset string) migration.Dataset {
	s.t.Helper()
	return s.see(name, zfs.Question{Datasets: []string{dataset}, Openers: []string{dataset}}).Datasets[dataset]
}

// equal hashes a snapshot of the source, and one of the target taken now, and wants them equal.
func (s *stand) equal(last step.SnapshotRef) {
	s.t.Helper()
	const name = "reconcile-docker2-copied"
	s.do(step.SnapshotDisks{Host: "pve-5", Datasets: []string{disk}, Name: name, Set: map[string]string{step.PropMark: uid}, Tag: tag})
	s.do(step.HashSnapshot{Disk: "scsi0", Host: "mirrors2", Snapshot: last, Size: 24 << 20, Volsize: 24 << 20, Mark: uid})
	s.do(step.HashSnapshot{Disk: "scsi0", Host: "pve-5", Snapshot: s.ref("pve-5", disk, name), Size: 24 << 20, Volsize: 24 << 20, Mark: uid})
	want, have := s.hash("mirrors2", last.Dataset, last.Name), s.hash("pve-5", disk, name)
	if have != want || !strings.HasPrefix(want, "blake3-tree:1048576:") {
		s.t.Errorf("source %q, target %q", want, have)
	}
}

func (s *stand) hash(host, dataset, snapshot string) string {
	s.t.Helper()
	for _, snap := range s.dataset(host, dataset).Snapshots {
		if snap.Name == snapshot {
			return snap.Props[step.PropHash]
		}
	}
	return ""
}

func (s *stand) fault(h *zhost.Host, line string) {
	s.t.Helper()
	f, err := zhost.ReadFault(strings.Fields(line))
	if err == nil {
		err = h.AddFault(f)
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// fails makes a step that has to fail, with these words in its error.
func (s *stand) fails(st step.OnHost, kind error, words ...string) {
	s.t.Helper()
	_, err := s.machines.Do(s.t.Context(), st)
	if err == nil || kind != nil && !errors.Is(err, kind) {
		s.t.Errorf("%s: want %v, have %v", st, kind, err)
		return
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			s.t.Errorf("%s: want %q in: %v", st, w, err)
		}
	}
}

// on runs a command on a host as somebody who sits there would.
func (s *stand) on(h *zhost.Host, line string) string {
	s.t.Helper()
	out, errs, code := h.Run(s.t.Context(), line, nil)
	if code != 0 {
		s.t.Fatalf("%s: exit %d: %s", line, code, errs)
	}
	return strings.TrimSpace(out)
}

func (s *stand) snapshot(n string) step.SnapshotRef {
	s.t.Helper()
	s.do(step.SnapshotDisks{Host: "mirrors2", Datasets: []string{zvol}, Name: "reconcile-docker2-" + n, Set: map[string]string{step.PropMark: uid, step.PropPass: n}, Tag: tag})
	return s.ref("mirrors2", zvol, "reconcile-docker2-"+n)
}

func (s *stand) ref(host, dataset, name string) step.SnapshotRef {
	s.t.Helper()
	for _, snap := range s.dataset(host, dataset).Snapshots {
		if snap.Name == name {
			return step.SnapshotRef{Dataset: dataset, Name: name, GUID: snap.GUID}
		}
	}
	s.t.Fatalf("%s has no snapshot %s", dataset, name)
	return step.SnapshotRef{}
}

func sending(ref, base step.SnapshotRef, token string) step.SendSnapshot {
	return step.SendSnapshot{
		Disk: "scsi0", From: "mirrors2", Snapshot: ref, Base: base, To: "pve-5", Dataset: stage + "/scsi0", Mark: uid, Token: token,
		Set: map[string]string{step.PropMark: uid}, Compressed: true, LargeBlocks: true, EmbeddedData: true,
	}
}

func (s *stand) staging() {
	s.t.Helper()
	s.do(step.CreateStaging{Host: "pve-5", Dataset: stage, Set: map[string]string{step.PropMark: uid, step.PropClaim: "c"}})
}

// TestWholeMove moves a disk: full stream, increment while the guest writes, last increment, copy, and equal hashes of the
// source's last snapshot and the target's zvol.
func TestWholeMove(t *testing.T) {
	s := newStand(t)
	s.staging()
	s.staging() // made already: nothing to do
	first := s.snapshot("1")
	f := s.do(sending(first, step.SnapshotRef{}, ""))
	if f.Bytes < 5<<20 {
		t.Errorf("a full stream of %d bytes", f.Bytes)
	}
	staged := s.dataset("pve-5", stage+"/scsi0")
	if staged.Local["readonly"] != "on" || staged.Local["volmode"] != "none" || staged.Local["snapdev"] != "hidden" || staged.Local[step.PropMark] != uid || staged.Device != "" {
		t.Errorf("received as %+v", staged)
	}
	target := s.dataset("pve-5", disk)
	copying := step.CopyDisk{
		Disk: "scsi0", Host: "pve-5", Snapshot: s.ref("pve-5", stage+"/scsi0", first.Name), Target: disk, TargetGUID: target.GUID, Size: 24 << 20, Fresh: true,
		Set: map[string]string{step.PropCopied: first.GUID, step.PropMark: uid}, Mark: uid, Tag: tag,
	}
	f = s.do(copying)
	if f.Bytes != 24<<20 || f.Written == 0 || f.Written >= 24<<20 {
		t.Errorf("copied %+v", f)
	}
	_ = s.source.Guest("docker2")
	s.on(s.source, "systemctl stop qemu@docker2.service")
	s.do(step.SetProperties{Host: "mirrors2", Datasets: []string{zvol}, Set: map[string]string{"readonly": "on", "volmode": "none"}})
	last := s.snapshot("final")
	if now := s.dataset("mirrors2", zvol); now.Device != "" || len(now.Openers) != 0 || now.Snapshots[1].Written != 0 || now.Snapshots[0].Written == 0 || len(now.Snapshots[1].Holds) != 1 {
		t.Errorf("fenced: %+v", now)
	}
	s.do(sending(last, first, ""))
	copying.Snapshot, copying.Fresh, copying.Set[step.PropCopied] = s.ref("pve-5", stage+"/scsi0", last.Name), false, last.GUID
	s.do(copying)
	s.equal(last)
	target = s.dataset("pve-5", disk)
	if target.Local[step.PropCopied] != last.GUID || target.Local[step.PropCopying] != "" || target.Local[step.PropProgress] != "" {
		t.Errorf("target says %v", target.Local)
	}
	for name, ds := range map[string]string{"mirrors2": zfs.ReadClone(zvol), "pve-5": zfs.ReadClone(stage + "/scsi0")} {
		if d := s.dataset(name, ds); d.Exists {
			t.Errorf("%s is left", ds)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	kinds := map[string]bool{}
	for _, p := range s.progress {
		kinds[p.Step] = true
	}
	for _, k := range []string{"send", "copy", "hash"} {
		if !kinds[k] {
			t.Errorf("no progress of %s in %v", k, kinds)
		}
	}
}

// TestObserve looks at everything at once.
func TestObserve(t *testing.T) {
	s := newStand(t)
	a := s.see("mirrors2", zfs.Question{Pools: []string{"pool0"}, Datasets: []string{zvol, "pool0/none"}, Openers: []string{zvol}, More: map[string]string{"x": "echo more; echo and >&2"}})
	d := a.Datasets[zvol]
	if !d.Exists || d.Type != "volume" || d.Volsize != 24<<20 || d.Volblocksize != 8192 || d.Used == 0 || d.GUID == "" || d.Device == "" || len(d.Openers) == 0 || d.Encryption != "off" {
		t.Errorf("%+v", d)
	}
	if a.Datasets["pool0/none"].Exists || a.More["x"] != "more\nand\n" || a.Host.Clock.IsZero() || !strings.HasPrefix(a.Host.ZFS, "2.1.11") || !strings.HasPrefix(a.Host.Tools, "2.1.11") {
		t.Errorf("%+v", a)
	}
	p := a.Host.Pools["pool0"]
	if p.Health != "ONLINE" || p.Ashift != 12 || len(p.Vdevs) != 2 || p.Vdevs[0] != (migration.Vdev{Type: "raidz2", Disks: 6}) || p.Features["large_blocks"] == "" {
		t.Errorf("%+v", p)
	}
	s.fault(s.source, "fail match=^zfs.get.*pool0/qemu code=1 text=permission.denied")
	lost := zfs.Observe(t.Context(), s.machines.Hosts["mirrors2"], zfs.Question{Pools: []string{"pool0"}, Datasets: []string{zvol}})
	if !strings.Contains(lost.Host.Error, "permission.denied") || len(lost.Datasets) != 0 {
		t.Errorf("what cannot be read is known: %+v", lost)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if a := zfs.Observe(ctx, s.machines.Hosts["pve-5"], zfs.Question{}); a.Host.Error == "" {
		t.Error("nobody asked, and an answer")
	}
}

// TestObserveSnapshots tells the snapshots of several datasets apart, and of many asks about ours only.
func TestObserveSnapshots(t *testing.T) {
	s := newStand(t)
	const other = "pool0/qemu/other"
	for _, line := range []string{
		"zfs create -V 8M " + other,
		"zfs snapshot " + other + "@reconcile-x-1", "zfs snapshot " + zvol + "@reconcile-x-1", "zfs snapshot " + zvol + "@by-hand",
		"zfs hold backup " + zvol + "@by-hand", "zfs hold tag " + other + "@reconcile-x-1",
		"zfs set " + step.PropPass + "=1 " + other + "@reconcile-x-1",
		"zfs clone " + zvol + "@by-hand pool0/clone",
	} {
		s.on(s.source, line)
	}
	q := zfs.Question{Datasets: []string{zvol, other, "pool0/qemu", "pool0/none"}}
	said := func() string {
		var b strings.Builder
		for _, name := range []string{zvol, other, "pool0/qemu", "pool0/none"} {
			d := s.see("mirrors2", q).Datasets[name]
			fmt.Fprintf(&b, "%s exists=%t clones=%v\n", name, d.Exists, d.Clones)
			for _, sn := range d.Snapshots {
				if sn.GUID == "" || sn.Created.IsZero() {
					t.Errorf("%+v", sn)
				}
				fmt.Fprintf(&b, "  @%s asked=%t holds=%v pass=%q\n", sn.Name, sn.Written >= 0, sn.Holds, sn.Props[step.PropPass])
			}
		}
		return b.String()
	}
	want := `pool0/qemu/docker2 exists=true clones=[pool0/clone]
  @reconcile-x-1 asked=true holds=[] pass=""
  @by-hand asked=true holds=[backup] pass=""
pool0/qemu/other exists=true clones=[]
  @reconcile-x-1 asked=true holds=[tag] pass="1"
pool0/qemu exists=true clones=[]
pool0/none exists=false clones=[]
`
	if have := said(); have != want {
		t.Errorf("have\n%swant\n%s", have, want)
	}
	for _, command := range []string{"^zfs.holds", "^zfs.get.*written@", "^zfs.get.*snapshot"} {
		s.fault(s.source, "fail match="+command+" code=1 text=it.cannot")
		if a := zfs.Observe(t.Context(), s.machines.Hosts["mirrors2"], q); a.Host.Error == "" {
			t.Errorf("%s failed, and what it would have said counts as known: %+v", command, a.Datasets)
		}
	}
	for i := range 40 {
		s.on(s.source, fmt.Sprintf("zfs snapshot %s@daily-%d", other, i))
	}
	have := said()
	for _, line := range []string{"  @by-hand asked=false holds=[backup]", "  @reconcile-x-1 asked=true holds=[tag] pass=\"1\"", "  @daily-39 asked=false"} {
		if !strings.Contains(have, line) {
			t.Errorf("no %q in\n%s", line, have)
		}
	}
}
