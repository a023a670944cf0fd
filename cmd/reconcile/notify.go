package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/ustclug/pve-reconcile/internal/loop"
	"github.com/ustclug/pve-reconcile/internal/notice"
	"github.com/ustclug/pve-reconcile/internal/notify"
	"github.com/ustclug/pve-reconcile/internal/secret"
	"github.com/ustclug/pve-reconcile/reconciler"
)

func (d *daemon) openOutbox() (*notify.Outbox, error) {
	host, _ := os.Hostname()
	return notify.Open(notify.Options{
		Dir: d.config.StateDir, Host: host, To: d.config.Notify, Secret: secret.Line,
		Standings: func() []notice.Standing {
			if d.standing() != "" {
				return nil // whoever acts says it
			}
			return standings(d.current().Status())
		},
		Log: d.log, Now: time.Now,
	})
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
