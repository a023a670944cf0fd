package loop_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/ustclug/pve-reconcile/internal/loop"
	"github.com/ustclug/pve-reconcile/internal/source"
	"github.com/ustclug/pve-reconcile/internal/state"
	"github.com/ustclug/pve-reconcile/manifests"
	"github.com/ustclug/pve-reconcile/reconciler"
	"github.com/ustclug/pve-reconcile/reconciler/migration"
	"github.com/ustclug/pve-reconcile/reconciler/node"
	"github.com/ustclug/pve-reconcile/reconciler/step"
	"github.com/ustclug/pve-reconcile/reconciler/vm"
	"github.com/ustclug/pve-reconcile/schema"
)

// host is a PVE node in memory: guests keep what is written, and what is done takes time.
type host struct {
	mu     sync.Mutex
	guests map[int]*vm.Observed
	done   []string
	takes  time.Duration
	down   bool
	bad    int // looking at this guest panics
	looks  int
}

func (h *host) Census(context.Context, string) (vm.Census, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.down {
		return vm.Census{}, fmt.Errorf("GET /cluster/resources: %w", step.ErrUnreachable)
	}
	c := vm.Census{Cluster: "ustc", Guests: map[int]vm.Guest{}, Nodes: map[string]bool{"pve-5": true}}
	for id, g := range h.guests {
		c.Guests[id] = vm.Guest{VMID: id, Name: g.Running["name"], Node: "pve-5", Status: g.Status}
	}
	return c, nil
}

func (h *host) VM(_ context.Context, id schema.ID, _ *vm.Guest) (vm.Observed, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.looks++
	if id.VMID == h.bad {
		panic("a defect")
	}
	g, ok := h.guests[id.VMID]
	switch {
	case h.down:
		return vm.Observed{}, fmt.Errorf("GET /pending: %w", step.ErrUnreachable)
	case !ok:
		return vm.Observed{}, nil
	}
	o := *g
	o.Running = maps.Clone(g.Running)
	return o, nil
}

// looked is how often guests were looked at.
func (h *host) looked() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.looks
}

func (h *host) Look(ctx context.Context, id schema.ID, g *vm.Guest) (vm.Observed, error) {
	return h.VM(ctx, id, g)
}

func (h *host) Migration(context.Context, schema.Migration, schema.ID, *vm.Guest) (migration.Observed, error) {
	return migration.Observed{}, errors.New("no machines here")
}

func (h *host) Node(context.Context, string, []string) (node.Observed, error) {
	return node.Observed{}, nil
}

func (h *host) Do(_ context.Context, s step.Step) (step.Outcome, error) {
	time.Sleep(h.takes)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.done = append(h.done, s.String())
	switch s := s.(type) {
	case step.CreateVM:
		h.guests[s.ID.VMID] = &vm.Observed{Exists: true, Node: "pve-5", Status: "stopped", Running: s.Set, Digest: "1"}
	case step.SetConfig:
		g := h.guests[s.ID.VMID]
		maps.Copy(g.Running, s.Set)
		g.Digest += "+"
	case step.StartVM:
		h.guests[s.ID.VMID].Status = "running"
	case step.ShutdownVM:
		h.guests[s.ID.VMID].Status = "stopped"
	}
	return step.Outcome{Tasks: []string{"UPID"}}, nil
}

// story is a loop over a host and a repository in memory.
type story struct {
	*host
	*loop.Loop
	mu     sync.Mutex
	commit string
	files  map[string]map[string]string // commit -> file -> text
	broken error
	events []reconciler.Event
	logs   *observer.ObservedLogs
	wake   chan struct{}
	stop   context.CancelFunc
	ended  chan struct{}
}

func (s *story) push(commit string, guests ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files[commit] = map[string]string{}
	for _, g := range guests {
		name, spec, _ := strings.Cut(g, ": ")
		s.files[commit][name+".yaml"] = fmt.Sprintf("apiVersion: %s\nkind: VirtualMachine\nmetadata: {name: %s}\nspec: {node: pve-5, vmid: %s, %s}\n", schema.APIVersion, name, name[len(name)-3:], spec)
	}
	s.commit = commit
}

func (s *story) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broken = err
}

