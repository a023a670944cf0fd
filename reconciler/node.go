package reconciler

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.uber.org/zap"

	"github.com/ustclug/pve-reconcile/internal/state"
	"github.com/ustclug/pve-reconcile/reconciler/node"
	"github.com/ustclug/pve-reconcile/reconciler/step"
	"github.com/ustclug/pve-reconcile/reconciler/vm"
	"github.com/ustclug/pve-reconcile/schema"
)

// node reports on a Node: its assertions, and its policy against the live guests that have no manifest of their own.
func (p *round) node(ctx context.Context, n schema.Node) Object {
	o := Object{Kind: schema.KindNode, Name: n.Metadata.Name, Verdict: InSync, ID: schema.ID{Node: n.Metadata.Name}}
	cluster, err := p.ClusterOf(n.Spec.Cluster, n.Metadata.Name)
	if err != nil {
		o.Verdict, o.Err = Failed, err
		return o
	}
	o.ID.Cluster = cluster
	if n.Spec.DriftPolicy == "" {
		n.Spec.DriftPolicy = p.DriftPolicy[cluster]
	}
	census, err := p.Around.Glance(ctx, cluster)
	p.census = census
	online, listed := census.Nodes[n.Metadata.Name]
	switch {
	case err != nil:
		o.Verdict, o.Err = verdictOf(err), err
	case !listed:
		o.Verdict, o.Err = Blocked, fmt.Errorf("cluster %s has no node %q (it has %s): correct the manifest", cluster, n.Metadata.Name, strings.Join(sorted(census.Nodes), ", "))
	case !online:
		o.Verdict, o.Err = Unknown, fmt.Errorf("node %s is offline", n.Metadata.Name)
	default:
		p.host(ctx, n, &o)
		if !p.apply {
			o.Plan.Notes = append(o.Plan.Notes, p.strangers(ctx, n, cluster, census)...)
		}
	}
	p.alarm(&o)
	return o
}

// alarm says of a node whose network was reloaded from here, and that nobody can reach since, that this is what happened:
// it matters more than all else.
func (p *round) alarm(o *Object) {
	key := o.ID.Cluster + "/" + o.Name
	d, doubt := p.Ledger.Doubt(key)
	switch {
	case !doubt:
	case o.Err == nil: // it answers; what is not as it should be is in the plan
		if p.apply {
			p.calm(o)
		}
	default:
		o.Verdict = Failed
		o.Alarm = fmt.Sprintf("THE NETWORK OF %s WAS RELOADED at %s, AND SINCE THEN IT HAS NOT ANSWERED AS IT SHOULD: go to its console. What was done: %s",
			strings.ToUpper(o.Name), d.Since.UTC().Format("2006-01-02 15:04 UTC"), d.Text)
	}
}

// calm drops the word that was left: nothing was reloaded, or the node answers. When it cannot be dropped now, the next run does.
func (p *round) calm(o *Object) {
	if err := p.Ledger.Calm(o.ID.Cluster + "/" + o.Name); err != nil {
		p.Log.Warn("not forgotten that the network was reloaded", zap.String("node", o.Name), zap.Error(err))
	}
}

// fear leaves word before the network of a node is reloaded.
func (p *round) fear(s step.Step, o *Object) error {
	if n, ok := s.(step.SetNetwork); !ok || !n.Apply {
		return nil
	}
	return p.Ledger.Fear(o.ID.Cluster+"/"+o.Name, state.Doubt{Text: s.String(), Since: p.Now()})
}

// strangers reports guests without a manifest that break a rule of their node. Nothing is done about them.
func (p *round) strangers(ctx context.Context, n schema.Node, cluster string, census vm.Census) []string {
	rules := schema.Firm(n.Rules())
	if len(rules) == 0 {
		return nil
	}
	declared := map[int]bool{}
	for _, v := range p.Set.VMs {
		if its, err := p.ClusterOf(v.Object.Spec.Cluster, v.Object.Spec.Node); err == nil && its == cluster {
			declared[v.Object.Spec.VMID] = true
		}
	}
	var notes []string
	for _, g := range census.Guests {
		if g.Node != n.Metadata.Name || g.Container || declared[g.VMID] {
			continue
		}
		have, err := p.World.VM(ctx, schema.ID{Cluster: cluster, Node: g.Node, VMID: g.VMID}, &g)
		if err != nil {
			notes = append(notes, fmt.Sprintf("policy not checked on guest %d (%s): %v", g.VMID, g.Name, err))
			continue
		}
		var broken []string
		for _, v := range schema.Violations(rules, have.Desired()) {
			broken = append(broken, v.Text)
		}
		if len(broken) > 0 {
			notes = append(notes, fmt.Sprintf("guest %d (%s), without a manifest, breaks the policy: %s", g.VMID, g.Name, strings.Join(broken, "; ")))
		}
	}
	slices.Sort(notes)
	return notes
}

