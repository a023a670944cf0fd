//go:build lab

package labtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/ustclug/pve-reconcile/internal/config"
	"github.com/ustclug/pve-reconcile/internal/host"
	"github.com/ustclug/pve-reconcile/internal/zfs"
	"github.com/ustclug/pve-reconcile/reconciler/migration"
	"github.com/ustclug/pve-reconcile/reconciler/step"
)

const (
	mark    = "5b0b2f5e-6f0e-5c07-9b1f-1a2b3c4d5e6f"
	tag     = "reconcile-5b0b2f5e"
	parent  = "rpool/data/migrations/lab"
	staging = parent + "/scsi0"
	target  = "rpool/data/vm-200-disk-0"
)

// chain makes the steps of a migration one by one, as the planner would have them made.
type chain struct {
	t      *testing.T
	m      *zfs.Machines
	source string // zvol on mirrors2
	size   int64
	last   step.SnapshotRef // sent and received
	rate   int64
}

func newChain(t *testing.T, source string, size int64) *chain {
	t.Helper()
	hosts := map[string]*host.Host{}
	for _, g := range []guest{mirrors2, pve5} {
		c := config.Host{Address: g.address(), User: "root", KeyFile: filepath.Join(labDir(), "keys", "id_ed25519"), KnownHostsFile: filepath.Join(runDir(), "known_hosts")}
		h := host.Remote(g.name, c, func(file string) (config.Secret, error) {
			text, err := os.ReadFile(file)
			return config.Secret(text), err
		})
		t.Cleanup(func() { _ = h.Close() })
		hosts[g.name] = h
	}
	return &chain{t: t, m: &zfs.Machines{Hosts: hosts, Binary: binaries.reconcile}, source: source, size: size}
}

// do makes a step that must succeed.
func (c *chain) do(s step.OnHost) step.Figures {
	c.t.Helper()
	began := time.Now()
	f, err := c.m.Do(context.Background(), s)
	if err != nil {
		c.t.Fatalf("%s\n%v", s, err)
	}
	c.t.Logf("%5s  %T: %d bytes", since(began), s, f.Bytes)
	return f
}

// when does something once a stream has brought so many bytes.
func (c *chain) when(bytes int64, do func()) {
	var once sync.Once
	c.m.OnProgress = func(p zfs.Progress) {
		if p.Done >= bytes {
			once.Do(func() { go do() })
		}
	}
}

// see looks at a dataset.
func (c *chain) see(g guest, dataset string) migration.Dataset {
	c.t.Helper()
	a := zfs.Observe(context.Background(), c.m.Hosts[g.name], zfs.Question{Datasets: []string{dataset}, Pools: []string{g.pool}})
	if a.Host.Error != "" {
		c.t.Fatal(a.Host.Error)
	}
	return a.Datasets[dataset]
}

func (c *chain) newest(g guest, dataset string) migration.Snapshot {
	c.t.Helper()
	d := c.see(g, dataset)
	if len(d.Snapshots) == 0 {
		c.t.Fatalf("%s: %s has no snapshots", g.name, dataset)
	}
	return d.Snapshots[len(d.Snapshots)-1]
}

// snapshot takes a snapshot and a hold of it, and looks at both.
func (c *chain) snapshot(g guest, dataset, name string) step.SnapshotRef {
	c.t.Helper()
	name = "reconcile-lab-" + name
	c.do(step.SnapshotDisks{Host: g.name, Datasets: []string{dataset}, Name: name, Set: map[string]string{step.PropMark: mark}, Tag: tag})
	s := c.newest(g, dataset)
	if s.Name != name || len(s.Holds) != 1 || s.Holds[0] != tag || s.Props[step.PropMark] == "" {
		c.t.Fatalf("the new snapshot: %+v", s)
	}
	return step.SnapshotRef{Dataset: dataset, Name: name, GUID: s.GUID}
}

func (c *chain) sending(s step.SnapshotRef, token string) step.SendSnapshot {
	return step.SendSnapshot{
		Disk: "scsi0", From: "mirrors2", Snapshot: s, Base: c.last, To: "pve-5", Dataset: staging, Mark: mark, Token: token,
		Set: map[string]string{step.PropMark: mark}, Rate: c.rate,
	}
}

