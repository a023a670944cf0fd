package reconciler

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"sync"

	"go.uber.org/zap"

	"github.com/ustclug/pve-reconcile/internal/state"
	"github.com/ustclug/pve-reconcile/reconciler/vm"
	"github.com/ustclug/pve-reconcile/schema"
)

// Key names an object of the manifests.
type Key struct{ Kind, Name string }

func (k Key) String() string { return k.Kind + "/" + k.Name }

func (k Key) compare(l Key) int {
	return cmp.Or(strings.Compare(k.Kind, l.Kind), strings.Compare(k.Name, l.Name))
}

// Pass is what the rounds of the objects of one revision share.
type Pass struct {
	*Reconciler
	Input

	after      map[Key][]Key // what an object depends on
	dependents map[Key][]Key
	providers  map[string][]Key // by cluster: nodes that bring what guests of the same revision may need

	mu      sync.Mutex
	bases   map[string]*base
	results map[Key]Object // of rounds that are over
}

// base is what one earlier revision declared.
type base struct {
	once  sync.Once
	set   map[string]schema.VM   // by "cluster/vmid"
	nodes map[string]schema.Node // by nodeKey
	err   error
}

// NewPass begins a pass. It asks nobody; the rounds do.
func (r *Reconciler) NewPass(in Input) *Pass {
	if in.Around == nil {
		in.Around = r.NewAround()
	}
	p := &Pass{Reconciler: r, Input: in, bases: map[string]*base{}, results: map[Key]Object{}}
	p.order()
	return p
}

// round is the work on one object in one pass.
type round struct {
	*Pass
	apply   bool
	working func() // told before the first step is made
	census  vm.Census
}

// of makes the round of an object. A kind whose steps take hours has its rounds beside those of the others: see Pass.Group.
func (r *round) of(ctx context.Context, k Key) Object {
	switch k.Kind {
	case schema.KindVM:
		v, _ := r.Set.VM(k.Name)
		return r.vm(ctx, v)
	case schema.KindNode:
		n, _ := r.Set.Node(k.Name)
		return r.node(ctx, n)
	case schema.KindMigration:
		m, _ := r.Set.Migration(k.Name)
		return r.migration(ctx, m)
	}
	panic("no rounds are made of a " + k.Kind)
}

// Keys lists the objects of the revision that a round can be made of, those of Input.Only where it names some.
func (p *Pass) Keys() []Key {
	var out []Key
	for _, v := range p.Set.VMs {
		out = append(out, Key{schema.KindVM, v.Object.Metadata.Name})
	}
	for _, n := range p.Set.Nodes {
		out = append(out, Key{schema.KindNode, n.Object.Metadata.Name})
	}
	for _, m := range p.Set.Migrations {
		out = append(out, Key{schema.KindMigration, m.Object.Metadata.Name})
	}
	return slices.DeleteFunc(out, func(k Key) bool { return !p.Wants(k) })
}

// Has tells whether a round can be made of an object.
func (p *Pass) Has(k Key) bool {
	switch k.Kind {
	case schema.KindVM:
		_, ok := p.Set.VM(k.Name)
		return ok
	case schema.KindNode:
		_, ok := p.Set.Node(k.Name)
		return ok
	case schema.KindMigration:
		_, ok := p.Set.Migration(k.Name)
		return ok
	}
	return false
}

// Group is what an object shares the server's patience with: its cluster. Objects whose rounds take hours are each a
// group of their own.
func (p *Pass) Group(k Key) string {
	if k.Kind == schema.KindMigration {
		return k.String()
	}
	stated, node := "", k.Name
	if v, ok := p.Set.VM(k.Name); ok && k.Kind == schema.KindVM {
		stated, node = v.Spec.Cluster, v.Spec.Node
	} else if n, ok := p.Set.Node(k.Name); ok && k.Kind == schema.KindNode {
		stated = n.Spec.Cluster
	}
	cluster, _ := p.ClusterOf(stated, node) // one that cannot be told fails without asking anybody
	return cluster
}

