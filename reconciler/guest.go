package reconciler

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.uber.org/zap"

	"github.com/ustclug/pve-reconcile/reconciler/migration"
	"github.com/ustclug/pve-reconcile/reconciler/step"
	"github.com/ustclug/pve-reconcile/reconciler/vm"
	"github.com/ustclug/pve-reconcile/schema"
)

// maxSteps bounds the steps of one guest in one round; a plan that goes on longer does not come to rest.
const maxSteps = 24

// guest is the work on one VM in one pass.
type guest struct {
	*round
	Object
	want, base schema.VM
	given      schema.VM // what the last revision carried out in full declared
	have       vm.Observed
	moved      string // why a migration holds its steps back, "" when none does
	held       string // why nothing may be taken away or deleted, "" when it may
	done       map[string]bool
	stale      int
}

// vm brings one VM as near to its manifest as it may.
func (p *round) vm(ctx context.Context, manifest schema.VM) Object {
	g := guest{round: p, Object: Object{Kind: schema.KindVM, Name: manifest.Metadata.Name, ID: manifest.ID()}, done: map[string]bool{}}
	cluster, err := p.ClusterOf(manifest.Spec.Cluster, manifest.Spec.Node)
	if err != nil {
		return g.fail(err)
	}
	g.want = manifest.Resolve(p.Owner, cluster)
	if g.want.Spec.DriftPolicy == "" {
		g.want.Spec.DriftPolicy = p.DriftPolicy[cluster]
	}
	g.ID, g.UUID = g.want.ID(), g.want.Spec.UUID
	if g.census, err = p.Around.Glance(ctx, cluster); err != nil {
		return g.fail(err)
	}
	if !g.reachable() {
		return g.Object
	}
	if g.base, err = p.base(ctx, g.ID.String(), &g.Object); err != nil {
		g.held = err.Error()
	}
	if p.Finding != nil {
		g.held = string(p.Finding.Reason)
	}
	g.given = p.given(ctx, g.want)
	if g.have, err = p.observe(ctx, g.ID, g.census, false); err != nil {
		return g.fail(err)
	}
	if g.decide(ctx); len(g.Plan.Steps)+len(g.Plan.Waits) > 0 {
		if g.have, err = p.observe(ctx, g.ID, g.census, true); err != nil {
			return g.fail(err)
		}
		g.decide(ctx)
	}
	g.Found = g.Plan.Diffs
	g.others(ctx, &g.Object, schema.ID{Cluster: g.ID.Cluster, Node: g.have.Node, VMID: g.ID.VMID}, func(step.Diff) bool { return true })
	if p.Tables {
		g.Table, g.Given = vm.Table(g.want, g.given, g.have, g.Found), p.last(g.ID)
	}
	if p.apply {
		err = g.work(ctx)
	}
	return g.settle(err)
}

// reachable asks the census whether the node that has the guest exists and is online, before anything waits for it.
func (g *guest) reachable() bool {
	node := g.ID.Node
	if seen, ok := g.census.Guests[g.ID.VMID]; ok {
		node = seen.Node
	}
	online, listed := g.census.Nodes[node]
	switch {
	case !listed:
		g.Verdict = Blocked
		g.Plan.Waits = []step.Wait{{Reason: step.NoNode, Text: fmt.Sprintf("cluster %s has no node %q, it has %s: correct spec.node", g.ID.Cluster, node, strings.Join(sorted(g.census.Nodes), ", "))}}
	case !online:
		g.Verdict, g.Err = Unknown, fmt.Errorf("node %s is offline: %w", node, step.ErrUnreachable)
	}
	return listed && online
}

