package strictyaml

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Decode fills the struct that into points to, by json tags and case-sensitively, and returns everything wrong
// with the document, sorted by place. What is sound is filled even so; what is not keeps the value it had. Lists and
// maps replace what was there, fields that are not mentioned stay as they were.
//
// An empty or null value is a problem everywhere but in an any field, pointers included: "no value" and "leave it alone"
// must not look alike in a manifest.
//
// A list keeps a zero element for an unsound one, so that positions still agree; a map leaves unsound scalars out.
//
// A type that implements encoding.TextUnmarshaler gets each scalar as written, whatever YAML would make of it; one that
// implements [Scalar] as well as having fields or items may be written either way. Their errors become Problems; an error
// with a method Hint() string brings its own hint.
//
// It panics if into, or a type below it, cannot be decoded into: that is a mistake in the program, not in the file.
func (d Document) Decode(into any) []Problem {
	v := reflect.ValueOf(into)
	if v.Kind() != reflect.Pointer || v.IsNil() || v.Elem().Kind() != reflect.Struct {
		panic(fmt.Sprintf("strictyaml: Decode wants a pointer to a struct, not %T", into))
	}
	r := reader{file: d.file, root: v.Type().Elem(), problems: slices.Clone(d.problems)}
	if d.root != nil {
		r.value(v.Elem(), d.root, "")
	}
	if r.left > 0 {
		r.problems = append(r.problems, unlisted(r.cut, r.left))
	}
	sortProblems(r.problems)
	return r.problems
}

// reader walks values and Go types together.
type reader struct {
	file     string
	root     reflect.Type
	problems []Problem
	left     int     // problems not kept
	cut      Problem // the first of them
}

func (r *reader) report(line, column int, path, text, hint string) {
	p := Problem{File: r.file, Line: line, Column: column, Path: path, Text: text, Hint: hint}
	if len(r.problems) >= problemsPerDocument {
		if r.left++; r.left == 1 {
			r.cut = p
		}
		return
	}
	r.problems = append(r.problems, p)
}

// at reports a problem with a value; onKey one with its key.
func (r *reader) at(n *node, path, text, hint string) {
	line, column := n.at()
	r.report(line, column, path, text, hint)
}

func (r *reader) onKey(n *node, path, text, hint string) {
	line, column := n.keyAt()
	r.report(line, column, path, text, hint)
}

// value decodes n into v, which is addressable, and reports whether all of it was sound.
func (r *reader) value(v reflect.Value, n *node, path string) bool {
	before := len(r.problems) + r.left
	switch t := v.Type(); {
	case n.kind == refused:
		return false
	case isAny(t):
		if free := r.free(n, path); free != nil {
			v.Set(reflect.ValueOf(free))
		} else {
			v.SetZero()
		}
	case n.null():
		r.at(n, path, "empty value", "leave the field out or give it a value")
	case t.Kind() == reflect.Pointer:
		r.pointer(v, n, path)
	case hooksOf(t).scalar && n.kind == scalar:
		fresh := reflect.New(t)
		r.hook(v, fresh, fresh.Interface().(Scalar).UnmarshalScalar(n.value), n, path)
	case hooksOf(t).text:
		r.text(v, n, path)
	default:
		r.plain(v, n, path)
	}
	return len(r.problems)+r.left == before
}

// pointer fills what v points to. A nil pointer to a scalar stays nil if the scalar is unsound.
func (r *reader) pointer(v reflect.Value, n *node, path string) {
	if !v.IsNil() {
		r.value(v.Elem(), n, path)
		return
	}
	fresh := reflect.New(v.Type().Elem())
	if r.value(fresh.Elem(), n, path) || holds(v.Type()) {
		v.Set(fresh)
	}
}

// holds reports whether a type has parts that may be sound while another is not.
func holds(t reflect.Type) bool {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t.Kind() {
	case reflect.Struct:
		return !hooksOf(t).text
	case reflect.Map, reflect.Slice:
		return true
	}
	return false
}

func (r *reader) text(v reflect.Value, n *node, path string) {
	if n.kind != scalar {
		r.at(n, path, "expected a single value, found "+n.found(), "")
		return
	}
	fresh := reflect.New(v.Type())
	r.hook(v, fresh, fresh.Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(n.value)), n, path)
}

// hook takes over what a type made of a scalar, or its complaint.
func (r *reader) hook(v, fresh reflect.Value, err error, n *node, path string) {
	if err != nil {
		r.at(n, path, oneLine(err.Error()), hintOf(err))
		return
	}
	v.Set(fresh.Elem())
}

// hintOf is the hint an error brings along.
func hintOf(err error) string {
	var hinted interface{ Hint() string }
	if errors.As(err, &hinted) {
		return oneLine(hinted.Hint())
	}
	return ""
}

