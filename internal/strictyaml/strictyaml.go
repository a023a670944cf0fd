// Package strictyaml reads YAML the way a reviewer would: it decides, for manifests and for the program's own
// config file, whether a text says exactly one thing, and lists everything that is wrong with it in one pass, each
// problem with its line, column and field path. It fills Go structs by their json tags.
//
// It is narrower than YAML on purpose. Unknown and duplicate fields, anchors, aliases, merge keys, tags, and every
// plain scalar that one YAML version reads as text and another as something else are refused. It never opens
// a file, never guesses a value, and never expands an alias.
package strictyaml

import (
	"bytes"
	"fmt"
	"slices"
)

// Limits bound what one file may cost. A zero field means the default.
type Limits struct {
	Bytes int // size of the file; 1 MiB
	Nodes int // mappings, lists and scalars, keys not counted, a document counting ten more; 100,000
	Depth int // nesting; 100
}

func (l Limits) orDefault() Limits {
	if l.Bytes == 0 {
		l.Bytes = 1 << 20
	}
	if l.Nodes == 0 {
		l.Nodes = 100_000
	}
	if l.Depth == 0 {
		l.Depth = 100
	}
	return l
}

// problemsPerDocument keeps a hostile file from filling a terminal, or the memory.
const problemsPerDocument = 1000

// Document is one readable document of a file. It keeps the place of every value, so that problems found
// later (by validation, by a plan) can still name their line. The zero Document is empty.
type Document struct {
	file     string
	root     *node
	problems []Problem // seen without knowing the Go type
}

// Documents splits a file into documents, with the default Limits. See [Limits.Split].
func Documents(file string, text []byte) ([]Document, []Problem) {
	return Limits{}.Split(file, text)
}

// Split splits a file into documents. Documents without content are dropped; a file without any is not a
// problem here, the caller decides. The problems returned are those which leave no Document behind (a syntax
// error, bytes that are not text, a file too large); all others are reported by [Document.Decode].
// A document that cannot be read never hides the ones around it.
func (l Limits) Split(file string, text []byte) ([]Document, []Problem) {
	l = l.orDefault()
	if p, bad := refuseWhole(text, l); bad {
		p.File = file
		return nil, []Problem{p}
	}
	text = bytes.TrimPrefix(text, []byte("\uFEFF"))

	var documents []Document
	var problems []Problem
	nodes, effort := l.Nodes, locateEffort
	for _, c := range split(text) {
		found := c.clean()
		if len(found) == 0 && c.blank() {
			continue
		}
		if nodes -= 10; nodes < 0 || c.dense(2*l.Nodes) {
			nodes = -1
			found = []Problem{tooManyNodes(l, c.line, 1)}
		}
		if len(found) == 0 {
			if root, p := c.parse(&effort); p != nil {
				found = []Problem{*p}
			} else {
				x := indexer{limits: l, nodes: &nodes, text: c}
				documents = append(documents, x.document(file, root))
			}
		}
		for _, p := range found {
			p.File = file
			problems = append(problems, p)
		}
		if nodes < 0 {
			break // said once, by the document that went over
		}
	}
	sortProblems(problems)
	return documents, problems
}

// refuseWhole says why a file is not looked at at all.
func refuseWhole(text []byte, l Limits) (Problem, bool) {
	p := Problem{Line: 1, Column: 1}
	switch {
	case len(text) > l.Bytes:
		p.Text = fmt.Sprintf("the file is too large: %d bytes, at most %d are read", len(text), l.Bytes)
		p.Hint = "split it into several files"
	case bytes.HasPrefix(text, []byte("\xff\xfe")), bytes.HasPrefix(text, []byte("\xfe\xff")):
		p.Text = "the file is UTF-16"
		p.Hint = "save it as UTF-8"
	case bytes.IndexByte(text, 0) >= 0:
		offset := bytes.IndexByte(text, 0)
		p.Line, p.Column = place(text, offset)
		p.Text = fmt.Sprintf("NUL byte at offset %d: this is not a text file", offset)
	default:
		return p, false
	}
	return p, true
}

// Problems lists what is wrong with the document whatever its kind: anchors, tags, duplicate fields, nesting.
// Decode reports them too.
func (d Document) Problems() []Problem { return slices.Clone(d.problems) }
