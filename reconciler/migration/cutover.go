package migration

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/ustclug/pve-reconcile/reconciler/step"
)

// cutOver: the guest is off on the source host, cannot be started there, and nobody can write to its zvols.
func cutOver(v view) bool {
	return v.reached() || v.noted() && v.stopped() && (v.have.Power.Masked || !v.masks()) && v.every(disk.fenced)
}

// noted: all of the source's zvols say when the cutover began, and whose it is.
func (v view) noted() bool {
	at := v.shutdown()
	return at != "" && v.every(func(d disk) bool {
		return d.Source.Local[step.PropShutdown] == at && d.Source.Local[step.PropMark] == v.uid
	})
}

// cutoverGate says why the guest may not be stopped now (law 14). Once it was stopped, only the rollback table takes it back.
func cutoverGate(v view) (waits []step.Wait) {
	if v.began() && !v.running() {
		return nil
	}
	for _, g := range gates {
		if text := g.closed(v); text != "" {
			waits = append(waits, step.Wait{Reason: g.reason, Text: text})
		}
	}
	return waits
}

// A gate is one thing that keeps the guest from being stopped.
type gate struct {
	reason string
	closed func(view) string // why; "" when it is open
}

var gates = []gate{
	{step.TargetRunning, func(v view) string {
		if v.have.VM.IsRunning() {
			return v.runningText()
		}
		return ""
	}},
	{step.ProofFailed, proofFailed},
	{step.StagingTampered, eachDisk(view.covered)}, // else the last writes could not be received
	{step.NotApproved, notApproved},
	{step.WindowClosed, windowClosed},
	{step.TooLong, tooLong},
}

func proofFailed(v view) string {
	for _, d := range v.disks {
		if d.Target.Local[step.PropMismatch] == "2" {
			return fmt.Sprintf("%s: twice, the copy was not what the source has, so that what was received cannot be trusted. To have it sent anew: `zfs destroy -r %s` on %s after releasing its holds, and `zfs inherit %s %s`",
				d.Slot, v.want.StagingZvol(d.Slot), v.host, step.PropMismatch, d.Target.Name)
		}
	}
	return ""
}

// notApproved: with mode Approve, and in every mode after a cutover was taken back, a commit has to name the plan.
func notApproved(v view) string {
	c, hash := v.spec().Cutover, v.hash()
	again := v.takenBackBefore()
	if c.Approve == hash || v.want.Mode() != "Approve" && again == "" {
		return ""
	}
	text := fmt.Sprintf("to have the guest stopped, write `approve: %q` under spec.cutover and push it", hash) // first: status cuts the rest
	switch {
	case again != "":
		text += "; the last cutover was taken back: " + again
	case c.Approve != "":
		text += fmt.Sprintf("; %s approves another plan than the one that stands now", c.Approve)
	}
	return text
}

// takenBackBefore is why the last cutover was taken back; "" when none was.
func (v view) takenBackBefore() string {
	for _, d := range v.disks {
		if words := strings.SplitN(d.Source.Local[step.PropRolledBack], " ", 4); len(words) == 4 {
			return words[3]
		}
	}
	return ""
}

func windowClosed(v view) string {
	w := v.want.Window()
	if w.Zero() {
		return ""
	}
	if skew, host := v.skew(); skew > maxSkew {
		return fmt.Sprintf("the clock of %s differs from the program's by %s, so that nobody can tell whether it is time for %q: set the clocks", host, short(skew), w)
	}
	left, open := w.Left(v.have.Now)
	need := v.forecast().Total
	switch {
	case !open:
		return fmt.Sprintf("the guest may be stopped during %q, next on %s", w, w.Next(v.have.Now).Format("Mon 2006-01-02 15:04 MST"))
	case left < need:
		return fmt.Sprintf("%s are left of %q, and the stop takes about %s: next on %s", short(left), w, short(need), w.Next(v.have.Now.Add(left)).Format("Mon 2006-01-02 15:04 MST"))
	}
	return ""
}

