package strictyaml

import (
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
)

// Scalar is implemented by a type that is written as a mapping or list, and may also be written as one scalar.
// The scalar arrives as written, whatever YAML would make of it. An error becomes a Problem's Text, and
// the Hint its Hint method returns, if it has one, the Problem's Hint.
type Scalar interface {
	UnmarshalScalar(text string) error
}

var (
	scalarHook = reflect.TypeFor[Scalar]()
	textHook   = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// field is one key a struct knows, and the way to the Go field, through embedded structs.
type field struct {
	name   string
	index  []int
	typ    reflect.Type
	others []string // what it is called elsewhere, for hints
}

type structFields struct {
	names  []string // in the order of the struct
	byName map[string]field
}

var fieldCache sync.Map // reflect.Type to *structFields

// fieldsOf lists the keys of a struct type. Two fields of one name on one level are a mistake in the program: it panics.
func fieldsOf(t reflect.Type) *structFields {
	if known, ok := fieldCache.Load(t); ok {
		return known.(*structFields)
	}
	s := &structFields{byName: map[string]field{}}
	s.add(t, nil, nil)
	known, _ := fieldCache.LoadOrStore(t, s)
	return known.(*structFields)
}

func (s *structFields) add(t reflect.Type, index []int, above []reflect.Type) {
	for i := range t.NumField() {
		f := t.Field(i)
		tag, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if tag == "-" && options == "" {
			continue
		}
		at := append(slices.Clone(index), i)
		inner := f.Type
		if inner.Kind() == reflect.Pointer {
			inner = inner.Elem()
		}
		inline := f.Anonymous && tag == "" || slices.Contains(strings.Split(options, ","), "inline")
		switch {
		case inline && inner.Kind() == reflect.Struct && !slices.Contains(above, inner):
			if f.Type.Kind() == reflect.Pointer && !f.IsExported() {
				panic(fmt.Sprintf("strictyaml: %s embeds a pointer to a type that is not exported, which Go cannot set", t))
			}
			s.add(inner, at, append(slices.Clone(above), t))
		case f.IsExported():
			s.put(field{name: orElse(tag, f.Name), index: at, typ: f.Type, others: others(f.Tag)}, t)
		}
	}
}

// put keeps the field nearest to the outer struct, as encoding/json does.
func (s *structFields) put(f field, t reflect.Type) {
	old, ok := s.byName[f.name]
	switch {
	case !ok:
		s.names = append(s.names, f.name)
	case len(old.index) == len(f.index):
		panic(fmt.Sprintf("strictyaml: two fields of %s are named %q", t, f.name))
	case len(old.index) < len(f.index):
		return
	}
	s.byName[f.name] = f
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// in returns the Go field in v, making embedded pointers on the way.
func (f field) in(v reflect.Value) reflect.Value {
	for _, i := range f.index {
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

// hooks are the ways a type has to read a scalar itself.
type hooks struct{ scalar, text bool }

var hookCache sync.Map // reflect.Type to hooks

func hooksOf(t reflect.Type) hooks {
	if known, ok := hookCache.Load(t); ok {
		return known.(hooks)
	}
	p := reflect.PointerTo(t)
	h := hooks{scalar: p.Implements(scalarHook), text: p.Implements(textHook)}
	h.text = h.text && !h.scalar
	hookCache.Store(t, h)
	return h
}

// isAny reports the empty interface.
func isAny(t reflect.Type) bool { return t.Kind() == reflect.Interface && t.NumMethod() == 0 }
