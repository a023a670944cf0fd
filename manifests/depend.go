package manifests

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ustclug/pve-reconcile/schema"
)

// dependent is an object that may depend on others.
type dependent struct {
	owner
	on []string
}

// dependents lists all objects by their references.
func (l *loader) dependents() map[string]dependent {
	out := map[string]dependent{}
	for _, v := range l.vms {
		out[v.ref] = dependent{owner{v.ref, v.place}, v.Object.Metadata.DependsOn}
	}
	for _, n := range l.nodes {
		out[n.ref] = dependent{owner{n.ref, n.place}, n.Object.Metadata.DependsOn}
	}
	for _, m := range l.moves {
		out[m.ref] = dependent{owner{m.ref, m.place}, m.Object.Metadata.DependsOn}
	}
	return out
}

// depend refuses objects that depend on something that is not there, or on themselves in the end. While a file cannot be
// read, what is missing may be in it.
func (l *loader) depend() {
	all := l.dependents()
	for _, ref := range sortedKeys(all) {
		d := all[ref]
		for i, on := range d.on {
			at := fmt.Sprintf("metadata.dependsOn[%d]", i)
			if _, ok := all[on]; !ok && !l.Unread {
				l.refuse(d.owner, schema.Fault{Path: at, Text: fmt.Sprintf("no manifest declares %q", on), Word: on, Among: sortedKeys(all)})
			} else if slices.Index(d.on, on) < i {
				l.refuse(d.owner, schema.Fault{Path: at, Text: fmt.Sprintf("%q is in the list already", on)})
			}
		}
	}
	for _, ref := range sortedKeys(all) {
		if way := circle(all, ref); way != nil {
			at := fmt.Sprintf("metadata.dependsOn[%d]", slices.Index(all[ref].on, way[1]))
			l.refuse(all[ref].owner, schema.Fault{Path: at, Text: "depends on itself: " + strings.Join(way, " -> ")})
		}
	}
}

func (l *loader) refuse(o owner, f schema.Fault) {
	l.problem(o.place(f))
	l.Refused[o.ref] = true
}

// circle is the shortest way from an object back to itself, nil when there is none.
func circle(all map[string]dependent, start string) []string {
	from := map[string]string{}
	todo := []string{start}
	for len(todo) > 0 {
		at := todo[0]
		todo = todo[1:]
		for _, on := range all[at].on {
			if on == start {
				way := []string{start}
				for ; at != start; at = from[at] {
					way = append(way, at)
				}
				slices.Reverse(way[1:])
				return append(way, start)
			}
			if _, seen := from[on]; !seen {
				from[on] = at
				todo = append(todo, on)
			}
		}
	}
	return nil
}
