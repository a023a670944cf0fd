// Package live is the World that is really there: it routes each observation and each step to the room that owns it. It
// decides nothing and keeps nothing between calls.
package live

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ustclug/pve-reconcile/internal/pmxcfs"
	"github.com/ustclug/pve-reconcile/internal/pve"
	"github.com/ustclug/pve-reconcile/internal/zfs"
	"github.com/ustclug/pve-reconcile/reconciler/node"
	"github.com/ustclug/pve-reconcile/reconciler/step"
	"github.com/ustclug/pve-reconcile/reconciler/vm"
	"github.com/ustclug/pve-reconcile/schema"
)

// World is a set of clusters.
type World struct {
	clusters map[string]*pve.Cluster
	machines *zfs.Machines // nil without hosts
	// Mounts are file systems of clusters on whose nodes this runs: configs are read there instead of asked for.
	Mounts map[string]*pmxcfs.Mount
	// Now is the clock by which migrations are observed; nil: the machine's.
	Now func() time.Time
	// Fence says before each write why none may be made to a cluster, "" being all of them; nil: nothing ever stands against it.
	Fence func(cluster string) error
}

// New makes a world of clusters by the names the config file gives them.
func New(clusters map[string]*pve.Cluster) *World { return &World{clusters: clusters} }

func (w *World) cluster(name string) (*pve.Cluster, error) {
	c, ok := w.clusters[name]
	if !ok {
		return nil, fmt.Errorf("cluster %q is not in the config file", name)
	}
	return c, nil
}

// Census lists a cluster.
func (w *World) Census(ctx context.Context, cluster string) (vm.Census, error) {
	c, err := w.cluster(cluster)
	if err != nil {
		return vm.Census{}, err
	}
	out, err := c.Census(ctx)
	if m := w.Mounts[cluster]; m != nil && err == nil {
		err = agree(cluster, m, out)
	}
	return out, err
}

// agree refuses a file system that is another cluster's.
func agree(cluster string, m *pmxcfs.Mount, c vm.Census) error {
	nodes, err := m.Nodes()
	if err != nil {
		return err
	}
	for n := range c.Nodes {
		if !slices.Contains(nodes, n) {
			return fmt.Errorf("cluster %s: %s belongs to another cluster: it has no node %s, but %s: correct clusters.%s.pmxcfs in the config file", cluster, m.Dir(), n, strings.Join(nodes, ", "), cluster)
		}
	}
	return nil
}

// VM observes one guest in one call.
func (w *World) VM(ctx context.Context, id schema.ID, where *vm.Guest) (vm.Observed, error) {
	c, err := w.cluster(id.Cluster)
	if err != nil {
		return vm.Observed{}, err
	}
	if m := w.Mounts[id.Cluster]; m != nil {
		if o, ok := m.VM(id.VMID, where); ok {
			return o, nil
		}
	}
	return c.VM(ctx, id, where)
}

// Look observes one guest closely.
func (w *World) Look(ctx context.Context, id schema.ID, where *vm.Guest) (vm.Observed, error) {
	c, err := w.cluster(id.Cluster)
	if err != nil {
		return vm.Observed{}, err
	}
	return c.Look(ctx, id, where)
}

// Node makes reads of one node, which an assertion needs.
func (w *World) Node(ctx context.Context, cluster string, reads []string) (node.Observed, error) {
	c, err := w.cluster(cluster)
	if err != nil {
		return node.Observed{}, err
	}
	return c.Node(ctx, reads)
}

// Tasks lists what others did to the config of a guest since then, or with an id without vmid to the network of a node.
func (w *World) Tasks(ctx context.Context, id schema.ID, since time.Time) ([]vm.Task, error) {
	c, err := w.cluster(id.Cluster)
	if err != nil {
		return nil, err
	}
	return c.Tasks(ctx, id, since)
}

// Do routes a step to the owner of what it changes.
func (w *World) Do(ctx context.Context, s step.Step) (step.Outcome, error) {
	if w.Fence != nil {
		if err := w.Fence(s.Guest().Cluster); err != nil {
			return step.Outcome{}, fmt.Errorf("nothing is written: %w: %w", err, step.ErrBusy)
		}
	}
	if on, ok := s.(step.OnHost); ok {
		return w.doOnHost(ctx, on)
	}
	c, err := w.cluster(s.Guest().Cluster)
	if err != nil {
		return step.Outcome{}, err
	}
	return c.Do(ctx, s)
}
