package strictyaml

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"
)

// fault is a syntax error.
type fault struct {
	text    []byte
	offset  int // where the parser noticed it
	context int // the start of the line of the list or mapping it is in, where the parser says so
}

// reword says in plain words what the parser stumbled over, and where a person should look.
func (f fault) reword(message string) (at int, what, hint string) {
	f.offset = min(f.offset, len(f.text))
	for f.offset > 0 && f.offset < len(f.text) && !utf8.RuneStart(f.text[f.offset]) {
		f.offset--
	}
	if i := bytes.Index(f.text, []byte("<<<<<<< ")); i >= 0 && (i == 0 || f.text[i-1] == '\n') {
		return i, "a git merge conflict is left in the file", "keep one side and remove the markers"
	}
	if words, ok := rewords[message]; ok {
		return words(f)
	}
	if name, ok := strings.CutPrefix(message, "unknown anchor '"); ok {
		name = shorten(strings.TrimSuffix(name, "' referenced"))
		return f.back('*'), "alias *" + name + ": aliases are not supported",
			"write the value out, or quote it if it is text"
	}
	if strings.HasPrefix(message, "exceeded max depth") {
		return f.offset, "nested far too deep", ""
	}
	return f.offset, "syntax error: " + message, ""
}

var rewords = map[string]func(fault) (int, string, string){
	"mapping values are not allowed in this context":               fault.secondColon,
	"did not find expected key":                                    fault.noKey,
	"did not find expected '-' indicator":                          fault.noItem,
	"did not find expected ',' or ']'":                             fault.unclosed,
	"did not find expected ',' or '}'":                             fault.unclosed,
	"did not find expected node content":                           fault.noContent,
	"could not find expected ':'":                                  fault.noColon,
	"found unexpected end of stream":                               fault.openQuote,
	"found character that cannot start any token":                  fault.badStart,
	"found unknown escape character":                               fault.badEscape,
	"did not find expected hexdecimal number":                      fault.badEscape,
	"found invalid Unicode character escape code":                  fault.badEscape,
	"did not find expected comment or line break":                  fault.afterBlockMark,
	"found an indentation indicator equal to 0":                    fault.afterBlockMark,
	"did not find expected <document start>":                       fault.afterEnd,
	"found a tab character that violates indentation":              fault.tab,
	"found a tab character where an indentation space is expected": fault.tab,
	"block sequence entries are not allowed in this context":       fault.itemHere,
	"mapping keys are not allowed in this context":                 fault.complexKey,
	"did not find expected alphabetic or numeric character":        fault.badAnchor,
	"found undefined tag handle":                                   fault.badTag,
	"did not find the expected '>'":                                fault.badTag,
	"did not find expected '!'":                                    fault.badTag,
	"did not find expected tag URI":                                fault.badTag,
	"found incompatible YAML document":                             fault.directive,
	"found unknown directive name":                                 fault.directive,
	"found duplicate %YAML directive":                              fault.directive,
	"found duplicate %TAG directive":                               fault.directive,
	"found unexpected non-alphabetical character":                  fault.directive,
	"did not find expected digit or '.' character":                 fault.directive,
	"found extremely long version number":                          fault.directive,
	"did not find expected version number":                         fault.directive,
	"did not find expected whitespace":                             fault.directive,
	"found an incorrect leading UTF-8 octet":                       fault.badTag,
	"found an incorrect trailing UTF-8 octet":                      fault.badTag,
	"could not find expected directive name":                       fault.directive,
	"did not find URI escaped octet":                               fault.badTag,
	"did not find expected whitespace or line break":               fault.badTag,
}

// line returns the line the fault is on, without its newline, and the offset it starts at.
func (f fault) line() (line []byte, start int) { return f.lineAt(f.offset) }

func (f fault) lineAt(offset int) (line []byte, start int) {
	start = bytes.LastIndexByte(f.text[:offset], '\n') + 1
	line, _, _ = bytes.Cut(f.text[start:], []byte("\n"))
	return bytes.TrimRight(line, "\r"), start
}

// first is the offset of the first character of the fault's line that is not blank.
func (f fault) first() int {
	line, start := f.line()
	return start + len(line) - len(bytes.TrimLeft(line, " \t"))
}

// back is the offset of the nearest c at or before the fault on its line, or the fault's own.
func (f fault) back(c byte) int {
	_, start := f.line()
	if i := bytes.LastIndexByte(f.text[start:min(f.offset+1, len(f.text))], c); i >= 0 {
		return start + i
	}
	return f.offset
}

// char is what stands at the fault; "" at the end of the text.
func (f fault) char() string {
	r, size := utf8.DecodeRune(f.text[f.offset:])
	if size == 0 || r == '\n' {
		return ""
	}
	return string(r)
}

// above returns the nearest line above that has content.
func (f fault) above() (line []byte, start int) {
	for _, at := f.line(); at > 0; {
		line, at = f.lineAt(at - 1)
		if t := bytes.TrimSpace(line); len(t) > 0 && t[0] != '#' {
			return line, at
		}
	}
	return nil, 0
}

