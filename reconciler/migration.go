package reconciler

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/ustclug/pve-reconcile/internal/state"
	"github.com/ustclug/pve-reconcile/reconciler/migration"
	"github.com/ustclug/pve-reconcile/reconciler/step"
	"github.com/ustclug/pve-reconcile/reconciler/vm"
	"github.com/ustclug/pve-reconcile/schema"
)

// Moves is how the steps of migrations are made. Those that send, copy or hash take hours, and are made beside all else.
type Moves struct {
	State *state.Migrations
	Me    state.Holder
	// Repository names where the manifests are, so that two of them do not drive the same migration.
	Repository string
	// Possible tells that migrations can be made: there are hosts.
	Possible bool
	// Long says which steps a round makes.
	Long Long
	// OnLook is told how a migration stands before each step: a round of it can take hours. Nil: nobody is.
	OnLook func(Object)
	// Ending is closed when the program is told to end. A long step heeds that, and nothing else: it goes on from where it
	// was the next time.
	Ending <-chan struct{}
}

// Long says what a round does about steps that take long.
type Long int

// What a round does.
const (
	NoLong   Long = iota // ends before the first: somebody else makes them
	OnlyLong             // makes the long ones that are next, and nothing else: without the lock of the state directory
	AllSteps             // makes them like all others
)

// soonest is how soon a migration is looked at again at least, where it awaits what ends by itself.
func soonest(s migration.Status) time.Duration {
	if s.Soon > 0 {
		return s.Soon
	}
	return again
}

// again is when an unfinished migration is looked at again: the source goes on writing while a person is awaited.
const again = time.Minute

// move is the work on one migration in one round.
type move struct {
	*round
	Object
	want        schema.Migration
	guest, base schema.VM
	have        migration.Observed
	status      migration.Status
	done        map[string]bool
}

// migration brings one migration as far as it may go.
func (r *round) migration(ctx context.Context, manifest schema.Migration) Object {
	m := move{round: r, Object: Object{Kind: schema.KindMigration, Name: manifest.Metadata.Name}, done: map[string]bool{}}
	err := m.open(ctx, manifest)
	switch {
	case err != nil:
	case r.apply:
		err = m.alone(ctx)
	default:
		err = m.look(ctx)
		if h, held := m.Moves.State.Holder(m.Name); held && h.PID != m.Moves.Me.PID {
			m.elsewhere(h)
		}
	}
	return m.settle(err)
}

// open finds what the migration is about.
func (m *move) open(ctx context.Context, manifest schema.Migration) error {
	guest, ok := m.Set.VM(manifest.Spec.Target.VirtualMachine)
	if !ok {
		return fmt.Errorf("VirtualMachine/%s is not among the manifests that can be used", manifest.Spec.Target.VirtualMachine)
	}
	cluster, err := m.ClusterOf(guest.Spec.Cluster, guest.Spec.Node)
	if err != nil {
		return err
	}
	m.guest = guest.Resolve(m.Owner, cluster)
	m.want = manifest.Resolve(m.Owner, cluster, m.Moves.Repository)
	m.ID = m.guest.ID()
	m.Moves.State.Call(m.want.UID(), m.Name)
	if m.census, err = m.Around.Glance(ctx, cluster); err != nil {
		return err
	}
	m.base, err = m.Pass.base(ctx, m.ID.String(), &m.Object)
	if err != nil {
		m.Log.Debug("what was applied before is not known", zap.String("migration", m.Name), zap.Error(err))
	}
	return nil
}

// look observes both ends and decides.
func (m *move) look(ctx context.Context) error {
	var where *vm.Guest
	if g, ok := m.census.Guests[m.ID.VMID]; ok {
		where = &g
	}
	have, err := m.World.Migration(ctx, m.want, m.ID, where)
	if err != nil {
		return err
	}
	have.VM.Facts, have.VM.Rules = m.census.Facts, m.Set.Rules(m.ID.Node)
	if have.Rates, err = m.rates(); err != nil {
		m.Log.Warn("the record of the migration cannot be read", zap.String("migration", m.Name), zap.Error(err))
	}
	m.have = have
	m.status = migration.Decide(m.want, m.guest, m.base, have)
	m.Plan, m.Object.Migration, m.Power = m.status.Plan, &m.status, have.VM.Status
	m.hold(ctx, &m.Object, nil, m.want)
	return nil
}