// send sends a snapshot and looks whether it is there.
func (c *chain) send(s step.SnapshotRef, token string) step.Figures {
	c.t.Helper()
	f := c.do(c.sending(s, token))
	if got := c.newest(pve5, staging); got.GUID != s.GUID {
		c.t.Fatalf("sent %s, newest in staging is %+v", s.GUID, got)
	}
	c.last = s
	return f
}

// copyAndProve copies the snapshot sent last into the target and compares what both hold, with the program and without.
func (c *chain) copyAndProve(fresh bool) {
	c.t.Helper()
	at := step.SnapshotRef{Dataset: staging, Name: c.last.Name, GUID: c.last.GUID}
	guid := c.see(pve5, target).GUID
	c.do(step.CopyDisk{
		Disk: "scsi0", Host: "pve-5", Snapshot: at, Target: target, TargetGUID: guid, Size: c.size, Fresh: fresh, Mark: mark, Tag: tag,
		Set: map[string]string{step.PropPrefix + "copied": at.GUID},
	})
	proof := c.snapshot(pve5, target, "copied")
	c.do(step.HashSnapshot{Disk: "scsi0", Host: "mirrors2", Snapshot: c.last, Size: c.size, Volsize: c.size, Mark: mark})
	c.do(step.HashSnapshot{Disk: "scsi0", Host: "pve-5", Snapshot: proof, Size: c.size, Volsize: pve5.number(c.t, "volsize", target), Mark: mark})
	theirs, ours := c.newest(mirrors2, c.source).Props[step.PropHash], c.newest(pve5, target).Props[step.PropHash]
	if theirs == "" || theirs != ours {
		c.t.Errorf("hash of the source %q, of the target %q", theirs, ours)
	}
	c.do(step.DestroySnapshots{Host: "pve-5", Snapshots: []step.SnapshotRef{proof}, Tag: tag, Mark: mark})
	sum := mirrors2.sh(c.t, "zfs clone -o volmode=dev -o readonly=on %s pool0/proof && udevadm settle && head -c %d /dev/zvol/pool0/proof | sha256sum; for n in 1 2 3 4 5 6 7 8 9; do zfs destroy pool0/proof 2>/dev/null && break; sleep 1; done", c.last, c.size)
	if have := pve5.sh(c.t, "head -c %d /dev/zvol/%s | sha256sum", c.size, target); have != sum {
		c.t.Errorf("sha256sum of the source %s, of the target %s", sum, have)
	}
}

// fill writes what compresses, what does not, and leaves holes.
func (c *chain) fill(offset int) {
	mirrors2.sh(c.t, "udevadm settle; d=/dev/zvol/%s; head -c 3M /dev/urandom | dd of=$d bs=64k seek=%d iflag=fullblock conv=notrunc,fsync 2>/dev/null; yes 'a line that compresses' | head -c 2000000 | dd of=$d bs=4k seek=%d iflag=fullblock conv=notrunc,fsync 2>/dev/null; dd if=/dev/zero of=$d bs=64k seek=%d count=8 conv=notrunc,fsync 2>/dev/null",
		c.source, offset, 16*offset+1024+1, offset+8)
}

