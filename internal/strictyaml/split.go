package strictyaml

import (
	"bytes"
	"fmt"
	"unicode/utf8"
)

// chunk is the text of one document, and the line of the file it begins on.
type chunk struct {
	text []byte
	line int // 1-based
}

// split cuts a file at its document markers. A marker is "---" or "..." at the very start of a line: YAML allows
// neither there inside any scalar (content of a block scalar is indented), so this needs no parser, and a syntax
// error cannot hide what follows.
func split(text []byte) []chunk {
	var chunks []chunk
	start, first, line := 0, 1, 0
	cut := func(end, next int) {
		if end > start {
			chunks = append(chunks, chunk{text[start:end], first})
		}
		start, first = end, next
	}
	for at := 0; at < len(text); {
		line++
		end := len(text)
		if i := bytes.IndexByte(text[at:], '\n'); i >= 0 {
			end = at + i + 1
		}
		switch l := text[at:end]; {
		case marks(l, "---") && !prologue(text[start:at]):
			cut(at, line)
		case marks(l, "..."):
			cut(end, line+1)
		}
		at = end
	}
	cut(len(text), line+1)
	return chunks
}

// marks reports whether a line begins with a document marker.
func marks(line []byte, marker string) bool {
	rest, ok := bytes.CutPrefix(line, []byte(marker))
	return ok && (len(rest) == 0 || bytes.IndexByte([]byte(" \t\r\n"), rest[0]) >= 0)
}

// prologue reports whether the text is only comments and directives, which belong to the "---" that follows.
func prologue(text []byte) bool {
	for line := range bytes.Lines(text) {
		if t := bytes.TrimSpace(line); len(t) > 0 && t[0] != '#' && line[0] != '%' {
			return false
		}
	}
	return true
}

// blank reports whether the document has no content: nothing but comments and markers.
func (c chunk) blank() bool {
	for line := range bytes.Lines(c.text) {
		if marks(line, "---") || marks(line, "...") {
			line = line[3:]
		}
		if t := bytes.TrimSpace(line); len(t) > 0 && t[0] != '#' {
			return false
		}
	}
	return true
}

// dense tells, before anything is parsed, that a text cannot be anything but far more than so many values.
func (c chunk) dense(values int) bool {
	for _, mark := range []string{",", "[", "{", "\n", "- ", "? "} {
		values -= bytes.Count(c.text, []byte(mark))
	}
	return values < 0
}

// clean reports what stands in the way of parsing: directives, and characters that are not text or that YAML
// and editors count differently. At most ten a document.
func (c chunk) clean() []Problem {
	problems := append(c.directives(), c.afterEnd()...)
	for i := 0; i < len(c.text) && len(problems) < 10; {
		r, size := rune(c.text[i]), 1
		if r >= utf8.RuneSelf {
			r, size = utf8.DecodeRune(c.text[i:])
		}
		if text, hint := refuseRune(c.text[i:], r, size); text != "" {
			problems = append(problems, c.problem(i, text, hint))
		}
		i += size
	}
	return problems
}

// directives reports lines such as "%YAML 1.2" before the document.
func (c chunk) directives() []Problem {
	var problems []Problem
	at := 0
	for line := range bytes.Lines(c.text) {
		t := bytes.TrimSpace(line)
		if len(t) > 0 && t[0] != '#' && line[0] != '%' || len(problems) == 10 {
			break
		}
		if line[0] == '%' {
			problems = append(problems, c.problem(at, "YAML directives are not supported", "remove this line"))
		}
		at += len(line)
	}
	return problems
}

// end is the offset of the end marker "...", which can only be the last line, or of the end of the text.
func (c chunk) end() int {
	start := bytes.LastIndexByte(bytes.TrimSuffix(c.text, []byte("\n")), '\n') + 1
	if marks(c.text[start:], "...") {
		return start
	}
	return len(c.text)
}

// afterEnd reports text in the line of the end marker.
func (c chunk) afterEnd() []Problem {
	last := bytes.TrimPrefix(c.text[c.end():], []byte("..."))
	rest := bytes.TrimLeft(last, " \t\r\n")
	if len(rest) == 0 || rest[0] == '#' {
		return nil
	}
	return []Problem{c.problem(len(c.text)-len(rest), `unexpected text after "..."`, `begin a new document with "---"`)}
}

func refuseRune(rest []byte, r rune, size int) (text, hint string) {
	switch {
	case r == '\r':
		if len(rest) > 1 && rest[1] != '\n' {
			return "carriage return inside a line", "save the file with plain newlines"
		}
	case r == '\t' || r == '\n' || r >= ' ' && r < 0x7f:
	case r == utf8.RuneError && size == 1:
		return fmt.Sprintf("not UTF-8: byte 0x%02x", rest[0]), "save the file as UTF-8"
	case r == 0xfeff:
		return "byte order mark inside the file", "remove it"
	case r == 0x85 || r == 0x2028 || r == 0x2029:
		return fmt.Sprintf("invisible line separator U+%04X", r), fmt.Sprintf(`remove it, or write "\u%04x" in double quotes`, r)
	case r < ' ' || r >= 0x7f && r < 0xa0 || r == 0xfffe || r == 0xffff:
		return fmt.Sprintf("control character U+%04X", r), fmt.Sprintf(`remove it, or write "\u%04x" in double quotes`, r)
	}
	return "", ""
}

// problem places a Problem at a byte offset of the chunk.
func (c chunk) problem(offset int, text, hint string) Problem {
	line, column := place(c.text, offset)
	return Problem{Line: c.line + line - 1, Column: column, Text: text, Hint: hint}
}

// place turns a byte offset into a line and a column, both 1-based; columns count characters.
func place(text []byte, offset int) (line, column int) {
	before := text[:min(offset, len(text))]
	start := bytes.LastIndexByte(before, '\n') + 1
	return bytes.Count(before, []byte("\n")) + 1, utf8.RuneCount(before[start:]) + 1
}
