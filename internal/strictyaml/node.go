package strictyaml

import (
	"bytes"
	"fmt"

	"go.yaml.in/yaml/v3"
)

type kind uint8

const (
	refused kind = iota // already reported: decodes to nothing
	mapping
	list
	scalar
)

// node is one value of a document, kept small: documents stay in memory with the objects read from them.
type node struct {
	kind         kind
	plain        bool // a scalar without quotes and not a block
	block        bool // a mapping or list written without brackets
	keyPlain     bool
	again        bool // a field that was set before: checked, not used
	line, column int32
	keyLine      int32 // 0 for a list item and for the root
	keyColumn    int32
	key          string
	value        string
	children     []node
}

// at is where a problem with this value is shown. A block mapping begins at its first field, which is not what is meant;
// an empty value begins nowhere. Both are shown at their key.
func (n *node) at() (line, column int) {
	if n.keyLine > 0 && (n.block || n.empty()) {
		return int(n.keyLine), int(n.keyColumn)
	}
	return int(n.line), int(n.column)
}

// keyAt is the place of the key; of the value where there is no key.
func (n *node) keyAt() (line, column int) {
	if n.keyLine > 0 {
		return int(n.keyLine), int(n.keyColumn)
	}
	return int(n.line), int(n.column)
}

func (n *node) empty() bool { return n.kind == scalar && n.plain && n.value == "" }

// null reports a scalar that stands for "no value".
func (n *node) null() bool { return n.kind == scalar && n.plain && resolve(n.value) == nullScalar }

// indexer turns the parser's nodes into ours and reports what no kind of document may contain.
type indexer struct {
	limits   Limits
	nodes    *int // left for the file
	text     chunk
	lines    [][]byte // of text, cut when first needed
	suspect  bool     // the text holds a tab or "!", so columns must be looked at
	problems []Problem
	left     int     // problems not kept
	cut      Problem // the first of them
	deep     bool    // said already
}

func (x *indexer) document(file string, root *yaml.Node) Document {
	x.suspect = bytes.ContainsAny(x.text.text, "\t!")
	out := &node{}
	if x.value(out, root, "", 1); *x.nodes < 0 {
		*out = node{line: out.line, column: out.column} // half a document would raise false problems
	}
	if x.left > 0 {
		x.problems = append(x.problems, unlisted(x.cut, x.left))
	}
	for i := range x.problems {
		x.problems[i].File = file
	}
	return Document{file: file, root: out, problems: x.problems}
}

func (x *indexer) report(n *yaml.Node, path, text, hint string) {
	p := Problem{Line: x.text.line + n.Line - 1, Column: n.Column, Path: path, Text: text, Hint: hint}
	if len(x.problems) < problemsPerDocument {
		x.problems = append(x.problems, p)
	} else if x.left++; x.left == 1 {
		x.cut = p
	}
}

// value fills out, whose key fields are already set.
func (x *indexer) value(out *node, n *yaml.Node, path string, depth int) {
	out.line, out.column = int32(x.text.line+n.Line-1), int32(n.Column)
	if x.spent(n, path, depth) || x.marked(n, path) {
		return
	}
	if x.suspect {
		x.blanks(n, path)
	}
	switch n.Kind {
	case yaml.ScalarNode:
		out.kind, out.value, out.plain = scalar, n.Value, n.Style == 0
	case yaml.SequenceNode:
		out.kind, out.block = list, n.Style&yaml.FlowStyle == 0
		out.children = make([]node, len(n.Content))
		for i, c := range n.Content {
			x.value(&out.children[i], c, joinIndex(path, i), depth+1)
		}
	case yaml.MappingNode:
		out.kind, out.block = mapping, n.Style&yaml.FlowStyle == 0
		x.fields(out, n, path, depth)
	}
}

// spent reports whether the document goes over a limit at n, saying so once.
func (x *indexer) spent(n *yaml.Node, path string, depth int) bool {
	if *x.nodes < 0 {
		return true
	}
	if *x.nodes--; *x.nodes < 0 {
		x.problems = append(x.problems, tooManyNodes(x.limits, x.text.line+n.Line-1, n.Column))
		return true
	}
	if depth > x.limits.Depth {
		if !x.deep {
			x.report(n, "", fmt.Sprintf("nested too deep: at most %d levels are read", x.limits.Depth), "")
		}
		x.deep = true
		return true
	}
	return false
}

func tooManyNodes(l Limits, line, column int) Problem {
	return Problem{
		Line: line, Column: column,
		Text: fmt.Sprintf("the file holds too much: more than %d values", l.Nodes), Hint: "split it into several files",
	}
}

