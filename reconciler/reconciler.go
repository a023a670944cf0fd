package reconciler

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/ustclug/pve-reconcile/internal/state"
	"github.com/ustclug/pve-reconcile/manifests"
	"github.com/ustclug/pve-reconcile/reconciler/admit"
	"github.com/ustclug/pve-reconcile/reconciler/vm"
	"github.com/ustclug/pve-reconcile/schema"
)

// Reconciler makes passes: each looks at every object once and, when told to, does what the planners decide.
type Reconciler struct {
	World    World
	Ledger   *state.Ledger
	Owner    string
	Clusters map[string][]string // cluster -> its nodes; empty with a single cluster means every node
	// Tasks lists what others did to the config of a guest since then, or with an id without vmid to the network of a node,
	// where PVE knows it; nil: nobody is asked. It is asked only about what somebody changed.
	Tasks func(ctx context.Context, id schema.ID, since time.Time) ([]vm.Task, error)
	// DriftPolicy is that of a cluster's guests whose manifest has none: Correct (as ""), or Report.
	DriftPolicy map[string]string
	// MaxDeletions is how many guests a pass may delete; with more tombstones of living guests, none is carried out.
	MaxDeletions int
	Workers      int // objects that Plan and Apply look at or work on at a time
	Limits       *Limits
	// Suspended lists what a person suspended, by "Kind/name", state.Everything for all. While it cannot be read, everything is.
	Suspended func() (map[string]state.Suspension, error)
	// Windows are when the guests of a cluster may be interrupted whose manifests state none; without any, at any time.
	Windows map[string][]schema.Window
	// Flaps remembers which steps succeeded; nil: nobody does, and none is held back because it comes back.
	Flaps *state.Flaps
	// Moves is how migrations are made.
	Moves Moves
	// Fresh is how long a glance at a cluster counts; 0: as long as the Around it is in.
	Fresh time.Duration
	Now   func() time.Time
	Log   *zap.Logger
}

// Input is one revision of the manifests, and how to come by earlier ones.
type Input struct {
	Revision string
	Set      manifests.Set
	// Finding is what stands against the revision, nil when it is let through. One that blocks leaves nothing to do: make no
	// round of such a revision. With another, nothing counts as removed.
	Finding *admit.Finding
	// Accept remembers the revision as the one that was let through. It has to be called before the first write.
	Accept func() error
	// Base loads the manifests of an earlier revision. Its error says why that revision cannot be had: then nothing it
	// gave is taken away.
	Base func(ctx context.Context, revision string) (manifests.Set, error)
	// Around is what a glance at the clusters gave, when one was made ahead; nil: the pass makes it.
	Around *Around
	// Before tells what the last round of an object found, before this pass; nil: nobody knows.
	Before func(Key) (Object, bool)
	// Tables asks for every value of each guest from all sides.
	Tables bool
	// Only restricts the pass to these objects (by name); empty means all.
	Only []string
}

// Plan observes and decides, and changes nothing. It is the same code path as Apply.
func (r *Reconciler) Plan(ctx context.Context, in Input) Report { return r.all(ctx, in, false) }

// Apply observes, decides and has the steps done. Cancelling ctx stops it between two steps.
func (r *Reconciler) Apply(ctx context.Context, in Input) Report { return r.all(ctx, in, true) }

// all makes one round of every object, and reports on them.
func (r *Reconciler) all(ctx context.Context, in Input, apply bool) Report {
	if in.Finding != nil && in.Finding.Reason.Blocks() {
		return Report{Revision: in.Revision, Source: in.Finding}
	}
	if in.Around == nil {
		in.Around = r.LookAround(ctx)
	}
	p := r.NewPass(in)
	report := Report{Revision: in.Revision, Source: in.Finding, Problems: in.Set.Problems, Objects: p.once(ctx, apply)}
	if apply {
		p.Record(report.Objects...)
		if err := r.Ledger.Flush(); err != nil {
			report.Notes = append(report.Notes, err.Error())
		}
	}
	report.Objects = append(report.Objects, p.Unattended(ctx, apply)...)
	slices.SortFunc(report.Objects, Object.compare)
	report.Stopped = ctx.Err() != nil
	return report
}

// once makes one round of every object, through the queue that the daemon uses. What ctx cuts short is in each object.
func (p *Pass) once(ctx context.Context, apply bool) []Object {
	var mu sync.Mutex
	var out []Object
	var left sync.WaitGroup
	q := NewQueue(QueueOptions{
		Crowd: max(1, p.Workers), Group: p.Group, After: p.After,
		Round: func(_ context.Context, k Key, working func()) Next {
			o := p.Round(ctx, k, apply, working)
			mu.Lock()
			out = append(out, o)
			mu.Unlock()
			left.Done()
			return Next{}
		},
	})
	keys := p.Keys()
	left.Add(len(keys))
	q.Add(keys...)
	q.Start(context.WithoutCancel(ctx))
	left.Wait()
	q.Wait()
	return out
}

// ClusterOf finds the cluster an object belongs to.
func (r *Reconciler) ClusterOf(stated, node string) (string, error) {
	if stated != "" {
		if _, ok := r.Clusters[stated]; !ok {
			return "", fmt.Errorf("spec.cluster: %q is not in the config file: %s", stated, strings.Join(sorted(r.Clusters), ", "))
		}
		return stated, nil
	}
	var found []string
	for name, nodes := range r.Clusters {
		if len(r.Clusters) == 1 || slices.Contains(nodes, node) {
			found = append(found, name)
		}
	}
	if len(found) != 1 {
		return "", fmt.Errorf("node %q: cannot tell its cluster among %s: list it under nodes of one of them in the config file, or set spec.cluster", node, strings.Join(sorted(r.Clusters), ", "))
	}
	return found[0], nil
}

func sorted[V any](m map[string]V) []string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
