package schema

import (
	"maps"
	"reflect"
	"slices"
	"strings"
)

// Leftover is something of a live config that a manifest does not say.
type Leftover struct {
	Key  string // PVE key: "net0"
	Prop string // sub-key, "" for the whole key
	Text string // PVE's text, "" for a secret
	Why  string
}

// Name is the key, with the sub-key behind a dot.
func (l Leftover) Name() string { return dotted(l.Key, l.Prop) }

func dotted(key, prop string) string {
	if prop == "" {
		return key
	}
	return key + "." + prop
}

// bookkeeping are the keys PVE writes for itself and clients cannot set. The text is why a person may want to know of one.
var bookkeeping = map[string]string{
	"digest": "", "meta": "", "vmgenid": "", "snaptime": "", "vmstate": "", "runningmachine": "", "runningcpu": "", "running-nets-host-mtu": "",
	"parent":   "the snapshot the guest runs on; snapshots are made and removed in PVE",
	"lock":     "a lock that PVE holds; it goes away by itself, or with `qm unlock`",
	"template": "a guest becomes a template in PVE, and stays one",
}

// Bookkeeping tells whether PVE writes the key for itself.
func Bookkeeping(key string) bool {
	_, ok := bookkeeping[key]
	return ok
}

// Read is the inverse of Settings: the spec that declares the live config of a guest, in PVE's keys and text, and what of the config
// no spec can say, by key. The spec passes Validate once it has a node and the vmid; secrets are never read. Name is the live
// name, "" when the guest has none. Whatever Read puts into the spec compares as equal with the config it was read from,
// in every cluster.
func Read(config map[string]string, vmid int) (VMSpec, []Leftover) {
	r := reading{config: config, why: map[string]string{}}
	r.vm.Metadata.Name, r.vm.Spec.Node, r.vm.Spec.VMID = "x", "x", vmid
	for _, key := range slices.SortedFunc(maps.Keys(config), CompareKeys) {
		if row, ok := RowOf(key); ok && !Bookkeeping(key) && strings.TrimSpace(config[key]) != "" {
			r.key(row, key, config[key])
		}
	}
	prune(&r.vm, r.fail)
	spec := r.vm.Spec
	spec.Node, spec.VMID = "", 0
	return spec, r.leftovers()
}

// reading is one config on its way into a spec.
type reading struct {
	config map[string]string
	vm     VM
	why    map[string]string // reasons by Leftover.Name
}

func (r *reading) fail(key, prop, why string) {
	if name := dotted(key, prop); r.why[name] == "" {
		r.why[name] = why
	}
}

// key reads one key into the spec. A device is made on the side and put into its map when something of it could be read.
func (r *reading) key(row *Row, key, text string) {
	root := reflect.ValueOf(&r.vm.Spec).Elem()
	if !row.Family() {
		r.into(root, row, key, text)
		return
	}
	m := walk(root, row.index)
	elem := m.Type().Elem()
	device := reflect.New(elem).Elem()
	if elem.Kind() == reflect.Pointer {
		device = reflect.New(elem.Elem())
	}
	if !r.into(device, row, key, text) {
		return
	}
	if m.IsNil() {
		m.Set(reflect.MakeMap(m.Type()))
	}
	m.SetMapIndex(reflect.ValueOf(key), device)
}

// into reads the text of a key into a struct that has its leaves, and tells whether anything could be read.
func (r *reading) into(v reflect.Value, row *Row, key, text string) bool {
	if row.Scalar() {
		return r.leaf(v, &row.Leaves[0], key, "", text)
	}
	props := row.Parse(text)
	if row.drive && !r.source(v, row, key, props) {
		return false
	}
	some := row.drive
	for i := range row.Leaves {
		l := &row.Leaves[i]
		if text, ok := props[l.Prop]; ok {
			some = r.leaf(v, l, key, l.Prop, text) || some
		}
	}
	return some
}

// leaf reads one value. What would not compare as equal afterwards is not taken.
func (r *reading) leaf(v reflect.Value, l *Leaf, key, prop, text string) bool {
	if l.kind.name == "secret" {
		r.fail(key, prop, "a secret, which PVE does not show: give its hash with "+l.Path+" if git should keep it")
		return false
	}
	if strings.TrimSpace(text) == "" {
		return false
	}
	value, err := l.kind.read(text)
	if err != nil {
		r.fail(key, prop, err.Error())
		return false
	}
	read := reflect.ValueOf(value)
	if !l.kind.same(l.kind.print(read), text, Facts{TagsCaseSensitive: true, TagsInOrder: true}) {
		r.fail(key, prop, "a manifest cannot say exactly this")
		return false
	}
	field := v
	if len(l.index) > 0 {
		field = walk(v, l.index)
	}
	if field.Kind() == reflect.Pointer {
		field.Set(reflect.New(field.Type().Elem()))
		field = field.Elem()
	}
	field.Set(read)
	return field.Kind() != reflect.String && field.Kind() != reflect.Slice || field.Len() > 0
}

// walk follows field indices and makes the structs on the way.
func walk(v reflect.Value, index []int) reflect.Value {
	for _, i := range index {
		if v.Kind() == reflect.Pointer {
			if v.IsNil() {
				v.Set(reflect.New(v.Type().Elem()))
			}
			v = v.Elem()
		}
		v = v.Field(i)
	}
	return v
}