func (f fault) secondColon() (int, string, string) {
	line, start := f.line()
	colon := f.back(':')
	if bytes.Contains(line[:max(colon-start, 0)], []byte(": ")) {
		return colon, `a second ": " on one line`, "quote the value, or give the second field its own line"
	}
	if above, at := f.above(); above != nil && !hasField(above) {
		blanks := len(above) - len(bytes.TrimLeft(above, " \t"))
		return fault{text: f.text, offset: at + blanks}.noColon()
	}
	return f.first(), "indented deeper than the field above, which already has a value", "line it up with the fields around it"
}

// hasField reports whether a line looks like "name: value".
func hasField(line []byte) bool {
	return bytes.Contains(line, []byte(": ")) || bytes.HasSuffix(bytes.TrimSpace(line), []byte(":"))
}

func (f fault) noColon() (int, string, string) {
	line, _ := f.line()
	line = bytes.TrimSpace(line)
	if hint := spaced(string(line)); hint != "" {
		return f.first(), "not a field: there is no space after the colon", hint
	}
	if item, ok := bytes.CutPrefix(line, []byte("-")); ok && !bytes.HasPrefix(item, []byte("-")) {
		return f.first(), "not a list item: there is no space after the dash", "write " + excerpt("- "+string(item))
	}
	return f.first(), `not a field: there is no ": " in this line`, `write "name: value", or indent it if it belongs to the text above`
}

var unspaced = regexp.MustCompile(`^([A-Za-z][A-Za-z0-9_-]*):([^\s/].*)$`)

// spaced is the hint for "name:value", where "name: value" was meant.
func spaced(text string) string {
	if m := unspaced.FindStringSubmatch(text); m != nil {
		return "write " + excerpt(m[1]+": "+m[2])
	}
	return ""
}

func (f fault) noKey() (int, string, string) {
	line, start := f.line()
	switch f.char() {
	case "]", "}", ",":
		return f.unexpected()
	}
	if f.offset > f.first() {
		before := bytes.TrimSpace(line[:f.offset-start])
		if bytes.HasSuffix(before, []byte("'")) {
			return f.offset, "unexpected text after a quoted value", "inside single quotes write '' for one '"
		}
		return f.offset, "unexpected text after the value", "quote the whole value"
	}
	if f.char() == "-" {
		return f.offset, "a list item where a field was expected", "give the list a name, and indent its items below it"
	}
	return f.offset, "wrong indentation: this line fits no field above it", "line it up with the fields it belongs to"
}

func (f fault) noItem() (int, string, string) {
	return f.first(), "a field where a list item was expected", `indent it below the item above, or begin it with "- "`
}

func (f fault) unexpected() (int, string, string) {
	return f.offset, "unexpected " + excerpt(f.char()), "remove it, or quote the value it belongs to"
}

// unclosed looks back for the bracket that was opened on the line the parser names.
func (f fault) unclosed() (int, string, string) { return f.openedFrom(f.context) }

func (f fault) openedFrom(start int) (int, string, string) {
	depth := 0
	for i := min(f.offset, len(f.text)-1); i >= start; i-- {
		switch f.text[i] {
		case ']', '}':
			depth++
		case '[', '{':
			if depth--; depth < 0 {
				noun, closing := "list", "]"
				if f.text[i] == '{' {
					noun, closing = "mapping", "}"
				}
				return i, fmt.Sprintf("the %s opened here lacks a comma or its closing %q", noun, closing), ""
			}
		}
	}
	return f.offset, "a list or mapping lacks a comma or its closing bracket", ""
}

func (f fault) noContent() (int, string, string) {
	switch f.char() {
	case "]", "}":
		return f.unexpected()
	case ",":
		if len(bytes.TrimSpace(f.text[f.offset+1:])) > 0 {
			return f.unexpected()
		}
	}
	return f.openedFrom(0)
}

func (f fault) openQuote() (int, string, string) {
	return f.offset, "the quote opened here is never closed", ""
}

func (f fault) badStart() (int, string, string) {
	if f.char() == "\t" {
		return f.tab()
	}
	return f.offset, "a value may not begin with " + excerpt(f.char()), "quote it"
}

func (f fault) tab() (int, string, string) {
	return f.back('\t'), "tab in the indentation", "use spaces"
}

func (f fault) badEscape() (int, string, string) {
	return f.back('\\'), `unknown \ escape in double quotes`, `write \\ for one \, or use single quotes`
}

func (f fault) afterBlockMark() (int, string, string) {
	return f.offset, `unexpected text after "|" or ">"`, "begin the text on the next line, or quote the value"
}

func (f fault) afterEnd() (int, string, string) {
	return f.first(), "wrong indentation: indented less than the first line", "line it up with the first field"
}

func (f fault) itemHere() (int, string, string) {
	return f.offset, "a list item may not begin here", "begin the list on the next line, or quote the value"
}

func (f fault) complexKey() (int, string, string) {
	return f.offset, `a value may not begin with "? "`, "quote it"
}

func (f fault) badAnchor() (int, string, string) {
	at := max(f.back('*'), f.back('&'))
	return at, "anchors and aliases are not supported", "quote the value if it is text"
}

func (f fault) badTag() (int, string, string) {
	return f.back('!'), "tags are not supported", "remove the tag, or quote the value if it is text"
}

func (f fault) directive() (int, string, string) {
	return f.first(), "YAML directives are not supported", "remove this line, or quote the value if it is text"
}
