package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ustclug/pve-reconcile/reconciler/step"
	"github.com/ustclug/pve-reconcile/schema"
)

// assertion is one row of the table below: a part of spec.assert, what it reads, and what is wrong with the answers.
type assertion struct {
	name  string // the field of spec.assert
	reads func(node string, want *schema.Assertions) []string
	check func(want *schema.Assertions, have *answers)
}

// assertions is the table, in the order of spec.assert. A row without reads for a manifest is not declared in it.
var assertions = []assertion{
	{"cpu", on("/status", func(a *schema.Assertions) bool { return a.CPU != nil }), checkCPU},
	{"memory", on("/status", func(a *schema.Assertions) bool { return a.Memory != nil }), checkMemory},
	{"swap", on("/status", func(a *schema.Assertions) bool { return a.Swap != nil }), checkSwap},
	{"root", on("/status", func(a *schema.Assertions) bool { return a.Root != nil }), checkRoot},
	{"version", on("/status", func(a *schema.Assertions) bool { return a.Version != "" }), checkVersion},
	{"kernel", on("/status", func(a *schema.Assertions) bool { return a.Kernel != "" }), checkKernel},
	{"disks", diskReads, checkDisks},
	{"zpools", zpoolReads, checkZpools},
	{"volumeGroups", on("/disks/lvm", func(a *schema.Assertions) bool { return len(a.VolumeGroups) > 0 }), checkVolumeGroups},
	{"thinPools", on("/disks/lvmthin", func(a *schema.Assertions) bool { return len(a.ThinPools) > 0 }), checkThinPools},
	{"services", on("/services", func(a *schema.Assertions) bool { return len(a.Services) > 0 }), checkServices},
	{"repositories", on("/apt/repositories", func(a *schema.Assertions) bool { return a.Repositories != nil }), checkRepositories},
	{"certificates", certificateReads, checkCertificates},
	{"firewall", firewallReads, checkFirewall},
}

// on is one read of the node, made when the field is declared.
func on(path string, declared func(*schema.Assertions) bool) func(string, *schema.Assertions) []string {
	return func(node string, a *schema.Assertions) []string {
		if !declared(a) {
			return nil
		}
		return []string{"/nodes/" + node + path}
	}
}

// Reads lists the paths below /api2/json that the manifest needs, each once.
func Reads(want schema.Node) []string {
	var out []string
	for _, row := range managing {
		out = append(out, row.reads(want)...)
	}
	if want.Spec.Assert != nil {
		for _, row := range assertions {
			out = append(out, row.reads(want.Metadata.Name, want.Spec.Assert)...)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Plan says how what is managed differs, and which assertions do not hold: for these there is never a step, a person must act. The error is about answers that did not come (it wraps ErrUnreachable): what they would have told is not known,
// and the rest of the plan stands.
func Plan(want schema.Node, have Observed) (step.Plan, error) {
	a := &answers{node: want.Metadata.Name, have: have}
	var steps []step.Step
	for _, row := range managing {
		if len(row.reads(want)) > 0 {
			a.field = row.name
			steps = append(steps, row.plan(a, want)...)
		}
	}
	for _, row := range assertions {
		if want.Spec.Assert == nil {
			break
		}
		if len(row.reads(a.node, want.Spec.Assert)) > 0 {
			a.field = row.name
			row.check(want.Spec.Assert, a)
		}
	}
	p, err := a.verdict()
	p.Steps = steps
	return p, err
}

// answers is what the rows of the table see, and what they find wrong.
type answers struct {
	node  string
	have  Observed
	field string // of the row at work
	waits []step.Wait
	notes []string
	gaps  []gap
}

// gap is an answer that is not there, and whom it would have told something.
type gap struct {
	path   string
	err    error
	fields []string
}

// fail notes that the assertion at a path below the row's field does not hold: what is declared, what is there.
func (a *answers) fail(below, format string, args ...any) {
	a.waits = append(a.waits, step.Wait{Reason: step.AssertionFailed, Text: a.field + below + ": " + fmt.Sprintf(format, args...)})
}

// read decodes the answer of one read of the node; false when there is none, which is then noted.
func (a *answers) read(path string, into any) bool { return a.at("/nodes/"+a.node+path, into) }

// at decodes the answer of one read by its whole path.
func (a *answers) at(path string, into any) bool {
	got, asked := a.have.Answers[path]
	err := got.Err
	switch {
	case !asked:
		err = fmt.Errorf("GET %s was not made: %w", path, step.ErrUnreachable)
	case err == nil:
		if err = json.Unmarshal(got.Body, into); err == nil {
			return true
		}
		err = fmt.Errorf("GET %s: the answer has another shape than expected", path)
	}
	i := slices.IndexFunc(a.gaps, func(g gap) bool { return g.path == path })
	if i < 0 {
		i = len(a.gaps)
		a.gaps = append(a.gaps, gap{path: path, err: err})
	}
	if !slices.Contains(a.gaps[i].fields, a.field) {
		a.gaps[i].fields = append(a.gaps[i].fields, a.field)
	}
	return false
}

// verdict sorts the gaps by who must act: nobody answered, a privilege is missing, or PVE cannot tell.
func (a *answers) verdict() (step.Plan, error) {
	p := step.Plan{Waits: a.waits, Notes: a.notes}
	var unknown []error
	for _, g := range a.gaps {
		w := step.Wait{Reason: step.AssertionFailed, Text: fmt.Sprintf("%s: cannot be checked: %v", strings.Join(g.fields, ", "), g.err)}
		switch {
		case errors.Is(g.err, step.ErrUnreachable):
			unknown = append(unknown, g.err)
			continue
		case errors.Is(g.err, step.ErrForbidden):
			w.Reason = step.Forbidden
		}
		p.Waits = append(p.Waits, w)
	}
	return p, errors.Join(unknown...)
}
