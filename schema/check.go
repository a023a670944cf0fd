package schema

import (
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode"
)

// check is what the tags of one field ask of its value; fields outside the table (power) ask something too.
type check struct {
	name     string // in the manifest, "" for a field that is not in it
	doc      string
	required bool
	leaf     *Leaf // of text, and of lists and families of it
	min, max *float64
}

var checkCache sync.Map // reflect.Type to []check

// checksOf reads the tags of a struct type once.
func checksOf(t reflect.Type) []check {
	if known, ok := checkCache.Load(t); ok {
		return known.([]check)
	}
	out := make([]check, t.NumField())
	for i := range out {
		f := t.Field(i)
		c := check{name: jsonName(f), doc: brief(f.Tag.Get("doc")), required: required(f), min: bound(f.Tag.Get("min")), max: bound(f.Tag.Get("max"))}
		if c.name == "-" {
			c.name = ""
		}
		if c.name != "" && textual(f.Type) {
			l := leaf(f, nil, "")
			c.leaf = &l
		}
		out[i] = c
	}
	known, _ := checkCache.LoadOrStore(t, out)
	return known.([]check)
}

// textual tells whether a type is text, or lists or families of it.
func textual(t reflect.Type) bool {
	for t.Kind() == reflect.Map || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	return t.Kind() == reflect.String
}

func bound(text string) *float64 {
	n, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return nil
	}
	return &n
}

// checkStruct walks a struct and checks each set value by the tags of its field.
func checkStruct(f *faults, v reflect.Value, path string) {
	for i, c := range checksOf(v.Type()) {
		field := v.Field(i)
		switch {
		case c.name == "":
		case !field.IsZero():
			c.value(f, field, path+"."+c.name)
		case c.required && field.Kind() != reflect.Int:
			f.add(path+"."+c.name, "required: %s", c.doc)
		}
	}
}

// value checks a value that is set.
func (c check) value(f *faults, v reflect.Value, path string) {
	switch v.Kind() {
	case reflect.Pointer:
		c.value(f, v.Elem(), path)
	case reflect.Struct:
		if !single(v.Type()) {
			checkStruct(f, v, path)
		}
	case reflect.Map:
		entries := mapOf(v)
		for _, k := range slices.SortedFunc(maps.Keys(entries), CompareKeys) {
			c.value(f, entries[k], path+"."+k)
		}
	case reflect.Slice:
		if c.leaf != nil {
			c.list(f, v, path)
		}
	case reflect.String:
		checkText(f, c.leaf, v.String(), path)
	case reflect.Int:
		c.number(f, float64(v.Int()), path)
	case reflect.Float64:
		c.number(f, v.Float(), path)
	}
}

func mapOf(v reflect.Value) map[string]reflect.Value {
	m := map[string]reflect.Value{}
	for _, k := range v.MapKeys() {
		m[k.String()] = v.MapIndex(k)
	}
	return m
}

// brief is the first part of a manual entry, which says what the value is.
func brief(doc string) string {
	doc, _, _ = strings.Cut(doc, ";")
	return doc
}

func (c check) list(f *faults, v reflect.Value, path string) {
	if v.Len() == 0 && c.required {
		f.add(path, "required: %s", c.doc)
	}
	seen := map[string]bool{}
	for i := range v.Len() {
		at := path + "[" + itoa(i) + "]"
		s := v.Index(i).String()
		if s == "" {
			f.add(at, "empty")
			continue
		}
		if seen[s] {
			f.add(at, "%q is listed twice", s)
		}
		seen[s] = true
		checkText(f, c.leaf, s, at)
	}
}

func checkText(f *faults, l *Leaf, s, path string) {
	switch {
	case len(l.Enum) > 0 && !slices.Contains(l.Enum, s):
		f.word(path, s, l.Enum, "%q is not one of %s", s, strings.Join(l.Enum, ", "))
	case l.kind.name == "secret" && l.Pattern != nil && !l.Pattern.MatchString(s):
		f.add(path, "does not look right: %s", brief(l.Doc)) // never what was written
	case l.Pattern != nil && !l.Pattern.MatchString(s):
		f.add(path, "%q does not look right: %s", s, brief(l.Doc))
	case l.kind.name != "description" && strings.ContainsFunc(s, unicode.IsControl):
		f.add(path, "%q holds a line break or another control character", s)
	case strings.Contains(s, ",") && l.Prop != "" && l.kind.name == "text":
		f.add(path, "%q holds a comma, which PVE would read as the next option", s)
	default:
		if why := l.kind.check(s); why != "" {
			f.add(path, "%s", why)
		}
	}
	if l.Prop != "" && l.kind.name == "base64" && len(s) > 256 {
		f.add(path, "%d characters are more than PVE takes", len(s))
	}
}

func (c check) number(f *faults, n float64, path string) {
	if c.min != nil && n < *c.min {
		f.add(path, "%v is less than %v", n, strconv.FormatFloat(*c.min, 'f', -1, 64))
	}
	if c.max != nil && n > *c.max {
		f.add(path, "%v is more than %v", n, strconv.FormatFloat(*c.max, 'f', -1, 64))
	}
}
