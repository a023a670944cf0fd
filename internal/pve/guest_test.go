package pve

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"testing"

	"github.com/ustclug/pve-reconcile/reconciler/step"
	"github.com/ustclug/pve-reconcile/reconciler/vm"
	"github.com/ustclug/pve-reconcile/schema"
)

const (
	pendingPath = "GET /nodes/pve1/qemu/110/pending"
	currentPath = "GET /nodes/pve1/qemu/110/status/current"
)

// mixed is a recorded /pending with every type PVE mixes, and hostile ones.
const mixed = `[{"key":"memory","value":"128"},{"key":"cores","value":1,"pending":2},{"key":"agent","value":"1","delete":1},
	{"key":"net1","delete":2,"value":"virtio=BC:24:11:9F:11:9B,bridge=vmbr1"},{"key":"scsi1","pending":"tank-b:110/vm-110-disk-1.raw,size=1G"},
	{"key":"scsi0","value":"tank-a:110/vm-110-disk-0.raw,size=2G"},{"key":"ide2","value":"local:iso/debian.iso,media=cdrom,size=600M"},
	{"key":"balloon","value":0},{"key":"cpulimit","value":"1.50"},{"key":"shares","value":12345678901234567890},{"key":"onboot","value":true},
	{"key":"hotplug","value":null},{"key":"digest","value":"0981add7a3dbf8b2591f85fa8f52e4718806dbbb"}]`

func observed() vm.Observed {
	return vm.Observed{
		Exists: true, Node: "pve1", Status: "running", Digest: "0981add7a3dbf8b2591f85fa8f52e4718806dbbb",
		Running: map[string]string{
			"memory": "128", "cores": "1", "agent": "1", "net1": "virtio=BC:24:11:9F:11:9B,bridge=vmbr1",
			"scsi0": "tank-a:110/vm-110-disk-0.raw,size=2G", "ide2": "local:iso/debian.iso,media=cdrom,size=600M",
			"balloon": "0", "cpulimit": "1.50", "shares": "12345678901234567890", "onboot": "1",
		},
		Pending: map[string]vm.Change{
			"cores": {Value: "2"}, "agent": {Delete: true}, "net1": {Delete: true}, "scsi1": {Value: "tank-b:110/vm-110-disk-1.raw,size=1G"},
		},
	}
}

func TestVMIsOneCall(t *testing.T) {
	s := serve(t, map[string][]reply{pendingPath: {ok(mixed)}})
	c := s.cluster(t)
	have, err := c.VM(t.Context(), docker2, &vm.Guest{VMID: 110, Node: "pve1", Status: "running"})
	if err != nil {
		t.Fatal(err)
	}
	if want := observed(); !reflect.DeepEqual(have, want) {
		t.Errorf("have %+v\nwant %+v", have, want)
	}
	if n := c.Calls(); n.Calls != 1 || n.Writes != 0 || n.Received != int64(len(ok(mixed).body)) {
		t.Errorf("tally %+v", n)
	}
}

// The census is up to ten seconds old: a guest it has no run state of is asked itself.
func TestVMAsksForAnUnknownState(t *testing.T) {
	for name, where := range map[string]*vm.Guest{"not in the census": nil, "unknown": {VMID: 110, Node: "pve1", Status: "unknown"}} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, map[string][]reply{pendingPath: {ok(mixed)}, currentPath: {ok(`{"status":"running","qmpstatus":"paused"}`)}})
			have, err := s.cluster(t).VM(t.Context(), docker2, where)
			if err != nil || have.Status != "running" {
				t.Errorf("status %q, error %v", have.Status, err)
			}
		})
	}
}