// rates are what the record says of earlier steps.
func (m *move) rates() (migration.Rates, error) {
	entries, err := m.Moves.Record(m.Name)
	return migration.RatesOf(entries), err
}

// Record is what was done about a migration so far.
func (m Moves) Record(name string) ([]migration.Entry, error) {
	var out []migration.Entry
	err := m.State.Each(name, func(line json.RawMessage) error {
		var e migration.Entry
		if json.Unmarshal(line, &e) == nil {
			out = append(out, e)
		}
		return nil
	})
	return out, err
}

// elsewhere says that somebody else makes the steps, if there are any.
func (m *move) elsewhere(who state.Holder) {
	if len(m.Plan.Steps) > 0 {
		m.Elsewhere = who.String()
	}
}

// alone looks, and makes steps, while nobody else does: what was seen before the lock was held may be old.
func (m *move) alone(ctx context.Context) error {
	release, err := m.Moves.State.Lock(m.Name, m.Moves.Me)
	var held *state.HeldError
	if errors.As(err, &held) {
		err = m.look(ctx)
		m.elsewhere(held.Holder)
		return err
	}
	if err != nil {
		return err
	}
	defer release()
	if err := m.look(ctx); err != nil || len(m.Plan.Steps) == 0 {
		return err
	}
	defer m.Moves.State.Over(m.Name)
	for len(m.Plan.Steps) > 0 && ctx.Err() == nil {
		n := migration.Together(m.Plan.Steps)
		long := migration.Long(m.Plan.Steps[0])
		if long && m.Moves.Long == NoLong || !long && m.Moves.Long == OnlyLong {
			m.Left = true
			return nil
		}
		if m.Moves.OnLook != nil {
			now := *m
			m.Moves.OnLook(now.settle(nil))
		}
		steps := m.Plan.Steps[:n]
		if why := m.repeated(steps); why != nil {
			return why
		}
		m.working()
		if err := m.make(ctx, steps, long); err != nil {
			return err
		}
		if m.Moves.Long == OnlyLong {
			m.Plan.Steps = nil // the pass that follows looks, and says what is next
			return nil
		}
		if err := m.look(context.WithoutCancel(ctx)); err != nil {
			return err
		}
	}
	return nil
}

// repeated refuses a step that was made in this round and is needed still. Long steps of several disks end one by one.
func (m *move) repeated(steps []step.Step) error {
	for _, s := range steps {
		if m.done[s.String()] {
			return fmt.Errorf("%s: was done and had no effect: it is still needed", s)
		}
	}
	return nil
}

// make makes steps, long ones at the same time. The first error counts; what the others did is recorded all the same.
func (m *move) make(ctx context.Context, steps []step.Step, long bool) error {
	// A step that was begun is seen to its end. A long one ends when the program does: it goes on from there.
	undisturbed, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	if long && m.status.Within > 0 { // the guest is off: what takes too long is broken off and taken back
		limited, late := context.WithTimeout(undisturbed, m.status.Within)
		defer late()
		undisturbed = limited
	}
	if long && m.Moves.Ending != nil {
		stop := make(chan struct{})
		defer close(stop)
		go func() {
			select {
			case <-m.Moves.Ending:
				cancel()
			case <-stop:
			}
		}()
	}
	leave, waited, err := m.Limits.enter(ctx, needs(steps[0], m.have.VM.Desired()))
	if err != nil {
		return nil // told to stop
	}
	defer leave()
	if waited {
		return nil // the world had time to change
	}
	if err := m.begin(steps[0]); err != nil {
		return err
	}
	ends := make([]error, len(steps))
	made := make(chan int)
	results := make([]Done, len(steps))
	for i, s := range steps {
		go func() {
			began := m.Now()
			out, err := m.World.Do(undisturbed, s)
			results[i], ends[i] = Done{Step: s, Outcome: out, Took: m.Now().Sub(began)}, err
			made <- i
		}()
	}
	for range steps {
		i := <-made
		m.record(results[i], ends[i])
		if ends[i] != nil && long {
			cancel() // what the others have is kept
		}
	}
	for i, err := range ends {
		if err != nil && !errors.Is(err, context.Canceled) && !errors.Is(undisturbed.Err(), context.DeadlineExceeded) {
			m.Tried = &Tried{results[i], err}
			return fmt.Errorf("%s: %w", steps[i], err)
		}
	}
	return nil
}

