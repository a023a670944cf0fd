package adopt_test

import (
	"fmt"
	"strings"
	"testing/fstest"

	"github.com/ustclug/pve-reconcile/manifests"
	"github.com/ustclug/pve-reconcile/reconciler/adopt"
	"github.com/ustclug/pve-reconcile/reconciler/step"
	"github.com/ustclug/pve-reconcile/reconciler/vm"
	"github.com/ustclug/pve-reconcile/schema"
)

const owner = "ustclug"

// law holds an import to what it promises: the file is read without a problem, what it says plans nothing, byte for byte of
// PVE's config, and whatever it does not say is listed. It tells why when the guest is refused.
func law(t errorer, g adopt.Guest) (refused string) {
	t.Helper()
	v, left, err := adopt.Manifest(nameFor(g), g, owner)
	if err != nil {
		return err.Error()
	}
	text := adopt.Text(v, g, left)
	set := manifests.Load(fstest.MapFS{"vms/x.yaml": {Data: text}})
	if len(set.Problems) > 0 || len(set.VMs) != 1 {
		t.Errorf("%v\n%s\n%s", set.Problems, text, shown(g.Have))
		return ""
	}
	read := set.VMs[0].Object.Resolve(owner, g.ID.Cluster)
	have := g.Have
	have.Running = map[string]string{}
	for k, v := range g.Have.Running {
		if k != "lock" {
			have.Running[k] = v
		}
	}
	plan := vm.Plan(read, schema.VM{}, have)
	for _, key := range plan.Restart {
		if _, pending := have.Pending[key]; !pending {
			t.Errorf("%s would wait for a restart", key)
		}
	}
	if len(plan.Steps)+len(plan.Waits) > 0 {
		t.Errorf("%v %v\n%s\n%s", plan.Steps, plan.Waits, text, shown(g.Have))
	}
	for _, d := range plan.Diffs {
		if d.Cause != step.Undeclared && d.Cause != step.Pending {
			t.Errorf("%s: %s: %q, not %q", d.Name(), d.Cause, d.Have, d.Want)
		}
	}
	if changes := adopt.Changes(read, schema.VM{}, g.Have); len(changes) > 0 {
		t.Errorf("changes: %q", changes)
	}
	for key, text := range g.Have.Desired() {
		accounted(t, read, left, key, text)
	}
	return ""
}

// accounted: every key and sub-key is in the manifest, or listed, or PVE's own.
func accounted(t errorer, v schema.VM, left []schema.Leftover, key, text string) {
	t.Helper()
	listed := map[string]bool{}
	for _, l := range left {
		listed[l.Name()] = true
	}
	s, said := v.Settings()[key]
	switch {
	case listed[key], schema.Bookkeeping(key), strings.TrimSpace(text) == "":
	case !said:
		t.Errorf("%s: %q is neither in the manifest nor listed", key, text)
	case s.Source == nil && !s.Row.Scalar() || s.Source != nil:
		for _, rest := range s.Undeclared(text) {
			if prop, value, _ := strings.Cut(rest, "="); !listed[key+"."+prop] && strings.TrimSpace(value) != "" {
				t.Errorf("%s.%s is neither in the manifest nor listed", key, rest)
			}
		}
	}
}

type errorer interface {
	Errorf(format string, args ...any)
	Helper()
}

func plainName(s string) bool {
	return s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.") == "" &&
		!strings.HasPrefix(s, "-") && !strings.HasPrefix(s, ".") && !strings.HasSuffix(s, "-") && !strings.HasSuffix(s, ".") && len(s) < 100
}

func shown(o vm.Observed) string {
	return fmt.Sprintf("running %q\npending %v", o.Running, o.Pending)
}