func TestVMElsewhere(t *testing.T) {
	gone := refusal("Configuration file 'nodes/pve1/qemu-server/110.conf' does not exist")
	s := serve(t, map[string][]reply{
		pendingPath:                        {gone},
		"GET /nodes/pve2/qemu/110/pending": {ok(mixed)},
		"GET /nodes/pve3/qemu/110/pending": {{status: "403 Permission check failed (/vms/110, VM.Audit)"}},
	})
	c := s.cluster(t)
	if have, err := c.VM(t.Context(), docker2, nil); err != nil || have.Exists || have.Node != "" {
		t.Errorf("a guest neither census nor node knows: %+v, %v", have, err)
	}
	if have, err := c.VM(t.Context(), docker2, &vm.Guest{Node: "pve2", Status: "stopped"}); err != nil || have.Node != "pve2" || have.Status != "stopped" {
		t.Errorf("a guest on another node: %+v, %v", have, err)
	}
	if _, err := c.VM(t.Context(), schema.ID{Node: "pve3", VMID: 110}, nil); !errors.Is(err, step.ErrForbidden) {
		t.Errorf("a guest the token may not see: %v; want ErrForbidden, not absence", err)
	}
	n := len(s.requests())
	if have, err := c.VM(t.Context(), docker2, &vm.Guest{Node: "pve4", Container: true}); err != nil || !have.Container || have.Exists || have.Node != "pve4" {
		t.Errorf("a container: %+v, %v", have, err)
	}
	if len(s.requests()) != n {
		t.Error("a container was asked for as a virtual machine")
	}
}

// One node cannot tell whether a guest it has no more was deleted or moved.
func TestVMGoneSinceTheCensus(t *testing.T) {
	was := &vm.Guest{VMID: 110, Node: "pve1", Status: "stopped"}
	for name, c := range map[string]struct {
		list reply
		want vm.Observed
		kind string
	}{
		"deleted":               {ok(`[{"type":"qemu","vmid":111,"node":"pve1","status":"running"}]`), vm.Observed{}, "other"},
		"moved":                 {ok(`[{"type":"qemu","vmid":110,"node":"pve2","status":"running"}]`), vm.Observed{Exists: true, Node: "pve2", Status: "running"}, "other"},
		"made anew, container":  {ok(`[{"type":"lxc","vmid":110,"node":"pve1","status":"running"}]`), vm.Observed{Container: true, Node: "pve1"}, "other"},
		"still listed":          {ok(`[{"type":"qemu","vmid":110,"node":"pve1","status":"running"}]`), vm.Observed{}, "ErrStale"},
		"cluster not reachable": {reply{status: "595 Connection refused"}, vm.Observed{}, "ErrUnreachable"},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, map[string][]reply{
				pendingPath: {refusal("Configuration file 'nodes/pve1/qemu-server/110.conf' does not exist")}, "GET /cluster/resources": {c.list},
				"GET /nodes/pve2/qemu/110/pending": {ok(`[]`)}, "GET /nodes/pve2/qemu/110/status/current": {ok(`{"status":"running"}`)},
			})
			for _, look := range []func(context.Context, schema.ID, *vm.Guest) (vm.Observed, error){s.cluster(t).VM, s.cluster(t).Look} {
				have, err := look(t.Context(), docker2, was)
				if (err != nil) != (c.kind != "other") || kindOf(err) != c.kind {
					t.Errorf("error %v", err)
				}
				if have.Exists != c.want.Exists || have.Node != c.want.Node || have.Status != c.want.Status || have.Container != c.want.Container {
					t.Errorf("have %+v", have)
				}
			}
		})
	}
}

func TestLook(t *testing.T) {
	s := serve(t, map[string][]reply{
		pendingPath:                              {ok(mixed)},
		currentPath:                              {ok(`{"status":"running","lock":"backup"}`)},
		"GET /nodes/pve1/storage/tank-a/content": {ok(`[{"volid":"tank-a:110/vm-110-disk-0.raw","size":4294967296,"vmid":110},{"volid":"tank-a:110/odd","size":null}]`)},
		"GET /nodes/pve1/storage/tank-b/content": {{status: "403 Permission check failed (/storage/tank-b, Datastore.Audit)"}},
	})
	have, err := s.cluster(t).Look(t.Context(), docker2, &vm.Guest{VMID: 110, Node: "pve1", Status: "stopped"})
	if err != nil {
		t.Fatal(err)
	}
	want := observed()
	want.Running["lock"] = "backup"
	want.Sizes = map[string]int64{"tank-a:110/vm-110-disk-0.raw": 4 << 30}
	if !reflect.DeepEqual(have, want) {
		t.Errorf("have %+v\nwant %+v", have, want)
	}
	asked := []string{pendingPath, currentPath, "GET /nodes/pve1/storage/tank-a/content?vmid=110", "GET /nodes/pve1/storage/tank-b/content?vmid=110"}
	if !slices.Equal(s.requests(), asked) {
		t.Errorf("asked %q", s.requests())
	}
}

