package reconciler_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"go.uber.org/zap"

	"github.com/ustclug/pve-reconcile/internal/state"
	"github.com/ustclug/pve-reconcile/manifests"
	"github.com/ustclug/pve-reconcile/reconciler"
	"github.com/ustclug/pve-reconcile/reconciler/migration"
	"github.com/ustclug/pve-reconcile/reconciler/node"
	"github.com/ustclug/pve-reconcile/reconciler/step"
	"github.com/ustclug/pve-reconcile/reconciler/vm"
	"github.com/ustclug/pve-reconcile/schema"
)

// world is a cluster in memory. It keeps configs, refuses a stale digest and a guest that is not there, and prints what
// was done. before is asked ahead of every call and may fail it.
type world struct {
	mu      sync.Mutex
	census  vm.Census
	guests  map[int]*vm.Observed
	answers node.Observed
	done    []string
	before  func(call string, id schema.ID) error
	deaf    bool // steps succeed and change nothing
}

func newWorld() *world {
	return &world{
		census: vm.Census{Cluster: "ustc", Guests: map[int]vm.Guest{}, Nodes: map[string]bool{"pve-5": true, "pve-6": true}},
		guests: map[int]*vm.Observed{}, before: func(string, schema.ID) error { return nil },
	}
}

func (w *world) add(vmid int, node, name string, config map[string]string) {
	id := schema.ID{Cluster: "ustc", Node: node, VMID: vmid}
	c := map[string]string{"name": name, "smbios1": "uuid=" + schema.DeriveUUID("ustclug", id)}
	maps.Copy(c, config)
	w.guests[vmid] = &vm.Observed{Exists: true, Node: node, Status: "stopped", Running: c, Digest: "1"}
	w.census.Guests[vmid] = vm.Guest{VMID: vmid, Name: name, Node: node, Status: "stopped"}
}

func (w *world) Census(context.Context, string) (vm.Census, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.census
	c.Guests = maps.Clone(c.Guests) // the world goes on while somebody reads
	return c, w.before("census", schema.ID{})
}

func (w *world) VM(_ context.Context, id schema.ID, _ *vm.Guest) (vm.Observed, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.before("vm", id); err != nil {
		return vm.Observed{}, err
	}
	g, ok := w.guests[id.VMID]
	if !ok {
		return vm.Observed{}, nil
	}
	o := *g
	o.Running = maps.Clone(g.Running)
	return o, nil
}

func (w *world) Look(ctx context.Context, id schema.ID, g *vm.Guest) (vm.Observed, error) {
	return w.VM(ctx, id, g)
}

// define changes the definitions among the answers.
func (w *world) define(s step.Step) error {
	var rows []map[string]string
	if err := json.Unmarshal(w.answers.Answers["/storage"].Body, &rows); err != nil {
		return err
	}
	switch s := s.(type) {
	case step.CreateStorage:
		row := map[string]string{"storage": s.Storage, "type": s.Type}
		maps.Copy(row, s.Set)
		rows = append(rows, row)
	case step.SetStorage:
		for _, row := range rows {
			if row["digest"] != s.Digest {
				return fmt.Errorf("digest: %w", step.ErrStale)
			}
			if row["storage"] == s.Storage {
				maps.Copy(row, s.Set)
				for _, k := range s.Delete {
					delete(row, k)
				}
			}
		}
	}
	for _, row := range rows {
		row["digest"] = fmt.Sprint(len(w.done))
	}
	body, err := json.Marshal(rows)
	w.answers.Answers["/storage"] = node.Answer{Body: body}
	return err
}

func (w *world) Node(context.Context, string, []string) (node.Observed, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.answers, w.before("node", schema.ID{})
}

func (w *world) Migration(context.Context, schema.Migration, schema.ID, *vm.Guest) (migration.Observed, error) {
	return migration.Observed{}, errors.New("no hosts in this world")
}

