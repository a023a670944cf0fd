package schema

import (
	"reflect"
	"strings"
)

// Table is the manual of one struct of a manifest.
type Table struct {
	Path   string // "spec.disks.SLOT"; "" for the object itself
	Doc    string
	Keys   []string // PVE's keys, where the struct is a property string: "scsi0 to scsi30"
	Text   string   // the field a text in place of the mapping stands for: "type"
	Fields []Field
}

// Field is the manual of one field.
type Field struct {
	Name     string
	Type     string   // in words: "whole number", "list of text"
	Key      string   // PVE's key, or the sub-key of its property string; "" for fields that PVE does not have
	Default  string   // as a manifest writes it, "" for none
	Values   []string // the words allowed, empty for others
	Range    string   // "1 to 4094", "at least 0"
	Doc      string
	Required bool
	Root     bool   // only root@pam itself may set it
	Table    string // path of the table that describes what is inside
}

// Reference is the manual of a kind, made from the field table: a table for the object, then one for each struct in it.
func Reference(kind string) ([]Table, error) {
	root, err := kindType(kind)
	if err != nil {
		return nil, err
	}
	var tables []Table
	describe(&tables, root, Table{})
	return tables, nil
}

// describe adds the table of a struct, and then those of the structs in it.
func describe(tables *[]Table, t reflect.Type, about Table) {
	i := len(*tables)
	*tables = append(*tables, about)
	fields(tables, &about, t)
	(*tables)[i] = about
}

func fields(tables *[]Table, about *Table, t reflect.Type) {
	var nested []reflect.StructField
	var places []int
	for i := range t.NumField() {
		f := t.Field(i)
		name := jsonName(f)
		switch {
		case f.Anonymous:
			fields(tables, about, f.Type)
		case f.IsExported() && name != "":
			if within(f.Type) != nil {
				nested, places = append(nested, f), append(places, len(about.Fields))
			}
			about.Fields = append(about.Fields, field(f, name))
			if asText(t) && strings.HasSuffix(f.Tag.Get("prop"), ",bare") {
				about.Text = name
			}
		}
	}
	for i, f := range nested {
		path := join(about.Path, jsonName(f))
		if f.Type.Kind() == reflect.Map {
			path += map[bool]string{true: ".SLOT", false: ".NAME"}[f.Tag.Get("pve") != ""]
		}
		about.Fields[places[i]].Table = path
		describe(tables, within(f.Type), Table{Path: path, Doc: f.Tag.Get("doc"), Keys: keysOf(f)})
	}
}

// within is the struct that a field holds, or holds many of; nil for plain values.
func within(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Map || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || single(t) {
		return nil
	}
	return t
}

// singles are the structs that stand for one value, and its form.
var singles = map[reflect.Type]struct{ words, form string }{
	reflect.TypeFor[Size]():     {words: "size"},
	reflect.TypeFor[Duration](): {"duration", `^([0-9]+(\.[0-9]+)?(h|m|s|ms|us|µs|ns))+$`},
	reflect.TypeFor[Rate]():     {"rate", `^[0-9]+ ?([KMG]iB|[kMG]B)/s$`},
}

func single(t reflect.Type) bool { return singles[t].words != "" }

// keysOf lists the PVE keys of a field.
func keysOf(f reflect.StructField) []string {
	key := f.Tag.Get("pve")
	switch {
	case key == "":
		return nil
	case f.Type.Kind() != reflect.Map:
		return []string{key}
	}
	var out []string
	for _, s := range slotsOf(key) {
		out = append(out, s.Prefix+"0 to "+s.Prefix+itoa(s.Max))
	}
	return out
}

func field(f reflect.StructField, name string) Field {
	tag := f.Tag
	out := Field{
		Name: name, Type: typeWords(f), Doc: tag.Get("doc"), Required: required(f), Root: tag.Get("root") == "true",
		Key: strings.Join(keysOf(f), ", "), Default: defaultWords(f), Range: rangeWords(tag.Get("min"), tag.Get("max")),
	}
	if prop, _, _ := strings.Cut(tag.Get("prop"), ","); prop != "" {
		out.Key = strings.TrimPrefix(out.Key+": "+prop, ": ")
	}
	if e := tag.Get("enum"); e != "" {
		out.Values = strings.Split(e, "|")
	}
	return out
}

func rangeWords(lo, hi string) string {
	switch {
	case lo != "" && hi != "":
		return lo + " to " + hi
	case lo != "":
		return "at least " + lo
	case hi != "":
		return "at most " + hi
	}
	return ""
}

func typeWords(f reflect.StructField) string {
	t := f.Type
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case single(t):
		return singles[t].words
	case t.Kind() == reflect.Struct && asText(t):
		return "text or mapping"
	case t.Kind() == reflect.Map && t.Elem().Kind() == reflect.String && f.Tag.Get("pve") == "":
		return "text by name"
	case t.Kind() == reflect.Map && t.Elem().Kind() == reflect.String:
		return "text by slot"
	case t.Kind() == reflect.Map && t.Elem().Kind() == reflect.Slice:
		return "lists of text by name"
	case t.Kind() == reflect.Map && f.Tag.Get("pve") == "":
		return "mapping by name"
	case t.Kind() == reflect.Map:
		return "mapping by slot"
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.String:
		return "list of text"
	case t.Kind() == reflect.Slice:
		return "list of mappings"
	}
	return map[reflect.Kind]string{
		reflect.Struct: "mapping", reflect.Bool: "true or false", reflect.Int: "whole number", reflect.Float64: "number", reflect.String: "text",
	}[t.Kind()]
}

func defaultWords(f reflect.StructField) string {
	t, text := f.Type, f.Tag.Get("default")
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case text == "":
		return ""
	case t.Kind() == reflect.Bool:
		return shown(text)
	case t.Kind() == reflect.Slice:
		return "[" + strings.ReplaceAll(text, ",", ", ") + "]"
	case t == reflect.TypeFor[Size]() && bound(text) != nil:
		return text + "Mi"
	}
	return text
}
