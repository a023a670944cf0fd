package migration_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/ustclug/pve-reconcile/reconciler/migration"
)

// TestInterlocks breaks one thing at a time in a world where the target may start: the interlocks that name it fail, and no
// others.
func TestInterlocks(t *testing.T) {
	s := resolved(t, "cutover: {mode: Auto, maxDowntime: 2h}", "")
	ready := `
		power: stopped masked
		source: @final:hash=h shutdown=2026-11-27T18:20:00Z fenced
		staging: @final
		vm: aside
		target: copied=final @copied:copied=final:hash=h
	`
	fails := map[string]bool{}
	for _, c := range []struct{ old, now, fails string }{
		{"", "", ""},
		{"power: stopped masked", "power: running masked", "SourceOff SourceClosed SourceFenced"},
		{"power: stopped masked", "power: unknown masked", "SourceOff SourceClosed"},
		{"power: stopped masked", "power: stopped", "SourceMasked"},
		{"fenced", "fenced open=dd", "SourceClosed SourceFenced"},
		{"fenced", "fenced readonly=off", "SourceFenced"},
		{"fenced", "fenced volmode=dev", "SourceFenced"},
		{"fenced", "fenced device", "SourceFenced"},
		{"fenced", "", "SourceFenced"},
		{"@final:hash=h", "@final:hash=h:written=4K", "FinalSnapshot Copied Proven"},
		{"@final:hash=h", "@final:hash=h @3", "FinalSnapshot Copied Proven Untouched"},
		{"@final:hash=h", "@2:hash=h", "FinalSnapshot Copied Proven Untouched"},
		{"@final:hash=h", "", "FinalSnapshot Copied Proven Untouched"},
		{"@final:hash=h", "@final", "Proven"},
		{"copied=final @copied", "copied=2 @copied", "Copied"},
		{"copied=final @copied", "copied=final copying=2 @copied", "Copied"},
		{"copied=final:hash=h", "copied=final:hash=x", "Proven"},
		{"copied=final:hash=h", "copied=final", "Proven"},
		{"@copied:copied=final:hash=h", "", "Proven Untouched"},
		{"@copied:copied=final:hash=h", "@copied:copied=2:hash=h", "Untouched"},
		{"@copied:copied=final:hash=h", "@copied:copied=final:hash=h:written=4K", "Untouched"},
		{"target: copied=final", "target: unmarked copied=final", "RightDisk"},
		{"target: copied=final", "target: source=77 copied=final", "RightDisk"},
		{"target: copied=final", "target: size=200G copied=final", "RightDisk"},
		{"vm: aside", "vm: aside elsewhere", "RightDisk"},
		{"vm: aside", "vm: aside locked", "TargetOff"},
		{"vm: aside", "vm: aside stranger", "OneIdentity"},
		{"vm: aside", "vm: aside moved", "TargetOff"},
		{"shutdown=2026-11-27T18:20:00Z", "", "NotTakenBack"},
		{"shutdown=2026-11-27T18:20:00Z", "shutdown=2026-11-27T18:20:00Z rolledback=2026-11-27T18:20:00Z_x_y_z", "NotTakenBack"},
		{"shutdown=2026-11-27T18:20:00Z", "shutdown=2026-11-27T16:20:00Z", "InTime"},
	} {
		if !strings.Contains(ready, c.old) {
			t.Fatalf("no %q", c.old)
		}
		var have []string
		for _, text := range migration.Interlocked(s.want, s.guest, facts(t, s, strings.Replace(ready, c.old, c.now, 1))) {
			name, _, _ := strings.Cut(text, ":")
			have, fails[name] = append(have, name), true
		}
		if want := strings.Fields(c.fails); !slices.Equal(have, want) {
			t.Errorf("%q in place of %q: have %q, want %q", c.now, c.old, have, want)
		}
	}
	for _, name := range migration.InterlockNames() {
		if !fails[name] {
			t.Errorf("no case in which %s fails", name)
		}
	}
}

// TestEveryRowIsPinned: every stage and every check has a golden.
func TestEveryRowIsPinned(t *testing.T) {
	text := goldens(t)
	for _, name := range migration.StageNames() {
		if !strings.Contains(text, "\n"+name+", ") {
			t.Errorf("no golden is at %s", name)
		}
	}
	for _, name := range migration.CheckNames() {
		if !strings.Contains(text, " "+name+": ") {
			t.Errorf("no golden has a finding of %s", name)
		}
	}
}
