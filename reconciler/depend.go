package reconciler

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/ustclug/pve-reconcile/reconciler/step"
	"github.com/ustclug/pve-reconcile/schema"
)

// order reads off the manifests what goes before what.
func (p *Pass) order() {
	p.after, p.dependents, p.providers = map[Key][]Key{}, map[Key][]Key{}, map[string][]Key{}
	note := func(k Key, on []string) {
		for _, text := range on {
			kind, name, _ := strings.Cut(text, "/")
			on := Key{kind, name}
			p.after[k] = append(p.after[k], on)
			p.dependents[on] = append(p.dependents[on], k)
		}
	}
	for _, v := range p.Set.VMs {
		note(Key{schema.KindVM, v.Object.Metadata.Name}, v.Object.Metadata.DependsOn)
	}
	for _, n := range p.Set.Nodes {
		k := Key{schema.KindNode, n.Object.Metadata.Name}
		note(k, n.Object.Metadata.DependsOn)
		if n.Object.Managed() {
			cluster := p.Group(k)
			p.providers[cluster] = append(p.providers[cluster], k)
		}
	}
	for _, m := range p.Set.Migrations {
		note(Key{schema.KindMigration, m.Object.Metadata.Name}, m.Object.Metadata.DependsOn)
	}
}

// After lists what has its round before an object when both are due: what the object depends on, and before a guest the
// nodes that bring storages or bridges. A node that depends on something itself is no such node: it may depend on the guest.
func (p *Pass) After(k Key) []Key {
	on := p.after[k]
	if k.Kind != schema.KindVM {
		return on
	}
	out := slices.Clone(on)
	for _, n := range p.providers[p.Group(k)] {
		if len(p.after[n]) == 0 {
			out = append(out, n)
		}
	}
	return out
}

// Dependents lists what depends on an object.
func (p *Pass) Dependents(k Key) []Key { return p.dependents[k] }

// dependencies says what an object has to wait for before a step is made of it, with a wait for each. What is only planned
// may wait for what would be changed before it.
func (r *round) dependencies(ctx context.Context, k Key) []step.Wait {
	var out []step.Wait
	for _, on := range r.after[k] {
		o := r.outcome(ctx, on)
		if o.Ready() || !r.apply && o.Verdict == Changes {
			continue
		}
		text := fmt.Sprintf("waits for %s, which is %s", on, strings.ToLower(string(o.Verdict)))
		if _, why := o.Why(); why != "" {
			text += ": " + why
		}
		out = append(out, step.Wait{Reason: step.DependsOn, Text: text})
	}
	return out
}

// outcome is what the last round of another object found. One that had none in this pass, nor before it, is looked at.
func (p *Pass) outcome(ctx context.Context, k Key) Object {
	p.mu.Lock()
	o, ok := p.results[k]
	p.mu.Unlock()
	if !ok && p.Before != nil {
		o, ok = p.Before(k)
	}
	switch {
	case ok:
		return o
	case p.Set.Refused[k.String()] || !p.Has(k):
		return Object{Kind: k.Kind, Name: k.Name, Verdict: Refused}
	}
	return p.Round(ctx, k, false, nil)
}