func (w *world) Do(_ context.Context, s step.Step) (step.Outcome, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.before("do", s.Guest()); err != nil {
		return step.Outcome{}, err
	}
	w.done = append(w.done, s.String())
	g := w.guests[s.Guest().VMID]
	if w.deaf {
		return step.Outcome{}, nil
	}
	switch s := s.(type) {
	case step.CreateVM:
		w.guests[s.ID.VMID] = &vm.Observed{Exists: true, Node: s.ID.Node, Status: "stopped", Running: s.Set, Digest: "1"}
	case step.SetConfig:
		if s.Digest != g.Digest {
			return step.Outcome{}, fmt.Errorf("digest: %w", step.ErrStale)
		}
		maps.Copy(g.Running, s.Set)
		for _, k := range s.Delete {
			delete(g.Running, k)
		}
		g.Digest += "+"
	case step.StartVM:
		g.Status = "running"
	case step.ShutdownVM:
		g.Status = "stopped"
	case step.DeleteVM:
		delete(w.guests, s.ID.VMID)
		delete(w.census.Guests, s.ID.VMID)
	case step.CreateStorage, step.SetStorage:
		return step.Outcome{}, w.define(s)
	case step.ResizeDisk:
		return step.Outcome{}, errors.New("not in this world")
	}
	return step.Outcome{}, nil
}

// story is a repository of revisions and a ledger beside a world.
type story struct {
	t *testing.T
	*reconciler.Reconciler
	world     *world
	revisions map[string]manifests.Set
	rewritten bool
}

func begin(t *testing.T) *story {
	ledger, err := state.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld()
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	return &story{t: t, world: w, revisions: map[string]manifests.Set{}, Reconciler: &reconciler.Reconciler{
		World: w, Ledger: ledger, Owner: "ustclug", Clusters: map[string][]string{"ustc": nil}, Workers: 4, MaxDeletions: 1,
		Now: func() time.Time { return now }, Log: zap.NewNop(),
	}}
}

// guest is the manifest of a guest; name web101 has vmid 101.
func guest(name, spec string) string {
	return fmt.Sprintf("apiVersion: %s\nkind: VirtualMachine\nmetadata: {name: %s}\nspec: {vmid: %s, %s}\n", schema.APIVersion, name, name[len(name)-3:], spec)
}

func (s *story) input(rev string, files map[string]string) reconciler.Input {
	tree := fstest.MapFS{}
	for name, text := range files {
		tree[name] = &fstest.MapFile{Data: []byte(text)}
	}
	s.revisions[rev] = manifests.Load(tree)
	return reconciler.Input{Revision: rev, Set: s.revisions[rev], Base: func(_ context.Context, old string) (manifests.Set, error) {
		if s.rewritten {
			return manifests.Set{}, errors.New("history was rewritten")
		}
		return s.revisions[old], nil
	}}
}

// verdicts prints a report, one object a line.
func verdicts(r reconciler.Report) string {
	var b strings.Builder
	for _, o := range r.Objects {
		fmt.Fprintf(&b, "%s %s", o.Name, o.Verdict)
		for _, d := range o.Done {
			fmt.Fprintf(&b, "; %s", d.Step)
		}
		for _, w := range o.Plan.Waits {
			fmt.Fprintf(&b, "; wait %s", w.Reason)
		}
		if o.Err != nil {
			fmt.Fprintf(&b, "; error %v", o.Err)
		}
		b.WriteString("\n")
	}
	return b.String()
}

func (s *story) expect(r reconciler.Report, want string) {
	s.t.Helper()
	if got := verdicts(r); got != want {
		s.t.Errorf("got:\n%swant:\n%s", got, want)
	}
}

