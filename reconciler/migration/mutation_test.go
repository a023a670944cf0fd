package migration_test

import (
	"strings"
	"testing"

	"github.com/ustclug/pve-reconcile/reconciler/migration"
	"github.com/ustclug/pve-reconcile/reconciler/step"
	"github.com/ustclug/pve-reconcile/schema"
)

func began(have migration.Observed) bool {
	for _, d := range have.Disks {
		if d.Source.Local[step.PropShutdown] != "" {
			return true
		}
	}
	return false
}

// TestWeatherFindsMissingRules takes rules away and lets the weather find that they are missing: a simulation that could not
// fail would prove nothing. Evidence of stages and interlocks overlap on purpose, so that both go.
func TestWeatherFindsMissingRules(t *testing.T) {
	type done = map[string]func(schema.Migration, migration.Observed) bool
	ever := func(_ schema.Migration, have migration.Observed) bool { return began(have) }
	for _, c := range []struct {
		name    string
		drop    string // interlocks
		done    done
		ungated string
		finds   []string // one of them
		from    uint64   // the first seed tried; the first that finds something is not far
	}{
		{"the source need not be off", "SourceOff SourceClosed SourceMasked SourceFenced", done{"Cutover": ever}, "", []string{"while the source runs", "last state"}, 0},
		{"the source need not be fenced", "SourceFenced SourceMasked", done{"Cutover": func(_ schema.Migration, h migration.Observed) bool { return began(h) && h.Power.State == "stopped" }}, "", []string{"last state", "while the source runs"}, 650},
		{"the last writes need not be sent", "FinalSnapshot Copied Proven Untouched", done{"FinalIncremental": ever, "Copy": ever}, "", []string{"last state"}, 0},
		{"the copy need not be whole", "Copied Proven Untouched", done{"Copy": ever}, "", []string{"last state"}, 0},
		{"the copy need not be proven", "Proven", done{"Copy": copiedLast}, "", []string{"last state"}, 0},
		{"the copy may be written to", "Untouched", done{"Copy": provenOnce}, "", []string{"last state"}, 200},
		{"the source is started whatever the target does", "", done{"ForgetStart": func(schema.Migration, migration.Observed) bool { return true }}, "StartSource", []string{"while the target runs", "newer data"}, 190},
		{"every check passes, and nothing is sent", "FinalSnapshot Copied Proven Untouched SourceFenced SourceMasked SourceOff SourceClosed", done{"Precopy": ever, "Cutover": ever, "FinalIncremental": ever, "Copy": ever}, "Boot", []string{"last state", "while the source runs"}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			restore := migration.Weaken(strings.Fields(c.drop), c.done, strings.Fields(c.ungated)...)
			defer restore()
			for seed := c.from; seed < c.from+2000; seed++ {
				for _, b := range simulate(t, seed).broken {
					for _, f := range c.finds {
						if strings.Contains(b, f) {
							t.Logf("seed %d: %s", seed, b)
							return
						}
					}
				}
			}
			t.Error("nothing was found")
		})
	}
}

// copiedLast: the target holds the last snapshot, by its own word.
func copiedLast(_ schema.Migration, have migration.Observed) bool {
	for _, d := range have.Disks {
		if s := d.Source.Snapshots; len(s) == 0 || d.Target.Local[step.PropCopied] != s[len(s)-1].GUID || s[len(s)-1].Props[step.PropFinal] != "yes" || len(d.Target.Snapshots) == 0 {
			return false
		}
	}
	return began(have)
}

// provenOnce: the hashes were equal once.
func provenOnce(_ schema.Migration, have migration.Observed) bool {
	for _, d := range have.Disks {
		if s := d.Target.Snapshots; len(s) == 0 || s[len(s)-1].Props[step.PropHash] == "" {
			return false
		}
		s := d.Source.Snapshots
		if len(s) == 0 || s[len(s)-1].Props[step.PropHash] != d.Target.Snapshots[len(d.Target.Snapshots)-1].Props[step.PropHash] {
			return false
		}
	}
	return began(have)
}