// plain decodes into the types Go has.
func (r *reader) plain(v reflect.Value, n *node, path string) {
	switch v.Kind() {
	case reflect.Struct:
		if r.wants(mapping, n, path, "a mapping") {
			r.fields(v, n, path)
		}
	case reflect.Map:
		if r.wants(mapping, n, path, "a mapping") {
			r.entries(v, n, path)
		}
	case reflect.Slice:
		if r.wants(list, n, path, "a list") {
			r.items(v, n, path)
		}
	case reflect.String:
		if r.wants(scalar, n, path, "text") {
			if text, hint := parseText(n); text != "" {
				r.at(n, path, text, hint)
				return
			}
			v.SetString(n.value)
		}
	case reflect.Bool:
		if r.wants(scalar, n, path, "true or false") {
			value, text, hint := parseBool(n)
			if text != "" {
				r.at(n, path, text, hint)
				return
			}
			v.SetBool(value)
		}
	default:
		r.number(v, n, path)
	}
}

func (r *reader) number(v reflect.Value, n *node, path string) {
	whole := v.CanInt() || v.CanUint()
	if !whole && !v.CanFloat() {
		panic(fmt.Sprintf("strictyaml: %s: a %s cannot be read from YAML", path, v.Type()))
	}
	if !r.wants(scalar, n, path, "a number") {
		return
	}
	text, hint := parseNumber(n, whole)
	switch {
	case text != "":
	case whole:
		text = setInt(v, n.value)
	default:
		f, err := strconv.ParseFloat(n.value, v.Type().Bits())
		if err == nil {
			v.SetFloat(f)
			return
		}
		text = shorten(n.value) + " is too large"
	}
	if text != "" {
		r.at(n, path, text, hint)
	}
}

// wants reports a value of the wrong shape.
func (r *reader) wants(k kind, n *node, path, noun string) bool {
	if n.kind == k {
		return true
	}
	hint := ""
	switch {
	case k == list && n.kind == scalar:
		hint = listed(n.value)
	case k == mapping && n.kind == scalar && n.plain:
		hint = spaced(n.value)
	}
	r.at(n, path, "expected "+noun+", found "+n.found(), hint)
	return false
}

// listed says how a list is written that came as one text: what stands between semicolons or commas is an entry.
func listed(text string) string {
	between := func(r rune) bool { return r == ';' || r == ',' || r == '\n' }
	if name, rest, ok := strings.Cut(text, "="); ok && !strings.ContainsAny(name, ";,") && !strings.Contains(rest, "=") {
		text = rest // PVE's order=scsi0;net0
	}
	words := strings.FieldsFunc(text, between)
	if len(words) < 2 {
		return "a list of one is written [" + shorten(text) + "]"
	}
	for i := range words {
		words[i] = strings.TrimSpace(words[i])
	}
	return "a list is written [" + shorten(strings.Join(words, ", ")) + "]"
}

func (r *reader) fields(v reflect.Value, n *node, path string) {
	known := fieldsOf(v.Type())
	for i := range n.children {
		c := &n.children[i]
		f, ok := known.byName[c.key]
		switch {
		case !ok:
			hint := ""
			if len(r.problems) < problemsPerDocument { // looking for it costs more than all the rest
				hint = fieldHint(r.root, known, path, c.key)
			}
			r.onKey(c, join(path, c.key), "unknown field", hint)
		case c.again:
			r.value(reflect.New(f.typ).Elem(), c, join(path, c.key))
		default:
			r.value(f.in(v), c, join(path, c.key))
		}
	}
}

func (r *reader) items(v reflect.Value, n *node, path string) {
	items := reflect.MakeSlice(v.Type(), len(n.children), len(n.children))
	for i := range n.children {
		item := items.Index(i)
		r.value(item, &n.children[i], joinIndex(path, i))
		if item.Kind() == reflect.Pointer && item.IsNil() {
			item.Set(reflect.New(item.Type().Elem())) // nobody expects a nil in a list
		}
	}
	v.Set(items)
}

func (r *reader) entries(v reflect.Value, n *node, path string) {
	t := v.Type()
	entries := reflect.MakeMapWithSize(t, len(n.children))
	for i := range n.children {
		c := &n.children[i]
		key := reflect.New(t.Key()).Elem()
		sound := r.key(key, c, join(path, c.key))
		item := reflect.New(t.Elem()).Elem()
		usable := r.value(item, c, join(path, c.key)) || holds(t.Elem()) && c.kind != refused && !c.null()
		if usable && sound && !c.again {
			entries.SetMapIndex(key, item)
		}
	}
	v.Set(entries)
}

// key reads the key of c into a map's key type.
func (r *reader) key(v reflect.Value, c *node, path string) bool {
	if hooksOf(v.Type()).text {
		if err := v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(c.key)); err != nil {
			r.onKey(c, path, oneLine(err.Error()), hintOf(err))
			return false
		}
		return true
	}
	if v.Kind() != reflect.String {
		panic(fmt.Sprintf("strictyaml: %s: a map keyed by %s cannot be read from YAML", path, v.Type()))
	}
	v.SetString(c.key)
	return r.textKey(c, path)
}

// textKey reports a key that YAML parsers may rewrite. Plain decimals all of them keep.
func (r *reader) textKey(c *node, path string) bool {
	if t := resolve(c.key); c.keyPlain && t != textScalar && t != intScalar {
		r.onKey(c, path, fmt.Sprintf("quote this key: %s", taken(c.key, t)), "write "+excerpt(c.key))
		return false
	}
	return true
}
