package pve_test

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ustclug/pve-reconcile/internal/pve"
	"github.com/ustclug/pve-reconcile/internal/sim"
	"github.com/ustclug/pve-reconcile/reconciler/step"
	"github.com/ustclug/pve-reconcile/reconciler/vm"
	"github.com/ustclug/pve-reconcile/schema"
)

const world = `
-- world --
version: 9.2.11
local: pve1
-- node pve1 --
-- node pve2 --
-- datacenter.cfg --
tag-style: ordering=config
-- storage.cfg --
dir: tank
	path /srv/tank
	content images,rootdir

-- user.cfg --
token:root@pam!recon:0:0::
user:plain@pve:1:0::::::
token:plain@pve!t:0:0::
role:Audit:Sys.Audit:
acl:0:/:plain@pve:Audit:
acl:1:/vms/110:plain@pve:PVEAuditor:
-- token.cfg --
root@pam!recon 5ec3e7
plain@pve!t p1a1n
-- vm 110 pve1 --
agent: 1
boot: order=net0
cores: 1
memory: 512
name: runner
net0: virtio=BC:24:11:71:58:C4,bridge=vmbr0
scsihw: virtio-scsi-pci
smbios1: uuid=b5c1fe1a-e6fc-4fdf-b4da-27623c34219a
-- vm 111 pve1 --
lock: backup
name: locked
smbios1: uuid=b5c1fe1a-e6fc-4fdf-b4da-27623c34219b
-- vm 112 pve2 --
name: away
-- interfaces pve1 --
auto vmbr0
iface vmbr0 inet manual
	bridge-ports none
	bridge-stp off
	bridge-fd 0

-- interfaces pve2 --
auto vmbr0
iface vmbr0 inet manual
	bridge-ports none
	bridge-stp off
	bridge-fd 0

`

// start serves the world and speaks to it.
func start(t *testing.T, change ...func(*pve.Options)) (*sim.Server, *pve.Cluster) {
	t.Helper()
	w, err := sim.ParseWorld(strings.NewReader(world))
	if err != nil {
		t.Fatal(err)
	}
	s := sim.New(w, sim.Options{})
	url, err := s.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	o := pve.Options{
		Name: "lab", Endpoint: url, Token: "root@pam!recon=5ec3e7", Fingerprint: s.Fingerprint(),
		PollInterval: time.Millisecond, Pause: time.Millisecond,
	}
	for _, f := range change {
		f(&o)
	}
	c, err := pve.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s, c
}

func guestID(vmid int) schema.ID { return schema.ID{Cluster: "lab", Node: "pve1", VMID: vmid} }