func tooLong(v view) string {
	limit, f := v.spec().Cutover.MaxDowntime.Duration, v.forecast()
	if limit == 0 || f.Total <= limit {
		return ""
	}
	return fmt.Sprintf("the stop takes about %s (%s), maxDowntime is %s: allow more, or make the delta smaller", short(f.Total), f, short(limit))
}

// askGrace is what may pass between the note that the cutover begins and the guest being asked, and asked again after a
// crash, beside what it may take to shut down.
const askGrace = 30 * time.Second

// cutover notes when it begins, has the guest shut down, masks it and fences its zvols. The fence is set when nobody has
// them open: set earlier it would not stop who writes already (OpenZFS 2.1).
func cutover(v view) (w work) {
	switch {
	case !v.noted():
		set := map[string]string{step.PropShutdown: cmp.Or(v.shutdown(), v.here()), step.PropMark: v.uid, step.PropTarget: v.assignment()}
		if was := cmp.Or(v.autostart(), v.have.Power.Autostart); was != "" {
			set[step.PropAutostart] = was
		}
		w.add(v.set(v.source(), v.zvols(), set))
	case v.running():
		timeout := v.want.ShutdownTimeout().Duration
		left := timeout + askGrace - v.down()
		w.add(step.ShutdownSource{Host: v.source(), Power: v.spec().Source.Power, Timeout: min(timeout, max(left, 10*time.Second)), Kill: v.spec().Cutover.Kill})
	case v.have.Power.State != "stopped":
		w.wait(step.PowerUnknown, fmt.Sprintf("nobody can tell whether the guest runs on %s: %s", v.source(), orUnknown(v.have.Power.Text)))
	case !v.stopped():
		w.wait(step.StillOpen, v.openText())
	case v.masks() && !v.have.Power.Masked:
		w.add(step.MaskSource{Host: v.source(), Power: v.spec().Source.Power})
	default:
		v.fence(&w)
	}
	return w
}

func (v view) openText() string {
	for _, d := range v.disks {
		if len(d.Source.Openers) > 0 {
			return fmt.Sprintf("the guest is off, but %s has %s open on %s: end it", strings.Join(d.Source.Openers, ", "), d.zvol, v.source())
		}
	}
	return "the guest is off"
}

// fence notes what was set before, then makes the zvols read-only, then takes their devices away.
func (v view) fence(w *work) {
	for _, d := range v.disks {
		s := d.Source
		if s.Local[step.PropFence] == "" {
			w.add(v.set(v.source(), []string{d.zvol}, map[string]string{step.PropFence: "readonly=" + orDash(s.Local["readonly"]) + ",volmode=" + orDash(s.Local["volmode"])}))
		}
	}
	if len(w.steps) > 0 {
		return
	}
	for _, d := range v.disks {
		s := d.Source
		switch {
		case s.Local["readonly"] != "on":
			w.add(v.set(v.source(), []string{d.zvol}, map[string]string{"readonly": "on"}))
		case s.Local["volmode"] != "none" || s.Device != "": // set while it was open, it takes effect only when set again
			w.add(v.set(v.source(), []string{d.zvol}, map[string]string{"volmode": "none"}))
		}
	}
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// finallySent: every disk's last state is received, and held on both sides.
func finallySent(v view) bool {
	return v.reached() || v.every(func(d disk) bool {
		_, ok := d.final()
		return ok && d.current()
	}) && fullySent(v)
}

// sendFinal takes the last snapshot of all disks at the same moment and sends it. Where something was written after it all
// the same, another one is taken.
func sendFinal(v view) work {
	if v.some(func(d disk) bool { _, ok := d.final(); return !ok }) {
		return work{steps: []step.Step{v.snapshot("final", func(disk) bool { return true })}}
	}
	return v.send()
}
