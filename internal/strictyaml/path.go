package strictyaml

import "strings"

// find walks to the value at path, or as far as there is one; exact tells which. Keys may contain dots: the longest that fits wins.
func (d Document) find(path string) (n *node, exact bool) {
	if d.root == nil {
		return &node{line: 1, column: 1}, false
	}
	n, rest := walk(d.root, path)
	return n, rest == ""
}

// walk returns the deepest value on the path, and what is left of the path there.
func walk(n *node, path string) (*node, string) {
	if path == "" {
		return n, ""
	}
	best, left := n, path
	for i := range n.children {
		c := &n.children[i]
		var step string
		switch {
		case c.again:
			continue
		case n.kind == list:
			step = joinIndex("", i)
		default:
			step = segment(c.key)
		}
		rest, ok := strings.CutPrefix(path, step)
		if !ok || rest != "" && rest[0] != '.' && rest[0] != '[' {
			continue
		}
		if found, rest := walk(c, strings.TrimPrefix(rest, ".")); len(rest) < len(left) {
			best, left = found, rest
		}
	}
	return best, left
}

// String returns the scalar at a path ("kind", "metadata.name") as written, whatever its type. It is meant for
// telling kinds apart before Decode. An empty value is not there.
func (d Document) String(path string) (string, bool) {
	n, exact := d.find(path)
	if !exact || n.kind != scalar || n.null() {
		return "", false
	}
	return n.value, true
}

// Text is the value at a path on one line, mappings and lists in brackets. An empty value is not there.
func (d Document) Text(path string) (string, bool) {
	n, exact := d.find(path)
	if !exact || n.null() || n.kind == refused {
		return "", false
	}
	return n.text(), true
}

func (n *node) text() string {
	if n.kind == scalar {
		return n.value
	}
	var parts []string
	for i := range n.children {
		c := &n.children[i]
		if n.kind == mapping {
			parts = append(parts, c.key+": "+c.text())
		} else {
			parts = append(parts, c.text())
		}
	}
	if n.kind == mapping {
		return "{" + strings.Join(parts, ", ") + "}"
	}
	return "[" + strings.Join(parts, ", ") + "]"
}

// Position is the place of the value at path. For a block mapping or list that is its key, and so it is for the nearest
// parent when there is nothing at path.
func (d Document) Position(path string) (line, column int) {
	n, exact := d.find(path)
	if exact {
		return n.at()
	}
	return n.keyAt()
}

// Problem places a problem found after decoding.
func (d Document) Problem(path, text, hint string) Problem {
	line, column := d.Position(path)
	return Problem{File: d.file, Line: line, Column: column, Path: path, Text: text, Hint: hint}
}