func TestOneThatCannotBeReachedLeavesTheOthers(t *testing.T) {
	s := begin(t)
	s.world.add(101, "pve-5", "web101", nil)
	s.world.add(102, "pve-6", "web102", nil)
	s.world.add(103, "pve-5", "web103", nil)
	s.world.census.Nodes["pve-6"] = false
	s.world.before = func(call string, id schema.ID) error {
		if id.VMID == 103 {
			return fmt.Errorf("GET /nodes/pve-5/qemu/103/pending: 595: %w", step.ErrUnreachable)
		}
		return nil
	}
	r := s.Apply(t.Context(), s.input("r1", map[string]string{
		"a.yaml": guest("web101", "node: pve-5, cpu: {cores: 2}"), "b.yaml": guest("web102", "node: pve-6, cpu: {cores: 2}"),
		"c.yaml": guest("web103", "node: pve-5, cpu: {cores: 2}"), "d.yaml": guest("web104", "node: pve-9, cpu: {cores: 2}"),
	}))
	s.expect(r, `web101 InSync; qm set 101 --cores 2
web102 Unknown; error node pve-6 is offline: not reachable
web103 Unknown; error GET /nodes/pve-5/qemu/103/pending: 595: not reachable
web104 Blocked; wait NoNode
`)
	if r.ExitCode() != 1 {
		t.Errorf("exit code %d", r.ExitCode())
	}
}

func TestAssertionsBlockTheNodeAlone(t *testing.T) {
	s := begin(t)
	s.world.add(101, "pve-5", "web101", nil)
	manifest := func(assert string) string {
		return fmt.Sprintf("apiVersion: %s\nkind: Node\nmetadata: {name: pve-5}\nspec: {assert: {%s}}\n", schema.APIVersion, assert)
	}
	status := node.Answer{Body: []byte(`{"memory": {"total": 4294967296}}`)}
	unanswered := node.Answer{Err: fmt.Errorf("GET /nodes/pve-5/services: %w", step.ErrUnreachable)}
	for _, c := range []struct {
		assert string
		have   map[string]node.Answer
		fails  error
		want   string
		code   int
	}{
		{"memory: 4Gi", map[string]node.Answer{"/nodes/pve-5/status": status}, nil, "pve-5 InSync\n", 0},
		{"memory: 8Gi", map[string]node.Answer{"/nodes/pve-5/status": status}, nil, "pve-5 Blocked; wait AssertionFailed\n", 3},
		{
			"memory: 8Gi, services: [a]",
			map[string]node.Answer{"/nodes/pve-5/status": status, "/nodes/pve-5/services": unanswered},
			nil,
			"pve-5 Unknown; wait AssertionFailed; error GET /nodes/pve-5/services: not reachable\n", 1,
		},
		{"memory: 4Gi", nil, errors.New("interrupted"), "pve-5 Failed; error interrupted\n", 1},
	} {
		s.world.answers = node.Observed{Answers: c.have}
		s.world.before = func(call string, _ schema.ID) error {
			if call == "node" {
				return c.fails
			}
			return nil
		}
		in := s.input("r1", map[string]string{"a.yaml": guest("web101", "node: pve-5, cpu: {cores: 2}"), "node.yaml": manifest(c.assert)})
		s.Apply(t.Context(), in) // the guest is brought to its manifest whatever the node is like
		for _, r := range []reconciler.Report{s.Plan(t.Context(), in), s.Apply(t.Context(), in)} {
			s.expect(r, c.want+"web101 InSync\n")
			if r.ExitCode() != c.code {
				t.Errorf("%s: exit code %d, want %d", c.assert, r.ExitCode(), c.code)
			}
		}
	}
}

