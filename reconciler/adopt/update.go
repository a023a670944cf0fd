package adopt

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ustclug/pve-reconcile/internal/strictyaml/yamltext"
	"github.com/ustclug/pve-reconcile/manifests"
	"github.com/ustclug/pve-reconcile/manifests/render"
	"github.com/ustclug/pve-reconcile/reconciler/step"
	"github.com/ustclug/pve-reconcile/reconciler/vm"
	"github.com/ustclug/pve-reconcile/schema"
)

// update takes over what differs into a manifest that is there, by editing its text.
func (i *importer) update(f *File, o manifests.Object[schema.VM]) {
	v, have := o.Object, f.Have
	resolved := v.Resolve(i.Owner, f.ID.Cluster)
	f.was, f.want = v, v
	switch uuid := schema.UUID(have.Running); {
	case v.Absent():
		f.refuse("%s says that it is to be deleted (state: Absent)", f.Path)
	case len(i.problems(i.set, o)) > 0:
		f.refuse("its manifest has problems: %s", i.problems(i.set, o)[0])
	case have.Container || !have.Exists:
		f.refuse("no virtual machine %d exists in cluster %s", f.ID.VMID, f.ID.Cluster)
	case uuid != resolved.Spec.UUID:
		f.refuse("guest %d has the uuid %q, its manifest means %s: another guest uses this vmid", f.ID.VMID, uuid, resolved.Spec.UUID)
	case slices.Contains(unfinished, have.Running["lock"]):
		f.refuse("PVE has locked guest %d (%s) and is still working on its config: import it when that has ended", f.ID.VMID, have.Running["lock"])
	default:
		i.edit(f)
	}
}

// edit changes the text of the manifest to what it has to say.
func (i *importer) edit(f *File) {
	config, _ := Sized(f.Have.Desired(), f.Have.Sizes)
	is, left := f.was.Accept(config, f.Have.Facts)
	is.Spec.Node = f.Have.Node
	f.want, f.Left = is, unsaid(left, is)
	edits := yamltext.Diff(render.Tree(f.was), render.Tree(is))
	if len(edits) == 0 {
		f.Verdict = InSync
		if changes := Changes(is.Resolve(i.Owner, f.ID.Cluster), schema.VM{}, f.Have); len(changes) > 0 {
			f.refuse("its manifest cannot say what is there, and differs from it: %s", changes[0])
		}
		return
	}
	i.apply(f, edits)
}

// unsaid drops leftovers that the manifest says in its own way, as a secret, or leaves to others.
func unsaid(left []schema.Leftover, v schema.VM) []schema.Leftover {
	settings := v.Settings()
	return slices.DeleteFunc(left, func(l schema.Leftover) bool {
		s, said := settings[l.Key]
		return v.Ignores(l.Key, l.Prop) || said && (s.Row.Secret() || l.Prop == "size" && s.Source != nil)
	})
}

// prove reads the tree as it will be, and refuses whatever is not read as it was meant or would change its guest.
func (i *importer) prove(files []File) {
	if len(i.written) == 0 {
		return
	}
	after := manifests.Load(overlay{i.Files, i.written})
	for n := range files {
		if f := &files[n]; f.Text != nil {
			f.Text = i.written[f.Path] // of several guests in one file, the last one's edits hold them all
			i.proveOne(f, after)
		}
	}
	for n := range files { // a file with one wrong edit is not written at all
		f := &files[n]
		if f.Text == nil {
			continue
		}
		for _, other := range files {
			if other.Path == f.Path && other.Verdict == Refused {
				f.refuse("%s holds %s too, which is refused", f.Path, other.Name)
			}
		}
	}
}

func (i *importer) proveOne(f *File, after manifests.Set) {
	if f.Host != nil {
		i.proveHost(f, after)
		return
	}
	at := slices.IndexFunc(after.Declared, func(o manifests.Object[schema.VM]) bool { return o.File == f.Path && o.Object.Metadata.Name == f.Name })
	if at < 0 {
		f.refuse("%s could not be read back: %s", f.Path, firstProblem(after, f.Path))
		return
	}
	o := after.Declared[at]
	if problems := i.problems(after, o); len(problems) > 0 {
		f.refuse("its manifest would have problems: %s", problems[0])
		return
	}
	if !render.Tree(o.Object).Equal(render.Tree(f.want)) {
		f.refuse("%s cannot be edited in place. Change by hand: %s", f.Path, strings.Join(f.Changed, ", "))
		return
	}
	want := o.Object.Resolve(i.Owner, f.ID.Cluster)
	changes := Changes(want, schema.VM{}, f.Have)
	if f.was.Kind != "" {
		changes = append(changes, Changes(want, f.was.Resolve(i.Owner, f.ID.Cluster), f.Have)...)
	}
	if len(changes) > 0 {
		f.refuse("it would change the guest: %s", changes[0])
		return
	}
	for _, v := range o.Object.Violations(after.Rules(o.Object.Spec.Node)) {
		f.Notes = append(f.Notes, "breaks a rule of its node: "+v.Text)
	}
}

// problems lists what is wrong with an object, but for policies: they say what may be, not what is.
func (i *importer) problems(set manifests.Set, o manifests.Object[schema.VM]) []string {
	if !set.Refused[ref(o.Object)] {
		return nil
	}
	policy := map[string]bool{}
	for _, v := range o.Object.Violations(set.Rules(o.Object.Spec.Node)) {
		policy[v.Text] = true
	}
	var out []string
	for _, p := range set.Problems {
		if (p.File == o.File || strings.Contains(p.Text, ref(o.Object))) && !policy[p.Text] {
			out = append(out, p.String())
		}
	}
	return out
}

func firstProblem(set manifests.Set, file string) string {
	for _, p := range set.Problems {
		if p.File == file {
			return p.String()
		}
	}
	return "it is not there"
}

// Changes lists what a resolved manifest would change of its guest as the successor of base, or could not go on about. A
// lock does not count, since it is of the moment; nor does power, which is what git wants whatever is found.
func Changes(want, base schema.VM, have vm.Observed) []string {
	have.Running = maps.Clone(have.Running)
	delete(have.Running, "lock")
	plan := vm.Plan(want, base, have)
	var out []string
	for _, s := range plan.Steps {
		switch s.(type) {
		case step.StartVM, step.ShutdownVM:
		default:
			out = append(out, s.String())
		}
	}
	for _, w := range plan.Waits {
		if w.Reason != step.Template {
			out = append(out, w.Text)
		}
	}
	for _, key := range plan.Restart {
		if _, pending := have.Pending[key]; !pending {
			out = append(out, fmt.Sprintf("%s would wait for a restart", key))
		}
	}
	return out
}

func pendingKeys(o vm.Observed) []string {
	return slices.SortedFunc(maps.Keys(o.Pending), schema.CompareKeys)
}

func sortedKeys[V any](m map[string]V) []string {
	return slices.SortedFunc(maps.Keys(m), schema.CompareKeys)
}
