package reconciler

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/ustclug/pve-reconcile/reconciler/step"
	"github.com/ustclug/pve-reconcile/schema"
)

// hold takes out of a plan the steps that may not be made now, and says what they wait for: objects that this one depends
// on, a maintenance window, or a person, when the same step was made over and over.
func (r *round) hold(ctx context.Context, o *Object, windows []schema.Window, manifest any) {
	o.Opens = time.Time{}
	if len(o.Plan.Steps) == 0 {
		return
	}
	if waits := r.dependencies(ctx, Key{o.Kind, o.Name}); len(waits) > 0 {
		o.Plan.Steps = nil
		o.Plan.Waits = append(o.Plan.Waits, waits...)
		return
	}
	if i := slices.IndexFunc(o.Plan.Steps, interrupts); i >= 0 {
		if wait, opens := closed(o.Plan.Steps[i], windows, r.Now()); wait.Text != "" {
			o.Plan.Steps, o.Opens = o.Plan.Steps[:i], opens
			o.Plan.Waits = append(o.Plan.Waits, wait)
		}
	}
	for i, s := range o.Plan.Steps {
		if times := r.flaps(o, manifest, s); len(times) >= flapLimit {
			o.Plan.Steps = o.Plan.Steps[:i]
			o.Plan.Waits = append(o.Plan.Waits, flapping(*o, s, times))
			return
		}
	}
}

// interrupts tells whether a step stops a guest that runs.
func interrupts(s step.Step) bool {
	_, ok := s.(step.ShutdownVM)
	return ok
}

// closed says when a step may be made, if not now. Without windows it may be made at any time.
func closed(s step.Step, windows []schema.Window, now time.Time) (w step.Wait, opens time.Time) {
	if len(windows) == 0 || slices.ContainsFunc(windows, func(w schema.Window) bool { return w.Contains(now) }) {
		return w, opens
	}
	var texts []string
	for _, w := range windows {
		texts = append(texts, w.String())
		if next := w.Next(now); opens.IsZero() || !next.IsZero() && next.Before(opens) {
			opens = next
		}
	}
	return step.Wait{Reason: step.OutsideWindow, Text: fmt.Sprintf("%s waits for the maintenance window (%s), which opens %s", s, strings.Join(texts, "; "), opens.Format("Mon 2006-01-02 15:04 MST"))}, opens
}

// windows are those of a guest: its own, or else its cluster's. The manifest is checked, so that each can be read.
func (r *Reconciler) windows(v schema.VM) []schema.Window {
	if len(v.Spec.MaintenanceWindows) == 0 {
		return r.Windows[v.Spec.Cluster]
	}
	var out []schema.Window
	for _, text := range v.Spec.MaintenanceWindows {
		if w, err := schema.ParseWindow(text); err == nil {
			out = append(out, w)
		}
	}
	return out
}

// flapLimit is how often the same step may succeed within flapSpan for the same manifest; then somebody or something undoes it.
const (
	flapLimit = 3
	flapSpan  = 24 * time.Hour
)

// flaps lists when a step succeeded lately for the same manifest.
func (r *round) flaps(o *Object, manifest any, s step.Step) []time.Time {
	if r.Flaps == nil {
		return nil
	}
	return r.Flaps.Times(o.Kind+"/"+o.Name, sum(manifest), s.String(), r.Now().Add(-flapSpan))
}

// succeeded remembers that a step was made. When that cannot be kept, the guard is weaker, which is no reason to fail.
func (r *round) succeeded(o *Object, manifest any, s step.Step) {
	if r.Flaps == nil {
		return
	}
	if err := r.Flaps.Note(o.Kind+"/"+o.Name, sum(manifest), s.String(), r.Now(), r.Now().Add(-flapSpan)); err != nil {
		r.Log.Warn("not remembered that a step was made", zap.String("kind", o.Kind), zap.String("name", o.Name), zap.Error(err))
	}
}

// sum tells manifests apart.
func sum(manifest any) string {
	text, err := json.Marshal(manifest)
	if err != nil {
		return "" // manifests were read from text
	}
	h := sha256.Sum256(text)
	return hex.EncodeToString(h[:8])
}

// flapping shows both sides.
func flapping(o Object, s step.Step, times []time.Time) step.Wait {
	var sides []string
	for _, d := range o.Plan.Diffs {
		if d.Cause != step.Undeclared && d.Cause != step.Pending && !d.Report {
			sides = append(sides, fmt.Sprintf("%s: the manifest says %s, the host goes back to %s", d.Name(), named(d.Want), named(d.Have)))
		}
	}
	if len(sides) == 0 {
		sides = []string{"the manifest asks for it, and afterwards the host is as before (guest now: " + named(o.Power) + ")"}
	}
	return step.Wait{Reason: step.Flapping, Text: fmt.Sprintf("%s was made %d times since %s, and somebody or something undid it each time (%s): find out who, then correct the manifest or `reconcile resume %s`",
		s, len(times), times[0].Local().Format("2006-01-02 15:04"), strings.Join(sides, "; "), o.Name)}
}

func named(value string) string {
	if value == "" {
		return "nothing"
	}
	return value
}
