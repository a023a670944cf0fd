package yamltext

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/ustclug/pve-reconcile/internal/strictyaml"
)

// Apply makes edits in the text of a file: in the document whose first key is on the given line. Comments, order and
// formatting of everything else stay; a comment behind a value that goes, goes with it. An error means that the file has a
// form in which this cannot be done, and names the key.
func Apply(text []byte, line int, edits []Edit) ([]byte, error) {
	windows := bytes.Contains(text, []byte("\r\n"))
	for len(edits) > 0 {
		e := edits[0]
		edits = edits[1:]
		s, err := open(text, line)
		if err == nil {
			if inner := s.expand(e); len(inner) > 0 {
				edits = slices.Concat(inner, edits)
				continue
			}
			text, err = s.edit(e, windows)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", strings.Join(e.Path, "."), err)
		}
	}
	return text, nil
}

// expand splits an edit of a whole mapping into edits of its keys, where the file has it as a mapping too.
func (s *source) expand(e Edit) []Edit {
	value := e.Value
	if value.key != "" {
		value = Map(Field{Key: value.key, Value: Text(value.text)})
	}
	p, err := s.find(e.Path)
	if err != nil || value.kind != mapping || p.index < 0 || p.value().Kind != yaml.MappingNode || len(p.value().Content) == 0 {
		return nil
	}
	var out []Edit
	for _, f := range value.fields {
		out = append(out, Edit{Path: below(e.Path, f.Key), Value: f.Value})
	}
	for i := 0; i < len(p.value().Content); i += 2 {
		if key := p.value().Content[i].Value; !slices.ContainsFunc(value.fields, func(f Field) bool { return f.Key == key }) {
			out = append(out, Edit{Path: below(e.Path, key)})
		}
	}
	return out
}

// place is where an edit applies: the mapping that holds the key, and the key if it is there.
type place struct {
	parent *yaml.Node
	index  int // of the key in parent.Content, -1 when it is missing
	flow   bool
}

func (p place) key() *yaml.Node   { return p.parent.Content[p.index] }
func (p place) value() *yaml.Node { return p.parent.Content[p.index+1] }

// find walks to the mapping that holds the last key of a path.
func (s *source) find(path []string) (place, error) {
	p := place{parent: s.root}
	for i, key := range path {
		if p.parent.Kind != yaml.MappingNode {
			return p, fmt.Errorf("line %d: not a mapping", p.parent.Line)
		}
		p.flow = p.flow || p.parent.Style&yaml.FlowStyle != 0
		p.index = indexOf(p.parent, key)
		if i == len(path)-1 {
			break
		}
		if p.index < 0 {
			return p, fmt.Errorf("%s is not there", key)
		}
		p.parent = p.value()
	}
	return p, nil
}

func indexOf(mapping *yaml.Node, key string) int {
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == key {
			return i
		}
	}
	return -1
}

func (s *source) edit(e Edit, windows bool) ([]byte, error) {
	p, err := s.find(e.Path)
	if err != nil {
		return nil, err
	}
	var c cut
	switch {
	case p.index < 0 && e.Value.Empty():
		return s.text, nil
	case p.index < 0:
		c, err = s.insert(p, e)
	case e.Value.Empty():
		c, err = s.remove(p)
	default:
		c, err = s.replace(p, e.Value)
	}
	if err != nil {
		return nil, err
	}
	if windows {
		c.text = strings.ReplaceAll(strings.ReplaceAll(c.text, "\r\n", "\n"), "\n", "\r\n")
	}
	return slices.Concat(s.text[:c.from], []byte(c.text), s.text[c.to:]), nil
}

// cut is what becomes of a span of the text.
type cut struct {
	from, to int
	text     string
}

func (s *source) remove(p place) (cut, error) {
	end, err := s.end(p.value(), p.key(), p.flow)
	if err != nil {
		return cut{}, err
	}
	start := s.start(p.key())
	switch {
	case !p.flow:
		if first := s.lineOf(start); len(bytes.TrimSpace(s.text[first:start])) > 0 {
			return cut{}, fmt.Errorf("line %d: not alone on its line", p.key().Line)
		}
		return cut{s.lineOf(start), s.nextLine(end), ""}, nil
	case p.index > 0:
		before, err := s.end(p.parent.Content[p.index-1], p.parent.Content[p.index-2], true)
		return cut{before, end, ""}, err
	case len(p.parent.Content) > 2:
		return cut{start, s.start(p.parent.Content[2]), ""}, nil
	}
	return cut{start, end, ""}, nil
}

