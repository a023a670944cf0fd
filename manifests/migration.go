package manifests

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ustclug/pve-reconcile/schema"
)

// claimMoves records what only one migration may have: its name, its guest, its zvols and its place to receive.
func (l *loader) claimMoves(claims map[string][]claim) {
	for _, m := range l.moves {
		o := owner{m.ref, m.place}
		spec := m.Object.Spec
		if m.Object.Metadata.Name != "" {
			l.claim(claims, "migration "+m.Object.Metadata.Name, "", o, "metadata.name")
		}
		if vm := spec.Target.VirtualMachine; vm != "" {
			l.claim(claims, "target guest "+vm, "", o, "spec.target.virtualMachine")
		}
		for i, d := range spec.Source.Disks {
			if d.Zvol != "" && spec.Source.Host != "" {
				l.claim(claims, "zvol "+d.Zvol+" of "+spec.Source.Host, "", o, fmt.Sprintf("spec.source.disks[%d].zvol", i))
			}
		}
	}
	for i, m := range l.moves {
		for _, before := range l.moves[:i] {
			l.apart(before, m)
		}
	}
}

// apart refuses two migrations one of which would receive below the other's file system.
func (l *loader) apart(a, b Object[schema.Migration]) {
	outer, inner := a.Object, b.Object
	if len(outer.StagingParent()) > len(inner.StagingParent()) {
		outer, inner = inner, outer
	}
	if outer.Metadata.Name == inner.Metadata.Name || !strings.HasPrefix(inner.StagingParent()+"/", outer.StagingParent()+"/") {
		return
	}
	line := a.At("spec.target.staging")
	l.problem(b.place(schema.Fault{Path: "spec.target.staging", Text: fmt.Sprintf("%s and %s of %s (%s:%d) lie in one another: each migration receives below a file system of its own",
		b.Object.StagingParent(), a.Object.StagingParent(), a.ref, a.File, line)}))
	l.Refused[a.ref], l.Refused[b.ref] = true, true
}

// targets checks migrations against the guests they name. A guest that is refused refuses its migration too, which could
// not be carried out without it.
func (l *loader) targets() {
	for _, m := range l.moves {
		name := m.Object.Spec.Target.VirtualMachine
		if name == "" || l.Refused[m.ref] {
			continue
		}
		i := slices.IndexFunc(l.vms, func(v Object[schema.VM]) bool { return v.Object.Metadata.Name == name })
		var faults []schema.Fault
		const path = "spec.target.virtualMachine"
		switch {
		case i < 0:
			faults = []schema.Fault{{Path: path, Text: fmt.Sprintf("no VirtualMachine %q is declared in these manifests", name), Word: name, Among: l.names()}}
		case l.Refused[l.vms[i].ref]:
			faults = []schema.Fault{{Path: path, Text: fmt.Sprintf("VirtualMachine/%s has problems of its own (%s:%d)", name, l.vms[i].File, l.vms[i].Line)}}
		default:
			faults = m.Object.CheckTarget(l.vms[i].Object)
		}
		for _, f := range faults {
			l.problem(m.place(f))
			l.Refused[m.ref] = true
		}
	}
}

func (l *loader) names() []string {
	var out []string
	for _, v := range l.vms {
		out = append(out, v.Object.Metadata.Name)
	}
	return out
}
