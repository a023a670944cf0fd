package schema

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// JSONSchema is the JSON Schema (draft 2020-12) of a kind, made from the field table for editors and CI systems. It says what a
// schema can say: fields, types, values, slots. What takes more than one field to see (a boot device that is declared,
// a size in whole MiB) only Validate sees, so a manifest that passes here may still be refused, never the other way round.
// The text is the same at every call.
func JSONSchema(kind string) ([]byte, error) {
	root, err := kindType(kind)
	if err != nil {
		return nil, err
	}
	s := schemaOf(root, "")
	s.Schema, s.Title = "https://json-schema.org/draft/2020-12/schema", kind
	s.Properties["apiVersion"].Const = APIVersion
	s.Properties["kind"].Const = kind
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(s); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// kindType is the Go type of a kind.
func kindType(kind string) (reflect.Type, error) {
	switch kind {
	case KindVM:
		return reflect.TypeFor[VM](), nil
	case KindNode:
		return reflect.TypeFor[Node](), nil
	case KindMigration:
		return reflect.TypeFor[Migration](), nil
	}
	return nil, fmt.Errorf("%q is not a kind: %s, %s or %s", kind, KindVM, KindNode, KindMigration)
}

// jsonSchema is as much of the vocabulary as the table needs.
type jsonSchema struct {
	Schema               string                 `json:"$schema,omitempty"`
	Title                string                 `json:"title,omitempty"`
	Description          string                 `json:"description,omitempty"`
	AnyOf                []*jsonSchema          `json:"anyOf,omitempty"`
	Type                 any                    `json:"type,omitempty"` // a word or a list of them
	Const                string                 `json:"const,omitempty"`
	Enum                 []string               `json:"enum,omitempty"`
	Pattern              string                 `json:"pattern,omitempty"`
	Minimum              json.Number            `json:"minimum,omitempty"`
	Maximum              json.Number            `json:"maximum,omitempty"`
	Default              any                    `json:"default,omitempty"`
	Items                *jsonSchema            `json:"items,omitempty"`
	UniqueItems          bool                   `json:"uniqueItems,omitempty"`
	MinItems             int                    `json:"minItems,omitempty"`
	Properties           map[string]*jsonSchema `json:"properties,omitempty"`
	PatternProperties    map[string]*jsonSchema `json:"patternProperties,omitempty"`
	AdditionalProperties any                    `json:"additionalProperties,omitempty"` // false or a schema
	Required             []string               `json:"required,omitempty"`
}

// schemaOf describes what a type takes under the tags of the field that holds it.
func schemaOf(t reflect.Type, tag reflect.StructTag) *jsonSchema {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	var s *jsonSchema
	switch {
	case t == reflect.TypeFor[Size]():
		s = sizeSchema(tag)
	case single(t):
		s = &jsonSchema{Type: "string", Pattern: singles[t].form}
	case t == reflect.TypeFor[PolicyRule]():
		s = &jsonSchema{Type: "object", Properties: map[string]*jsonSchema{
			"reason": {Description: "what a person whose manifest is refused reads"}, "storages": {Description: "storage ids or patterns; left out: all"},
			"stated": {Description: "settings that the manifest must state, whatever their value: onboot, mac (not with forbid)"},
			"cards":  {Description: "the rule is about guests with at least so many network cards (not with forbid)"},
			"vmid":   {Description: "ranges of vmids: 200-299 (not with forbid)"},
		}, Required: []string{"reason"}}
	case t.Kind() == reflect.Struct:
		s = structSchema(t)
	case t.Kind() == reflect.Map:
		s = mapSchema(t, tag)
	case t.Kind() == reflect.Slice:
		s = &jsonSchema{Type: "array", Items: schemaOf(t.Elem(), without(tag)), UniqueItems: t.Elem().Kind() == reflect.String}
	default:
		s = scalarSchema(t, tag)
	}
	if d := tag.Get("doc"); d != "" {
		s.Description = d
	}
	if d := tag.Get("default"); d != "" {
		s.Default = jsonDefault(t, tag)
	}
	if tag.Get("root") == "true" {
		s.Description += " (root@pam only)"
	}
	return s
}

// without keeps the tags that are about one element of a list.
func without(tag reflect.StructTag) reflect.StructTag {
	var kept []string
	for _, name := range []string{"kind", "enum", "pattern", "prop"} {
		if v, ok := tag.Lookup(name); ok {
			kept = append(kept, fmt.Sprintf("%s:%q", name, v))
		}
	}
	return reflect.StructTag(strings.Join(kept, " "))
}

func sizeSchema(tag reflect.StructTag) *jsonSchema {
	if tag.Get("kind") == "mebibytes" {
		return &jsonSchema{Type: []string{"string", "integer"}, Pattern: "^[0-9]+([TGMK]i)?$", Minimum: "0"}
	}
	return &jsonSchema{Type: "string", Pattern: "^[0-9]+[TGMK]i$"}
}

func scalarSchema(t reflect.Type, tag reflect.StructTag) *jsonSchema {
	s := &jsonSchema{Minimum: json.Number(tag.Get("min")), Maximum: json.Number(tag.Get("max"))}
	switch t.Kind() {
	case reflect.Bool:
		s.Type = "boolean"
	case reflect.Int:
		s.Type = "integer"
	case reflect.Float64:
		s.Type = "number"
	case reflect.String:
		s.Type = "string"
		enum, pattern, kind := tag.Get("enum"), tag.Get("pattern"), kinds[tag.Get("kind")]
		switch {
		case enum != "":
			s.Enum = strings.Split(enum, "|")
		case pattern != "":
			s.Pattern = "^(?:" + pattern + ")$"
		case kind.form != nil:
			s.Pattern = kind.form.String()
		case kind.name == "" && tag.Get("prop") != "":
			s.Pattern = "^[^,]*$"
		}
	}
	return s
}

func structSchema(t reflect.Type) *jsonSchema {
	s := &jsonSchema{Type: "object", Properties: map[string]*jsonSchema{}, AdditionalProperties: false}
	var bare *jsonSchema
	for i := range t.NumField() {
		f := t.Field(i)
		name := jsonName(f)
		switch {
		case f.Anonymous:
			in := structSchema(f.Type)
			for k, v := range in.Properties {
				s.Properties[k] = v
			}
			s.Required = append(s.Required, in.Required...)
		case f.IsExported() && name != "":
			s.Properties[name] = schemaOf(f.Type, f.Tag)
			if required(f) {
				s.Required = append(s.Required, name)
			}
			if strings.HasSuffix(f.Tag.Get("prop"), ",bare") {
				bare = s.Properties[name]
			}
		}
	}
	slices.Sort(s.Required)
	if w, ok := reflect.New(t).Interface().(worded); ok {
		bare = &jsonSchema{Type: "string", Enum: w.words()}
	}
	if asText(t) {
		return &jsonSchema{AnyOf: []*jsonSchema{bare, s}}
	}
	return s
}

// worded is a struct that may also be written as one of some words.
type worded interface{ words() []string }

// asText tells whether a struct may also be written as one scalar, its bare sub-key.
func asText(t reflect.Type) bool {
	return reflect.PointerTo(t).Implements(reflect.TypeFor[interface{ UnmarshalScalar(string) error }]())
}

func mapSchema(t reflect.Type, tag reflect.StructTag) *jsonSchema {
	key := tag.Get("pve")
	if key == "" {
		return &jsonSchema{Type: "object", AdditionalProperties: schemaOf(t.Elem(), without(tag))}
	}
	var slots []string
	for _, s := range slotsOf(key) {
		slots = append(slots, s.pattern())
	}
	return &jsonSchema{
		Type: "object", AdditionalProperties: false,
		PatternProperties: map[string]*jsonSchema{"^(" + strings.Join(slots, "|") + ")$": schemaOf(t.Elem(), without(tag))},
	}
}

// pattern matches the keys of the range and no others.
func (s Slots) pattern() string {
	tens, ones := s.Max/10, s.Max%10
	switch {
	case tens == 0:
		return fmt.Sprintf("%s[0-%d]", s.Prefix, ones)
	case tens == 1:
		return fmt.Sprintf("%s([0-9]|1[0-%d])", s.Prefix, ones)
	}
	return fmt.Sprintf("%s([0-9]|[1-%d][0-9]|%d[0-%d])", s.Prefix, tens-1, tens, ones)
}

// jsonDefault is the default as a manifest would write it.
func jsonDefault(t reflect.Type, tag reflect.StructTag) any {
	text := tag.Get("default")
	switch {
	case t.Kind() == reflect.Bool:
		return normal(text) == "1"
	case t.Kind() == reflect.Slice:
		return strings.Split(text, ",")
	case t.Kind() == reflect.String, t.Kind() == reflect.Struct && bound(text) == nil:
		return text
	}
	return json.Number(text)
}
