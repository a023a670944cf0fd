// Package render writes objects as manifests: YAML in the layout of the examples, which package manifests reads back as
// the same object. It never leaves out a field that is set, and never touches a file.
package render

import (
	"encoding"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/ustclug/pve-reconcile/internal/strictyaml"
	"github.com/ustclug/pve-reconcile/internal/strictyaml/yamltext"
	"github.com/ustclug/pve-reconcile/schema"
)

// Notes are the comments of a manifest: lines above it, and remarks behind fields by their path ("spec.power").
type Notes struct {
	Above  []string
	Behind map[string]string
}

// VM writes a manifest. A remark for a field that is not set is not written.
func VM(v schema.VM, notes Notes) []byte {
	v.APIVersion, v.Kind = schema.APIVersion, schema.KindVM
	return write(v, notes)
}

// Node writes the manifest of a node.
func Node(n schema.Node, notes Notes) []byte {
	n.APIVersion, n.Kind = schema.APIVersion, schema.KindNode
	return write(n, notes)
}

func write(object any, notes Notes) []byte {
	w := writer{notes: notes}
	tree := w.value(reflect.ValueOf(object), reflect.StructField{}, "")
	var b strings.Builder
	for _, line := range notes.Above {
		b.WriteString(strings.TrimRight("# "+strictyaml.Comment(line), " ") + "\n")
	}
	b.WriteString(yamltext.Print(tree, 0))
	return []byte(b.String())
}

// Tree is the manifest as a tree of values, in the order it is written in.
func Tree(v schema.VM) yamltext.Tree {
	v.APIVersion, v.Kind = schema.APIVersion, schema.KindVM
	return (&writer{}).value(reflect.ValueOf(v), reflect.StructField{}, "")
}

// NodeTree is the same for a node.
func NodeTree(n schema.Node) yamltext.Tree {
	n.APIVersion, n.Kind = schema.APIVersion, schema.KindNode
	return (&writer{}).value(reflect.ValueOf(n), reflect.StructField{}, "")
}

type writer struct{ notes Notes }

// value makes a tree of a Go value. The field tells how a string is meant.
func (w *writer) value(v reflect.Value, sf reflect.StructField, path string) yamltext.Tree {
	if m, ok := v.Interface().(encoding.TextMarshaler); ok && v.Kind() != reflect.Pointer {
		s, err := m.MarshalText()
		if err != nil {
			panic("render: " + path + ": " + err.Error())
		}
		return amount(string(s))
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		return w.value(v.Elem(), sf, path)
	case reflect.Struct:
		if key, text, ok := single(v); ok {
			return yamltext.Short(key, text)
		}
		return yamltext.Map(w.fields(v, path)...)
	case reflect.Map:
		return yamltext.Map(w.entries(v, sf, path)...)
	case reflect.Slice:
		var items []yamltext.Tree
		for i := range v.Len() {
			items = append(items, w.value(v.Index(i), sf, path))
		}
		return yamltext.List(items...)
	case reflect.Bool:
		return yamltext.Raw(strconv.FormatBool(v.Bool()))
	case reflect.Int:
		return yamltext.Raw(strconv.FormatInt(v.Int(), 10))
	case reflect.Float64:
		return yamltext.Raw(strconv.FormatFloat(v.Float(), 'f', -1, 64))
	case reflect.String:
		if sf.Tag.Get("kind") == "description" && (sf.Name == "Description" || strings.Contains(v.String(), "\n")) {
			return yamltext.Prose(v.String())
		}
		return yamltext.Text(v.String())
	}
	panic("render: " + path + " is a " + v.Kind().String())
}

// amount writes a size, which is a number or a word.
func amount(s string) yamltext.Tree {
	if _, err := strconv.ParseUint(s, 10, 63); err == nil {
		return yamltext.Raw(s)
	}
	return yamltext.Text(s)
}

// single is the text that may stand for a whole struct (machine: q35) when no other field is set, and its key.
func single(v reflect.Value) (key, text string, ok bool) {
	if _, ok := reflect.New(v.Type()).Interface().(strictyaml.Scalar); !ok {
		return "", "", false
	}
	for i := range v.NumField() {
		sf := v.Type().Field(i)
		bare := strings.HasSuffix(sf.Tag.Get("prop"), ",bare")
		switch {
		case v.Field(i).IsZero():
		case !bare || sf.Type.Kind() != reflect.String:
			return "", "", false
		default:
			key, _, _ = strings.Cut(sf.Tag.Get("json"), ",")
			text = v.Field(i).String()
		}
	}
	return key, text, text != ""
}

func (w *writer) fields(v reflect.Value, path string) []yamltext.Field {
	var out []yamltext.Field
	for i := range v.NumField() {
		sf := v.Type().Field(i)
		if !sf.IsExported() {
			continue
		}
		name, options, _ := strings.Cut(sf.Tag.Get("json"), ",")
		f := v.Field(i)
		switch {
		case strings.Contains(options, "inline"):
			out = append(out, w.fields(f, path)...)
		case f.IsZero():
		case f.Kind() == reflect.Slice && f.Len() == 0 && sf.Tag.Get("empty") != "":
			out = append(out, w.field(name, yamltext.List(), path))
		default:
			if value := w.value(f, sf, join(path, name)); !value.Empty() {
				out = append(out, w.field(name, value, path))
			}
		}
	}
	places := order(path)
	slices.SortStableFunc(out, func(x, y yamltext.Field) int { return places(x.Key) - places(y.Key) })
	return out
}

func (w *writer) entries(v reflect.Value, sf reflect.StructField, path string) []yamltext.Field {
	var out []yamltext.Field
	for _, k := range v.MapKeys() {
		out = append(out, w.field(k.String(), w.value(v.MapIndex(k), sf, join(path, k.String())), path))
	}
	slices.SortFunc(out, func(x, y yamltext.Field) int { return schema.CompareKeys(x.Key, y.Key) })
	return out
}

func (w *writer) field(name string, value yamltext.Tree, path string) yamltext.Field {
	return yamltext.Field{Key: name, Value: value, Comment: w.notes.Behind[join(path, name)]}
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// first and last are the fields that stand before and after the others, which follow the field table.
var first = map[string][]string{
	"": {"apiVersion", "kind", "metadata", "spec"},
	"spec": {
		"cluster", "node", "vmid", "uuid", "state", "name", "power", "restartPolicy", "overrule", "onboot", "startup", "protection",
		"cpu", "memory", "balloon", "scsihw", "agent", "ostype",
	},
	"spec.cpu":      {"type", "sockets", "cores"},
	"spec.networks": {"model", "bridge", "mac"},
}

var last = map[string][]string{"spec": {"tags", "description"}}

// order ranks the fields of the mapping at a path. The fields of all network cards stand alike.
func order(path string) func(name string) int {
	if cards, _, ok := strings.Cut(path, "spec.networks."); ok && cards == "" {
		path = "spec.networks"
	}
	return func(name string) int {
		if i := slices.Index(first[path], name); i >= 0 {
			return i - 1000
		}
		return slices.Index(last[path], name) + 1
	}
}
