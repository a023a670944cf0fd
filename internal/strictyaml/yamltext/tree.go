// Package yamltext writes YAML for people: it prints trees of values in the layout of our manifests, and edits single
// values of a file in place, leaving comments, order and formatting of all others as they are. What it writes,
// package strictyaml reads back. It never reads or writes files, and never re-renders what a person wrote.
package yamltext

import (
	"strings"
	"unicode/utf8"

	"github.com/ustclug/pve-reconcile/internal/strictyaml"
)

type kind uint8

const (
	none kind = iota
	text
	raw
	prose
	list
	mapping
)

// Tree is a value to be written. The zero Tree is no value.
type Tree struct {
	kind   kind
	text   string
	key    string // of Short
	items  []Tree
	fields []Field
}

// Field is one key of a mapping.
type Field struct {
	Key     string
	Value   Tree
	Above   []string // comment lines before it
	Comment string   // behind it, on its line
}

// Text is text, quoted where that is needed.
func Text(s string) Tree { return Tree{kind: text, text: s} }

// Short is text that stands for a mapping with nothing but this key.
func Short(key, s string) Tree { return Tree{kind: text, text: s, key: key} }

// Raw is a number or a boolean, written as it is.
func Raw(s string) Tree { return Tree{kind: raw, text: s} }

// Prose is text written over several lines if it can be. Line breaks at its end do not count.
func Prose(s string) Tree { return Tree{kind: prose, text: strings.TrimRight(s, "\n")} }

// List is a list.
func List(items ...Tree) Tree { return Tree{kind: list, items: items} }

// Map is a mapping.
func Map(fields ...Field) Tree { return Tree{kind: mapping, fields: fields} }

// Empty tells whether there is no value, or a collection that holds none.
func (t Tree) Empty() bool {
	return t.kind == none || (t.kind == list || t.kind == mapping) && len(t.items)+len(t.fields) == 0
}

// Field finds a key of a mapping.
func (t Tree) Field(key string) (Tree, bool) {
	for _, f := range t.fields {
		if f.Key == key {
			return f.Value, true
		}
	}
	return Tree{}, false
}

// Equal tells whether two trees hold the same values, in whatever order their keys stand.
func (t Tree) Equal(o Tree) bool {
	if t.kind != o.kind || t.text != o.text || len(t.items) != len(o.items) || len(t.fields) != len(o.fields) {
		return false
	}
	for i := range t.items {
		if !t.items[i].Equal(o.items[i]) {
			return false
		}
	}
	for _, f := range t.fields {
		if other, ok := o.Field(f.Key); !ok || !f.Value.Equal(other) {
			return false
		}
	}
	return true
}

// width is how long a line may get before brackets are unfolded; comments do not count.
const width = 110

// Print writes the fields of a mapping as lines, each indented by so many blanks.
func Print(t Tree, indent int) string {
	var b strings.Builder
	for _, f := range t.fields {
		b.WriteString(f.print(indent))
	}
	return b.String()
}

func (f Field) print(indent int) string {
	margin := strings.Repeat(" ", indent)
	var b strings.Builder
	for _, line := range f.Above {
		b.WriteString(margin + comment(line) + "\n")
	}
	head := margin + strictyaml.Quote(f.Key, false) + ":"
	behind := ""
	if f.Comment != "" {
		behind = " " + comment(f.Comment)
	}
	value := f.Value
	if value.unfolds() || (value.kind == list || value.kind == mapping) && utf8.RuneCountInString(head+" "+value.Flow()) > width && value.size() > 0 {
		b.WriteString(head + behind + "\n" + value.block(indent+2))
		return b.String()
	}
	if value.kind == prose && value.legible() {
		b.WriteString(head + " |" + behind + "\n" + indented(value.text, indent+2))
		return b.String()
	}
	b.WriteString(head + " " + value.inline(false) + behind + "\n")
	return b.String()
}

func comment(line string) string {
	if line == "" {
		return "#"
	}
	return "# " + strictyaml.Comment(line)
}

func (t Tree) size() int { return len(t.items) + len(t.fields) }

// unfolds tells whether a collection is too deep for one line: a mapping of mappings, or one with comments or prose.
func (t Tree) unfolds() bool {
	for _, f := range t.fields {
		if f.Comment != "" || len(f.Above) > 0 || f.Value.kind == prose || f.Value.kind == mapping && len(f.Value.fields) > 0 {
			return true
		}
	}
	for _, i := range t.items {
		if i.kind == prose || i.kind == mapping || i.kind == list {
			return true
		}
	}
	return false
}

func (t Tree) block(indent int) string {
	if t.kind == mapping {
		return Print(t, indent)
	}
	var b strings.Builder
	for _, i := range t.items {
		b.WriteString(strings.Repeat(" ", indent) + "- " + i.inline(false) + "\n")
	}
	return b.String()
}

// Flow writes the value on one line, fit to stand between brackets.
func (t Tree) Flow() string { return t.inline(true) }

func (t Tree) inline(flow bool) string {
	var parts []string
	switch t.kind {
	case raw:
		return t.text
	case list:
		for _, i := range t.items {
			parts = append(parts, i.inline(true))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case mapping:
		for _, f := range t.fields {
			parts = append(parts, strictyaml.Quote(f.Key, true)+": "+f.Value.inline(true))
		}
		return "{" + strings.Join(parts, ", ") + "}"
	}
	return strictyaml.Quote(t.text, flow)
}

// legible tells whether prose can be written line by line, and be edited without counting blanks.
func (t Tree) legible() bool {
	if t.text == "" || strings.ContainsAny(t.text[:1], " \n\t") {
		return false
	}
	for line := range strings.SplitSeq(t.text, "\n") {
		if !strictyaml.Printable(strings.ReplaceAll(line, "\t", "")) {
			return false
		}
	}
	return true
}

func indented(text string, indent int) string {
	var b strings.Builder
	for line := range strings.SplitSeq(text, "\n") {
		if line != "" {
			b.WriteString(strings.Repeat(" ", indent) + line)
		}
		b.WriteByte('\n')
	}
	return b.String()
}