// The steps of a migration on real ZFS, for a zvol whose size is no whole MiB, with plain streams. Whole migrations have the
// other block sizes, and compressed streams.
func TestSteps(t *testing.T) {
	pristine(t)
	const source = "pool0/qemu/docker2"
	mirrors2.sh(t, "zfs create -s -b 4k -V 33562624 %s 2>/dev/null", source)
	others := pve5.datasets(t)
	c := newChain(t, source, mirrors2.number(t, "volsize", source))
	c.fill(0)
	c.do(step.CreateStaging{Host: "pve-5", Dataset: parent, Set: map[string]string{step.PropMark: mark}})
	c.send(c.snapshot(mirrors2, source, "1"), "")
	pve5.sh(t, "zfs create -s -b 16k -V %d %s && zfs set %s=%s %s", (c.size+1<<20-1)>>20<<20, target, step.PropMark, mark, target)
	c.copyAndProve(true)
	c.fill(100)
	first := c.last
	c.send(c.snapshot(mirrors2, source, "2"), "")
	c.copyAndProve(false)

	if have := pve5.sh(t, "tail -c +%d /dev/zvol/%s | tr -d '\\0' | wc -c", c.size+1, target); have != "0" {
		t.Errorf("%s bytes were written behind what the source has", have)
	}
	if d := c.see(pve5, staging); d.Device != "" || d.Local["readonly"] != "on" || d.Local["volmode"] != "none" || len(d.Snapshots) != 2 {
		t.Errorf("staging: %+v", d)
	}
	c.do(step.DestroySnapshots{Host: "mirrors2", Snapshots: []step.SnapshotRef{first, c.last}, Tag: tag, Mark: mark})
	if d := c.see(mirrors2, source); len(d.Snapshots) > 0 {
		t.Errorf("snapshots of the source are left: %+v", d.Snapshots)
	}
	c.do(step.DestroyDataset{Host: "pve-5", Dataset: staging, GUID: c.see(pve5, staging).GUID, Mark: mark, Snapshots: true, Tag: tag})
	c.do(step.DestroyDataset{Host: "pve-5", Dataset: parent, GUID: c.see(pve5, parent).GUID, Mark: mark})
	left := pve5.datasets(t)
	for _, name := range []string{target, "rpool/data/migrations"} {
		delete(left, name)
	}
	if fmt.Sprint(left) != fmt.Sprint(others) {
		t.Errorf("datasets of others before %v\nand after %v", others, left)
	}
}

// A stream that is cut goes on where it stopped: the program killed, the cable pulled, the power of the target gone.
func TestStepsInterrupted(t *testing.T) {
	pristine(t)
	const source = "pool0/qemu/docker2"
	mirrors2.sh(t, "zfs create -s -b 8k -V 64M %s 2>/dev/null; udevadm settle; head -c 48M /dev/urandom | dd of=/dev/zvol/%s bs=1M iflag=fullblock conv=fsync 2>/dev/null", source, source)
	c := newChain(t, source, 64<<20)
	c.rate = 3 << 20
	c.do(step.CreateStaging{Host: "pve-5", Dataset: parent, Set: map[string]string{step.PropMark: mark}})
	one := c.snapshot(mirrors2, source, "1")

	ctx, cancel := context.WithCancel(context.Background())
	c.when(8<<20, cancel)
	_, err := c.m.Do(ctx, c.sending(one, ""))
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("cancelled: %v", err)
	}
	d := c.see(pve5, staging)
	if d.Token == nil || d.Local[step.PropMark] != mark {
		t.Fatalf("after the end of the program: %+v", d)
	}
	token := zfs.AskToken(context.Background(), c.m.Hosts["mirrors2"], d.Token.Text)
	if token.Error != "" || token.ToGUID != one.GUID || token.Bytes == 0 || token.Left == 0 {
		t.Fatalf("the token says %+v", token)
	}

	off := make(chan error, 1)
	c.when(token.Bytes+8<<20, func() { off <- script("down", pve5.name) })
	_, err = c.m.Do(context.Background(), c.sending(one, token.Text))
	if err := <-off; err != nil {
		t.Fatal(err)
	}
	t.Logf("power of the target cut: %v", err)
	if !errors.Is(err, step.ErrUnreachable) {
		t.Fatalf("power cut: %v", err)
	}
	pve5.boot(t)
	d = c.see(pve5, staging)
	if d.Token == nil {
		t.Fatalf("after the power cut: %+v", d)
	}
	c.rate, c.m.OnProgress = 0, nil
	f := c.send(one, d.Token.Text)
	t.Logf("went on at %d bytes, %d more", f.Resumed, f.Bytes)
	if f.Resumed < token.Bytes {
		t.Errorf("went on at %d, had %d before the power cut", f.Resumed, token.Bytes)
	}
}
