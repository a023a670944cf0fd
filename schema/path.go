package schema

import (
	"reflect"
	"slices"
	"strings"
)

// PathOf is the place in a manifest that says a PVE config key, or with prop a sub-key of it: "spec.networks.net0.bridge".
// A sub-key that no manifest can say is addressed by PVE's name; "" for a key that none can.
func PathOf(key, prop string) string {
	r, ok := RowOf(key)
	if !ok {
		return ""
	}
	l := r.leaf(prop)
	switch {
	case r.Family() && prop == "":
		return "spec." + r.Path + "." + key
	case r.Family() && l != nil:
		return join("spec."+r.Path+"."+key, l.Path)
	case r.Family():
		return "spec." + r.Path + "." + key + "." + prop
	case l != nil && (prop != "" || r.Scalar()):
		return "spec." + l.Path
	case prop != "":
		return "spec." + r.Path + "." + prop
	}
	return "spec." + r.Path
}

// Within tells whether a path is another one or below it.
func Within(path, above string) bool {
	rest, ok := strings.CutPrefix(path, above)
	return ok && above != "" && (rest == "" || rest[0] == '.')
}

// CheckPath says what is wrong with the path of a setting, and which words could stand where it goes wrong; "" for a path
// that a manifest may have.
func CheckPath(path string) (word string, among []string, ok bool) {
	rest, below := strings.CutPrefix(path, "spec.")
	if !below {
		return path, nil, false
	}
	return checkPath(rest)
}

// checkPath looks for a path below spec in the table. When a word of it is none of those possible there, ok is false and
// among are these words, none below a plain value.
func checkPath(path string) (word string, among []string, ok bool) {
	t := reflect.TypeFor[VMSpec]()
	var slots []Slots
	for word := range strings.SplitSeq(path, ".") {
		if t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		switch {
		case slots != nil:
			if !slices.ContainsFunc(slots, func(s Slots) bool { return s.Has(word) }) {
				return word, slotNames(slots), false
			}
			t, slots = t.Elem(), nil
		case t.Kind() == reflect.Struct && t != reflect.TypeFor[Size]():
			f, found := fieldOf(t, word)
			if !found {
				return word, namesOf(t), false
			}
			t = f.Type
			if keys := f.Tag.Get("pve"); t.Kind() == reflect.Map && keys != "" {
				slots = slotsOf(keys)
			}
		case t.Kind() == reflect.Map: // of words of one's own
			t = t.Elem()
		default:
			return word, nil, false
		}
	}
	return "", nil, true
}

// Directs tells whether a path of a guest's manifest is for reconcile itself and no setting of PVE: spec.power, spec.ignore.
func Directs(path string) bool {
	word, _, _ := strings.Cut(strings.TrimPrefix(path, "spec."), ".")
	return unlike[word] && word != "uuid"
}

func fieldOf(t reflect.Type, name string) (reflect.StructField, bool) {
	for i := range t.NumField() {
		if f := t.Field(i); jsonName(f) == name {
			return f, true
		}
	}
	return reflect.StructField{}, false
}

func namesOf(t reflect.Type) []string {
	var out []string
	for i := range t.NumField() {
		out = append(out, jsonName(t.Field(i)))
	}
	return out
}

func slotNames(slots []Slots) []string {
	var out []string
	for _, s := range slots {
		for i := range s.Max + 1 {
			out = append(out, s.Prefix+itoa(i))
		}
	}
	return out
}
