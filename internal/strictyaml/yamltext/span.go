package yamltext

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// source is the text of a file and the nodes of one of its documents.
type source struct {
	text  []byte
	lines []int // offsets at which lines begin
	root  *yaml.Node
}

// open parses a file and picks the document whose first key is on a line.
func open(text []byte, line int) (s *source, err error) {
	defer func() {
		if r := recover(); r != nil {
			s, err = nil, fmt.Errorf("the YAML parser gave up: %v", r)
		}
	}()
	s = &source{text: text, lines: []int{0}}
	for i, b := range text {
		if b == '\n' {
			s.lines = append(s.lines, i+1)
		}
	}
	for d := yaml.NewDecoder(bytes.NewReader(text)); ; {
		var document yaml.Node
		if err := d.Decode(&document); err != nil {
			return nil, fmt.Errorf("no document begins on line %d: %w", line, err)
		}
		if len(document.Content) == 1 && document.Content[0].Line == line {
			s.root = document.Content[0]
			return s, nil
		}
	}
}

// start is the offset of a node.
func (s *source) start(n *yaml.Node) int {
	at := s.lines[min(n.Line, len(s.lines))-1]
	if n.Line == 1 && bytes.HasPrefix(s.text, []byte("\uFEFF")) {
		at += len("\uFEFF")
	}
	for range n.Column - 1 {
		_, size := utf8.DecodeRune(s.text[at:])
		at += size
	}
	return at
}

// endOfLine is the offset of the line break at or after an offset, or of the end of the text.
func (s *source) endOfLine(at int) int {
	if i := bytes.IndexByte(s.text[at:], '\n'); i >= 0 {
		at += i
		if at > 0 && s.text[at-1] == '\r' {
			at--
		}
		return at
	}
	return len(s.text)
}

// lineOf is the offset at which the line of an offset begins.
func (s *source) lineOf(at int) int { return bytes.LastIndexByte(s.text[:at], '\n') + 1 }

// nextLine is the offset behind the line of an offset.
func (s *source) nextLine(at int) int {
	if i := bytes.IndexByte(s.text[at:], '\n'); i >= 0 {
		return at + i + 1
	}
	return len(s.text)
}

// end is the offset behind a value. key is the one it belongs to: prose ends where a line is indented no more than it.
func (s *source) end(n, key *yaml.Node, flow bool) (int, error) {
	at := s.start(n)
	switch {
	case n.Kind == yaml.ScalarNode && n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		return s.endOfProse(at, key), nil
	case n.Kind == yaml.ScalarNode:
		return s.endOfScalar(at, n, flow)
	case n.Style&yaml.FlowStyle != 0:
		return s.endOfFlow(at, n)
	case len(n.Content) == 0:
		return 0, fmt.Errorf("line %d: an empty value", n.Line)
	}
	last := n.Content[len(n.Content)-1]
	if n.Kind == yaml.MappingNode {
		key = n.Content[len(n.Content)-2]
	} else {
		key = last
	}
	return s.end(last, key, false)
}

func (s *source) endOfProse(at int, key *yaml.Node) int {
	end := s.endOfLine(at)
	for next := s.nextLine(at); next < len(s.text); next = s.nextLine(next) {
		line := s.text[next:s.endOfLine(next)]
		content := bytes.TrimLeft(line, " ")
		if len(content) > 0 && len(line)-len(content) < key.Column {
			break
		}
		if len(content) > 0 {
			end = s.endOfLine(next)
		}
	}
	return end
}

// endOfScalar finds the end of a scalar and proves it by reading the scalar again.
func (s *source) endOfScalar(at int, n *yaml.Node, flow bool) (int, error) {
	end := at
	switch {
	case n.Style&yaml.DoubleQuotedStyle != 0:
		for end++; end < len(s.text) && s.text[end] != '"'; end++ {
			if s.text[end] == '\\' {
				end++
			}
		}
		end++
	case n.Style&yaml.SingleQuotedStyle != 0:
		for end++; end < len(s.text) && (s.text[end] != '\'' || end+1 < len(s.text) && s.text[end+1] == '\''); end++ {
			if s.text[end] == '\'' {
				end++
			}
		}
		end++
	default:
		end = s.endOfPlain(at, flow)
	}
	var again yaml.Node
	end = min(end, len(s.text))
	if err := yaml.Unmarshal(s.text[at:end], &again); err != nil || len(again.Content) != 1 || again.Content[0].Value != n.Value {
		return 0, fmt.Errorf("line %d: a value over several lines", n.Line)
	}
	return end, nil
}

func (s *source) endOfPlain(at int, flow bool) int {
	end := s.endOfLine(at)
	line := string(s.text[at:end])
	if i := strings.Index(line, " #"); i >= 0 {
		line = line[:i]
	}
	if flow {
		if i := strings.IndexAny(line, ",[]{}"); i >= 0 {
			line = line[:i]
		}
	}
	return at + len(strings.TrimRight(line, " \t"))
}

// endOfFlow is behind the closing bracket.
func (s *source) endOfFlow(at int, n *yaml.Node) (int, error) {
	at++
	if len(n.Content) > 0 {
		last := n.Content[len(n.Content)-1]
		end, err := s.end(last, last, true)
		if err != nil {
			return 0, err
		}
		at = end
	}
	for at < len(s.text) {
		switch c := s.text[at]; c {
		case ']', '}':
			return at + 1, nil
		case '#':
			at = s.endOfLine(at)
		case ' ', '\t', '\r', '\n', ',':
			at++
		default:
			return 0, fmt.Errorf("line %d: %q where a bracket should close", n.Line, c)
		}
	}
	return 0, fmt.Errorf("line %d: a bracket that does not close", n.Line)
}
