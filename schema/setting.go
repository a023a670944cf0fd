package schema

import (
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
)

// Setting is one PVE config key as a manifest wants it.
type Setting struct {
	Row    *Row
	Key    string            // "net0"
	Path   string            // "spec.networks.net0"
	Text   string            // the value, where the key holds one value
	Props  map[string]string // the declared sub-keys, where it holds a property string
	Source *Source           // what a drive holds
	Absent string            // what the lack of the key means, where that is not the same for every guest
}

// Settings lists by PVE key what a spec declares. The guest's name comes from the object's name unless the spec has one.
func (v VM) Settings() map[string]Setting {
	spec := v.Spec
	if spec.Name == "" {
		spec.Name = v.Metadata.Name
	}
	out := make(map[string]Setting, 16) // a usual guest has some more
	root := reflect.ValueOf(spec)
	for _, r := range Rows() {
		if !r.Family() {
			if s, ok := r.setting(root, r.Key); ok {
				s.Path = "spec." + r.Path
				out[r.Key] = s
			}
			continue
		}
		m, ok := at(root, r.index)
		if !ok {
			continue
		}
		for _, k := range m.MapKeys() {
			if s, ok := r.setting(m.MapIndex(k), k.String()); ok {
				s.Path = "spec." + r.Path + "." + s.Key
				out[s.Key] = s
			}
		}
	}
	if s, ok := out["name"]; ok && v.Spec.Name == "" {
		s.Absent = Unnamed(spec.VMID)
		out["name"] = s
	}
	return out
}

// setting is what a spec (or a device of it) says of the row, without the path to it. Most specs leave most rows out, so
// nothing is made before something is said.
func (r *Row) setting(v reflect.Value, key string) (Setting, bool) {
	s := Setting{Row: r, Key: key}
	if r.Scalar() {
		value, ok := at(v, r.Leaves[0].index)
		if !ok {
			return s, false
		}
		s.Text = r.Leaves[0].kind.print(value)
		return s, true
	}
	for i := range r.Leaves {
		l := &r.Leaves[i]
		if value, ok := at(v, l.index); ok {
			if s.Props == nil {
				s.Props = map[string]string{}
			}
			s.Props[l.Prop] = l.kind.print(value)
		}
	}
	if r.drive {
		if s.Source = sourceOf(v, r); s.Source != nil && s.Props == nil {
			s.Props = map[string]string{}
		}
		return s, s.Source != nil
	}
	return s, len(s.Props) > 0
}

// at follows field indices through pointers; false when something on the way is unset.
func at(v reflect.Value, index []int) (reflect.Value, bool) {
	for _, i := range index {
		if v.Kind() == reflect.Pointer {
			if v.IsNil() {
				return v, false
			}
			v = v.Elem()
		}
		v = v.Field(i)
	}
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return v, false
		}
		return v.Elem(), true
	case reflect.Slice, reflect.Map, reflect.String:
		return v, v.Len() > 0
	}
	return v, true
}

// Same tells whether the live text (ok: the key is there) means what the setting declares. Sub-keys that nobody declared
// do not count; base, the setting as it was last applied, only settles what was once given. Drives: options only.
func (s Setting) Same(have string, ok bool, base *Setting, f Facts) bool {
	if s.Row.Secret() && ok && base != nil && base.Text != s.Text {
		return false // what is live cannot be read; git gave another one
	}
	if s.Row.Scalar() {
		l := &s.Row.Leaves[0]
		if !ok || strings.TrimSpace(have) == "" {
			return l.sameDefault(s.Text, f) || s.Text == s.Absent
		}
		return l.kind.same(s.Text, have, f) && !s.lingers(have, base)
	}
	return len(s.Differs(have, f)) == 0 && len(s.Dropped(have, base, f)) == 0
}

func (l *Leaf) sameDefault(want string, f Facts) bool {
	if l.Default != "" {
		return l.kind.same(want, l.Default, f)
	}
	return want == ""
}

// lingers: a device that base had in the boot order and the manifest has no more is still there.
func (s Setting) lingers(have string, base *Setting) bool {
	if s.Key != "boot" || base == nil {
		return false
	}
	want := BootOrder(s.Text)
	return slices.ContainsFunc(BootOrder(base.Text), func(d string) bool {
		return !slices.Contains(want, d) && slices.Contains(BootOrder(have), d)
	})
}

// Differs lists the declared sub-keys whose live value means something else.
func (s Setting) Differs(have string, f Facts) []string {
	live := s.Row.Parse(have)
	var out []string
	for _, prop := range slices.Sorted(maps.Keys(s.Props)) {
		l := s.Row.leaf(prop)
		v, ok := live[prop]
		if ok && l.kind.same(s.Props[prop], v, f) || !ok && l.sameDefault(s.Props[prop], f) {
			continue
		}
		out = append(out, prop)
	}
	return out
}

