package loop

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/ustclug/pve-reconcile/internal/strictyaml"
	"github.com/ustclug/pve-reconcile/reconciler"
	"github.com/ustclug/pve-reconcile/reconciler/step"
)

func (l *Loop) group(k reconciler.Key) string {
	if now := l.now(); now != nil {
		return now.pass.Group(k)
	}
	return ""
}

// after lists what goes before an object: what it depends on, and for guests the nodes that may bring what they need.
func (l *Loop) after(k reconciler.Key) []reconciler.Key {
	if now := l.now(); now != nil {
		return now.pass.After(k)
	}
	return nil
}

// round makes one round of an object and says when the next one is due.
func (l *Loop) round(ctx context.Context, k reconciler.Key, working func()) reconciler.Next {
	now := l.now()
	if now == nil || now.manifest(k) == nil {
		return reconciler.Next{}
	}
	began := time.Now()
	o := now.pass.Round(now.ctx, k, true, working)
	took := time.Since(began)
	l.applied(now, o)
	if now.ctx.Err() != nil {
		return reconciler.Next{} // the revision after asks for a round itself
	}
	now.pass.Record(o)
	if len(o.Done) > 0 {
		l.flush()
	}
	was, known := l.board.set(k, o, l.Reconciler.Now())
	l.changed(now, was, known, o)
	l.emit(event(now, reconciler.EventRound, o, took))
	return l.next(o)
}

// next says when an object is looked at again, before the next look at everything: also when its suspension ends, for until
// then it is told.
func (l *Loop) next(o reconciler.Object) reconciler.Next {
	n := l.due(o)
	if s := o.Suspended; s != nil && !s.Until.IsZero() && !n.Failed {
		if ends := max(time.Second, s.Until.Sub(l.Reconciler.Now())); n.After == 0 || ends < n.After {
			n.After = ends
		}
	}
	return n
}

// due says it by the verdict.
func (l *Loop) due(o reconciler.Object) reconciler.Next {
	switch o.Verdict {
	case reconciler.Unknown, reconciler.Failed, reconciler.Busy:
		return reconciler.Next{Failed: true}
	case reconciler.Blocked:
		if slices.ContainsFunc(o.Plan.Waits, func(w step.Wait) bool { return w.Reason == step.Locked }) {
			return reconciler.Next{Failed: true} // PVE's locks end by themselves
		}
		return l.opens(o)
	case reconciler.Waiting, reconciler.Migrating, reconciler.Changes:
		return l.opens(o)
	case reconciler.InSync, reconciler.Suspended, reconciler.RestartNeeded, reconciler.Drifted, reconciler.Refused, reconciler.Orphaned:
	}
	return reconciler.Next{}
}

// opens is when an object that waits is to be looked at again, if it says so.
func (l *Loop) opens(o reconciler.Object) reconciler.Next {
	if o.Opens.IsZero() {
		return reconciler.Next{}
	}
	return reconciler.Next{After: max(time.Second, o.Opens.Sub(l.Reconciler.Now()))}
}

// event is one about an object.
func event(w *work, t reconciler.EventType, o reconciler.Object, took time.Duration) reconciler.Event {
	e := reconciler.Event{
		Type: t, Kind: o.Kind, Name: o.Name, Cluster: o.ID.Cluster, Node: o.ID.Node, VMID: o.ID.VMID,
		Revision: w.revision.Commit, Author: w.revision.Author, Subject: w.revision.Subject, Verdict: o.Verdict, Seconds: took.Seconds(),
	}
	e.Reason, e.Message = o.Why()
	return e
}

// applied records what was done, and what was tried in vain.
func (l *Loop) applied(w *work, o reconciler.Object) {
	if len(o.Done) == 0 && o.Tried == nil {
		return
	}
	e := event(w, reconciler.EventApplied, o, 0)
	for _, d := range o.Done {
		e.Steps = append(e.Steps, made(d, ""))
		e.Seconds += d.Took.Seconds()
	}
	if o.Tried != nil {
		e.Steps = append(e.Steps, made(o.Tried.Done, o.Tried.Err.Error()))
		e.Seconds += o.Tried.Took.Seconds()
	}
	l.emit(e)
}

