package migration_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ustclug/pve-reconcile/reconciler/migration"
	"github.com/ustclug/pve-reconcile/reconciler/step"
	"github.com/ustclug/pve-reconcile/schema"
)

// failed are seeds that found something once.
var failed = []uint64{18, 27, 125, 182, 203, 276, 537, 655, 1249, 2000, 2322, 4367, 7045}

// seedCount is how many seeds TestAnyWeather tries: SEEDS, else few enough for every run of the tests.
func seedCount(t *testing.T) uint64 {
	text := os.Getenv("SEEDS")
	if text == "" {
		return 200
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatal("SEEDS:", err)
	}
	return n
}

// TestAnyWeather runs migrations in random weather: crashes before, in and after every effect, streams that are cut, clocks
// that jump, guests that write, an operator who meddles. After every event: never two running copies by our doing, never a
// start on other bytes than the source's last, nothing of others touched, no source destroyed early. And it ends, once
// people do what they are asked for.
func TestAnyWeather(t *testing.T) {
	first := uint64(0)
	if text := os.Getenv("SEED"); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal("SEED:", err)
		}
		tell(t, n)
		return
	}
	for _, seed := range failed {
		tell(t, seed)
	}
	for seed, n := first, seedCount(t); seed < n; seed++ {
		tell(t, seed)
		if t.Failed() {
			return
		}
	}
}

func tell(t *testing.T, seed uint64) {
	t.Helper()
	w := simulate(t, seed)
	if len(w.broken) > 0 {
		t.Errorf("seed %d: %s\n%s", seed, strings.Join(w.broken, "\n"), strings.Join(w.log, "\n"))
	}
}

// scenario makes the manifests of a seed.
func scenario(t testing.TB, rng *rand.Rand) specs {
	one := func(words ...string) string { return words[rng.IntN(len(words))] }
	disks := "[{zvol: pool0/a, to: scsi0}]"
	vmDisks := "{scsi0: {storage: local-zfs, size: 1Gi, discard: true}}"
	if rng.IntN(3) == 0 {
		disks = "[{zvol: pool0/a, to: scsi0}, {zvol: pool0/b, to: scsi1}]"
		vmDisks = "{scsi0: {storage: local-zfs, size: 1Gi, discard: true}, scsi1: {storage: local-zfs, size: 1Gi}}"
	}
	spec := "source: {host: mirrors2, power: " + one("{systemd: a.service}", "{systemd: a.service, qmp: /a}", "{qmp: /a}", "{libvirt: a}", "{command: {status: a, shutdown: b, start: c, kill: d}}") + ", disks: " + disks + "}\n"
	spec += "precopy: {maxPasses: " + one("0", "1", "3") + ", untilDelta: " + one("1Mi", "3Mi") + "}\n"
	spec += "cutover: {mode: " + one("Approve", "Window", "Auto") + `, window: "` + one("Sat 02:00-06:00 Asia/Shanghai", "daily 00:00-24:00 UTC", "daily 20:00-23:00") + `", kill: ` + one("false", "false", "true") + one(", maxDowntime: 1h", ", maxDowntime: 5h", "") + "}\n"
	spec += "verify: " + one("Full", "Full", "None") + "\nfstrim: " + one("true", "false") + "\n"
	spec += "retire: {staging: " + one("1h", "48h") + ", source: " + one("Keep", "{Destroy: {after: 72h}}") + "}\n"
	return resolved(t, spec, "disks: "+vmDisks+"\nagent: {enabled: "+one("true", "false")+"}\n")
}

func simulate(t testing.TB, seed uint64) *world {
	rng := rand.New(rand.NewPCG(seed, 1))
	w := newWorld(scenario(t, rng), rng)
	calm := rng.IntN(4) == 0 // nobody meddles, only crashes
	weather := 20 + rng.IntN(150)
	abortAt := -1
	if rng.IntN(4) == 0 {
		abortAt = rng.IntN(weather)
	}
	for round := 0; round < weather+600 && len(w.broken) == 0; round++ {
		rough := round < weather
		if round == abortAt {
			w.say("abort: true is pushed")
			w.want.Spec.Abort = true
		}
		if round == weather {
			w.say("the weather calms")
			w.stays, w.silent, w.jump, w.rot = false, false, 0, false
		}
		if rough && rng.IntN(3) == 0 {
			w.happen(calm)
		}
		if w.round(rough) {
			if !rough {
				w.ended()
				return w
			}
		}
		w.look()
		w.now = w.now.Add(time.Duration(1+rng.IntN(300)) * time.Second)
	}
	if len(w.broken) == 0 {
		w.violate("it does not end")
	}
	return w
}

func (w *world) say(format string, args ...any) { w.log = append(w.log, fmt.Sprintf(format, args...)) }

// happen lets one thing happen that is not the program's doing.
func (w *world) happen(calm bool) {
	d := deeds[w.rng.IntN(len(deeds))]
	if calm && d.name != "guest writes" {
		return
	}
	if d.do(w, w.rng.IntN(w.count())) {
		w.say("  - %s", d.name)
	}
}

