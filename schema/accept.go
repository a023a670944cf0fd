package schema

import (
	"maps"
	"reflect"
	"slices"
	"strings"
)

// Accept is the manifest as it has to be for a live config to be what it says: settings that mean something else take the
// live value, settings that are gone go, and what is live and not yet said is added. All else stays as it is written: what
// means the same, PVE's defaults, what it ignores, power, and what PVE made up (the uuid, MACs of cards that are there, the
// boot order). The leftovers are those of Read.
func (v VM) Accept(config map[string]string, f Facts) (VM, []Leftover) {
	read, left := Read(config, v.Spec.VMID)
	a := acceptance{VM: v, facts: f, config: config, live: VM{Metadata: v.Metadata, Spec: read}.Settings()}
	a.from = reflect.ValueOf(&read).Elem()
	out := v
	a.into = reflect.New(reflect.TypeFor[VMSpec]()).Elem()
	a.into.Set(overlay(reflect.ValueOf(v.Spec), reflect.ValueOf(v.Spec))) // a copy that shares nothing
	said := v.Settings()
	keys := maps.Clone(said)
	maps.Copy(keys, a.live)
	for _, key := range slices.SortedFunc(maps.Keys(keys), CompareKeys) {
		s, ok := said[key]
		switch {
		case v.Ignores(key, ""):
		case ok:
			a.said(s)
		default:
			a.add(a.live[key])
		}
	}
	out.Spec = a.into.Interface().(VMSpec)
	if !v.Ignores("name", "") {
		a.name(&out, said["name"], read.Name)
	}
	prune(&out, func(key, prop, why string) {
		if _, lives := config[key]; !lives {
			return // the rest of something that is gone
		}
		left = append(left, Leftover{Key: key, Prop: prop, Text: config[key], Why: why})
	})
	return out, left
}

// acceptance is one manifest on its way to what is live.
type acceptance struct {
	VM         // as it was
	facts      Facts
	config     map[string]string
	live       map[string]Setting // what Read made of the config
	from, into reflect.Value      // the spec that was read, and the one that is made
}

// made are settings that PVE makes up where nobody states them.
var made = []string{"name", "smbios1", "boot"}

// add takes over a key that the manifest does not have.
func (a *acceptance) add(s Setting) {
	if s.Row.Family() {
		a.put(s.Row, s.Key)
		return
	}
	if slices.Contains(made, s.Key) || s.Source == nil && s.Same("", false, nil, a.facts) {
		return // PVE's own words, or its defaults
	}
	if s.Source != nil {
		a.drive(s.Row)
	}
	for i := range s.Row.Leaves {
		if l := &s.Row.Leaves[i]; !a.Ignores(s.Key, l.Prop) {
			a.take(l, a.into, a.from)
		}
	}
}

// put takes over a whole device.
func (a *acceptance) put(row *Row, key string) {
	from := walk(a.from, row.index)
	into := walk(a.into, row.index)
	if into.IsNil() {
		into.Set(reflect.MakeMap(into.Type()))
	}
	into.SetMapIndex(reflect.ValueOf(key), from.MapIndex(reflect.ValueOf(key)))
}

// drive takes over the whole of a drive that is not one of a family.
func (a *acceptance) drive(row *Row) {
	index := row.Leaves[0].index[:len(row.Leaves[0].index)-1]
	walk(a.into, index).Set(walk(a.from, index))
}

// take copies a leaf, or clears it where the other side has none.
func (a *acceptance) take(l *Leaf, into, from reflect.Value) {
	value, ok := at(from, l.index)
	switch {
	case !ok:
		if _, there := at(into, l.index); there {
			walk(into, l.index).SetZero()
		}
	default:
		field := walk(into, l.index)
		if field.Kind() == reflect.Pointer {
			field.Set(reflect.New(field.Type().Elem()))
			field = field.Elem()
		}
		field.Set(value)
	}
}

// said settles a key that the manifest has. A device that is there as no manifest can say it is left as it stands: taken
// out, it would count as removed by git.
func (a *acceptance) said(s Setting) {
	text := a.config[s.Key]
	ok := strings.TrimSpace(text) != ""
	_, sayable := a.live[s.Key]
	device := s.Source != nil || s.Row.Family()
	switch {
	case s.Key == "name" || s.Row.Secret() && ok || device && ok && !sayable:
	case s.Row.Scalar() && s.Same(text, ok, nil, a.facts):
	case device && !ok:
		a.drop(s)
	case s.Row.Family() && s.Row.Scalar():
		a.put(s.Row, s.Key)
	case s.Row.Scalar():
		a.take(&s.Row.Leaves[0], a.into, a.from)
	case ok:
		a.parts(s, text)
	case !s.Same("", false, nil, a.facts):
		for i := range s.Row.Leaves {
			if l := &s.Row.Leaves[i]; l.Prop != "uuid" && !a.Ignores(s.Key, l.Prop) {
				a.take(l, a.into, a.from)
			}
		}
	}
}

// drop takes a whole key out.
func (a *acceptance) drop(s Setting) {
	if s.Row.Family() {
		walk(a.into, s.Row.index).SetMapIndex(reflect.ValueOf(s.Key), reflect.Value{})
		return
	}
	index := s.Row.Leaves[0].index
	walk(a.into, index[:len(index)-1]).SetZero()
}

// parts settles the sub-keys of a property string, and what a drive holds.
func (a *acceptance) parts(s Setting, text string) {
	into, from := a.into, a.from
	if s.Row.Family() {
		key := reflect.ValueOf(s.Key)
		into, from = walk(a.into, s.Row.index).MapIndex(key), walk(a.from, s.Row.index).MapIndex(key)
	}
	live := s.Row.Parse(text)
	differs := s.Differs(text, a.facts)
	for i := range s.Row.Leaves {
		l := &s.Row.Leaves[i]
		_, said := s.Props[l.Prop]
		value, there := live[l.Prop]
		silent := l.Prop == "uuid" || l.Prop == "macaddr" || l.Default != "" && l.kind.same(value, l.Default, Facts{})
		switch {
		case l.Prop == "uuid" || a.Ignores(s.Key, l.Prop): // who is meant is not for a config to say
		case said && slices.Contains(differs, l.Prop), !said && there && !silent:
			a.take(l, into, from)
		}
	}
	if s.Source != nil && !a.Ignores(s.Key, PropFile) {
		a.holds(s, text, into)
	}
}

// holds settles what a drive holds: the words of the manifest stay where they mean what is there.
func (a *acceptance) holds(s Setting, text string, into reflect.Value) {
	if !s.Row.Family() {
		index := s.Row.Leaves[0].index
		into = walk(into, index[:len(index)-1])
	}
	live := a.live[s.Key].Source
	if s.Mismatch(text) == "" && s.SameImage(text) {
		sized := s.Source.Size.Bytes > 0 && !s.Source.CloudInit && !a.Ignores(s.Key, PropSize)
		if !sized || s.Source.Size.Bytes == live.Size.Bytes {
			return
		}
		if live.Size.Bytes > 0 {
			kept := *s.Source
			kept.Size = live.Size
			into.Interface().(holder).hold(kept)
			return
		}
	}
	into.Interface().(holder).hold(*live)
}

// name settles the guest's name: it is the object's unless the spec has another. A guest that has none keeps none.
func (a *acceptance) name(v *VM, s Setting, live string) {
	text, ok := a.config["name"]
	switch {
	case s.Same(text, ok, nil, a.facts) || strings.TrimSpace(live) == "":
	case live == v.Metadata.Name:
		v.Spec.Name = ""
	default:
		v.Spec.Name = live
	}
}
