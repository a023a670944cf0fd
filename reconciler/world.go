// Package reconciler turns revisions of manifests into changes of the world: it observes, lets the planners decide, has
// single steps done and looks again. It never decides what a difference is, and never makes a change itself.
package reconciler

import (
	"context"

	"github.com/ustclug/pve-reconcile/reconciler/migration"
	"github.com/ustclug/pve-reconcile/reconciler/node"
	"github.com/ustclug/pve-reconcile/reconciler/step"
	"github.com/ustclug/pve-reconcile/reconciler/vm"
	"github.com/ustclug/pve-reconcile/schema"
)

// World is all that can be seen and changed. Its errors wrap the sentinels of package step.
type World interface {
	// Census lists a cluster in a fixed number of calls. Its run states are up to ten seconds old (FACTS §7).
	Census(ctx context.Context, cluster string) (vm.Census, error)
	// VM observes one guest in one call. where is its row in the census, nil when it has none; the run state is taken from
	// there, and sizes of volumes are not asked for.
	VM(ctx context.Context, id schema.ID, where *vm.Guest) (vm.Observed, error)
	// Look observes one guest closely, before it is changed: live run state, real sizes of its volumes.
	Look(ctx context.Context, id schema.ID, where *vm.Guest) (vm.Observed, error)
	// Node makes the reads that node.Reads lists, and no others. What is refused or not answered is part of what it
	// observed; its own error means that there is no observation at all.
	Node(ctx context.Context, cluster string, reads []string) (node.Observed, error)
	// Migration observes both ends of a migration and the guest it moves to, whose address and row in the census are given. A
	// host that cannot be looked at is part of what was observed; the error is PVE's.
	Migration(ctx context.Context, m schema.Migration, id schema.ID, where *vm.Guest) (migration.Observed, error)
	// Do makes one change and waits until PVE says how it ended.
	Do(ctx context.Context, s step.Step) (step.Outcome, error)
}