// begin runs a loop inside a bubble of synctest.
func begin(t *testing.T, first func(*story)) *story {
	ledger, err := state.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	core, logs := observer.New(zapcore.InfoLevel)
	s := &story{host: &host{guests: map[int]*vm.Observed{}}, files: map[string]map[string]string{}, logs: logs, wake: make(chan struct{}), ended: make(chan struct{})}
	first(s)
	s.Loop = loop.New(loop.Options{
		Reconciler: &reconciler.Reconciler{
			World: s.host, Ledger: ledger, Owner: "ustclug", Clusters: map[string][]string{"ustc": nil}, MaxDeletions: 1,
			Fresh: 10 * time.Second, Now: time.Now, Log: zap.New(core),
		},
		Fetch: func(context.Context) (source.Revision, error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			return source.Revision{Commit: s.commit, Author: "Ann"}, s.broken
		},
		Load: func(_ context.Context, rev source.Revision) (reconciler.Input, error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			load := func(commit string) manifests.Set {
				tree := fstest.MapFS{}
				for name, text := range s.files[commit] {
					tree[name] = &fstest.MapFile{Data: []byte(text)}
				}
				return manifests.Load(tree)
			}
			return reconciler.Input{Revision: rev.Commit, Set: load(rev.Commit), Base: func(_ context.Context, old string) (manifests.Set, error) {
				return load(old), nil
			}}, nil
		},
		Wake: s.wake, Poll: time.Minute, Drift: 10 * time.Minute, Crowd: 4, State: t.TempDir(),
		Retry: reconciler.Backoff{First: 5 * time.Second, Max: 10 * time.Minute},
		Observers: []reconciler.Observer{func(e reconciler.Event) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.events = append(s.events, e)
		}},
		Log: zap.New(core),
	})
	ctx, cancel := context.WithCancel(t.Context())
	s.stop = cancel
	go func() { s.Run(ctx); close(s.ended) }()
	synctest.Wait()
	return s
}

func (s *story) end() { s.stop(); <-s.ended }

func (s *story) made() []string {
	s.host.mu.Lock()
	defer s.host.mu.Unlock()
	return slices.Clone(s.done)
}

// heard is every event until now.
func (s *story) heard() []reconciler.Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.events)
}

// said lists the events of a type, with their objects.
func (s *story) said(types ...reconciler.EventType) []string {
	var out []string
	for _, e := range s.heard() {
		if slices.Contains(types, e.Type) {
			out = append(out, strings.TrimSpace(fmt.Sprint(e.Type, " ", e.Name, " ", e.Verdict)))
		}
	}
	return out
}

// A push is found by the next poll, at the latest; with a hint at once. Drift is found by the next look at everything.
func TestFollows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := begin(t, func(s *story) { s.push("r1", "web101: cpu: {cores: 2}") })
		defer s.end()
		if got := s.made(); len(got) != 1 || !strings.HasPrefix(got[0], "qm create 101") {
			t.Fatalf("first: %v", got)
		}
		s.push("r2", "web101: cpu: {cores: 3}")
		time.Sleep(time.Minute)
		synctest.Wait()
		s.push("r3", "web101: cpu: {cores: 4}")
		s.wake <- struct{}{}
		synctest.Wait()
		if got := s.made(); !slices.Equal(got[1:], []string{"qm set 101 --cores 3", "qm set 101 --cores 4"}) {
			t.Errorf("pushes: %v", got)
		}
		s.host.mu.Lock()
		s.guests[101].Running["cores"] = "8"
		s.host.mu.Unlock()
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if got := s.made(); len(got) != 4 || got[3] != "qm set 101 --cores 4" {
			t.Errorf("drift: %v", got)
		}
	})
}

// A new revision is one round of each object, also of those that it changed and whose round begins at once.
func TestOneRoundARevision(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := begin(t, func(s *story) { s.push("r1", "web101: cpu: {cores: 2}", "web102: cpu: {cores: 2}") })
		defer s.end()
		if got := s.said(reconciler.EventRound); len(got) != 2 {
			t.Errorf("first: %v", got)
		}
		s.push("r2", "web101: cpu: {cores: 3}", "web102: cpu: {cores: 2}")
		s.wake <- struct{}{}
		synctest.Wait()
		if got := s.said(reconciler.EventRound); len(got) != 4 {
			t.Errorf("with the second: %v", got)
		}
	})
}