// decide asks the planner, and adds what holds back removals.
func (g *guest) decide(ctx context.Context) {
	g.have.Kept = g.Finding != nil
	g.Plan = vm.PlanSince(g.want, g.base, g.given, g.have)
	if g.held != "" {
		g.Plan.Notes = append(g.Plan.Notes, "nothing is taken away: "+g.held)
	}
	if g.want.Absent() && len(g.Plan.Steps) > 0 {
		if why := g.deletionHeld(ctx); why.Text != "" {
			g.Plan.Steps = nil
			g.Plan.Waits = append(g.Plan.Waits, why)
		}
	}
	g.Power = g.have.Status
	if g.moved = ""; len(g.Plan.Steps)+len(g.Plan.Drifted()) > 0 || len(g.Plan.Waits) > 0 && !g.have.Exists {
		if g.moved = g.moving(ctx, g.want, g.have.Exists); g.moved != "" {
			g.setAside()
		}
	}
	g.hold(ctx, &g.Object, g.windows(g.want), g.want)
}

// setAside leaves the guest to the migration that moves it here. What that keeps another way than the manifest until it has
// started the guest is no difference of it.
func (g *guest) setAside() {
	kept := vm.PlanSince(migration.Aside(g.want), g.base, g.given, g.have)
	different := func(d step.Diff) bool {
		return slices.ContainsFunc(kept.Diffs, func(k step.Diff) bool { return k.Key == d.Key && k.Prop == d.Prop })
	}
	var held []string
	for _, d := range g.Plan.Diffs {
		if d.Cause != step.Undeclared && !different(d) {
			held = append(held, d.Name()+" "+d.Have)
		}
	}
	if len(held) > 0 {
		kept.Notes = append(kept.Notes, strings.Join(held, ", ")+": as the migration keeps it until it has started the guest")
	}
	g.Plan.Diffs = slices.DeleteFunc(g.Plan.Diffs, func(d step.Diff) bool { return !different(d) })
	g.Plan.Steps, g.Plan.Waits, g.Plan.Restart, g.Plan.Notes = nil, nil, kept.Restart, append([]string{g.moved}, kept.Notes...)
}

// deletionHeld says why no tombstone is carried out in this pass, if so.
func (p *round) deletionHeld(ctx context.Context) step.Wait {
	doomed := p.doomed(ctx)
	switch {
	case p.Set.Unread:
		return step.Wait{Reason: step.SourceUnread, Text: "nothing is deleted while some manifest cannot be read: mend the problems listed"}
	case p.Finding != nil:
		return step.Wait{Reason: step.SourceShrunk, Text: "nothing is deleted meanwhile; " + p.Finding.Advice}
	case doomed > p.MaxDeletions:
		return step.Wait{Reason: step.TooMany, Text: fmt.Sprintf("%d guests would be deleted, policies.maxDeletions in the config file allows %d: none is. Raise it for this run, if that is meant", doomed, p.MaxDeletions)}
	}
	return step.Wait{}
}

// others asks who may have changed what was changed on the host, when that is something that could be in the task list of id.
// It is only told, so an error is only logged.
func (p *round) others(ctx context.Context, o *Object, id schema.ID, could func(step.Diff) bool) {
	drift := slices.ContainsFunc(o.Found, func(d step.Diff) bool { return d.Cause == step.Drift && could(d) })
	if !drift || p.Tasks == nil || o.Since.IsZero() {
		return
	}
	var err error
	if o.Others, err = p.Tasks(ctx, id, o.Since); err != nil {
		p.Log.Debug("task list not known", zap.Int("vmid", id.VMID), zap.String("node", id.Node), zap.Error(err))
	}
}

// work does the steps one by one, looking again after each: what comes next is decided on what is then true.
func (g *guest) work(ctx context.Context) error {
	for range maxSteps {
		if len(g.Plan.Steps) == 0 || ctx.Err() != nil {
			return nil
		}
		s := g.Plan.Steps[0]
		if g.done[s.String()] {
			return fmt.Errorf("%s: was done and had no effect: it is still needed", s)
		}
		if err := g.step(ctx, s); err != nil {
			return err
		}
	}
	return fmt.Errorf("%d steps and no end: next would be %s", maxSteps, g.Plan.Steps[0])
}