// marked reports anchors, aliases and tags; all but an anchored value are then of no use.
func (x *indexer) marked(n *yaml.Node, path string) bool {
	if n.Anchor != "" {
		x.report(n, path, "anchor &"+shorten(n.Anchor)+": anchors and aliases are not supported", "write each value out")
	}
	switch {
	case n.Kind == yaml.AliasNode:
		x.report(n, path, "alias *"+shorten(n.Value)+": aliases are not supported", "write the value out, or quote it if it is text")
	case n.Style&yaml.TaggedStyle != 0:
		x.report(n, path, "tag "+segment(n.Tag)+": tags are not supported", "remove the tag, or quote the value if it is text")
	case x.suspect && n.Kind == yaml.ScalarNode && n.Style == 0 && x.char(n) == '!':
		x.report(n, path, "tag !: tags are not supported", "remove the tag, or quote the value if it is text")
	default:
		return false
	}
	return true
}

func (x *indexer) fields(out *node, n *yaml.Node, path string, depth int) {
	out.children = make([]node, 0, len(n.Content)/2)
	var seen map[string]int32
	if len(n.Content) > 16 {
		seen = make(map[string]int32, len(n.Content)/2)
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		if !x.key(k, v, path) {
			// What is below a key that is none still counts and is still looked at.
			x.value(&node{}, v, path, depth+1)
			if k.Kind == yaml.MappingNode && k.Style&yaml.FlowStyle != 0 {
				out.kind = refused // a template, not a mapping at all
			}
			continue
		}
		c := node{
			key: k.Value, keyPlain: k.Style == 0,
			keyLine: int32(x.text.line + k.Line - 1), keyColumn: int32(k.Column),
		}
		first := earlier(out.children, seen, k.Value)
		if first > 0 {
			x.report(k, join(path, k.Value), fmt.Sprintf("set twice, first on line %d", first), "keep one of them")
			c.again = true
		} else if seen != nil {
			seen[k.Value] = c.keyLine
		}
		x.value(&c, v, join(path, k.Value), depth+1)
		out.children = append(out.children, c)
	}
}

// earlier is the line on which key was set before, or 0.
func earlier(children []node, seen map[string]int32, key string) int32 {
	if seen != nil {
		return seen[key]
	}
	for i := range children {
		if children[i].key == key {
			return children[i].keyLine
		}
	}
	return 0
}

// key reports keys that are not text.
func (x *indexer) key(k, v *yaml.Node, path string) bool {
	if x.suspect {
		x.blanks(k, path)
	}
	switch {
	case k.Kind == yaml.MappingNode && k.Style&yaml.FlowStyle != 0:
		x.report(k, path, "a mapping in the place of a field name", `quote the whole value if it is a template: "{{ ... }}"`)
	case k.Kind == yaml.MappingNode, k.Kind == yaml.SequenceNode:
		x.report(k, path, "a field name must be text, found "+kindName[k.Kind], "")
	case k.Anchor != "", k.Kind == yaml.AliasNode, k.Style&yaml.TaggedStyle != 0:
		return !x.marked(k, path) && k.Anchor == ""
	case k.Style == 0 && k.Value == "<<":
		x.report(k, path, "merge key <<: not supported", "write the fields out")
	case k.Style == 0 && k.Value == "":
		x.report(k, path, "a field without a name", "")
	default:
		return true
	}
	return false
}

var kindName = map[yaml.Kind]string{yaml.MappingNode: "a mapping", yaml.SequenceNode: "a list"}

// blanks reports a tab before the first thing on a line.
func (x *indexer) blanks(n *yaml.Node, path string) {
	before := x.line(n)
	for i, b := range before {
		if i >= n.Column-1 || b != ' ' && b != '\t' && b != '-' {
			return
		}
		if b == '\t' {
			tab := *n
			tab.Column = i + 1
			x.report(&tab, path, "tab in the indentation", "use spaces")
			x.lines[n.Line-1] = nil // once a line
			return
		}
	}
}

// char is the byte n begins with.
func (x *indexer) char(n *yaml.Node) byte {
	if r := []rune(string(x.line(n))); n.Column-1 < len(r) && r[n.Column-1] < 0x80 {
		return byte(r[n.Column-1])
	}
	return 0
}

func (x *indexer) line(n *yaml.Node) []byte {
	if x.lines == nil {
		x.lines = bytes.Split(x.text.text, []byte("\n"))
	}
	if n.Line < 1 || n.Line > len(x.lines) {
		return nil
	}
	return x.lines[n.Line-1]
}