// begin notes in the ledger, before the guest itself is changed, that the revision may have given what it then has.
func (m *move) begin(s step.Step) error {
	if s.Guest().VMID == 0 {
		return nil
	}
	if err := m.Ledger.Begin(m.ID.String(), schema.KindVM, m.guest.Metadata.Name, m.Revision); err != nil {
		return err
	}
	return m.Ledger.Move(m.ID.String(), schema.KindMigration+"/"+m.Name)
}

// record keeps what a step took and brought.
func (m *move) record(d Done, err error) {
	log := m.Log.With(zap.String("kind", m.Kind), zap.String("name", m.Name), zap.String("revision", m.Revision), zap.String("stage", m.Plan.Stage), zap.Stringer("step", d.Step))
	e := migration.NewEntry(m.Plan.Stage, m.have, d.Step, d.Outcome, m.Now(), d.Took)
	if err != nil {
		e.Error = err.Error()
	} else {
		m.done[d.Step.String()] = true
		m.Done = append(m.Done, d)
		log.Info("done", zap.Duration("took", d.Took), zap.Strings("tasks", d.Outcome.Tasks), zap.Strings("warnings", d.Outcome.Warnings))
	}
	if err := m.Moves.State.Append(m.Name, e); err != nil {
		log.Warn("not in the record of the migration", zap.Error(err))
	}
}

// settle turns what is left into a verdict.
func (m *move) settle(err error) Object {
	m.Verdict = InSync
	switch {
	case err != nil && verdictOf(err) == Blocked:
		m.Verdict = Blocked
		m.Plan.Waits = append(m.Plan.Waits, step.Wait{Reason: step.Forbidden, Text: err.Error()})
	case err != nil:
		m.Verdict, m.Err = verdictOf(err), err
	case m.Elsewhere != "" || m.Left:
		m.Verdict = Migrating
	case m.status.Stage == migration.Unknown: // what its waits say is all there is to say
		m.Verdict = Unknown
	case m.Plan.OnlyWaits(step.WindowClosed, step.DependsOn):
		m.Verdict = Waiting
	case len(m.Plan.Waits) > 0:
		m.Verdict = Blocked
	case len(m.Plan.Steps) > 0:
		m.Verdict = Changes
	case !m.status.Finished:
		m.Verdict = Migrating
	}
	if !m.status.Finished && m.Verdict != Unknown {
		m.Opens = m.Now().Add(soonest(m.status))
	}
	return m.Object
}

// moving says why a guest's own plan makes no step: a migration moves it here (law 13). "" when none does any more.
func (r *round) moving(ctx context.Context, guest schema.VM, exists bool) string {
	ref, ok := r.Set.Moving[guest.Metadata.Name]
	switch {
	case !ok && r.Set.Unread && !exists && r.Moves.Possible:
		return "not made while a manifest cannot be read: it may be that of a migration which moves this guest here, with a disk that must not be an empty one"
	case !ok:
		return r.abandoned(guest)
	}
	for _, o := range r.Set.Migrations {
		if o.Object.Spec.Target.VirtualMachine != guest.Metadata.Name {
			continue
		}
		m := move{round: r, Object: Object{Kind: schema.KindMigration, Name: o.Object.Metadata.Name}}
		if err := m.open(ctx, o.Object); err != nil {
			return fmt.Sprintf("%s moves it here, and cannot be looked at: %v", ref, err)
		}
		if err := m.look(ctx); err != nil {
			return fmt.Sprintf("%s moves it here, and its state is not known: %v", ref, err)
		}
		why := migration.Holds(m.want, m.have)
		if why == "" && r.apply {
			if err := r.Ledger.Move(m.ID.String(), ""); err != nil {
				return err.Error()
			}
		}
		return why
	}
	return ref + " moves it here, and has problems"
}

// abandoned says why a guest is left alone whose migration had not started it when its manifest went: its disks may hold
// half of what they should.
func (r *round) abandoned(guest schema.VM) string {
	e, _ := r.Ledger.Entry(guest.ID().String())
	if e.Moving == "" {
		return ""
	}
	return e.Moving + " has no manifest any more, and had not started this guest: nothing is done to it. Put the manifest back, with abort: true if the move is given up"
}
