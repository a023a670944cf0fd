package schema

import (
	"reflect"
	"slices"
	"strings"
)

// Live is what PVE has of what a node's manifest manages, in PVE's keys and text.
type Live struct {
	Storages   map[string]map[string]string
	Interfaces map[string]map[string]string
	Datacenter map[string]string
}

// Accept is the manifest as it has to be for what lives to be what it says, part by part: one that the manifest does not
// have stays out of it. is is what was read of all that lives. Policy and assertions are left to people.
func (n Node) Accept(is NodeSpec, live Live) Node {
	out := n
	if n.Spec.Storages != nil {
		out.Spec.Storages = accepted(n, "spec.storages.", n.Spec.Storages, is.Storages, live.Storages, func(s *Storage) string { return s.Type })
	}
	if w := n.Spec.Network; w != nil && is.Network != nil {
		network := *w
		network.Interfaces = accepted(n, "spec.network.interfaces.", w.Interfaces, is.Network.Interfaces, live.Interfaces, func(i *Interface) string { return i.Type })
		out.Spec.Network = &network
	}
	if w := n.Spec.Datacenter; w != nil && !n.Ignores("spec.datacenter") {
		d := Datacenter{}
		if is.Datacenter != nil {
			d = *is.Datacenter
		}
		into := overlay(reflect.ValueOf(*w), reflect.ValueOf(*w)).Interface().(Datacenter)
		acceptSettings(n, reflect.ValueOf(&into).Elem(), reflect.ValueOf(&d).Elem(), w.Settings(), live.Datacenter)
		out.Spec.Datacenter = &into
	}
	if w := n.Spec.DNS; w != nil && is.DNS != nil {
		d := *w
		if len(w.Servers) > 0 && !n.Ignores("spec.dns.servers") {
			d.Servers = is.DNS.Servers
		}
		if w.Search != "" && !n.Ignores("spec.dns.search") {
			d.Search = is.DNS.Search
		}
		out.Spec.DNS = &d
	}
	if n.Spec.TimeZone != "" && is.TimeZone != "" && !n.Ignores("spec.timeZone") {
		out.Spec.TimeZone = is.TimeZone
	}
	if n.Spec.Hosts != nil && is.Hosts != nil {
		out.Spec.Hosts = acceptHosts(n, is.Hosts)
	}
	return out
}

// accepted settles a map of definitions: what is gone goes, what is new comes, and of the others the options that mean
// something else.
func accepted[T any](n Node, at string, was, is map[string]*T, live map[string]map[string]string, kind func(*T) string) map[string]*T {
	out := map[string]*T{}
	for id, w := range was {
		read := is[id]
		switch config, there := live[id]; {
		case n.Ignores(at + id):
			out[id] = w
		case !there: // gone
		case read == nil, w == nil, kind(w) != kind(read):
			out[id] = w // not for a manifest to say
		default:
			is := *w
			acceptOptions(reflect.ValueOf(&is).Elem(), reflect.ValueOf(read).Elem(), config, func(field string) bool { return n.Ignores(at + id + "." + field) })
			out[id] = &is
		}
	}
	for id, read := range is {
		if _, said := was[id]; !said && !n.Ignores(at+id) {
			out[id] = read
		}
	}
	return out
}

// acceptOptions settles each option: one that means the same stays as it is written.
func acceptOptions(into, from reflect.Value, config map[string]string, ignored func(field string) bool) {
	said := map[string]Option{}
	for _, o := range options(into, "") {
		said[o.Key] = o
	}
	for i := range into.NumField() {
		key := into.Type().Field(i).Tag.Get("pve")
		o, declared := said[key]
		text, ok := config[key]
		switch f := from.Field(i); {
		case key == "" || declared && o.Same(text, ok) || ignored(jsonName(into.Type().Field(i))):
		case f.IsZero() || f.Kind() == reflect.Slice && f.Len() == 0:
			into.Field(i).SetZero()
		default:
			into.Field(i).Set(f)
		}
	}
}

// acceptSettings settles what a property string or a value declares by what lives.
func acceptSettings(n Node, into, from reflect.Value, said []Setting, live map[string]string) {
	a := acceptance{}
	declared := map[string]bool{}
	for _, s := range said {
		declared[s.Key] = true
		text, ok := live[s.Key]
		differs := s.Differs(text, Facts{})
		for i := range s.Row.Leaves {
			l := &s.Row.Leaves[i]
			if n.Ignores("spec.datacenter." + l.Path) {
				continue
			}
			_, stated := s.Props[l.Prop]
			value, there := DatacenterProp(s.Key, text, l.Prop)
			fresh := !s.Row.Scalar() && !stated && there && (l.Default == "" || !l.kind.same(value, l.Default, Facts{}))
			if s.Row.Scalar() && !s.Same(text, ok, nil, Facts{}) || slices.Contains(differs, l.Prop) || fresh {
				a.take(l, into, from)
			}
		}
	}
	for _, row := range datacenterRows() {
		for i := range row.Leaves {
			if l := &row.Leaves[i]; !declared[row.Key] && !n.Ignores("spec.datacenter."+l.Path) {
				if _, there := at(from, l.index); there {
					a.take(l, into, from)
				}
			}
		}
	}
}

// acceptHosts keeps the names that are still given, and takes over the others of the file.
func acceptHosts(n Node, is map[string][]string) map[string][]string {
	was, out := n.Spec.Hosts, map[string][]string{}
	for ip, names := range was {
		if n.Ignores("spec.hosts." + ip) {
			out[ip] = names
		}
	}
	for ip, names := range is {
		if n.Ignores("spec.hosts." + ip) {
			continue
		}
		have := func(n string) bool {
			return slices.ContainsFunc(names, func(m string) bool { return strings.EqualFold(n, m) })
		}
		kept := slices.DeleteFunc(slices.Clone(was[ip]), func(n string) bool { return !have(n) })
		for _, n := range names {
			if !slices.ContainsFunc(kept, func(m string) bool { return strings.EqualFold(n, m) }) {
				kept = append(kept, n)
			}
		}
		out[ip] = kept
	}
	return out
}
