package migration

import "github.com/ustclug/pve-reconcile/schema"

// Interlocked lists the interlocks that do not hold, with why.
func Interlocked(want schema.Migration, guest schema.VM, have Observed) []string {
	_, texts := look(want, guest, schema.VM{}, have).interlocked()
	return texts
}

// InterlockNames lists all of them.
func InterlockNames() (out []string) {
	for _, i := range interlocks {
		out = append(out, i.name)
	}
	return out
}

// StageNames lists the rows of all tables.
func StageNames() (out []string) {
	for _, table := range [][]stage{stages, giveBack, abort} {
		for _, s := range table {
			out = append(out, s.name)
		}
	}
	return out
}

// CheckNames lists the checks of Preflight.
func CheckNames() (out []string) {
	for _, c := range checks {
		out = append(out, c.name)
	}
	return out
}

// Weaken makes the rules weaker until the function it returns is called: interlocks are dropped by name, and the evidence
// of stages is replaced.
func Weaken(drop []string, done map[string]func(want schema.Migration, have Observed) bool, ungated ...string) (restore func()) {
	keptLocks, keptStages, keptBack := interlocks, stages, giveBack
	interlocks = nil
	for _, i := range keptLocks {
		if !contains(drop, i.name) {
			interlocks = append(interlocks, i)
		}
	}
	weaker := func(table []stage) (out []stage) {
		for _, s := range table {
			if f := done[s.name]; f != nil {
				was := s.done
				s.done = func(v view) bool { return was(v) || f(v.want, v.have) }
			}
			if contains(ungated, s.name) {
				s.gate = nil
			}
			out = append(out, s)
		}
		return out
	}
	stages, giveBack = weaker(stages), weaker(giveBack)
	return func() { interlocks, stages, giveBack = keptLocks, keptStages, keptBack }
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}
