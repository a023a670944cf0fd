package migration_test

import (
	"maps"
	"slices"
	"time"

	"github.com/ustclug/pve-reconcile/reconciler/migration"
	"github.com/ustclug/pve-reconcile/reconciler/step"
	"github.com/ustclug/pve-reconcile/schema"
)

// A deed is something that happens while the program looks elsewhere.
type deed struct {
	name string
	do   func(*world, int) bool // disk; false: not possible now
}

// deeds are what guests, hosts and an operator who meddles may do.
var deeds = []deed{
	{"guest writes", guestWrites},
	{"guest writes", guestWrites},
	{"guest writes", guestWrites},
	{"our snapshot of the source is destroyed", func(w *world, i int) bool { return drop(w, w.source(i), false) }},
	{"a received snapshot is destroyed", func(w *world, i int) bool { return drop(w, w.staging(i), false) }},
	{"holds are released on the source", func(w *world, i int) bool { return release(w.source(i)) }},
	{"holds are released in staging", func(w *world, i int) bool { return release(w.staging(i)) }},
	{"staging is written to", func(w *world, i int) bool {
		z := w.staging(i)
		if z == nil || len(z.snaps) == 0 {
			return false
		}
		w.write(z)
		return true
	}},
	{"a snapshot of staging is taken", func(w *world, i int) bool { return strange(w, w.staging(i)) }},
	{"a snapshot of the source is taken", func(w *world, i int) bool { return strange(w, w.source(i)) }},
	{"staging is destroyed", func(w *world, i int) bool {
		z := w.staging(i)
		if z != nil {
			delete(w.sets, "pve-5:"+z.name)
		}
		return z != nil
	}},
	{"the target is written to", func(w *world, i int) bool {
		z := w.target(i)
		if z == nil || w.ours || w.vm.IsRunning() {
			return false
		}
		w.write(z)
		return true
	}},
	{"the target is started by hand", startTarget},
	{"the target is stopped", func(w *world, _ int) bool {
		was := w.vm.IsRunning()
		w.vm.Status = "stopped"
		return was
	}},
	{"the source is shut down by hand", func(w *world, _ int) bool {
		was := w.power == "running"
		w.power = "stopped"
		return was
	}},
	{"the source is started by hand", func(w *world, _ int) bool {
		if w.power == "running" || w.masked || w.fenced() {
			return false
		}
		w.power, w.byHand = "running", true
		return true
	}},
	{"the source is unfenced and started by hand", func(w *world, _ int) bool {
		if w.power == "running" || !w.fenced() || w.source(0) == nil {
			return false
		}
		w.masked = false
		for i := range w.count() {
			delete(w.source(i).props, "readonly")
			delete(w.source(i).props, "volmode")
		}
		w.power, w.byHand = "running", true
		return true
	}},
	{"the source is unfenced", func(w *world, i int) bool {
		if !w.fenced() || w.source(i) == nil {
			return false
		}
		delete(w.source(i).props, "readonly")
		delete(w.source(i).props, "volmode")
		return true
	}},
	{"the source is unmasked", func(w *world, _ int) bool {
		was := w.masked
		w.masked = false
		return was
	}},
	{"the source host reboots", func(w *world, _ int) bool {
		if w.power = "stopped"; !w.masked && !w.fenced() {
			w.power, w.byHand = "running", true
		}
		return true
	}},
	{"the target's host reboots", func(w *world, i int) bool {
		if w.vm.Exists && w.vm.Running["onboot"] == "1" {
			if w.vm.Status != "running" {
				return startTarget(w, i)
			}
			return true
		}
		w.vm.Status = "stopped"
		return true
	}},
	{"the program's clock jumps", func(w *world, _ int) bool {
		w.jump = time.Duration(w.rng.IntN(400)-200) * time.Hour
		return true
	}},
	{"the program's clock is set", func(w *world, _ int) bool {
		w.jump = 0
		return true
	}},
	{"days pass", func(w *world, _ int) bool {
		w.now = w.now.Add(time.Duration(w.rng.IntN(100)) * time.Hour)
		return true
	}},
	{"the guest ignores shutdowns", func(w *world, _ int) bool { w.stays = !w.stays; return true }},
	{"the agent is silent", func(w *world, _ int) bool { w.silent = !w.silent; return true }},
	{"a stream goes wrong", func(w *world, _ int) bool { w.rot = w.want.Proves(); return w.rot }},
	{"somebody approves the plan", func(w *world, _ int) bool { return approve(w) }},
	{"somebody approves the plan", func(w *world, _ int) bool { return approve(w) }},
	{"the number of passes changes", func(w *world, _ int) bool {
		n := w.rng.IntN(4)
		w.want.Spec.Precopy.MaxPasses = &n
		return true
	}},
	{"the guest's manifest changes", func(w *world, _ int) bool {
		n := w.rng.IntN(8) + 1
		w.guest.Spec.CPU = &schema.CPU{Cores: &n}
		return true
	}},
}

