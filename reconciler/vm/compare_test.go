package vm_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/ustclug/pve-reconcile/reconciler/step"
	"github.com/ustclug/pve-reconcile/reconciler/vm"
	"github.com/ustclug/pve-reconcile/schema"
)

// TestDifferencesAndStepsAgree: what is written has a difference that says why, and a difference that git is to settle is
// written or said to be held back.
func TestDifferencesAndStepsAgree(t *testing.T) {
	for _, g := range corpus(t) {
		agree(t, vm.Plan(g.want, g.base, g.have), g.have, g.file)
		g.want.Spec.DriftPolicy = "Report"
		agree(t, vm.Plan(g.want, g.base, g.have), g.have, g.file+" with driftPolicy Report")
	}
}

func agree(t *testing.T, p step.Plan, have vm.Observed, at string) {
	t.Helper()
	written := map[string]bool{}
	for _, s := range p.Steps {
		switch s := s.(type) {
		case step.SetConfig:
			for k := range s.Set {
				written[k] = true
			}
			for _, k := range slices.Concat(s.Delete, s.Revert) {
				written[k] = true
			}
		case step.ResizeDisk:
			written[s.Disk] = true
		case step.CreateVM, step.DeleteVM:
			return
		case step.StartVM, step.ShutdownVM:
		}
	}
	why := map[string]bool{}
	for _, d := range p.Diffs {
		if d.Cause == step.Pending || d.Cause == step.Undeclared || d.Report {
			continue
		}
		why[d.Key] = true
		said := func(text string) bool { return strings.Contains(text, d.Key) }
		if !written[d.Key] && !slices.ContainsFunc(p.Notes, said) && !slices.ContainsFunc(p.Waits, func(w step.Wait) bool { return said(w.Text) }) {
			t.Errorf("%s: %s is different and nothing is done or said about it: %+v", at, d.Name(), p)
		}
	}
	for k := range written {
		if !why[k] && !stale(k, have) && k != "protection" {
			t.Errorf("%s: %s is written and no difference says why: %+v", at, k, p)
		}
	}
}

// stale tells whether a drive's size in the config is not that of its volume: then the drive is written again as it is.
func stale(key string, have vm.Observed) bool {
	row, ok := schema.RowOf(key)
	if !ok || !row.Drive() {
		return false
	}
	props := row.Parse(have.Desired()[key])
	written, _ := schema.ParsePVESize(props["size"])
	real, asked := have.Sizes[props["file"]]
	return asked && real != written
}