// What no round is made of is told too, once: a manifest with problems, and a guest that lost its manifest.
func TestTellsOfWhatHasNoRound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := begin(t, func(s *story) {
			s.push("r1", "web101: cpu: {cores: 2}", "web102: cpu: {cores: 2}", "web103: cpu: {cores: 2}")
		})
		defer s.end()
		s.push("r2", "web101: cpu: {cores: two}", "web103: cpu: {cores: 2}")
		s.wake <- struct{}{}
		synctest.Wait()
		want := []string{"Verdict web101 Refused", "Verdict web102 Orphaned"}
		if got := s.said(reconciler.EventVerdict); !slices.Equal(slices.Sorted(slices.Values(got)), want) {
			t.Errorf("have %v, want %v", got, want)
		}
		for _, e := range s.heard() {
			if e.Verdict == reconciler.Refused && !strings.Contains(e.Message, "web101.yaml:4:") {
				t.Errorf("where the problem is, is missing: %q", e.Message)
			}
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if got := s.said(reconciler.EventVerdict, reconciler.EventSource); len(got) != 2 {
			t.Errorf("told again: %v", got)
		}
		s.push("r3", "web101: cpu: {cores: 2}", "web103: }")
		s.wake <- struct{}{}
		synctest.Wait()
		if got := s.said(reconciler.EventSource); len(got) != 1 {
			t.Errorf("a file that is no object: %v", got)
		}
	})
}

// Nothing to do for a day: a fixed number of looks, no write, no event, no log.
func TestIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := begin(t, func(s *story) { s.push("r1", "web101: cpu: {cores: 2}", "web102: cpu: {cores: 2}") })
		defer s.end()
		time.Sleep(time.Minute)
		events, logs, looks := len(s.said(reconciler.EventVerdict, reconciler.EventApplied, reconciler.EventSource, reconciler.EventRevision)), s.logs.Len(), s.looked()
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		if now := len(s.said(reconciler.EventVerdict, reconciler.EventApplied, reconciler.EventSource, reconciler.EventRevision)); now != events || s.logs.Len() != logs || len(s.made()) != 2 {
			t.Errorf("%d events, %d log lines, steps %v", now-events, s.logs.Len()-logs, s.made())
		}
		if n := s.looked() - looks; n < 2*144 || n > 2*181 {
			t.Errorf("%d looks at two guests in a day, every ten minutes or up to a fifth sooner", n)
		}
	})
}

// The newest commit wins between two steps: what the one before still wanted is not done.
func TestNewestWinsAtStepBoundaries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := begin(t, func(s *story) {
			s.takes = time.Minute
			s.push("r1", "web101: power: Running")
		})
		defer s.end()
		time.Sleep(30 * time.Second) // the guest is being created
		s.push("r2", "web101: power: Unmanaged")
		s.wake <- struct{}{}
		time.Sleep(time.Hour)
		synctest.Wait()
		if got := s.made(); len(got) != 1 {
			t.Errorf("steps: %v", got)
		}
		if got := s.said(reconciler.EventApplied); len(got) != 1 {
			t.Errorf("the step that was made is recorded: %v", got)
		}
	})
}

// A stop waits for the step that was begun, and no other begins.
func TestStopsBetweenSteps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := begin(t, func(s *story) {
			s.takes = time.Minute
			s.push("r1", "web101: power: Running")
		})
		time.Sleep(30 * time.Second)
		s.end()
		if got := s.made(); len(got) != 1 || !slices.Contains(s.said(reconciler.EventApplied), "Applied web101 Changes") {
			t.Errorf("steps: %v, events %v", got, s.said(reconciler.EventApplied))
		}
	})
}

// A panic is the failure of one object, again and again more slowly, and of no other.
func TestPanicIsOneObjectsFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := begin(t, func(s *story) {
			s.bad = 101
			s.push("r1", "web101: cpu: {cores: 2}", "web102: cpu: {cores: 2}")
		})
		defer s.end()
		time.Sleep(time.Hour)
		synctest.Wait()
		for _, it := range s.Status().Items {
			want := map[string]reconciler.Verdict{"web101": reconciler.Failed, "web102": reconciler.InSync}[it.Object.Name]
			if it.Object.Verdict != want {
				t.Errorf("%s is %s: %v", it.Object.Name, it.Object.Verdict, it.Object.Err)
			}
		}
		if n := s.logs.FilterMessage("panic").Len(); n < 5 || n > 25 {
			t.Errorf("%d tries in an hour", n)
		}
		if got := s.said(reconciler.EventVerdict); !slices.Equal(got, []string{"Verdict web101 Failed", "Verdict web102 InSync"}) && !slices.Equal(got, []string{"Verdict web101 Failed"}) {
			t.Errorf("said once: %v", got)
		}
	})
}

