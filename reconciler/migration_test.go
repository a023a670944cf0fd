package reconciler_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ustclug/pve-reconcile/internal/state"
	"github.com/ustclug/pve-reconcile/reconciler"
	"github.com/ustclug/pve-reconcile/reconciler/migration"
	"github.com/ustclug/pve-reconcile/reconciler/step"
	"github.com/ustclug/pve-reconcile/reconciler/vm"
	"github.com/ustclug/pve-reconcile/schema"
)

const move101 = `
---
apiVersion: ` + schema.APIVersion + `
kind: Migration
metadata: {name: web101}
spec:
  source: {host: mirrors2, power: {libvirt: web101}, disks: [{zvol: pool0/web101, to: scsi0}]}
  target: {virtualMachine: web101, staging: rpool/m}
  cutover: {mode: Auto, maxDowntime: 1h}
`

// copying is a world in which the guest is off, as long as it may be, and its last state is to be copied. Long steps go on until
// they are broken off; a short one ends it all.
type copying struct {
	*world
	have  migration.Observed
	mu    sync.Mutex
	asked []string
}

var errEnough = errors.New("enough was seen")

func (c *copying) Migration(context.Context, schema.Migration, schema.ID, *vm.Guest) (migration.Observed, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.have, nil
}

func (c *copying) Do(ctx context.Context, s step.Step) (step.Outcome, error) {
	c.mu.Lock()
	c.asked = append(c.asked, s.String())
	c.mu.Unlock()
	if !migration.Long(s) {
		return step.Outcome{}, errEnough
	}
	select {
	case <-ctx.Done():
	case <-time.After(30 * time.Second):
		return step.Outcome{}, errors.New("nobody breaks it off")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.have.Source.Clock = c.have.Source.Clock.Add(2 * time.Second)
	return step.Outcome{}, context.Cause(ctx)
}

// finalState is what is seen of a migration when the source's last snapshot was received.
func finalState(want schema.Migration, guest schema.VM, now time.Time) migration.Observed {
	const begun = "2026-01-01T00:00:00Z"
	host := func(name, pool string) migration.Host {
		return migration.Host{Name: name, Clock: now, ZFS: "2.3.4", Tools: "2.3.4", Pools: map[string]migration.Pool{pool: {Name: pool, Health: "ONLINE"}}}
	}
	final := migration.Snapshot{Name: "reconcile-web101-final", GUID: "7", Holds: []string{want.Tag()}, Props: map[string]string{step.PropMark: want.UID(), step.PropFinal: "yes", step.PropPass: "2"}}
	zvol := func(name, guid string, local map[string]string, snapshots ...migration.Snapshot) migration.Dataset {
		local[step.PropMark] = want.UID()
		return migration.Dataset{Name: name, Exists: true, GUID: guid, Type: "volume", Volsize: 1 << 30, Volblocksize: 16 << 10, Available: 1 << 40, Encryption: "off", Local: local, Snapshots: snapshots}
	}
	o := migration.Observed{Now: now, Source: host("mirrors2", "pool0"), Target: host("pve-5", "rpool"), Power: migration.Power{State: "stopped", Masked: true}}
	o.Target.Staging = migration.Dataset{Name: "rpool/m", Exists: true, Type: "filesystem", Available: 1 << 40, Encryption: "off"}
	o.Target.Parent = migration.Dataset{Name: want.StagingParent(), Exists: true, GUID: "3", Type: "filesystem", Local: map[string]string{step.PropMark: want.UID(), step.PropClaim: want.Claim()}}
	config := vm.Plan(migration.Aside(guest), schema.VM{}, vm.Observed{}).Steps[0].(step.CreateVM).Set
	config["scsi0"] = "local-zfs:vm-101-disk-0,size=1G"
	o.VM = vm.Observed{Exists: true, Node: "pve-5", Status: "stopped", Digest: "1", Running: config}
	o.Disks = []migration.Disk{{
		Slot: "scsi0", Volid: "local-zfs:vm-101-disk-0",
		Source:  zvol("pool0/web101", "1", map[string]string{"readonly": "on", "volmode": "none", step.PropShutdown: begun, step.PropFence: "readonly=-,volmode=-"}, final),
		Staging: zvol(want.StagingZvol("scsi0"), "2", map[string]string{step.PropSource: "1"}, final),
		Target:  zvol("rpool/data/vm-101-disk-0", "5", map[string]string{step.PropSource: "1"}),
	}}
	return o
}

// TestLongStepsEndWithMaxDowntime: a copy that would keep the guest off for longer than it may be is broken off, which is no
// failure, and the stop is taken back.
func TestLongStepsEndWithMaxDowntime(t *testing.T) {
	s := begin(t)
	in := s.input("r1", map[string]string{"web101.yaml": guest("web101", "node: pve-5, disks: {scsi0: {storage: local-zfs, size: 1Gi}}, networks: {net0: {model: virtio, bridge: vmbr0, mac: \"BC:24:11:00:00:01\"}}") + move101})
	if len(in.Set.Problems) > 0 {
		t.Fatal(in.Set.Problems)
	}
	now := time.Date(2026, 1, 1, 1, 0, 0, 0, time.UTC) // the guest has been off for an hour
	c := &copying{world: s.world, have: finalState(in.Set.Migrations[0].Object.Resolve("ustclug", "ustc", "here"), in.Set.VMs[0].Object.Resolve("ustclug", "ustc"), now)}
	s.World, s.Now = c, func() time.Time { return now }
	s.Moves = reconciler.Moves{State: state.MigrationsIn(t.TempDir()), Me: state.Holder{PID: 1}, Repository: "here", Possible: true, Long: reconciler.AllSteps}
	in.Only = []string{"Migration/web101"}
	r := s.Apply(t.Context(), in)
	if len(r.Objects) != 1 || !errors.Is(r.Objects[0].Err, errEnough) {
		t.Fatalf("%s\n%s", verdicts(r), strings.Join(c.asked, "\n"))
	}
	last := c.asked[len(c.asked)-1]
	if len(c.asked) != 3 || !strings.Contains(last, step.PropRolledBack) || !strings.Contains(last, "maxDowntime") {
		t.Errorf("asked for\n%s", strings.Join(c.asked, "\n"))
	}
	entries, err := s.Moves.Record("web101")
	if err != nil || len(entries) != 3 || entries[0].Error == "" || entries[1].Error == "" {
		t.Errorf("recorded %v, %v", entries, err)
	}
}