func TestCensus(t *testing.T) {
	const list = `[{"type":"node","node":"pve1","status":"online","id":"node/pve1"},{"type":"node","node":"pve2","status":"offline"},
		{"type":"qemu","vmid":110,"name":"runner","node":"pve1","status":"running","template":0,"maxmem":1e12},
		{"type":"lxc","vmid":"111","name":"ct","node":"pve2","status":"stopped","template":1},
		{"type":"qemu","vmid":112,"node":"pve2","status":"unknown"},{"type":"storage","storage":"tank","node":"pve1","status":"available"},{"type":"pool","pool":"p"}]`
	want := vm.Census{
		Cluster: "pve-5", Nodes: map[string]bool{"pve1": true, "pve2": false},
		Guests: map[int]vm.Guest{
			110: {VMID: 110, Name: "runner", Node: "pve1", Status: "running"},
			111: {VMID: 111, Name: "ct", Node: "pve2", Status: "stopped", Container: true, Template: true},
			112: {VMID: 112, Node: "pve2", Status: "unknown"},
		},
	}
	for options, facts := range map[string]schema.Facts{
		`{"mac_prefix":"BC:24:11","allowed-tags":["a"]}`:                 {},
		`{"tag-style":{"case-sensitive":1,"ordering":"config"}}`:         {TagsCaseSensitive: true, TagsInOrder: true},
		`{"tag-style":"ordering=config,color-map=a:FFFFFF"}`:             {TagsInOrder: true},
		`{"tag-style":{"case-sensitive":"0","ordering":"alphabetical"}}`: {},
	} {
		s := serve(t, map[string][]reply{"GET /cluster/resources": {ok(list)}, "GET /cluster/options": {ok(options)}})
		have, err := s.cluster(t).Census(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		want.Facts = facts
		if !reflect.DeepEqual(have, want) {
			t.Errorf("%s: have %+v\nwant %+v", options, have, want)
		}
		if n := len(s.requests()); n != 2 {
			t.Errorf("%d calls", n)
		}
	}
}

// An answer of another shape is an error, never an empty cluster or an absent guest.
func TestOddAnswers(t *testing.T) {
	for _, data := range []string{`null`, `{}`, `"text"`, `[1]`} {
		s := serve(t, map[string][]reply{"GET /cluster/resources": {ok(data)}, pendingPath: {ok(data)}})
		c := s.cluster(t)
		if have, err := c.Census(t.Context()); err == nil {
			t.Errorf("census of %s: %+v", data, have)
		}
		if have, err := c.VM(t.Context(), docker2, nil); err == nil {
			t.Errorf("guest of %s: %+v", data, have)
		}
	}
	s := serve(t, map[string][]reply{"GET /cluster/resources": {ok(`[{"type":"qemu","name":"x"}]`)}})
	if have, err := s.cluster(t).Census(t.Context()); err == nil {
		t.Errorf("census of a guest without vmid: %+v", have)
	}
}

func TestEnvelope(t *testing.T) {
	s := serve(t, map[string][]reply{"GET /nodes/pve1/network": {{status: "200 OK", body: `{"changes":"+x","data":[]}`}}})
	c := s.cluster(t)
	if whole, err := c.Envelope(t.Context(), "/nodes/pve1/network", nil); err != nil || string(whole) != `{"changes":"+x","data":[]}` {
		t.Errorf("%s, %v", whole, err)
	}
	if data, err := c.Get(t.Context(), "/nodes/pve1/network", form(t, "type=any&x=a b")); err != nil || string(data) != `[]` {
		t.Errorf("%s, %v", data, err)
	}
	if asked := s.requests()[1]; asked != "GET /nodes/pve1/network?type=any&x=a%20b" {
		t.Error(asked)
	}
}