// Round observes one object, decides, and with apply has the steps done one by one until it comes to rest, waits for
// something, or ctx ends, which is heeded between two steps. working, if given, is told before the first step. A panic is
// the failure of this object and of no other.
func (p *Pass) Round(ctx context.Context, k Key, apply bool, working func()) (o Object) {
	defer func() {
		if cause := recover(); cause != nil {
			p.Log.Error("panic", zap.String("kind", k.Kind), zap.String("name", k.Name), zap.Any("cause", cause), zap.ByteString("stack", debug.Stack()))
			o = Object{Kind: k.Kind, Name: k.Name, ID: o.ID, Verdict: Failed, Err: fmt.Errorf("this program has a defect, please report it with the log: panic: %v", cause)}
		}
	}()
	if working == nil {
		working = func() {}
	}
	held := p.suspension(k)
	o = (&round{Pass: p, apply: apply && held == nil, working: working}).of(ctx, k)
	if o.Suspended = held; held != nil && o.Verdict == Changes {
		o.Verdict = Suspended
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.results[k] = o
	return o
}

// suspension tells whether the work on an object is suspended. It is, while nobody can tell.
func (p *Pass) suspension(k Key) *state.Suspension {
	if p.Suspended == nil {
		return nil
	}
	all, err := p.Suspended()
	if err != nil {
		return &state.Suspension{Reason: err.Error(), Since: p.Now()}
	}
	for _, key := range []string{k.String(), state.Everything} {
		if x, ok := all[key]; ok {
			return &x
		}
	}
	return nil
}

// Record notes in the ledger which objects are as the revision says. Ledger.Flush writes it.
func (p *Pass) Record(objects ...Object) {
	synced := map[string]state.Entry{}
	for _, o := range objects {
		if o.declared {
			key := o.ID.String()
			if o.Kind == schema.KindNode {
				key = nodeKey(o.ID.Cluster, o.Name)
			}
			synced[key] = state.Entry{Kind: o.Kind, Name: o.Name}
		}
	}
	p.Ledger.Done(p.Revision, p.Now(), synced)
}

// Wants tells whether an object is among those that were asked for, by its name or by kind and name.
func (in Input) Wants(k Key) bool {
	return len(in.Only) == 0 || slices.Contains(in.Only, k.Name) || slices.Contains(in.Only, k.String())
}

// doomed counts the tombstones of guests that are alive.
func (p *Pass) doomed(ctx context.Context) int {
	n := 0
	for _, v := range p.Set.VMs {
		if !v.Object.Absent() {
			continue
		}
		if cluster, err := p.ClusterOf(v.Object.Spec.Cluster, v.Object.Spec.Node); err == nil {
			census, _ := p.Around.Glance(ctx, cluster) // one that does not answer deletes nothing either
			if _, alive := census.Guests[v.Object.Spec.VMID]; alive {
				n++
			}
		}
	}
	return n
}

// Unattended are the objects that no round is made of: those whose manifests have problems, and guests that were applied
// once and that no manifest names any more. With apply, guests of the latter that are gone are forgotten.
func (p *Pass) Unattended(ctx context.Context, apply bool) []Object {
	var out []Object
	for ref := range p.Set.Refused {
		kind, name, _ := strings.Cut(ref, "/")
		if name != "" && p.Wants(Key{kind, name}) {
			out = append(out, Object{Kind: kind, Name: name, Verdict: Refused})
		}
	}
	if p.Set.Unread || p.Finding != nil || len(p.Only) > 0 {
		return out // an unread document may be the one that is missed
	}
	declared := p.declared()
	for key, e := range p.Ledger.Entries() {
		if e.Kind != schema.KindVM || declared[key] || p.Set.Refused[e.Kind+"/"+e.Name] {
			continue
		}
		if o, ok := p.orphan(ctx, key, e, apply); ok {
			out = append(out, o)
		}
	}
	return out
}

// declared holds the addresses of the guests that have a manifest.
func (p *Pass) declared() map[string]bool {
	out := map[string]bool{}
	for _, v := range p.Set.VMs {
		if cluster, err := p.ClusterOf(v.Object.Spec.Cluster, v.Object.Spec.Node); err == nil {
			out[v.Object.Resolve(p.Owner, cluster).ID().String()] = true
		}
	}
	return out
}

// orphan is a guest without a manifest. It is left alone.
func (p *Pass) orphan(ctx context.Context, key string, e state.Entry, apply bool) (Object, bool) {
	o := Object{Kind: e.Kind, Name: e.Name, Verdict: Orphaned, Base: e.Revisions[0], Since: e.InSync}
	o.ID.Cluster, _, _ = strings.Cut(key, "/")
	_, _ = fmt.Sscanf(key[len(o.ID.Cluster):], "/%d", &o.ID.VMID)
	if _, known := p.Clusters[o.ID.Cluster]; known {
		census, err := p.Around.Glance(ctx, o.ID.Cluster)
		guest, alive := census.Guests[o.ID.VMID]
		if err == nil && !alive && apply { // a glance may be older than the guest: look before it is forgotten
			p.Around.Forget(o.ID.Cluster)
			census, err = p.Around.Glance(ctx, o.ID.Cluster)
			guest, alive = census.Guests[o.ID.VMID]
		}
		if err == nil && !alive {
			if apply {
				_ = p.Ledger.Forget(key) // nothing is owed to one that is gone
			}
			return o, false
		}
		o.ID.Node, o.Power = guest.Node, guest.Status
	}
	o.Plan.Notes = []string{"no manifest any more: left alone. Write one again to go on with it, or a tombstone (state: Absent) to delete it"}
	return o, true
}

// base is the union of what applied revisions declared of an object.
func (p *Pass) base(ctx context.Context, key string, o *Object) (schema.VM, error) {
	entry, ok := p.Ledger.Entry(key)
	if !ok || len(entry.Revisions) == 0 {
		return schema.VM{}, nil
	}
	o.Base, o.Since = entry.Revisions[0], entry.InSync
	var union schema.VM
	var errs []error
	for _, rev := range entry.Revisions {
		b := p.at(ctx, rev)
		if b.err != nil {
			errs = append(errs, b.err)
			continue
		}
		union = schema.Overlay(union, b.set[key])
	}
	return union, errors.Join(errs...)
}

// given is what the last revision declared that was carried out in full on a guest; nothing when none was. When it cannot
// be had any more, nobody can tell drift from a change in git, and the guest counts as given what is wanted.
func (p *Pass) given(ctx context.Context, want schema.VM) schema.VM {
	last := p.last(want.ID())
	if last == "" {
		return schema.VM{}
	}
	b := p.at(ctx, last)
	if b.err != nil {
		return want
	}
	return b.set[want.ID().String()]
}

// last is the revision last carried out in full on a guest, "" when none is known.
func (p *Pass) last(id schema.ID) string { return p.lastOf(id.String()) }

func (p *Pass) lastOf(key string) string {
	entry, _ := p.Ledger.Entry(key)
	return entry.Last()
}

// at loads an earlier revision, once a pass.
func (p *Pass) at(ctx context.Context, revision string) *base {
	p.mu.Lock()
	b, ok := p.bases[revision]
	if !ok {
		b = &base{}
		p.bases[revision] = b
	}
	p.mu.Unlock()
	b.once.Do(func() {
		set := p.Set
		if revision != p.Revision {
			set, b.err = p.Base(ctx, revision)
		}
		b.set = map[string]schema.VM{}
		for _, v := range set.VMs {
			if cluster, err := p.ClusterOf(v.Object.Spec.Cluster, v.Object.Spec.Node); err == nil {
				w := v.Object.Resolve(p.Owner, cluster)
				b.set[w.ID().String()] = w
			}
		}
		b.nodes = map[string]schema.Node{}
		for _, n := range set.Nodes {
			if cluster, err := p.ClusterOf(n.Object.Spec.Cluster, n.Object.Metadata.Name); err == nil {
				b.nodes[nodeKey(cluster, n.Object.Metadata.Name)] = n.Object
			}
		}
	})
	return b
}

// observe looks at a guest: cheaply first, closely when something may have to be done.
func (p *Pass) observe(ctx context.Context, id schema.ID, census vm.Census, closely bool) (vm.Observed, error) {
	look := p.World.VM
	if closely {
		look = p.World.Look
	}
	var where *vm.Guest
	if g, ok := census.Guests[id.VMID]; ok {
		where = &g
	}
	have, err := look(ctx, id, where)
	have.Facts = census.Facts
	have.Rules = p.Set.Rules(id.Node)
	return have, err
}
