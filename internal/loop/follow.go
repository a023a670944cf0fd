package loop

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"go.uber.org/zap"

	"github.com/ustclug/pve-reconcile/internal/source"
	"github.com/ustclug/pve-reconcile/reconciler"
	"github.com/ustclug/pve-reconcile/schema"
)

// look asks the source for its newest revision and follows it.
func (l *Loop) look(ctx context.Context) {
	rev, err := l.Fetch(ctx)
	if ctx.Err() != nil {
		return
	}
	seen, taken := err == nil, false
	if now := l.now(); rev.Commit != "" && (now == nil || now.revision.Commit != rev.Commit || l.cleared(ctx, now)) {
		if e := l.take(ctx, rev); e != nil && ctx.Err() == nil {
			l.told(rev.Commit, seen, e)
			return
		}
		taken = true
	}
	if ctx.Err() != nil {
		return
	}
	if over := l.told("", seen, err); err == nil && (taken || over) {
		l.partly()
	}
}

// partly says what of the revision that is followed is held back. It comes after all else that is said of the source, which
// would take it back.
func (l *Loop) partly() {
	var text string
	now := l.now()
	switch {
	case now == nil:
		return
	case now.pass.Finding != nil:
		text = "followed, but for what vanished from it: " + now.pass.Finding.Error()
	case now.pass.Set.Unread: // there may be an object in it, but nobody can tell which
		text = "followed, but for a file that cannot be read as an object: " + FirstProblem(now.pass.Set.Problems, "") + "; nothing counts as removed until that is mended"
	default:
		return
	}
	l.Log.Warn("the source is not followed in full", zap.String("why", text))
	l.emit(reconciler.Event{Type: reconciler.EventSource, Reason: "NotFollowed", Message: text, Revision: now.revision.Commit})
}

// cleared tells whether something stood against the revision that is followed, and no longer does: somebody acknowledged it.
func (l *Loop) cleared(ctx context.Context, now *work) bool {
	if now.pass.Finding == nil {
		return false
	}
	in, err := l.Load(ctx, now.revision)
	return err == nil && in.Finding == nil
}

// take follows a revision from now on: what is being done for the one before stops at the next step.
func (l *Loop) take(ctx context.Context, rev source.Revision) error {
	in, err := l.Load(ctx, rev)
	if err == nil && l.Admit != nil {
		err = l.Admit(ctx, rev, in)
	}
	if err != nil {
		return err
	}
	in.Around = l.around
	next := &work{revision: rev, pass: l.Reconciler.NewPass(in)}
	next.ctx, next.cancel = context.WithCancelCause(ctx)
	l.mu.Lock()
	before := l.current
	l.current = next
	l.source.Revision = rev
	l.pulse.Passes++
	l.pulse.Followed = l.Reconciler.Now()
	l.mu.Unlock()
	keys, changed := next.pass.Keys(), next.changed(before)
	l.Log.Info("following revision", zap.String("revision", rev.Short()), zap.String("subject", rev.Subject), zap.String("author", rev.Author),
		zap.Int("objects", len(keys)), zap.Int("problems", len(in.Set.Problems)))
	l.emit(reconciler.Event{Type: reconciler.EventRevision, Revision: rev.Commit, Author: rev.Author, Subject: rev.Subject})
	l.queue.Keep(keys)
	l.queue.Urge(changed...)
	if before != nil {
		before.cancel(errSuperseded)
	}
	// What changed was asked for, and may have its round by now.
	l.queue.Add(slices.DeleteFunc(slices.Clone(keys), func(k reconciler.Key) bool { return slices.Contains(changed, k) })...)
	l.board.keep(keys)
	l.unattended(ctx, next)
	return nil
}

// changed lists the objects that a revision says something else of than the one before.
func (w *work) changed(before *work) []reconciler.Key {
	var out []reconciler.Key
	for _, k := range w.pass.Keys() {
		if before == nil || !reflect.DeepEqual(w.manifest(k), before.manifest(k)) {
			out = append(out, k)
		}
	}
	return out
}

// manifest is what a revision says of an object; nil when it says nothing.
func (w *work) manifest(k reconciler.Key) any {
	switch k.Kind {
	case schema.KindVM:
		if v, ok := w.pass.Set.VM(k.Name); ok {
			return v
		}
	case schema.KindNode:
		if n, ok := w.pass.Set.Node(k.Name); ok {
			return n
		}
	case schema.KindMigration:
		if m, ok := w.pass.Set.Migration(k.Name); ok {
			return m
		}
	}
	return nil
}

// sweep asks for a round of every object: somebody may have changed a host.
func (l *Loop) sweep(ctx context.Context) {
	now := l.now()
	if now == nil {
		return
	}
	l.mu.Lock()
	if l.current == now { // a fresh pass forgets what it could not read
		in := now.pass.Input
		in.Around = l.around
		l.current = &work{revision: now.revision, pass: l.Reconciler.NewPass(in), ctx: now.ctx, cancel: now.cancel}
		l.pulse.Passes++
	}
	now = l.current
	l.mu.Unlock()
	l.queue.Add(now.pass.Keys()...)
	l.unattended(ctx, now)
}

// moved asks for rounds of what changed in a cluster: its guests, or with its definitions its nodes.
func (l *Loop) moved(m Move) {
	now := l.now()
	if now == nil {
		return
	}
	l.around.Forget(m.Cluster)
	for _, k := range now.pass.Keys() {
		if now.pass.Group(k) != m.Cluster {
			continue
		}
		v, guest := now.manifest(k).(schema.VM)
		if guest && slices.Contains(m.Guests, v.Spec.VMID) || !guest && m.Definitions {
			l.queue.Urge(k)
		}
	}
}

// told keeps how it stands with the source, and says so when that is news. over tells that what stood against it does no longer.
func (l *Loop) told(refused string, seen bool, err error) (over bool) {
	l.mu.Lock()
	was := l.source
	if seen {
		l.source.Seen = l.Reconciler.Now()
	}
	l.source.Error, l.source.Refused, l.source.Finding = "", refused, nil
	if err != nil {
		l.source.Error = err.Error()
		_ = errors.As(err, &l.source.Finding)
	}
	if l.source.Error != was.Error {
		l.source.Since = l.Reconciler.Now()
	}
	now := l.source
	l.mu.Unlock()
	switch {
	case now.Error == was.Error:
	case now.Error == "":
		l.Log.Info("the source can be followed again", zap.String("revision", now.Revision.Short()))
		l.emit(reconciler.Event{Type: reconciler.EventSource, Reason: "Followed", Message: "the source can be followed again", Revision: now.Revision.Commit})
		return true
	default:
		message := now.Error
		switch { // the source says itself what stays in force
		case now.Revision.Commit == "":
			message += "; nothing is done until then"
		case refused != "":
			message += fmt.Sprintf("; revision %s stays in force", now.Revision.Short())
		}
		l.Log.Warn("the source cannot be followed", zap.String("why", message))
		l.emit(reconciler.Event{Type: reconciler.EventSource, Reason: "NotFollowed", Message: message, Revision: now.Revision.Commit})
	}
	return false
}