func (s *source) insert(p place, e Edit) (cut, error) {
	name := e.Path[len(e.Path)-1]
	before := -1
	for _, key := range e.After {
		if i := indexOf(p.parent, key); i >= 0 {
			before = i
		}
	}
	if p.flow {
		return s.insertFlow(p.parent, before, Map(Field{Key: name, Value: e.Value}))
	}
	if len(p.parent.Content) == 0 {
		return cut{}, fmt.Errorf("line %d: an empty mapping", p.parent.Line)
	}
	lines := Field{Key: name, Value: e.Value}.print(p.parent.Content[0].Column - 1)
	if before < 0 && s.commented(p.parent.Content[0]) {
		before = 0 // between a comment and what it is about would be the wrong place
	}
	if before < 0 {
		at := s.lineOf(s.start(p.parent.Content[0]))
		if len(bytes.TrimSpace(s.text[at:s.start(p.parent.Content[0])])) > 0 {
			return cut{}, fmt.Errorf("line %d: not alone on its line", p.parent.Line)
		}
		return cut{at, at, lines}, nil
	}
	end, err := s.end(p.parent.Content[before+1], p.parent.Content[before], false)
	if err != nil {
		return cut{}, err
	}
	at := s.nextLine(end)
	if at == len(s.text) && !bytes.HasSuffix(s.text, []byte("\n")) {
		lines = "\n" + strings.TrimSuffix(lines, "\n")
	}
	return cut{at, at, lines}, nil
}

// commented tells whether the line above a key is a comment.
func (s *source) commented(key *yaml.Node) bool {
	at := s.lineOf(s.start(key))
	return at > 0 && bytes.HasPrefix(bytes.TrimSpace(s.text[s.lineOf(at-1):at]), []byte("#"))
}

func (s *source) insertFlow(parent *yaml.Node, before int, field Tree) (cut, error) {
	text := strings.TrimSuffix(strings.TrimPrefix(field.Flow(), "{"), "}")
	switch {
	case before >= 0:
		at, err := s.end(parent.Content[before+1], parent.Content[before], true)
		return cut{at, at, ", " + text}, err
	case len(parent.Content) > 0:
		at := s.start(parent.Content[0])
		return cut{at, at, text + ", "}, nil
	}
	at := s.start(parent) + 1
	return cut{at, at, text}, nil
}

// replace puts another value in the place of one, in the form that one has.
func (s *source) replace(p place, value Tree) (cut, error) {
	old, key := p.value(), p.key()
	start := s.start(old)
	end, err := s.end(old, key, p.flow)
	if err != nil {
		return cut{}, err
	}
	written := old.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0
	behind := "" // the comment behind the first line of a value of several lines
	if head := s.text[start:s.endOfLine(start)]; written {
		if i := bytes.IndexByte(head, '#'); i >= 0 {
			behind = " " + string(head[i:])
		}
	}
	switch {
	case value.kind == prose && value.legible() && !p.flow:
		return s.prose(cut{start, end, ""}, value, key, written, behind), nil
	case written:
		return cut{start, end, value.inline(false) + behind}, nil
	case old.Kind == yaml.SequenceNode && value.kind == list && old.Style&yaml.FlowStyle == 0:
		return s.items(old, value)
	case old.Kind != yaml.ScalarNode && (bytes.IndexByte(s.text[start:end], '#') >= 0 || old.Style&yaml.FlowStyle == 0):
		return cut{}, fmt.Errorf("line %d: cannot be edited in this form", old.Line)
	case value.kind == text && old.Style&yaml.DoubleQuotedStyle != 0:
		return cut{start, end, strictyaml.Quoted(value.text)}, nil
	}
	return cut{start, end, value.inline(p.flow)}, nil
}

// prose writes text line by line, at the depth it had.
func (s *source) prose(c cut, value Tree, key *yaml.Node, written bool, behind string) cut {
	indent := key.Column + 1
	if written {
		first := s.nextLine(c.from)
		if line := s.text[first:s.endOfLine(first)]; first < c.to && len(bytes.TrimSpace(line)) > 0 {
			indent = len(line) - len(bytes.TrimLeft(line, " "))
		}
	} else if line := s.text[c.to:s.endOfLine(c.to)]; len(bytes.TrimSpace(line)) > 0 {
		behind = " " + string(bytes.TrimSpace(line))
		c.to = s.endOfLine(c.to)
	}
	c.text = "|" + behind + "\n" + strings.TrimSuffix(indented(value.text, indent), "\n")
	return c
}

// items rewrites a list that has an item a line. The lines of items that stay are kept, with the comments above and behind.
func (s *source) items(old *yaml.Node, value Tree) (cut, error) {
	from := s.lineOf(s.start(old))
	to, margin := from, ""
	kept := map[string][]string{}
	for _, item := range old.Content {
		start := s.start(item)
		end, err := s.end(item, item, false)
		head := string(s.text[s.lineOf(start):start])
		if err != nil || item.Kind != yaml.ScalarNode || strings.TrimSpace(head) != "-" {
			return cut{}, fmt.Errorf("line %d: cannot be edited in this form", item.Line)
		}
		margin, _, _ = strings.Cut(head, "-")
		kept[item.Value] = append(kept[item.Value], string(s.text[to:s.endOfLine(end)])+"\n")
		to = s.nextLine(end)
	}
	var b strings.Builder
	for _, item := range value.items {
		if lines := kept[item.text]; len(lines) > 0 {
			b.WriteString(lines[0])
			kept[item.text] = lines[1:]
		} else {
			b.WriteString(margin + "- " + item.inline(false) + "\n")
		}
	}
	return cut{from, to, b.String()}, nil
}
