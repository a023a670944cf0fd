package reconciler

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ustclug/pve-reconcile/reconciler/vm"
)

// Around is a glance at every cluster. One that is older than Reconciler.Fresh is taken anew by who needs it next.
type Around struct {
	*Reconciler
	glances map[string]*glance
}

// glance is what one cluster said last. Its lock is held while the cluster is asked, so that many who need it ask once.
type glance struct {
	mu     sync.Mutex
	at     time.Time // zero: not asked yet
	census vm.Census
	err    error
}

// failedFresh is how long it counts that a cluster did not answer: less than any pause before a retry.
const failedFresh = 500 * time.Millisecond

// NewAround asks nobody yet: each cluster is asked when a round needs it.
func (r *Reconciler) NewAround() *Around {
	a := &Around{Reconciler: r, glances: map[string]*glance{}}
	for name := range r.Clusters {
		a.glances[name] = &glance{}
	}
	return a
}

// LookAround lists every cluster, all at once. It needs no manifests, so that it can be made while they are read.
func (r *Reconciler) LookAround(ctx context.Context) *Around {
	a := r.NewAround()
	var g errgroup.Group
	for name := range r.Clusters {
		g.Go(func() error { _, _ = a.Glance(ctx, name); return nil })
	}
	_ = g.Wait() // every outcome is kept
	return a
}

// Glance is the census of a cluster.
func (a *Around) Glance(ctx context.Context, cluster string) (vm.Census, error) {
	g := a.glances[cluster]
	if g == nil {
		return vm.Census{}, fmt.Errorf("cluster %q is not in the config file", cluster)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	fresh := a.Fresh
	if g.err != nil { // those that wait for the same answer share it; who tries again later is to ask
		fresh = min(fresh, failedFresh)
	}
	if !g.at.IsZero() && (a.Fresh == 0 || a.Now().Sub(g.at) < fresh) {
		return g.census, g.err
	}
	census, err := a.World.Census(ctx, cluster)
	if err != nil && ctx.Err() != nil && a.Fresh > 0 {
		return vm.Census{}, err // who asked was told to stop: the cluster said nothing
	}
	g.census, g.err, g.at = census, err, a.Now()
	return g.census, g.err
}

// Forget lets the next who needs a cluster ask it.
func (a *Around) Forget(cluster string) {
	if g := a.glances[cluster]; g != nil {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.at = time.Time{}
	}
}