func made(d reconciler.Done, failed string) reconciler.StepMade {
	return reconciler.StepMade{Step: d.Step.String(), Tasks: d.Outcome.Tasks, Warnings: d.Outcome.Warnings, Error: failed, Seconds: d.Took.Seconds()}
}

// changed says what is new about an object, and wakes those that waited for it.
func (l *Loop) changed(w *work, was Item, known bool, o reconciler.Object) {
	reason, message := o.Why()
	wasReason, wasMessage := was.Object.Why()
	if known && was.Object.Verdict == o.Verdict && reason == wasReason && gist(message) == gist(wasMessage) {
		return
	}
	if !known && o.Verdict == reconciler.InSync {
		return // as it should be: no news
	}
	say := l.Log.Warn
	if o.Ready() || o.Verdict == reconciler.Waiting || o.Verdict == reconciler.Suspended {
		say = l.Log.Info
	}
	say("object is "+string(o.Verdict), zap.String("kind", o.Kind), zap.String("name", o.Name), zap.Int("vmid", o.ID.VMID), zap.String("node", o.ID.Node),
		zap.String("revision", w.revision.Short()), zap.String("was", string(was.Object.Verdict)), zap.String("reason", reason), zap.String("message", message))
	e := event(w, reconciler.EventVerdict, o, 0)
	e.Was = was.Object.Verdict
	l.emit(e)
	l.relieve(w, was.Object, o)
}

// varying is what differs in a message from try to try: task ids, digests, times, counts.
var varying = regexp.MustCompile(`UPID:[^ ,;]+|[0-9A-Fa-f]*[0-9][0-9A-Fa-f]*`)

// gist is what a message says, without what differs each time the same thing goes wrong.
func gist(message string) string { return varying.ReplaceAllString(message, "#") }

// relieve asks for rounds of objects that may go on because of a change: those that depend on this one, and those that could
// not be reached while it could not either.
func (l *Loop) relieve(w *work, was, o reconciler.Object) {
	var again []reconciler.Key
	if o.Ready() && !was.Ready() {
		again = w.pass.Dependents(reconciler.Key{Kind: o.Kind, Name: o.Name})
	}
	if was.Verdict == reconciler.Unknown && o.Verdict != reconciler.Unknown {
		for k, it := range l.board.copy() {
			if it.Object.Verdict == reconciler.Unknown && it.Object.ID.Cluster == o.ID.Cluster && it.Object.ID.Node == o.ID.Node && w.manifest(k) != nil {
				again = append(again, k)
			}
		}
	}
	l.queue.Urge(again...)
}

// unattended puts on the board what no round is made of, and says what is new about that.
func (l *Loop) unattended(ctx context.Context, w *work) {
	for _, o := range l.board.unattended(w.pass.Unattended(ctx, true), l.Reconciler.Now()) {
		if w.manifest(reconciler.Key{Kind: o.Kind, Name: o.Name}) != nil {
			continue // a guest that had another vmid: what is said of this name is said of the one declared now
		}
		e := event(w, reconciler.EventVerdict, o, 0)
		say := l.Log.Info
		if o.Verdict == reconciler.Refused {
			say, e.Message = l.Log.Warn, FirstProblem(w.pass.Set.Problems, e.Message)
		}
		say("object is "+string(o.Verdict), zap.String("kind", o.Kind), zap.String("name", o.Name), zap.Int("vmid", o.ID.VMID), zap.String("node", o.ID.Node),
			zap.String("revision", w.revision.Short()), zap.String("message", e.Message))
		l.emit(e)
	}
}

// FirstProblem is the first problem of the manifests, and how many there are besides.
func FirstProblem(all []strictyaml.Problem, otherwise string) string {
	switch len(all) {
	case 0:
		return otherwise
	case 1:
		return all[0].String()
	}
	return fmt.Sprintf("%s (and %d more problems: reconcile status lists them)", all[0], len(all)-1)
}