// round is one look, decision and step. It tells whether the migration is through.
func (w *world) round(rough bool) bool {
	have := w.observe()
	if rough && w.rng.IntN(15) == 0 {
		return w.blindRound(have)
	}
	s := migration.Decide(w.want, w.guest, schema.VM{}, have)
	if len(s.Steps) == 0 {
		return w.waitRound(s, rough)
	}
	if len(s.Waits) > 0 && s.Stage != migration.Cutover && s.Stage != migration.FinalIncremental && s.Stage != migration.Precopy && s.Stage != migration.FullSend {
		w.say("%s waits and steps", s.Stage)
	}
	for _, next := range s.Steps[:migration.Together(s.Steps)] {
		crash := rough && w.rng.IntN(8) == 0
		if crash && w.rng.IntN(3) == 0 {
			w.say("%s: %s | crash before", s.Stage, next)
			return false
		}
		err := w.do(next, crash)
		w.say("%s: %s | %v", s.Stage, next, outcome(err))
		if errors.Is(err, errRefuse) && !rough {
			w.stuck++
		}
		if err == nil && !rough {
			w.stuck = 0
			w.effect(next)
		}
		if crash || w.stuck > 20 {
			break
		}
	}
	if w.stuck > 20 {
		w.violate("the same step is refused again and again")
	}
	return false
}

// effect: a step that was done is not planned again.
func (w *world) effect(done step.Step) {
	switch done.(type) {
	case step.ShutdownSource, step.StartVM:
		return
	default:
	}
	s := migration.Decide(w.want, w.guest, schema.VM{}, w.observe())
	for _, again := range s.Steps {
		if again.String() == done.String() {
			w.violate("%s: had no effect: %s", s.Stage, done)
		}
	}
}

func outcome(err error) string {
	if err == nil {
		return "ok"
	}
	return err.Error()
}

// blindRound is a round in which a host or the guest's state cannot be seen: nothing may be inferred from that.
func (w *world) blindRound(have migration.Observed) bool {
	what := ""
	switch w.rng.IntN(3) {
	case 0:
		what, have.Source = "source host", migration.Host{Name: "mirrors2", Error: "timeout"}
		have.Power = migration.Power{State: "unknown"}
		for i := range have.Disks {
			have.Disks[i].Source = migration.Dataset{}
		}
	case 1:
		what, have.Target = "target's host", migration.Host{Name: "pve-5", Error: "timeout"}
		for i := range have.Disks {
			have.Disks[i].Target, have.Disks[i].Staging = migration.Dataset{}, migration.Dataset{}
		}
	default:
		what, have.Power = "source guest", migration.Power{State: "unknown", Masked: w.masked, Text: "no answer"}
	}
	s := migration.Decide(w.want, w.guest, schema.VM{}, have)
	w.say("%s: the %s does not answer", s.Stage, what)
	for _, next := range s.Steps {
		switch next := next.(type) {
		case step.StartVM, step.StartSource, step.DestroyDataset:
			if d, ok := next.(step.DestroyDataset); !ok || d.Host == "mirrors2" || what == "target's host" {
				w.violate("%s is planned while the %s does not answer", next, what)
			}
		default:
			if what != "source guest" && !w.ours {
				w.violate("%s is planned while the %s does not answer", next, what)
			}
		}
	}
	return false
}

// waitRound is a round in which a person or time has to move.
func (w *world) waitRound(s migration.Status, rough bool) bool {
	if s.Finished {
		return true
	}
	reason := ""
	if len(s.Waits) > 0 {
		reason = s.Waits[0].Reason
		w.say("%s waits: %s: %s", s.Stage, reason, s.Waits[0].Text)
	} else {
		w.say("%s: %s", s.Stage, strings.Join(s.Notes, "; "))
		w.now = w.now.Add(time.Duration(w.rng.IntN(12)) * time.Hour)
	}
	if len(s.Waits) == 0 && len(s.Notes) == 0 {
		w.violate("%s: nothing to do, and nobody is told why", s.Stage)
	}
	if rough && w.rng.IntN(4) > 0 {
		return false
	}
	switch {
	case reason == "" && !w.vm.IsRunning() && w.ours:
		startTarget(w, 0)
	case reason != "" && !w.helpful(s, reason):
		w.violate("nobody knows what to do about %s: %s", reason, s.Waits[0].Text)
	}
	return false
}

// look checks what has to hold at every moment.
func (w *world) look() {
	if w.power == "running" && w.vm.IsRunning() && !w.byHand {
		w.violate("both guests run")
	}
	for i := range w.count() {
		if z := w.source(i); z != nil && z.find("backup") == nil && !w.letGo {
			w.violate("the snapshot of somebody else is gone from the source")
		}
	}
	if w.sets["pve-5:"+w.want.Spec.Target.Staging] == nil {
		w.violate("the file system around staging is gone")
	}
}

// ended checks what is left behind.
func (w *world) ended() {
	if w.sets["pve-5:"+w.parent] != nil {
		w.violate("staging is left behind")
	}
	if w.want.Spec.Abort && !w.ours {
		for i := range w.count() {
			z := w.source(i)
			for p := range z.props {
				w.violate("%s is left on the source", p)
			}
			for _, s := range z.snaps {
				if !s.foreign {
					w.violate("@%s is left on the source", s.name)
				}
			}
		}
		foreign := false // data that did not come from here keeps a guest
		w.everyTarget(func(z *dataset) { foreign = foreign || z.props[step.PropMark] == "" && z.writes > 0 })
		if w.vm.Exists && !w.ran && !foreign {
			w.violate("the target is left behind, and never ran")
		}
		return
	}
	if !w.vm.IsRunning() && !w.ours || w.power == "running" {
		w.violate("it ends, and the guest does not run on PVE alone")
	}
}