func look(t *testing.T, c *pve.Cluster, vmid int) vm.Observed {
	t.Helper()
	o, err := c.Look(t.Context(), guestID(vmid), nil)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func do(t *testing.T, c *pve.Cluster, s step.Step) step.Outcome {
	t.Helper()
	out, err := c.Do(t.Context(), s)
	if err != nil {
		t.Fatalf("%s: %v", s, err)
	}
	return out
}

func gib(n int64) schema.Size { return schema.Size{Bytes: n << 30} }

// The life of a guest, from its creation to its end.
func TestLife(t *testing.T) {
	const keys = "ssh-ed25519%20AAAAC3NzaC1lZDI1NTE5AAAAIHeJMBUQ6ade6iOrd98EyqRVywPOYdr%2BqnFfjQLbL4a0%20me%40host%0A"
	_, c := start(t)
	id := guestID(200)
	if o := look(t, c, 200); o.Exists {
		t.Fatalf("before: %+v", o)
	}
	do(t, c, step.CreateVM{ID: id, Set: map[string]string{
		"name": "docker2", "memory": "1024", "cores": "2", "scsihw": "virtio-scsi-pci", "scsi0": "tank:2,discard=on", "net0": "virtio,bridge=vmbr0",
		"description": "100% + \"quoted\"\nünï; a=b&c", "tags": "Zeta;alpha", "sshkeys": keys, "cipassword": "$5$salt$hash",
	}})
	o := look(t, c, 200)
	if o.Status != "stopped" || o.Node != "pve1" || o.Digest == "" || o.Running["memory"] != "1024" || o.Running["cores"] != "2" {
		t.Errorf("created: %+v", o)
	}
	if o.Running["description"] != "100% + \"quoted\"\nünï; a=b&c" || o.Running["sshkeys"] != keys {
		t.Errorf("texts: %q %q", o.Running["description"], o.Running["sshkeys"])
	}
	if !slices.Equal(slices.Collect(maps.Values(o.Sizes)), []int64{2 << 30}) {
		t.Errorf("sizes: %v", o.Sizes)
	}
	do(t, c, step.ResizeDisk{ID: id, Digest: o.Digest, Disk: "scsi0", Size: gib(3)})
	do(t, c, step.StartVM{ID: id})
	o = look(t, c, 200)
	if o.Status != "running" || !slices.Equal(slices.Collect(maps.Values(o.Sizes)), []int64{3 << 30}) {
		t.Errorf("started: %+v", o)
	}
	out := do(t, c, step.SetConfig{ID: id, Digest: o.Digest, Set: map[string]string{"memory": "2048", "scsi1": "tank:1"}})
	if len(out.Tasks) != 1 {
		t.Errorf("an allocation is no task: %+v", out)
	}
	o = look(t, c, 200)
	if o.Running["memory"] != "1024" || o.Pending["memory"].Value != "2048" || len(o.Sizes) != 2 {
		t.Errorf("pending: %+v", o)
	}
	if out := do(t, c, step.SetConfig{ID: id, Digest: o.Digest, Revert: []string{"memory"}, Delete: []string{"tags", "net0"}}); len(out.Tasks) != 0 {
		t.Errorf("a plain write is a task: %+v", out)
	}
	o = look(t, c, 200)
	if _, there := o.Running["tags"]; there || o.Pending["memory"].Value != "" || o.Desired()["net0"] != "" {
		t.Errorf("reverted and removed: %+v", o)
	}
	do(t, c, step.ShutdownVM{ID: id})
	census, err := c.Census(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	g := census.Guests[200]
	if g.Node != "pve1" || !census.Facts.TagsInOrder || census.Facts.TagsCaseSensitive || !census.Nodes["pve2"] {
		t.Errorf("census: %+v", census)
	}
	do(t, c, step.DeleteVM{ID: id})
	if o, err := c.Look(t.Context(), id, &g); err != nil || o.Exists {
		t.Errorf("deleted, with the census of before: %+v, %v", o, err)
	}
}

// What goes wrong, and what the reconciler is told.
func TestWeather(t *testing.T) {
	set := step.SetConfig{ID: guestID(110), Set: map[string]string{"cores": "2"}}
	stale := step.SetConfig{ID: guestID(110), Digest: strings.Repeat("0", 40), Set: map[string]string{"cores": "2"}}
	for name, c := range map[string]struct {
		fault string
		step  step.Step
		want  error
		text  string
		after string // cores afterwards
	}{
		"stale digest":           {"", stale, step.ErrStale, "checksum mismatch", "1"},
		"stale digest of resize": {"", step.ResizeDisk{ID: guestID(110), Digest: strings.Repeat("0", 40), Disk: "scsi0", Size: gib(1)}, step.ErrStale, "checksum mismatch", "1"},
		"locked":                 {"", step.SetConfig{ID: guestID(111), Set: map[string]string{"cores": "2"}}, step.ErrBusy, "VM is locked (backup)", "1"},
		"start while locked":     {"", step.StartVM{ID: guestID(111)}, step.ErrBusy, "VM is locked (backup)", "1"},
		"vmid taken elsewhere":   {"", step.CreateVM{ID: guestID(112)}, step.ErrStale, "already exists on node 'pve2'", "1"},
		"absent":                 {"", step.StartVM{ID: guestID(999)}, step.ErrStale, "does not exist", "1"},
		"root only":              {"", step.SetConfig{ID: guestID(110), Set: map[string]string{"args": "-x"}}, step.ErrForbidden, "only root can set", "1"},
		"cut before":             {"PUT /nodes/pve1/qemu/110/config drop", set, step.ErrUnreachable, "whether the change was made is not known", "1"},
		"cut after":              {"PUT /nodes/pve1/qemu/110/config drop-after", set, step.ErrUnreachable, "whether the change was made is not known", "2"},
		"node away":              {"PUT /nodes/pve1/qemu/110/config error status=595 text=\"Connection refused\"", set, step.ErrUnreachable, "595 Connection refused", "1"},
		"proxy timeout after":    {"PUT /nodes/pve1/qemu/110/config error-after status=596 text=\"Connection timed out\"", set, step.ErrUnreachable, "whether the change was made is not known", "2"},
		"config lock for long":   {"PUT /nodes/pve1/qemu/110/config error times=-1 text=\"can't lock file '/var/lock/qemu-server/lock-110.conf' - got timeout\"", set, step.ErrBusy, "got timeout", "1"},
		"config lock for short":  {"PUT /nodes/pve1/qemu/110/config error times=2 text=\"can't lock file '/var/lock/qemu-server/lock-110.conf' - got timeout\"", set, nil, "", "2"},
		"task fails":             {"TASK qmstart task-fail text=\"bridge 'vmbr66' does not exist\"", step.StartVM{ID: guestID(110)}, nil, "bridge 'vmbr66' does not exist", "1"},
		"task hangs":             {"TASK qmstart task-hang", step.StartVM{ID: guestID(110)}, step.ErrUnfinished, "still runs after", ""},
		"blips while waiting":    {"GET /nodes/pve1/tasks/* error times=5 status=595", step.StartVM{ID: guestID(110)}, nil, "", "1"},
	} {
		t.Run(name, func(t *testing.T) {
			s, cluster := start(t, func(o *pve.Options) { o.TaskTimeout = 100 * time.Millisecond })
			faults, err := sim.ReadFaults(strings.NewReader(c.fault))
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range faults {
				s.AddFault(f)
			}
			_, err = cluster.Do(t.Context(), c.step)
			switch {
			case c.text == "" && err != nil:
				t.Error(err)
			case c.text != "" && (err == nil || !strings.Contains(err.Error(), c.text)):
				t.Errorf("error %v, want %q", err, c.text)
			case c.want != nil && !errors.Is(err, c.want):
				t.Errorf("error %v, want one that is %q", err, c.want)
			}
			s.ClearFaults()
			if c.after != "" {
				if o := look(t, cluster, 110); o.Running["cores"] != c.after {
					t.Errorf("cores %s, want %s", o.Running["cores"], c.after)
				}
			}
		})
	}
}

// A paused guest is not shut down, and who reads that is told what to do.
func TestShutdownOfPaused(t *testing.T) {
	s, c := start(t)
	do(t, c, step.StartVM{ID: guestID(110)})
	s.Edit(func(w *sim.World) { w.VMs[110].State = "paused" })
	_, err := c.Do(t.Context(), step.ShutdownVM{ID: guestID(110)})
	if err == nil || !strings.Contains(err.Error(), "VM is paused - cannot shutdown") || !strings.Contains(err.Error(), "qm resume") {
		t.Error(err)
	}
}

func TestTokens(t *testing.T) {
	_, c := start(t, func(o *pve.Options) { o.Token = "plain@pve!t=p1a1n" })
	census, err := c.Census(t.Context())
	if err != nil || len(census.Guests) != 1 {
		t.Errorf("census of a token that sees one guest: %+v, %v", census, err)
	}
	_, err = c.Do(t.Context(), step.SetConfig{ID: guestID(110), Set: map[string]string{"cores": "2"}})
	if !errors.Is(err, step.ErrForbidden) || !strings.Contains(err.Error(), "pveum acl modify /vms/110 --token 'plain@pve!t' --role PVEVMAdmin") {
		t.Error(err)
	}
	if o, err := c.VM(t.Context(), guestID(111), nil); !errors.Is(err, step.ErrForbidden) || !strings.Contains(err.Error(), "VM.Audit") {
		t.Errorf("a guest the token may not see: %+v, %v", o, err)
	}
	_, c = start(t, func(o *pve.Options) { o.Token = "plain@pve!t=wrong" })
	if _, err := c.Census(t.Context()); !errors.Is(err, step.ErrForbidden) || !strings.Contains(err.Error(), "the token was refused") || strings.Contains(err.Error(), "wrong") {
		t.Error(err)
	}
}

// A pass over guests costs one list, the options and one call a guest.
func TestCallsOfAPass(t *testing.T) {
	s, c := start(t)
	s.ResetRequests()
	census, err := c.Census(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for vmid, g := range census.Guests {
		if _, err := c.VM(t.Context(), guestID(vmid), &g); err != nil {
			t.Error(err)
		}
	}
	if want := 2 + len(census.Guests); s.RequestCount() != want || c.Calls().Calls != int64(want) || len(census.Guests) != 3 {
		t.Errorf("%d calls for %d guests, tally %+v", s.RequestCount(), len(census.Guests), c.Calls())
	}
}