func TestStoragesAreDefinedOneByOne(t *testing.T) {
	s := begin(t)
	manifest := "apiVersion: " + schema.APIVersion + "\nkind: Node\nmetadata: {name: pve-5}\nspec:\n  storages:\n" +
		"    ac: {type: dir, path: /srv/a, nodes: [pve-5]}\n    aa: {type: dir, path: /srv/aa, content: [iso], nodes: [pve-5]}\n    ab: {type: dir, path: /srv/ab, nodes: [pve-5], disable: true}\n"
	in := s.input("r1", map[string]string{"node.yaml": manifest})
	fresh := func() {
		s.world.done = nil
		s.world.answers = node.Observed{Answers: map[string]node.Answer{
			"/storage": {Body: []byte(`[{"storage":"aa","type":"dir","path":"/srv/aa","content":"images","nodes":"pve-5","digest":"0"},{"storage":"ab","type":"dir","path":"/srv/ab","nodes":"pve-5","digest":"0"}]`)},
		}}
	}
	const all = "; pvesm set aa --content iso; pvesm set ab --disable 1; pvesm add dir ac --nodes pve-5 --path /srv/a"
	fresh()
	if r := s.Plan(t.Context(), in); r.ExitCode() != 2 || len(s.world.done) > 0 {
		t.Errorf("plan: exit code %d, done %v", r.ExitCode(), s.world.done)
	}
	s.expect(s.Apply(t.Context(), in), "pve-5 InSync"+all+"\n")
	s.expect(s.Apply(t.Context(), in), "pve-5 InSync\n")

	fresh() // somebody else changes a definition just before each of the first writes
	meddle := 2
	s.world.before = func(call string, _ schema.ID) error {
		if call == "do" && meddle > 0 {
			meddle--
			body := string(s.world.answers.Answers["/storage"].Body)
			s.world.answers.Answers["/storage"] = node.Answer{Body: []byte(strings.ReplaceAll(body, `"digest":"`, `"digest":"x`))}
		}
		return nil
	}
	s.expect(s.Apply(t.Context(), in), "pve-5 InSync"+all+"\n")

	fresh()
	s.world.before = func(call string, _ schema.ID) error {
		if call == "do" {
			return fmt.Errorf("Datastore.Allocate: %w", step.ErrForbidden)
		}
		return nil
	}
	s.expect(s.Apply(t.Context(), in), "pve-5 Blocked; wait Forbidden\n")
	s.world.before = func(string, schema.ID) error { return nil }
	s.world.deaf = true
	s.expect(s.Apply(t.Context(), in), "pve-5 Failed; pvesm set aa --content iso; error pvesm set aa --content iso: was done and had no effect: it is still needed\n")
}

func TestChangedMeanwhileLooksAgain(t *testing.T) {
	s := begin(t)
	s.world.add(101, "pve-5", "web101", nil)
	meddle := 2
	s.world.before = func(call string, id schema.ID) error {
		if call == "do" && meddle > 0 {
			meddle--
			s.world.guests[101].Digest += "!"
		}
		return nil
	}
	in := s.input("r1", map[string]string{"a.yaml": guest("web101", "node: pve-5, cpu: {cores: 2}")})
	s.expect(s.Apply(t.Context(), in), "web101 InSync; qm set 101 --cores 2\n")
	meddle = 100
	in = s.input("r2", map[string]string{"a.yaml": guest("web101", "node: pve-5, cpu: {cores: 3}")})
	s.expect(s.Apply(t.Context(), in), "web101 Busy; error qm set 101 --cores 3: digest: changed since it was read\n")
}

func TestStepWithoutEffectIsAnError(t *testing.T) {
	s := begin(t)
	s.world.add(101, "pve-5", "web101", nil)
	s.world.deaf = true
	in := s.input("r1", map[string]string{"a.yaml": guest("web101", "node: pve-5, cpu: {cores: 2}")})
	s.expect(s.Apply(t.Context(), in), "web101 Failed; qm set 101 --cores 2; error qm set 101 --cores 2: was done and had no effect: it is still needed\n")
}

func TestStopsBetweenSteps(t *testing.T) {
	s := begin(t)
	ctx, cancel := context.WithCancel(t.Context())
	s.world.before = func(call string, _ schema.ID) error {
		if call == "do" {
			cancel()
		}
		return nil
	}
	r := s.Apply(ctx, s.input("r1", map[string]string{"a.yaml": guest("web101", "node: pve-5, power: Running")}))
	if got := verdicts(r); !strings.HasPrefix(got, "web101 Changes; qm create 101") || strings.Contains(got, "qm start") || !r.Stopped {
		t.Errorf("stopped=%v: %s", r.Stopped, got)
	}
	r = s.Apply(t.Context(), s.input("r1", map[string]string{"a.yaml": guest("web101", "node: pve-5, power: Running")}))
	s.expect(r, "web101 InSync; qm start 101\n")
}

