package schema

import (
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
)

// unsaidStorage are the keys of a storage definition that say nothing of their own: its name, and what PVE derives.
var unsaidStorage = []string{"storage", "type", "digest", "mountpoint"}

// unsaidInterface are those of an interface: PVE's own words for what other keys say, and its defaults.
var unsaidInterface = map[string]string{
	"iface": "*", "type": "*", "exists": "*", "active": "*", "families": "*", "priority": "*", "method": "*", "method6": "*",
	"address": "*", "netmask": "*", "address6": "*", "netmask6": "*", "bridge_stp": "off", "bridge_fd": "0", "altnames": "*",
}

// ReadStorage is the inverse of Declared: the definition that declares what PVE has, in its keys and text, and what of it none can
// say. It is false for a type of storage that manifests do not have.
func ReadStorage(config map[string]string) (Storage, []Leftover, bool) {
	s := Storage{Type: config["type"]}
	f, _ := reflect.TypeFor[Storage]().FieldByName("Type")
	if !slices.Contains(leaf(f, nil, "").Enum, s.Type) {
		return s, nil, false
	}
	left := readOptions(reflect.ValueOf(&s).Elem(), s.Type, "storages."+config["storage"], config, func(key, _ string) bool { return slices.Contains(unsaidStorage, key) })
	return s, left, true
}

// ReadInterface is the same for an interface of a node.
func ReadInterface(config map[string]string) (Interface, []Leftover, bool) {
	i := Interface{Type: config["type"]}
	f, _ := reflect.TypeFor[Interface]().FieldByName("Type")
	if !slices.Contains(leaf(f, nil, "").Enum, i.Type) {
		return i, nil, false
	}
	left := readOptions(reflect.ValueOf(&i).Elem(), i.Type, "network.interfaces."+config["iface"], config, func(key, text string) bool {
		same, known := unsaidInterface[key]
		return known && (same == "*" || same == text)
	})
	if _, bridges := config["bridge_ports"]; bridges && i.Ports == nil && i.Type == "bridge" {
		i.Ports = []string{}
	}
	return i, left, true
}

// readOptions fills a struct whose options go by the tags of Storage. PVE's defaults are left out.
func readOptions(v reflect.Value, kind, name string, config map[string]string, unsaid func(key, text string) bool) []Leftover {
	fields := map[string]int{}
	for i := range v.NumField() {
		if key := v.Type().Field(i).Tag.Get("pve"); key != "" {
			fields[key] = i
		}
	}
	var left []Leftover
	for _, key := range slices.Sorted(maps.Keys(config)) {
		text := strings.TrimRight(config[key], "\n")
		i, known := fields[key]
		if unsaid(key, text) || strings.TrimSpace(text) == "" {
			continue
		}
		why := "manifests have no such option"
		if known {
			f := v.Type().Field(i)
			l := leaf(f, nil, "")
			needs, takes := f.Tag.Get("needs"), f.Tag.Get("takes")
			r := reading{why: map[string]string{}}
			switch {
			case l.Default != "" && l.kind.same(text, l.Default, Facts{}):
				continue
			case needs+takes != "" && !names(f, "needs", kind) && !names(f, "takes", kind):
			case r.leaf(v.Field(i), &l, key, "", text):
				continue
			default:
				why = r.why[key]
			}
		}
		left = append(left, unsayable(name, key, text, why))
	}
	return left
}

// hiding are keys whose text may hold a password: a proxy's address, keys of backup servers.
var hiding = regexp.MustCompile(`(?i)proxy|pass|secret|key|token|username`)

func unsayable(name, key, text, why string) Leftover {
	if hiding.MatchString(key) {
		text = ""
	}
	return Leftover{Key: name, Prop: key, Text: text, Why: why}
}

// unsaidDatacenter are the keys that PVE adds when it answers.
var unsaidDatacenter = []string{"digest", "allowed-tags"}

// ReadDatacenter is the inverse of Settings; nil when there is nothing to declare.
func ReadDatacenter(config map[string]string) (*Datacenter, []Leftover) {
	d := Datacenter{}
	r := reading{config: config, why: map[string]string{}}
	rows := map[string]*Row{}
	for _, row := range datacenterRows() {
		rows[row.Key] = row
	}
	var left []Leftover
	for _, key := range slices.Sorted(maps.Keys(config)) {
		text, row := config[key], rows[key]
		switch {
		case slices.Contains(unsaidDatacenter, key) || strings.TrimSpace(text) == "":
		case row == nil:
			left = append(left, unsayable("datacenter", key, text, "manifests have no such option"))
		case row.Scalar() && row.Leaves[0].Default != "" && row.Leaves[0].kind.same(text, row.Leaves[0].Default, Facts{}):
		case !r.into(reflect.ValueOf(&d).Elem(), row, key, text):
			left = append(left, Leftover{Key: "datacenter", Prop: key, Text: text, Why: r.why[key]})
		}
	}
	for _, s := range d.Settings() {
		for _, l := range r.rest(s, s.Key, config[s.Key]) {
			left = append(left, Leftover{Key: "datacenter", Prop: dotted(l.Key, l.Prop), Text: l.Text, Why: l.Why})
		}
	}
	if len(d.Settings()) == 0 {
		return nil, left
	}
	return &d, left
}

// Pruned is the node's manifest without what the rules of manifests refuse, and what that was.
func (n Node) Pruned() (Node, []Leftover) {
	var left []Leftover
	for {
		faults := n.Validate()
		i := slices.IndexFunc(faults, func(f Fault) bool { return unset(reflect.ValueOf(&n.Spec).Elem(), f.Path) })
		if i < 0 {
			return n, left
		}
		left = append(left, Leftover{Key: strings.TrimPrefix(faults[i].Path, "spec."), Why: faults[i].Text})
	}
}