// Dropped lists the sub-keys that base declared, the manifest does not, and that still live as base gave them.
func (s Setting) Dropped(have string, base *Setting, f Facts) []string {
	if base == nil {
		return nil
	}
	var out []string
	for prop := range base.Props {
		if _, wanted := s.Props[prop]; !wanted {
			out = append(out, prop)
		}
	}
	if len(out) == 0 {
		return nil // of most settings, whose live text need not be read for it
	}
	slices.Sort(out)
	live := s.Row.Parse(have)
	return slices.DeleteFunc(out, func(prop string) bool {
		v, ok := live[prop]
		return !ok || !s.Row.leaf(prop).kind.same(base.Props[prop], v, f) || s.Row.required(prop)
	})
}

// required: a sub-key PVE does not take a property string without, or would make up anew.
func (r *Row) required(prop string) bool {
	return prop == r.bare() || r.Key == "net" && prop == "macaddr"
}

// Merge is the text to write: the live value with the declared sub-keys that differ put in and the dropped ones taken out.
func (s Setting) Merge(have string, base *Setting, f Facts) string {
	if s.Row.Scalar() {
		return s.Text
	}
	props := s.Row.Parse(have)
	if have == "" {
		maps.Copy(props, s.Props)
	}
	for _, p := range s.Differs(have, f) {
		props[p] = s.Props[p]
	}
	for _, p := range s.Dropped(have, base, f) {
		delete(props, p)
	}
	if len(props) == 0 { // PVE takes no empty text: its defaults are written out
		maps.Copy(props, s.Props)
	}
	if s.Row.drive {
		delete(props, "size") // PVE sets it from the volume (FACTS §3)
	}
	for _, l := range s.Row.Leaves {
		if _, said := props[l.Prop]; l.Fill && !said && len(props) > 0 {
			props[l.Prop] = l.Default
		}
	}
	return s.Row.Print(props)
}

// Given tells whether the live text is still what base gave: then it may be taken away again. A device is known by what
// makes it that device: the volume's storage of a disk, the declared MAC of a card.
func (s Setting) Given(have string, f Facts) bool {
	switch {
	case s.Source != nil:
		return s.Source.Holds(s.Row.Parse(have), s.Key)
	case s.Row.Key == "net":
		live := s.Row.Parse(have)
		return s.Props["macaddr"] == "" || noCase(s.Props["macaddr"], live["macaddr"], f)
	case s.Row.Scalar():
		return s.Row.Leaves[0].kind.same(s.Text, have, f)
	}
	return len(s.Differs(have, f)) == 0
}

// Default tells whether a live text means no more than PVE's default.
func (r *Row) Default(have string) bool {
	if r.Family() || r.drive {
		return false
	}
	if r.Scalar() {
		l := &r.Leaves[0]
		return l.Default != "" && l.kind.same(have, l.Default, Facts{})
	}
	return len(Setting{Row: r}.Undeclared(have)) == 0
}

// Secret tells whether the value must never be shown.
func (r *Row) Secret() bool { return r.Scalar() && r.Leaves[0].kind.name == "secret" }

// SSHKeys are the public keys that PVE's text of this setting holds, nil when it holds something else.
func (r *Row) SSHKeys(text string) []string {
	if !r.Scalar() || r.Leaves[0].kind.name != "sshkeys" {
		return nil
	}
	return strings.Split(decodeURL(text), "\n")
}

var passThrough = regexp.MustCompile(`^/dev/`)

// RootOnly tells whether PVE lets only root@pam itself write this text under this key, and no token (FACTS §2).
func (r *Row) RootOnly(text string) bool {
	switch r.Key {
	case "serial":
		return passThrough.MatchString(text)
	case "usb":
		host := r.Parse(text)["host"]
		return host != "" && !strings.EqualFold(host, "spice")
	case "hostpci":
		props := r.Parse(text)
		return props["host"] != "" || props["romfile"] != ""
	}
	return r.Root
}

// Undeclared lists the sub-keys of a live property string that the setting leaves open, as "key=value". Made-up and
// bookkeeping sub-keys (size, a MAC, the volume) are not among them.
func (s Setting) Undeclared(have string) []string {
	if s.Row.Scalar() {
		return nil
	}
	var out []string
	live := s.Row.Parse(have)
	for _, prop := range slices.Sorted(maps.Keys(live)) {
		_, declared := s.Props[prop]
		if declared || slices.Contains([]string{"size", "file", "macaddr", "media", "uuid"}, prop) {
			continue
		}
		if l := s.Row.leaf(prop); l != nil && l.Default != "" && l.kind.same(live[prop], l.Default, Facts{}) {
			continue
		}
		out = append(out, prop+"="+live[prop])
	}
	return out
}