// prune takes out of a spec what the rules of manifests refuse, alone or together with the rest, and says of each why. It
// goes one by one, since what is taken out may mend or break something else.
func prune(v *VM, fail func(key, prop, why string)) {
	for {
		faults := v.Validate()
		if len(faults) == 0 {
			return
		}
		slices.SortStableFunc(faults, func(x, y Fault) int { return strings.Compare(x.Path, y.Path) })
		settings := v.Settings()
		i := slices.IndexFunc(faults, func(f Fault) bool { return unset(reflect.ValueOf(&v.Spec).Elem(), f.Path) })
		if i < 0 {
			return
		}
		key, prop := settingAt(settings, faults[i].Path)
		fail(key, prop, faults[i].Text)
	}
}

// settingAt finds the key, and the sub-key if the path goes that deep, that a path of a spec belongs to.
func settingAt(settings map[string]Setting, path string) (key, prop string) {
	path, _, _ = strings.Cut(path, "[")
	for _, k := range slices.SortedFunc(maps.Keys(settings), CompareKeys) {
		s := settings[k]
		for _, l := range s.Row.Leaves {
			at := "spec." + l.Path
			if s.Row.Family() {
				at = join(s.Path, l.Name)
			}
			if path == at && l.Prop != "" {
				return k, l.Prop
			}
		}
		if path == s.Path || strings.HasPrefix(path, s.Path+".") {
			key = k
		}
	}
	return key, ""
}

// unset clears the value at a path below spec. Where there is nothing, something required is missing: then what is
// around it goes. It is false when that would be the whole spec.
func unset(spec reflect.Value, path string) bool {
	path, _, _ = strings.Cut(strings.TrimPrefix(path, "spec."), "[")
	return cut(spec, strings.Split(path, "."))
}

func cut(v reflect.Value, path []string) bool {
	switch v.Kind() {
	case reflect.Pointer:
		return !v.IsNil() && cut(v.Elem(), path)
	case reflect.Struct:
		for i := range v.NumField() {
			f := v.Field(i)
			if jsonName(v.Type().Field(i)) != path[0] || f.IsZero() {
				continue
			}
			if len(path) == 1 || !cut(f, path[1:]) || hollow(f) {
				f.SetZero()
			}
			return true
		}
	case reflect.Map:
		for n := len(path); n > 0; n-- { // a key may hold dots: eno1.20
			key := reflect.ValueOf(strings.Join(path[:n], "."))
			elem := v.MapIndex(key)
			if !elem.IsValid() {
				continue
			}
			if n == len(path) || !cut(elem, path[n:]) || hollow(elem) {
				v.SetMapIndex(key, reflect.Value{})
			}
			return true
		}
	}
	return false
}

// hollow tells whether nothing is set any more of what something was taken out of.
func hollow(v reflect.Value) bool {
	if v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	return v.IsZero() || v.Kind() == reflect.Map && v.Len() == 0
}

// leftovers compares the config with what the spec says of it, so that nothing can be forgotten.
func (r *reading) leftovers() []Leftover {
	settings := r.vm.Settings()
	if r.vm.Spec.Name == "" {
		delete(settings, "name")
	}
	var out []Leftover
	for _, key := range slices.SortedFunc(maps.Keys(r.config), CompareKeys) {
		text := r.config[key]
		s, said := settings[key]
		why, kept := bookkeeping[key]
		switch {
		case kept && why == "" || strings.TrimSpace(text) == "":
		case kept:
			out = append(out, Leftover{Key: key, Text: text, Why: why})
		case strings.HasPrefix(key, "unused"):
			out = append(out, Leftover{Key: key, Text: text, Why: "a detached disk; it is kept"})
		case said:
			out = append(out, r.rest(s, key, text)...)
		default:
			out = append(out, r.whole(key, text))
		}
	}
	return out
}

// whole is a key of which nothing could be said; the reason may be that of one of its sub-keys.
func (r *reading) whole(key, text string) Leftover {
	l := Leftover{Key: key, Text: text, Why: r.why[key]}
	row, known := RowOf(key)
	if known && row.Secret() {
		l.Text = ""
	}
	for _, name := range slices.Sorted(maps.Keys(r.why)) {
		if prop, ok := strings.CutPrefix(name, key+"."); ok {
			l.Why = prop + ": " + r.why[name]
			break
		}
	}
	if l.Why == "" && known {
		l.Why = "holds no value"
	} else if l.Why == "" {
		l.Why = "manifests have no such setting"
	}
	return l
}

// rest lists the sub-keys of a property string that the spec does not say.
func (r *reading) rest(s Setting, key, text string) []Leftover {
	if s.Row.Scalar() {
		return nil
	}
	var out []Leftover
	live := s.Row.Parse(text)
	for _, prop := range slices.Sorted(maps.Keys(live)) {
		_, said := s.Props[prop]
		why := r.why[dotted(key, prop)]
		if said || strings.TrimSpace(live[prop]) == "" || s.Source != nil && (prop == "file" || prop == "media" || prop == "size" && why == "") {
			continue
		}
		if why == "" {
			why = "manifests have no such option"
		}
		out = append(out, Leftover{Key: key, Prop: prop, Text: live[prop], Why: why})
	}
	return out
}
