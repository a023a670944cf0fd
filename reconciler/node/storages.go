package node

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ustclug/pve-reconcile/reconciler/step"
	"github.com/ustclug/pve-reconcile/schema"
)

// storagePath lists the definitions; PVE leaves out those that the token may not see.
const storagePath = "/storage"

// text is a JSON value as storage.cfg has it: PVE answers booleans as numbers.
type text string

// UnmarshalJSON accepts any value.
func (t *text) UnmarshalJSON(raw []byte) error {
	switch s := string(raw); {
	case s == "true":
		*t = "1"
	case s == "false":
		*t = "0"
	case s == "null":
		*t = ""
	case strings.HasPrefix(s, `"`):
		return json.Unmarshal(raw, (*string)(t))
	default:
		*t = text(s)
	}
	return nil
}

// storages plans the definitions: what is missing is made, what differs is changed, nothing is taken away that is not said
// to go, and nothing is removed.
func (a *answers) storages(want schema.Node) []step.Step {
	var rows []map[string]text
	if !a.at(storagePath, &rows) {
		return nil
	}
	var out []step.Step
	for _, id := range slices.Sorted(maps.Keys(want.Spec.Storages)) {
		s := *want.Spec.Storages[id]
		i := slices.IndexFunc(rows, func(r map[string]text) bool { return string(r["storage"]) == id })
		var next step.Step
		if i < 0 {
			next = a.define(id, s)
		} else {
			next = a.redefine(id, s, rows[i])
		}
		if next != nil {
			out = append(out, next)
		}
	}
	return out
}

// others are the other nodes of the cluster.
func (a *answers) others() []string {
	return slices.DeleteFunc(slices.Sorted(slices.Values(a.have.Nodes)), func(n string) bool { return n == a.node })
}

func (a *answers) define(id string, s schema.Storage) step.Step {
	if others := a.others(); s.Local() && s.Nodes == nil && len(others) > 0 {
		a.refuse("."+id+".nodes", "not made without it: PVE would expect the storage on %s too. Write nodes: [%s], or nodes: [] if every node has its own", strings.Join(others, ", "), a.node)
		return nil
	}
	set := map[string]string{}
	for _, o := range s.Declared() {
		if o.Text != "" {
			set[o.Key] = o.Text
		}
	}
	return step.CreateStorage{Cluster: a.have.Cluster, Node: a.node, Storage: id, Type: s.Type, Set: set}
}

func (a *answers) redefine(id string, s schema.Storage, have map[string]text) step.Step {
	if string(have["type"]) != s.Type {
		a.refuse("."+id+".type", "declared is %s, it is %s, and that never changes: use another id", s.Type, have["type"])
		return nil
	}
	change := step.SetStorage{Cluster: a.have.Cluster, Node: a.node, Storage: id, Digest: string(have["digest"]), Set: map[string]string{}}
	for _, o := range s.Declared() {
		live, ok := have[o.Key]
		switch {
		case o.Same(string(live), ok):
		case o.Fixed:
			a.refuse("."+id+"."+o.Path, "declared is %s, it is %s, and PVE never changes that of a storage: use another id, and move the volumes", o.Text, orNone(string(live)))
			return nil // what else differs may be meant for the other one
		case o.Text == "":
			change.Delete = append(change.Delete, o.Key)
		default:
			change.Set[o.Key] = o.Text
		}
	}
	a.reach(id, s, string(have["nodes"]))
	if len(change.Set)+len(change.Delete) == 0 {
		return nil
	}
	return change
}

// reach looks which nodes are expected to have the storage when the manifest does not say it.
func (a *answers) reach(id string, s schema.Storage, live string) {
	nodes := strings.FieldsFunc(live, func(r rune) bool { return strings.ContainsRune(",; ", r) })
	others := a.others()
	switch {
	case s.Nodes != nil:
	case live != "" && !slices.Contains(nodes, a.node):
		a.refuse("."+id+".nodes", "%s may not use it, it is for %s: add %s to nodes", a.node, strings.Join(nodes, ", "), a.node)
	case live == "" && s.Local() && len(others) > 0:
		a.notes = append(a.notes, fmt.Sprintf("storage %s: PVE expects it on %s too: write nodes: [%s], or nodes: [] if every node has its own", id, strings.Join(others, ", "), a.node))
	}
}
