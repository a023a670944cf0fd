package main

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/ustclug/pve-reconcile/reconciler/adopt"
	"github.com/ustclug/pve-reconcile/reconciler/node"
	"github.com/ustclug/pve-reconcile/reconciler/vm"
	"github.com/ustclug/pve-reconcile/schema"
)

// survey looks at the nodes asked for, with the reads that a plan of their manifests makes.
func (p *program) survey(ctx context.Context, o importing, around map[string]vm.Census, r *imported) []adopt.Host {
	if !o.all && o.node == "" || len(o.vmids) > 0 {
		return nil
	}
	total := 0
	for _, census := range around {
		total += len(census.Nodes)
	}
	var out []adopt.Host
	for _, cluster := range slices.Sorted(maps.Keys(around)) {
		census := around[cluster]
		for _, name := range slices.Sorted(maps.Keys(census.Nodes)) {
			if o.node != "" && o.node != name {
				continue
			}
			have, err := node.Observed{}, fmt.Errorf("node %s is offline", name)
			if census.Nodes[name] {
				have, err = p.host(ctx, cluster, name)
			}
			if err != nil {
				r.unseen = append(r.unseen, unseen{schema.ID{Cluster: cluster, Node: name}, err})
				continue
			}
			have.Nodes = slices.Sorted(maps.Keys(census.Nodes))
			out = append(out, adopt.Host{Name: name, Alone: total == 1 && len(p.clusters) == 1, Have: have})
		}
	}
	return out
}

// host makes the reads of one node, in two rounds: which pools there are shows in the first.
func (p *program) host(ctx context.Context, cluster, name string) (node.Observed, error) {
	have, err := p.reconciler.World.Node(ctx, cluster, node.Survey(name))
	if err != nil {
		return have, err
	}
	more := node.Details(name, have)
	if len(more) == 0 {
		return have, nil
	}
	details, err := p.reconciler.World.Node(ctx, cluster, more)
	maps.Copy(have.Answers, details.Answers)
	return have, err
}