// step makes one step when there is room for it, and looks again. When room had to be waited for, it looks again first,
// and leaves the step out if it is no longer the next. A step that was begun is seen to its end, whoever asks us to stop
// meanwhile.
func (g *guest) step(ctx context.Context, s step.Step) error {
	undisturbed := context.WithoutCancel(ctx)
	g.working()
	leave, waited, err := g.Limits.enter(ctx, needs(s, g.have.Desired()))
	if err != nil {
		return nil // told to stop
	}
	defer leave()
	if waited {
		if err := g.again(undisturbed); err != nil || len(g.Plan.Steps) == 0 || g.Plan.Steps[0].String() != s.String() {
			return err
		}
		s = g.Plan.Steps[0]
	}
	if err := g.Ledger.Begin(g.ID.String(), g.Kind, g.Name, g.Revision); err != nil {
		return err
	}
	if err := g.do(undisturbed, s); err != nil {
		return err
	}
	return g.again(undisturbed)
}

// again looks closely and decides anew.
func (g *guest) again(ctx context.Context) (err error) {
	if g.have, err = g.observe(ctx, g.ID, g.census, true); err == nil {
		g.decide(ctx)
	}
	return err
}

// do makes one step. A guest that changed since it was read is looked at again, a few times.
func (g *guest) do(ctx context.Context, s step.Step) error {
	began := g.Now()
	out, err := g.World.Do(ctx, s)
	log := g.Log.With(zap.String("kind", g.Kind), zap.String("name", g.Name), zap.Int("vmid", g.ID.VMID), zap.String("node", g.ID.Node),
		zap.String("revision", g.Revision), zap.Stringer("step", s))
	if errors.Is(err, step.ErrStale) && g.stale < 3 {
		g.stale++
		log.Info("changed by somebody else meanwhile, looking again")
		return nil
	}
	took := g.Now().Sub(began)
	if err != nil {
		g.Tried = &Tried{Done{Step: s, Outcome: out, Took: took}, err}
		return fmt.Errorf("%s: %w", s, err)
	}
	g.done[s.String()] = true
	g.succeeded(&g.Object, g.want, s)
	log.Info("done", zap.Duration("took", took), zap.Strings("tasks", out.Tasks), zap.Strings("warnings", out.Warnings))
	g.Done = append(g.Done, Done{Step: s, Outcome: out, Took: took})
	if _, ok := s.(step.SetConfig); ok {
		g.base = schema.Overlay(g.want, g.base) // a password now counts as given: it cannot be read back
	}
	return nil
}

// settle turns what is left into a verdict, and notes what is in sync.
func (g *guest) settle(err error) Object {
	if err != nil {
		return g.fail(err)
	}
	g.Power = g.have.Status
	switch {
	case g.Plan.OnlyWaits(step.DependsOn, step.OutsideWindow):
		g.Verdict = Waiting
	case len(g.Plan.Waits) > 0:
		g.Verdict = Blocked
	case g.moved != "":
		g.Verdict = Migrating
	case len(g.Plan.Drifted()) > 0:
		g.Verdict = Drifted
	case len(g.Plan.Steps) > 0:
		g.Verdict = Changes
	case len(g.Plan.Restart) > 0:
		g.Verdict = RestartNeeded
	default:
		g.Verdict = InSync
	}
	// A guest that waits for a restart may still run with what an earlier revision gave.
	// What is only reported as drift is as the revision before gave it to be: the revision is carried out all the same.
	if g.Verdict == InSync || g.Verdict == Drifted && len(g.Plan.Steps)+len(g.Plan.Restart) == 0 {
		g.declared = true
	}
	return g.Object
}

// fail puts an error where the reader looks for it.
func (g *guest) fail(err error) Object {
	g.Power = g.have.Status
	g.Verdict = verdictOf(err)
	if g.Verdict == Blocked {
		g.Plan.Waits = append(g.Plan.Waits, step.Wait{Reason: step.Forbidden, Text: err.Error()})
	} else {
		g.Err = err
	}
	return g.Object
}

// verdictOf sorts an error by who must act next.
func verdictOf(err error) Verdict {
	switch {
	case errors.Is(err, step.ErrBusy), errors.Is(err, step.ErrStale):
		return Busy
	case errors.Is(err, step.ErrUnreachable):
		return Unknown
	case errors.Is(err, step.ErrForbidden):
		return Blocked
	}
	return Failed
}