func TestOnlyWhatAnAppliedRevisionGaveIsTakenAway(t *testing.T) {
	s := begin(t)
	s.world.add(101, "pve-5", "web101", map[string]string{"ostype": "l26"})
	file := func(spec string) map[string]string {
		return map[string]string{"a.yaml": guest("web101", "node: pve-5"+spec)}
	}
	s.expect(s.Apply(t.Context(), s.input("r1", file(", cpu: {cores: 2}"))), "web101 InSync; qm set 101 --cores 2\n")
	// A revision that was begun and failed may have given what is live too.
	s.world.before = func(call string, _ schema.ID) error {
		if call == "do" {
			s.world.guests[101].Running["tablet"] = "0"
			return errors.New("the line broke")
		}
		return nil
	}
	s.expect(s.Apply(t.Context(), s.input("r2", file(", cpu: {cores: 2}, tablet: false"))), "web101 Failed; error qm set 101 --tablet 0: the line broke\n")
	s.world.before = func(string, schema.ID) error { return nil }
	s.expect(s.Apply(t.Context(), s.input("r3", file(""))), "web101 InSync; qm set 101 --delete cores,tablet\n")
	if s.world.guests[101].Running["ostype"] != "l26" {
		t.Error("a setting that git never gave was taken away")
	}
	s.expect(s.Apply(t.Context(), s.input("r4", file(""))), "web101 InSync\n")
}

func TestRewrittenHistoryTakesNothingAway(t *testing.T) {
	s := begin(t)
	s.world.add(101, "pve-5", "web101", nil)
	s.Apply(t.Context(), s.input("r1", map[string]string{"a.yaml": guest("web101", "node: pve-5, cpu: {cores: 2}")}))
	s.rewritten = true
	r := s.Plan(t.Context(), s.input("r2", map[string]string{"a.yaml": guest("web101", "node: pve-5")}))
	s.expect(r, "web101 InSync\n")
	if notes := fmt.Sprint(r.Objects[0].Plan.Notes); !strings.Contains(notes, "nothing is taken away: history was rewritten") {
		t.Error(notes)
	}
}

func TestOrphansAreLeftAlone(t *testing.T) {
	s := begin(t)
	s.world.add(101, "pve-5", "web101", nil)
	s.world.add(102, "pve-5", "web102", nil)
	two := map[string]string{"a.yaml": guest("web101", "node: pve-5"), "b.yaml": guest("web102", "node: pve-5")}
	s.expect(s.Apply(t.Context(), s.input("r1", two)), "web101 InSync\nweb102 InSync\n")
	s.expect(s.Apply(t.Context(), s.input("r2", map[string]string{"a.yaml": two["a.yaml"]})), "web101 InSync\nweb102 Orphaned\n")
	broken := map[string]string{"a.yaml": two["a.yaml"], "b.yaml": guest("web102", "node: pve-5, memroy: 1Gi")}
	s.expect(s.Apply(t.Context(), s.input("r3", broken)), "web101 InSync\nweb102 Refused\n")
	s.expect(s.Apply(t.Context(), s.input("r4", map[string]string{"a.yaml": two["a.yaml"], "b.yaml": "}"})), "web101 InSync\n")
	if len(s.world.done) != 0 {
		t.Error(s.world.done)
	}
	delete(s.world.guests, 102)
	delete(s.world.census.Guests, 102)
	s.expect(s.Apply(t.Context(), s.input("r5", map[string]string{"a.yaml": two["a.yaml"]})), "web101 InSync\n")
	if _, ok := s.Ledger.Entry("ustc/102"); ok {
		t.Error("an orphan that is gone is still in the ledger")
	}
}

// A guest that is renumbered over and over keeps its name: what is said of them must not change its order from run to run,
// or cron would mail it each time.
func TestReportsHaveOneOrder(t *testing.T) {
	s := begin(t)
	for _, vmid := range []string{"104", "103", "102", "101", "100"} {
		s.Apply(t.Context(), s.input("r"+vmid, map[string]string{"a.yaml": strings.Replace(guest("web101", "node: pve-5"), "vmid: 101", "vmid: "+vmid, 1)}))
		for id := range s.world.guests {
			s.world.census.Guests[id] = vm.Guest{VMID: id, Node: "pve-5", Status: "stopped"}
		}
	}
	for range 10 {
		var got []int
		for _, o := range s.Plan(t.Context(), s.input("r100", map[string]string{"a.yaml": strings.Replace(guest("web101", "node: pve-5"), "vmid: 101", "vmid: 100", 1)})).Objects {
			got = append(got, o.ID.VMID)
		}
		if !slices.IsSorted(got) || len(got) != 5 {
			t.Fatalf("in the order %v", got)
		}
	}
}

