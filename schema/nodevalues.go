package schema

import (
	"maps"
	"reflect"
	"slices"
	"strings"
)

// NodeValue is one thing that a node's manifest declares of what is managed, in PVE's text.
type NodeValue struct {
	Path string // "spec.storages.local-zfs.blocksize"
	Part string // the field of spec: "storages"
	Name string // of the definition, interface or address; "" for others
	Key  string // PVE's key: "blocksize"
	Prop string // sub-key of a property string
	Text string
	Firm bool                               // PVE never changes it, or nothing can be written without it
	Same func(have string, there bool) bool // tells whether a live text means the same
}

// Values lists all of them, part by part.
func (n Node) Values() []NodeValue {
	var out []NodeValue
	s := n.Spec
	for _, id := range slices.Sorted(maps.Keys(s.Storages)) {
		if d := s.Storages[id]; d != nil {
			out = append(out, definition("storages", "spec.storages."+id, id, reflect.ValueOf(*d), d.Type)...)
		}
	}
	if s.Datacenter != nil {
		out = append(out, s.Datacenter.values()...)
	}
	if s.TimeZone != "" {
		out = append(out, NodeValue{Path: "spec.timeZone", Part: "timeZone", Key: "timezone", Text: s.TimeZone, Same: func(have string, _ bool) bool { return have == s.TimeZone }})
	}
	for _, ip := range slices.Sorted(maps.Keys(s.Hosts)) {
		out = append(out, NodeValue{Path: "spec.hosts." + ip, Part: "hosts", Name: ip, Key: "hosts", Prop: ip, Text: strings.Join(s.Hosts[ip], " "), Same: holdsAll(s.Hosts[ip])})
	}
	if d := s.DNS; d != nil && len(d.Servers) > 0 {
		text := strings.Join(d.Servers, " ")
		out = append(out, NodeValue{Path: "spec.dns.servers", Part: "dns", Key: "servers", Text: text, Same: func(have string, _ bool) bool { return slices.EqualFunc(d.Servers, strings.Fields(have), SameAddress) }})
	}
	if d := s.DNS; d != nil && d.Search != "" {
		out = append(out, NodeValue{Path: "spec.dns.search", Part: "dns", Key: "search", Text: d.Search, Same: func(have string, _ bool) bool { return have == d.Search }})
	}
	if s.Network != nil {
		for _, name := range slices.Sorted(maps.Keys(s.Network.Interfaces)) {
			if i := s.Network.Interfaces[name]; i != nil {
				out = append(out, definition("network", "spec.network.interfaces."+name, name, reflect.ValueOf(*i), i.Type)...)
			}
		}
	}
	return out
}

// definition lists the options of a storage or an interface, its type first.
func definition(part, path, name string, v reflect.Value, kind string) []NodeValue {
	out := []NodeValue{{
		Path: path + ".type", Part: part, Name: name, Key: "type", Text: kind, Firm: true, Same: func(have string, _ bool) bool { return have == kind },
	}}
	for _, o := range options(v, kind) {
		out = append(out, NodeValue{
			Path: path + "." + o.Path, Part: part, Name: name, Key: o.Key, Text: o.Text, Firm: o.Fixed,
			Same: func(have string, there bool) bool { return o.Same(strings.TrimRight(have, "\n"), there) },
		})
	}
	return out
}

func (d Datacenter) values() []NodeValue {
	var out []NodeValue
	for _, s := range d.Settings() {
		v := NodeValue{Path: s.Path, Part: "datacenter", Key: s.Key, Text: s.Text}
		if s.Row.Scalar() {
			v.Same = func(have string, there bool) bool { return s.Same(have, there, nil, Facts{}) }
			out = append(out, v)
			continue
		}
		for _, prop := range slices.Sorted(maps.Keys(s.Props)) {
			l, text := s.Row.leaf(prop), s.Props[prop]
			v.Path, v.Prop, v.Text = "spec.datacenter."+l.Path, prop, text
			v.Same = func(have string, there bool) bool {
				if !there {
					return l.sameDefault(text, Facts{})
				}
				return l.kind.same(text, have, Facts{})
			}
			out = append(out, v)
		}
	}
	return out
}

// DatacenterProp is a sub-key of an option in PVE's text.
func DatacenterProp(key, text, prop string) (string, bool) {
	for _, r := range datacenterRows() {
		if r.Key == key {
			v, ok := r.Parse(text)[prop]
			return v, ok
		}
	}
	return "", false
}

func holdsAll(names []string) func(string, bool) bool {
	return func(have string, _ bool) bool {
		for _, n := range names {
			if !slices.ContainsFunc(strings.Fields(have), func(m string) bool { return strings.EqualFold(n, m) }) {
				return false
			}
		}
		return true
	}
}

// Ignores tells whether the manifest leaves a value to others.
func (n Node) Ignores(path string) bool {
	return slices.ContainsFunc(n.Spec.Ignore, func(ig Ignored) bool { return Within(path, ig.Path) })
}

// Silent is the manifest without some of its values, for a plan that leaves them as they are.
func (n Node) Silent(paths []string) Node {
	if len(paths) == 0 {
		return n
	}
	spec := reflect.New(reflect.TypeFor[NodeSpec]())
	spec.Elem().Set(overlay(reflect.ValueOf(n.Spec), reflect.ValueOf(n.Spec))) // a copy that shares nothing
	for _, path := range paths {
		unset(spec.Elem(), path)
	}
	n.Spec = *spec.Interface().(*NodeSpec)
	return n
}

// checkIgnore: what is ignored must be declared, since nothing else is managed, and reasons given.
func (n Node) checkIgnore(f *faults) {
	var paths []string
	for _, v := range n.Values() {
		paths = append(paths, v.Path)
	}
	for i, ig := range n.Spec.Ignore {
		at := "spec.ignore[" + itoa(i) + "]"
		firm := slices.ContainsFunc(n.Values(), func(v NodeValue) bool { return v.Path == ig.Path && v.Firm })
		switch {
		case ig.Path == "":
			f.add(at+".path", "required: what to ignore, as in path: spec.storages.local.content")
		case firm:
			f.add(at+".path", "%s cannot be ignored by itself: ignore all of it, or leave it out", ig.Path)
		case !slices.ContainsFunc(paths, func(p string) bool { return Within(p, ig.Path) }):
			f.word(at+".path", ig.Path, paths, "%q is nothing that this manifest manages", ig.Path)
		}
		if strings.TrimSpace(ig.Reason) == "" {
			f.add(at+".reason", "required: it is what the next reader of the manifest needs")
		}
	}
}
