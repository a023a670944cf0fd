package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/ustclug/pve-reconcile/internal/loop"
	"github.com/ustclug/pve-reconcile/internal/notice"
	"github.com/ustclug/pve-reconcile/internal/notify"
	"github.com/ustclug/pve-reconcile/internal/secret"
	"github.com/ustclug/pve-reconcile/internal/source"
	"github.com/ustclug/pve-reconcile/reconciler"
)

func (p *program) openOutbox(say func() []notice.Standing) (*notify.Outbox, error) {
	host, _ := os.Hostname()
	return notify.Open(notify.Options{
		Dir: p.config.StateDir, Host: host, To: p.config.Notify, Secret: secret.Line, Standings: say, Log: p.log, Now: time.Now,
	})
}

// standings are what is to be said of commits now.
func (d *daemon) standings() []notice.Standing {
	if d.standing() != "" {
		return nil // whoever acts says it
	}
	return standings(d.current().Status())
}

// notify delivers until the returned function is called: what the last steps did is still taken note of.
func (d *daemon) notify() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		d.outbox.Run(ctx)
	}()
	return func() { cancel(); <-done }
}

// patient is how long a pass waits for those who are told of it.
const patient = time.Minute

// tellOnce tells of one pass what a daemon would tell of it. It is over, so that nothing has to stand any longer; what cannot
// be delivered is kept for the next one. wrong is why there was no pass.
func (o onePass) tellOnce(ctx context.Context, r reconciler.Report, wrong error) {
	p := o.program
	var unread *source.Error
	if len(p.config.Notify) == 0 || wrong != nil && !errors.As(wrong, &unread) {
		return // what else may be wrong is no news of the repository: whoever runs this is told
	}
	now := loop.Status{Source: loop.Source{Revision: p.revision, Finding: r.Source}, Problems: r.Problems, Objects: len(r.Objects), Looked: len(r.Objects)}
	for _, x := range r.Objects {
		now.Items = append(now.Items, loop.Item{Object: x})
	}
	if blocked(p.input) != nil {
		now.Source.Refused, now.Source.Error = p.revision.Commit, r.Source.Error()
	}
	box, err := p.openOutbox(func() []notice.Standing {
		if len(o.words) > 0 || wrong != nil {
			return nil // not all that the commit declares was looked at
		}
		return standings(now)
	})
	if err != nil {
		p.log.Warn("nobody is notified", zap.Error(err))
		return
	}
	for _, e := range eventsOf(p.revision, r, p.input.Set.Unread, wrong) {
		box.Observe(e)
	}
	limited, cancel := context.WithTimeout(ctx, patient)
	defer cancel()
	box.Once(limited)
}

// eventsOf are what a pass has to tell.
func eventsOf(rev source.Revision, r reconciler.Report, unread bool, wrong error) []reconciler.Event {
	not := reconciler.Event{Type: reconciler.EventSource, Reason: "NotFollowed", Revision: rev.Commit, Author: rev.Author}
	switch {
	case wrong != nil:
		not.Message = wrong.Error()
		return []reconciler.Event{not}
	case r.Source != nil:
		not.Message = r.Source.Error()
	case unread:
		not.Message = loop.FirstProblem(r.Problems, "")
	default:
		not = reconciler.Event{Type: reconciler.EventRevision, Revision: rev.Commit, Author: rev.Author}
	}
	out := []reconciler.Event{not}
	for _, o := range r.Objects {
		e := reconciler.Event{
			Type: reconciler.EventVerdict, Kind: o.Kind, Name: o.Name, Cluster: o.ID.Cluster, Node: o.ID.Node, VMID: o.ID.VMID,
			Revision: rev.Commit, Author: rev.Author, Verdict: o.Verdict,
		}
		if e.Reason, e.Message = o.Why(); o.Verdict == reconciler.Refused {
			e.Message = loop.FirstProblem(r.Problems, e.Message)
		}
		out = append(out, e)
	}
	return out
}

// fate is what a verdict means for the commit that declares the object.
var fate = map[reconciler.Verdict]string{
	reconciler.Blocked: "failure", reconciler.Unknown: "failure", reconciler.Failed: "failure", reconciler.Refused: "failure",
	reconciler.Changes: "pending", reconciler.Waiting: "pending", reconciler.Busy: "pending", reconciler.Migrating: "pending", reconciler.Suspended: "pending",
	reconciler.InSync: "success", reconciler.RestartNeeded: "success", reconciler.Drifted: "success", reconciler.Orphaned: "success",
}

// standings are what is to be said of commits: of the one that is followed, and of one that is refused.
func standings(s loop.Status) []notice.Standing {
	var out []notice.Standing
	if s.Source.Refused != "" {
		out = append(out, notice.Standing{Commit: s.Source.Refused, State: "failure", Text: "not followed: " + s.Source.Error})
	}
	commit := s.Source.Revision.Commit
	if commit == "" || commit == s.Source.Refused {
		return out
	}
	counts, worst, missing := map[reconciler.Verdict]int{}, "success", s.Objects-s.Looked
	for _, it := range s.Items {
		if it.Looked.Before(s.Pulse.Followed) {
			missing++
		}
		counts[it.Object.Verdict]++
		if f := fate[it.Object.Verdict]; f == "failure" || f == "pending" && worst == "success" {
			worst = f
		}
	}
	if missing > 0 {
		return append(out, notice.Standing{Commit: commit, State: "pending", Text: "being carried out"})
	}
	if len(s.Problems) > 0 {
		worst = "failure"
	}
	if s.Source.Finding != nil {
		return append(out, notice.Standing{Commit: commit, State: "failure", Text: string(s.Source.Finding.Reason) + ": " + s.Source.Finding.Text})
	}
	var words []string
	for _, v := range slices.Sorted(maps.Keys(counts)) {
		words = append(words, fmt.Sprintf("%d %s", counts[v], v))
	}
	if n := len(s.Problems); n > 0 {
		words = append(words, fmt.Sprintf("%d problems of manifests", n))
	}
	return append(out, notice.Standing{Commit: commit, State: worst, Text: strings.Join(words, ", ")})
}