// A guest of one cluster is not the one with the same vmid in another.
func TestStrangersAreToldByCluster(t *testing.T) {
	s := begin(t)
	s.Clusters = map[string][]string{"ustc": {"pve-5"}, "other": {"pve-6"}}
	s.world.add(105, "pve-5", "stranger", map[string]string{"bios": "ovmf"})
	r := s.Plan(t.Context(), s.input("r1", map[string]string{
		"node.yaml": "apiVersion: " + schema.APIVersion + "\nkind: Node\nmetadata: {name: pve-5}\nspec: {policy: {forbid: [{bios: ovmf, reason: slow}]}}\n",
		"a.yaml":    guest("other105", "node: pve-6"),
	}))
	for _, o := range r.Objects {
		if o.Kind == schema.KindNode && !strings.Contains(strings.Join(o.Plan.Notes, ""), "guest 105 (stranger)") {
			t.Errorf("notes of the node: %q", o.Plan.Notes)
		}
	}
}

func TestTombstoneWaitsWhileSomethingIsUnread(t *testing.T) {
	s := begin(t)
	s.world.add(101, "pve-5", "web101", nil)
	uuid := schema.UUID(s.world.guests[101].Running)
	files := map[string]string{"a.yaml": guest("web101", "node: pve-5, state: Absent, uuid: "+uuid), "b.yaml": "}"}
	s.expect(s.Apply(t.Context(), s.input("r1", files)), "web101 Blocked; wait SourceUnread\n")
	delete(files, "b.yaml")
	s.expect(s.Apply(t.Context(), s.input("r2", files)), "web101 InSync; qm destroy 101 --purge\n")
	s.expect(s.Apply(t.Context(), s.input("r3", nil)), "")
}

func TestManyTombstonesWait(t *testing.T) {
	s := begin(t)
	files := map[string]string{}
	for _, name := range []string{"web101", "web102"} {
		vmid := 101 + len(files)
		s.world.add(vmid, "pve-5", name, nil)
		files[name+".yaml"] = guest(name, "node: pve-5, state: Absent, uuid: "+schema.UUID(s.world.guests[vmid].Running))
	}
	s.expect(s.Apply(t.Context(), s.input("r1", files)), "web101 Blocked; wait TooMany\nweb102 Blocked; wait TooMany\n")
	s.MaxDeletions = 2
	s.expect(s.Apply(t.Context(), s.input("r1", files)), "web101 InSync; qm destroy 101 --purge\nweb102 InSync; qm destroy 102 --purge\n")
}

func TestClusterIsFoundByNode(t *testing.T) {
	s := begin(t)
	s.Clusters = map[string][]string{"ustc": {"pve-5"}, "other": {"pve-7"}}
	r := s.Plan(t.Context(), s.input("r1", map[string]string{
		"a.yaml": guest("web101", "node: pve-5"), "b.yaml": guest("web102", "node: pve-8"), "c.yaml": guest("web103", "node: pve-5, cluster: nowhere"),
	}))
	s.expect(r, `web101 Changes
web102 Failed; error node "pve-8": cannot tell its cluster among other, ustc: list it under nodes of one of them in the config file, or set spec.cluster
web103 Failed; error spec.cluster: "nowhere" is not in the config file: other, ustc
`)
}

