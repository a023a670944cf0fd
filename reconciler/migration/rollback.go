package migration

import (
	"fmt"
	"strings"

	"github.com/ustclug/pve-reconcile/reconciler/step"
)

// giveUp is why the cutover that is under way has to be taken back; "" when it goes on. Once the target may have started it
// never is: what the guest writes there would be lost.
func (v view) giveUp() string {
	if !v.began() || v.launched() {
		return ""
	}
	switch {
	case v.takenBack():
		return v.takenBackBefore()
	case v.overrun():
		return fmt.Sprintf("it lasted longer than maxDowntime (%s)", short(v.spec().Cutover.MaxDowntime.Duration))
	case v.some(func(d disk) bool { return d.Target.Local[step.PropMismatch] == "2" }):
		return "the copy was twice not what the source has"
	case v.running() && v.some(func(d disk) bool { return d.Source.Local[step.PropFence] != "" }):
		return "the guest was started on the source host again"
	case v.running() && !v.spec().Cutover.Kill && v.down() > v.want.ShutdownTimeout().Duration+askGrace:
		return fmt.Sprintf("the guest did not shut down within %s", short(v.want.ShutdownTimeout().Duration))
	}
	return ""
}

func rollbackNoted(v view) bool {
	return !v.began() || v.every(func(d disk) bool { return first(d.Source.Local[step.PropRolledBack]) == v.shutdown() })
}

func noteRollback(v view) work {
	note := strings.Join([]string{v.shutdown(), v.here(), v.hash(), v.giveUp()}, " ")
	for _, d := range v.disks { // all get the same
		if old := d.Source.Local[step.PropRolledBack]; first(old) == v.shutdown() {
			note = old
		}
	}
	return work{steps: []step.Step{v.set(v.source(), v.zvols(), map[string]string{step.PropRolledBack: note})}}
}

// forgetStart takes back the note that the target is about to be started, which it was not.
func forgetStart(v view) work {
	return work{steps: []step.Step{v.set(v.host, v.targets(), nil, step.PropStarted)}}
}

func unfenced(v view) bool {
	return v.every(func(d disk) bool { return d.Source.Local[step.PropFence] == "" })
}

// unfence sets again what was set before the fence; what was inherited is inherited again.
func unfence(v view) (w work) {
	for _, d := range v.disks {
		fence := d.Source.Local[step.PropFence]
		if fence == "" {
			continue
		}
		set := map[string]string{}
		var inherit []string
		for pair := range strings.SplitSeq(fence, ",") {
			switch prop, old, _ := strings.Cut(pair, "="); {
			case prop != "readonly" && prop != "volmode":
			case old == "-":
				inherit = append(inherit, prop)
			default:
				set[prop] = old
			}
		}
		w.add(v.set(v.source(), []string{d.zvol}, set, append(inherit, step.PropFence)...))
	}
	return w
}

// autostart is what was set on the guest before it was masked; "" when that was not noted.
func (v view) autostart() string {
	for _, d := range v.disks {
		if was := d.Source.Local[step.PropAutostart]; was != "" {
			return was
		}
	}
	return ""
}

// unmasked: the guest may be started as before. What it was before decides where that is known: one that did not start with its
// host then looks masked without being it. Else the mask is of no more concern once the guest runs.
func unmasked(v view) bool {
	if was, is := v.autostart(), v.have.Power.Autostart; was != "" && is != "" {
		return is == was
	}
	return v.running() || !v.masks() || !v.have.Power.Masked
}

func unmaskedForAbort(v view) bool { return !v.began() || unmasked(v) }

func unmask(v view) work {
	return work{steps: []step.Step{step.MaskSource{Host: v.source(), Power: v.spec().Source.Power, Off: true, Was: v.autostart()}}}
}

func sourceRuns(v view) bool { return v.running() || !v.began() }

// sourceGate keeps the source off while the target runs or has run: that is the guest now (law 11).
func sourceGate(v view) (waits []step.Wait) {
	switch {
	case v.have.VM.IsRunning():
		waits = append(waits, step.Wait{Reason: step.TargetRunning, Text: v.runningText() + "; the guest on " + v.source() + " is started after that"})
	case v.started():
		waits = append(waits, step.Wait{Reason: step.Refused, Text: fmt.Sprintf("guest %d was started on PVE: it may hold newer data than %s", v.guest.Spec.VMID, v.source())})
	case v.have.Power.State != "stopped":
		waits = append(waits, step.Wait{Reason: step.PowerUnknown, Text: fmt.Sprintf("nobody can tell whether the guest runs on %s: %s", v.source(), orUnknown(v.have.Power.Text))})
	case !v.startable():
		waits = append(waits, step.Wait{Reason: step.StartByHand, Text: fmt.Sprintf("start the guest on %s again: with nothing but a QMP socket it cannot be started from here", v.source())})
	}
	return waits
}

func startSource(v view) work {
	return work{steps: []step.Step{step.StartSource{Host: v.source(), Power: v.spec().Source.Power}}}
}

func forgetCutover(v view) work {
	over := []string{step.PropShutdown, step.PropTarget}
	if v.autostart() != "" {
		over = append([]string{step.PropAutostart}, over...)
	}
	return work{steps: []step.Step{v.set(v.source(), v.zvols(), nil, over...)}}
}

// cancelled tells whether a cutover that began has not reached the guest yet, and may not go on: the approval is another
// one now, the window has closed, a check fails.
func (v view) cancelled() bool {
	return v.began() && !v.launched() && v.running() && v.every(func(d disk) bool { return d.Source.Local[step.PropFence] == "" }) && len(cutoverGate(v)) > 0
}
