package manifests

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ustclug/pve-reconcile/internal/strictyaml"
	"github.com/ustclug/pve-reconcile/schema"
)

// settle makes the checks that need more than one object, and keeps the objects that pass them all. Objects that claim
// the same thing are all refused: which of them is meant, only a person knows.
func (l *loader) settle() {
	claims := map[string][]claim{}
	for _, n := range l.nodes {
		if n.Object.Metadata.Name == "" {
			continue
		}
		l.claim(claims, "node "+n.Object.Metadata.Name, "", owner{n.ref, n.place}, "metadata.name")
		for _, id := range sortedKeys(n.Object.Spec.Storages) { // the cluster has one definition of it
			l.claim(claims, "storage "+id, n.Object.Spec.Cluster, owner{n.ref, n.place}, "spec.storages."+id)
		}
	}
	for _, n := range l.nodes {
		if d := n.Object.Spec.Datacenter; d != nil {
			for _, s := range d.Settings() {
				l.claim(claims, "the datacenter option "+s.Key, n.Object.Spec.Cluster, owner{n.ref, n.place}, s.Path)
			}
		}
	}
	for _, v := range l.vms {
		vm := v.Object
		o := owner{v.ref, v.place}
		if vm.Metadata.Name != "" {
			l.claim(claims, "name "+vm.Metadata.Name, "", o, "metadata.name")
		}
		if vm.Spec.VMID != 0 {
			l.claim(claims, fmt.Sprintf("vmid %d", vm.Spec.VMID), vm.Spec.Cluster, o, "spec.vmid")
		}
		if vm.Spec.UUID != "" {
			l.claim(claims, "uuid "+strings.ToLower(vm.Spec.UUID), "", o, "spec.uuid")
		}
		for _, key := range sortedKeys(vm.Spec.Networks) {
			if n := vm.Spec.Networks[key]; n != nil && n.MAC != "" && !vm.Absent() {
				l.claim(claims, "MAC "+strings.ToUpper(n.MAC), "", o, "spec.networks."+key+".mac")
			}
		}
	}
	l.claimMoves(claims)
	l.policies()
	if l.tree != nil { // one file by itself says nothing about the others
		l.depend()
	}
	l.targets()
	l.at = map[string]int{}
	l.VMs, l.Nodes, l.Migrations = sound(l, l.vms), sound(l, l.nodes), sound(l, l.moves)
	// What has no name is no name that could be removed; Unread says that it may be any.
	delete(l.Refused, schema.KindVM+"/")
	delete(l.Refused, schema.KindNode+"/")
	delete(l.Refused, schema.KindMigration+"/")
}

func sortedKeys[V any](m map[string]V) []string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	slices.SortFunc(out, schema.CompareKeys)
	return out
}

type owner struct {
	ref   string
	place func(schema.Fault) strictyaml.Problem
}

// claim is who first said that something is his.
type claim struct {
	owner
	cluster string
	at      strictyaml.Problem
}

// claim records what must be unique. A vmid is unique in its cluster; one without a cluster meets them all, since only the
// config file knows which is meant.
func (l *loader) claim(claims map[string][]claim, what, cluster string, o owner, path string) {
	i := slices.IndexFunc(claims[what], func(c claim) bool { return c.cluster == cluster || c.cluster == "" || cluster == "" })
	if i < 0 {
		claims[what] = append(claims[what], claim{o, cluster, o.place(schema.Fault{Path: path})})
		return
	}
	first := claims[what][i]
	if first.ref == o.ref && path != "metadata.name" {
		return // two cards of one guest: said by its own validation
	}
	unless := ""
	if path == "spec.vmid" && (cluster == "" || first.cluster == "") {
		unless = "; if they are in different clusters, say so with spec.cluster in both"
	}
	l.problem(o.place(schema.Fault{Path: path, Text: fmt.Sprintf("%s is used already by %s (%s:%d)%s", what, first.ref, first.at.File, first.at.Line, unless)}))
	l.Refused[o.ref], l.Refused[first.ref] = true, true
}

// policies refuses guests that break a rule of their node, with the reason the rule gives, and notes recommendations.
func (l *loader) policies() {
	rules := map[string][]schema.Rule{}
	for _, n := range l.nodes {
		rules[n.Object.Metadata.Name] = append(rules[n.Object.Metadata.Name], n.Object.Rules()...)
	}
	for _, v := range l.vms {
		if v.Object.Absent() || l.Refused[v.ref] {
			continue
		}
		violations, unheeded := v.Object.Judge(rules[v.Object.Spec.Node])
		for _, f := range violations {
			l.problem(v.place(f))
			l.Refused[v.ref] = true
		}
		for _, f := range unheeded {
			l.Advice = append(l.Advice, v.place(f))
		}
	}
}

// Rules is the policy of a node, by its name.
func (s Set) Rules(node string) []schema.Rule {
	for _, n := range s.Nodes {
		if n.Object.Metadata.Name == node {
			return n.Object.Rules()
		}
	}
	return nil
}

// VM is the checked virtual machine of a name.
func (s Set) VM(name string) (schema.VM, bool) { return named(s, s.VMs, schema.KindVM, name) }

// Node is the checked node of a name.
func (s Set) Node(name string) (schema.Node, bool) { return named(s, s.Nodes, schema.KindNode, name) }

// Migration is the checked migration of a name.
func (s Set) Migration(name string) (schema.Migration, bool) {
	return named(s, s.Migrations, schema.KindMigration, name)
}

func named[T any](s Set, list []Object[T], kind, name string) (found T, ok bool) {
	i, ok := s.at[kind+"/"+name]
	if ok {
		found = list[i].Object
	}
	return found, ok
}

// sound are the objects that were not refused. Their names are all different. Where none was, they are in memory once.
func sound[T any](l *loader, all []Object[T]) []Object[T] {
	out := slices.Clip(all)
	if len(l.Refused) > 0 {
		out = slices.DeleteFunc(slices.Clone(all), func(o Object[T]) bool { return l.Refused[o.ref] })
	}
	for i := range out {
		l.at[out[i].ref] = i
	}
	return out
}
