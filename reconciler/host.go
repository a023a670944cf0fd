package reconciler

import (
	"context"

	"github.com/ustclug/pve-reconcile/reconciler/node"
	"github.com/ustclug/pve-reconcile/reconciler/vm"
	"github.com/ustclug/pve-reconcile/schema"
)

// tableOf are the values of a node as those of a guest are told.
func tableOf(rows []node.Row) []vm.Row {
	out := make([]vm.Row, len(rows))
	for i, r := range rows {
		out[i] = vm.Row{Key: r.Name(), Path: r.Path, Declared: r.Declared, Applied: r.Applied, Live: r.Live, Cause: r.Cause, Report: r.Report, Ignored: r.Ignored}
	}
	return out
}

// nodeKey is a node's place in the ledger.
func nodeKey(cluster, name string) string { return cluster + "/" + schema.KindNode + "/" + name }

// givenNode is what the revision declared that was last carried out in full on a node, zero when none was. When it cannot be
// had any more, nobody can tell drift from a change in git, and the node counts as given what is wanted.
func (p *Pass) givenNode(ctx context.Context, want schema.Node, o *Object) schema.Node {
	entry, ok := p.Ledger.Entry(nodeKey(o.ID.Cluster, o.Name))
	if !ok {
		return schema.Node{}
	}
	o.Base, o.Since = entry.Revisions[0], entry.InSync
	if entry.Last() == "" {
		return schema.Node{}
	}
	b := p.at(ctx, entry.Last())
	if b.err != nil {
		return want
	}
	return b.nodes[nodeKey(o.ID.Cluster, o.Name)]
}