// A source that cannot be read is told once, and once more when it can; drift is corrected meanwhile.
func TestSourceAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := begin(t, func(s *story) { s.push("r1", "web101: cpu: {cores: 2}") })
		defer s.end()
		s.fail(errors.New("git: no answer"))
		s.host.mu.Lock()
		s.guests[101].Running["cores"] = "8"
		s.host.mu.Unlock()
		time.Sleep(time.Hour)
		synctest.Wait()
		if got := s.Status().Source; got.Error != "git: no answer" || got.Revision.Commit != "r1" {
			t.Errorf("status: %+v", got)
		}
		s.fail(nil)
		time.Sleep(time.Hour)
		synctest.Wait()
		if got := s.said(reconciler.EventSource); len(got) != 2 {
			t.Errorf("told %v", got)
		}
		if got := s.made(); len(got) != 2 {
			t.Errorf("steps: %v", got)
		}
		if s.Status().Source.Error != "" {
			t.Error("still told to be away")
		}
		// it is away, and back with what is not followed in full: that is said last
		s.fail(errors.New("git: no answer"))
		time.Sleep(time.Hour)
		s.push("r2", "web101: cpu: {cores: 2}")
		s.mu.Lock()
		s.files["r2"]["broken.yaml"] = "kind: [\n"
		s.broken = nil
		s.mu.Unlock()
		time.Sleep(time.Hour)
		synctest.Wait()
		var reasons []string
		for _, e := range s.heard() {
			if e.Type == reconciler.EventSource {
				reasons = append(reasons, e.Reason)
			}
		}
		if got := strings.Join(reasons, " "); got != "NotFollowed Followed NotFollowed Followed NotFollowed" {
			t.Errorf("told %s", got)
		}
	})
}

// A host that does not answer makes its objects unknown, told once each. It is back, and all of them are looked at as soon as
// the first answers, however long their pauses have become.
func TestHostAwayAndBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := begin(t, func(s *story) {
			s.push("r1", "web101: cpu: {cores: 2}", "web102: cpu: {cores: 2}", "web103: cpu: {cores: 2}")
		})
		defer s.end()
		away := func(down bool) {
			s.host.mu.Lock()
			defer s.host.mu.Unlock()
			s.down = down
		}
		// away for a moment only: the first try after it asks the host again
		time.Sleep(time.Minute)
		away(true)
		s.Loop.Look([]string{"web101"})
		synctest.Wait()
		away(false)
		time.Sleep(7 * time.Second)
		synctest.Wait()
		if got := strings.Join(s.said(reconciler.EventVerdict), ", "); got != "Verdict web101 Unknown, Verdict web101 InSync" {
			t.Errorf("told %s", got)
		}
		away(true)
		time.Sleep(5 * time.Hour)
		synctest.Wait()
		if got := s.said(reconciler.EventVerdict); len(got) != 5 {
			t.Errorf("told %v", got)
		}
		away(false)
		for range 60 {
			time.Sleep(10 * time.Second)
			synctest.Wait()
			left := 0
			for _, it := range s.Status().Items {
				if it.Object.Verdict != reconciler.InSync {
					left++
				}
			}
			if left != 0 && left != 3 {
				t.Fatalf("%d of 3 still wait though one was reached", left)
			}
		}
		if got := s.said(reconciler.EventVerdict); len(got) != 8 {
			t.Errorf("told %v", got)
		}
	})
}

// A state directory that cannot be written is told once, not all night, and that it is over; what could not be written is not
// forgotten.
func TestStateCannotBeWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := begin(t, func(*story) {})
		defer s.end()
		file := filepath.Join(s.State, "conditions.json")
		if err := os.Mkdir(file, 0o700); err != nil {
			t.Fatal(err)
		}
		s.push("r1", "web101: cpu: {cores: 2}")
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		const failed, over = "since when conditions are as they are could not be noted; that is tried again", "since when conditions are as they are is noted again"
		if n := s.logs.FilterMessage(failed).Len(); n != 1 {
			t.Errorf("told %d times", n)
		}
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if kept, err := loop.Remember(s.State); err != nil || len(kept) != 1 || s.logs.FilterMessage(over).Len() != 1 {
			t.Errorf("kept %v, %v; logs %v", kept, err, s.logs.All())
		}
	})
}

// Conditions keep their time while they hold, and over a restart.
func TestConditionsKeepTheirTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := begin(t, func(s *story) { s.push("r1", "web101: cpu: {cores: 2}") })
		defer s.end()
		began := time.Now()
		time.Sleep(3 * time.Hour)
		synctest.Wait()
		conditions := s.Status().Items[0].Conditions
		if conditions[0].Type != reconciler.Ready || conditions[0].Status != "True" || conditions[0].LastTransitionTime.After(began) || len(conditions) != 7 {
			t.Errorf("%+v", conditions)
		}
		kept, err := loop.Remember(s.State)
		if err != nil || len(kept["VirtualMachine/web101"]) != 7 || !kept["VirtualMachine/web101"][0].LastTransitionTime.Equal(conditions[0].LastTransitionTime) {
			t.Errorf("kept: %+v, %v", kept, err)
		}
	})
}