func TestForbiddenNeedsAPerson(t *testing.T) {
	s := begin(t)
	s.world.before = func(call string, _ schema.ID) error {
		return fmt.Errorf("GET /cluster/resources: 403 (/vms, VM.Audit): %w", step.ErrForbidden)
	}
	r := s.Plan(t.Context(), s.input("r1", map[string]string{"a.yaml": guest("web101", "node: pve-5")}))
	s.expect(r, "web101 Blocked; wait Forbidden\n")
	if r.ExitCode() != 3 {
		t.Errorf("exit code %d", r.ExitCode())
	}
}

func TestDriftIsOnlyWhatACarriedOutRevisionGave(t *testing.T) {
	s := begin(t)
	s.DriftPolicy = map[string]string{"ustc": "Report"}
	s.world.add(101, "pve-5", "web101", nil)
	file := func(spec string) map[string]string {
		return map[string]string{"a.yaml": guest("web101", "node: pve-5"+spec)}
	}
	s.expect(s.Apply(t.Context(), s.input("r1", file(", cpu: {cores: 2}"))), "web101 InSync; qm set 101 --cores 2\n")
	// What git changes is begun, and does not get there: it is not drift in the next run.
	s.world.before = func(call string, _ schema.ID) error {
		if call == "do" {
			return errors.New("the line broke")
		}
		return nil
	}
	r2 := s.input("r2", file(", cpu: {cores: 3}, tags: [a]"))
	s.expect(s.Apply(t.Context(), r2), "web101 Failed; error qm set 101 --cores 3 --tags a: the line broke\n")
	s.world.before = func(string, schema.ID) error { return nil }
	s.expect(s.Apply(t.Context(), r2), "web101 InSync; qm set 101 --cores 3 --tags a\n")
	// What somebody changes afterwards is, and goes on being it when git changes something else.
	s.world.guests[101].Running["cores"] = "8"
	r := s.Apply(t.Context(), r2)
	s.expect(r, "web101 Drifted\n")
	if r.ExitCode() != 3 {
		t.Errorf("exit code %d", r.ExitCode())
	}
	s.expect(s.Apply(t.Context(), s.input("r3", file(", cpu: {cores: 3}, tags: [b]"))), "web101 Drifted; qm set 101 --tags b\n")
	s.expect(s.Apply(t.Context(), s.input("r4", file(", cpu: {cores: 3}"))), "web101 Drifted; qm set 101 --delete tags\n")
	s.expect(s.Apply(t.Context(), s.input("r5", file(", cpu: {cores: 3}, driftPolicy: Correct"))), "web101 InSync; qm set 101 --cores 3\n")
	// When the revision applied before cannot be read any more, nothing is taken for a change in git.
	s.world.guests[101].Running["cores"] = "8"
	s.rewritten = true
	s.expect(s.Apply(t.Context(), s.input("r6", file(", cpu: {cores: 3}"))), "web101 Drifted\n")
}

// Who changed the host is asked only about a guest that somebody changed.
func TestOthersAreAskedForOnlyWithDrift(t *testing.T) {
	s := begin(t)
	s.world.add(101, "pve-5", "web101", nil)
	s.world.add(102, "pve-5", "web102", nil)
	var asked []string
	s.Tasks = func(_ context.Context, id schema.ID, since time.Time) ([]vm.Task, error) {
		asked = append(asked, fmt.Sprint(id.VMID, " since ", since.Format("2006")))
		return []vm.Task{{Type: "qmconfig", User: "root@pam"}}, nil
	}
	in := s.input("r1", map[string]string{"a.yaml": guest("web101", "node: pve-5, cpu: {cores: 2}"), "b.yaml": guest("web102", "node: pve-5, tags: [a]")})
	s.Apply(t.Context(), in)
	s.Plan(t.Context(), in)
	s.world.guests[102].Running["onboot"] = "1" // nobody declared it
	s.Plan(t.Context(), in)
	if len(asked) > 0 {
		t.Errorf("asked in vain: %s", asked)
	}
	s.world.guests[101].Running["cores"] = "8"
	r := s.Plan(t.Context(), in)
	if fmt.Sprint(asked) != "[101 since 2026]" || len(r.Objects[0].Others) != 1 || len(r.Objects[1].Others) != 0 {
		t.Errorf("%s, %+v", asked, r.Objects)
	}
}