func guestWrites(w *world, i int) bool {
	switch {
	case w.power == "running" && w.source(i) != nil:
		w.write(w.source(i))
	case w.vm.IsRunning() && w.target(i) != nil:
		w.write(w.target(i))
		w.wrote = w.wrote || w.ours
	default:
		return false
	}
	return true
}

func approve(w *world) bool {
	w.want.Spec.Cutover.Approve = migration.Decide(w.want, w.guest, schema.VM{}, w.observe()).Hash
	return true
}

func startTarget(w *world, _ int) bool {
	if !w.vm.Exists || w.vm.IsRunning() {
		return false
	}
	if !w.ours {
		w.startedOn = w.power == "stopped" && w.last()
		w.everyTarget(func(z *dataset) {
			if z.props[step.PropStarted] != "" { // it was about to be: the operator was faster
				w.ours, w.startedOn, w.up = true, true, w.now
			}
		})
	}
	w.vm.Status, w.ran, w.byHand, w.lastStart = "running", true, true, w.now
	return true
}

// drop destroys one of our snapshots with force, or one of somebody else's.
func drop(w *world, z *dataset, foreign bool) bool {
	if z == nil {
		return false
	}
	of := slices.DeleteFunc(slices.Clone(z.snaps), func(s *snap) bool { return s.foreign != foreign })
	if len(of) == 0 {
		return false
	}
	s := of[w.rng.IntN(len(of))]
	z.snaps = slices.DeleteFunc(z.snaps, func(x *snap) bool { return x == s })
	return true
}

func release(z *dataset) bool {
	if z == nil || len(z.snaps) == 0 {
		return false
	}
	for _, s := range z.snaps {
		clear(s.holds)
	}
	return true
}

func strange(w *world, z *dataset) bool {
	if z == nil || z.token != nil && len(z.snaps) == 0 {
		return false
	}
	name := "by-hand-" + w.guid()
	z.snaps = append(z.snaps, &snap{name: name, guid: w.guid(), blocks: slices.Clone(z.blocks), writes: z.writes, holds: map[string]bool{}, props: map[string]string{}, foreign: true})
	return true
}

// helpful does what a wait asks a person for. It returns false for a wait that nobody is asked to end.
func (w *world) helpful(s migration.Status, reason string) bool {
	switch reason {
	case step.NotApproved:
		w.want.Spec.Cutover.Approve = s.Hash
	case step.WindowClosed:
		w.jump = 0
		if next := w.want.Window().Next(w.now.Add(5 * time.Hour)).Add(time.Minute); next.After(w.now) {
			w.now = next
		}
	case step.TooLong:
		w.want.Spec.Cutover.MaxDowntime.Duration = 0
	case step.TargetRunning:
		w.vm.Status = "stopped"
	case step.TargetWritten:
		w.everyTarget(func(z *dataset) {
			delete(z.props, step.PropCopied)
			delete(z.props, step.PropStarted)
		})
		w.ours, w.wrote = false, false // he has decided to drop what was written
	case step.StagingTampered:
		for i := range w.count() {
			z := w.staging(i)
			if z == nil {
				continue
			}
			z.snaps = slices.DeleteFunc(z.snaps, func(x *snap) bool { return x.foreign })
		}
	case step.Foreign, step.Preflight: // a fresh disk
		w.everyTarget(func(z *dataset) {
			if z.props[step.PropMark] == "" {
				clear(z.blocks)
				z.writes, z.snaps = 0, nil
			}
		})
	case step.SplitBrain:
		w.power = "stopped"
		for i := range w.count() {
			if z := w.source(i); z != nil {
				for _, p := range z.snaps {
					if p.props[step.PropFinal] == "yes" {
						z.blocks, z.writes = slices.Clone(p.blocks), p.writes
					}
				}
			}
		}
	case step.ProofFailed:
		for i := range w.count() {
			if z := w.staging(i); z != nil {
				delete(w.sets, "pve-5:"+z.name)
			}
		}
		w.everyTarget(func(z *dataset) { delete(z.props, step.PropMismatch) })
	case step.StartByHand:
		w.power, w.byHand = "running", true
	case step.Interlocked, step.Refused:
		if w.letGo {
			w.want.Spec.Retire.Source.Destroy = nil
		}
		return w.refence(s)
	case step.HostUnknown, step.PowerUnknown:
	default:
		return false
	}
	return true
}

// refence puts the source back as it has to be, or takes back an abort that comes too late.
func (w *world) refence(migration.Status) bool {
	w.want.Spec.Abort, w.letGo = false, true
	w.power, w.masked = "stopped", true
	for i := range w.count() {
		if z := w.source(i); z != nil {
			maps.Copy(z.props, map[string]string{"readonly": "on", "volmode": "none"})
			z.snaps = slices.DeleteFunc(z.snaps, func(x *snap) bool { return x.foreign })
		}
	}
	return true
}

func (w *world) everyTarget(do func(*dataset)) {
	for i := range w.count() {
		if z := w.target(i); z != nil {
			do(z)
		}
	}
}