// host brings what the cluster keeps for a node as near to its manifest as it may, and looks whether what the manifest
// says of the node holds. What does not blocks the object, which a person reads; an answer that did not come leaves it
// unknown, and what the others say is reported all the same.
func (p *round) host(ctx context.Context, n schema.Node, o *Object) {
	if len(node.Reads(n)) == 0 {
		return
	}
	err := p.survey(ctx, n, o)
	o.Found = o.Plan.Diffs
	p.others(ctx, o, o.ID, ofNetwork)
	if p.apply && len(o.Plan.Steps) > 0 {
		err = p.define(ctx, n, o, err)
	}
	switch {
	case err != nil && verdictOf(err) == Blocked:
		o.Verdict = Blocked
		o.Plan.Waits = append(o.Plan.Waits, step.Wait{Reason: step.Forbidden, Text: err.Error()})
	case err != nil:
		o.Verdict, o.Err = verdictOf(err), err
	case o.Plan.OnlyWaits(step.DependsOn):
		o.Verdict = Waiting
	case len(o.Plan.Waits) > 0:
		o.Verdict = Blocked
	case len(o.Plan.Drifted()) > 0:
		o.Verdict = Drifted
	case len(o.Plan.Steps) > 0:
		o.Verdict = Changes
	}
	// What does not hold, and what is only reported, hinders nobody from writing the rest.
	o.declared = n.Managed() && err == nil && len(o.Plan.Steps) == 0 && !slices.ContainsFunc(o.Plan.Waits, func(w step.Wait) bool {
		return w.Reason != step.AssertionFailed
	})
}

// ofNetwork tells whether a difference is one of those that PVE makes a task of: nothing else of a node leaves one.
func ofNetwork(d step.Diff) bool { return schema.Within(d.Path, "spec.network") }

// survey observes the node and plans.
func (p *round) survey(ctx context.Context, n schema.Node, o *Object) error {
	have, err := p.World.Node(ctx, o.ID.Cluster, node.Reads(n))
	if err != nil {
		return err
	}
	have.Nodes = sorted(p.census.Nodes)
	var rows []node.Row
	o.Plan, rows, err = node.PlanSince(n, p.givenNode(ctx, n, o), have)
	if p.Tables {
		o.Table, o.Given = tableOf(rows), p.lastOf(nodeKey(o.ID.Cluster, o.Name))
	}
	p.hold(ctx, o, nil, n)
	return err
}

// define does the steps one by one, looking again after each: every write changes the digest of all definitions. gone is
// what the first look did not get an answer to, which holds no step back: nothing is planned from it.
func (p *round) define(ctx context.Context, n schema.Node, o *Object, gone error) error {
	done := map[string]bool{}
	for stale := 0; len(o.Plan.Steps) > 0 && ctx.Err() == nil; {
		s := o.Plan.Steps[0]
		if done[s.String()] {
			return fmt.Errorf("%s: was done and had no effect: it is still needed", s)
		}
		p.working()
		if err := p.Ledger.Begin(nodeKey(o.ID.Cluster, o.Name), o.Kind, o.Name, p.Revision); err != nil {
			return err
		}
		if err := p.fear(s, o); err != nil {
			return err
		}
		leave, _, err := p.Limits.enter(ctx, needs(s, nil))
		if err != nil {
			return gone // told to stop
		}
		began := p.Now()
		undisturbed := context.WithoutCancel(ctx)
		out, err := p.World.Do(undisturbed, s)
		leave()
		if !errors.Is(err, step.ErrInDoubt) {
			p.calm(o)
		}
		log := p.Log.With(zap.String("kind", o.Kind), zap.String("name", o.Name), zap.String("revision", p.Revision), zap.Stringer("step", s))
		switch {
		case errors.Is(err, step.ErrStale) && stale < 3:
			stale++
			log.Info("changed by somebody else meanwhile, looking again")
		case err != nil:
			o.Tried = &Tried{Done{Step: s, Outcome: out, Took: p.Now().Sub(began)}, err}
			return fmt.Errorf("%s: %w", s, err)
		default:
			done[s.String()] = true
			p.succeeded(o, n, s)
			log.Info("done")
			o.Done = append(o.Done, Done{Step: s, Outcome: out, Took: p.Now().Sub(began)})
		}
		gone = p.survey(undisturbed, n, o)
	}
	return gone
}
