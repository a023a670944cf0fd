package strictyaml

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Quote writes text as a scalar that Decode reads back as that text: plain where that is possible, else in quotes. flow
// tells whether it stands between brackets. Bytes that are not UTF-8 cannot be written; they come back as U+FFFD.
func Quote(text string, flow bool) string {
	if plainly(text, flow) {
		return text
	}
	return Quoted(text)
}

// Quoted writes text in quotes.
func Quoted(text string) string {
	if strings.ContainsAny(text, `"\`) && !strings.Contains(text, "'") && strings.IndexFunc(text, odd) < 0 {
		return "'" + text + "'"
	}
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range text {
		b.WriteString(escaped(r))
	}
	b.WriteByte('"')
	return b.String()
}

func escaped(r rune) string {
	switch {
	case r == '"' || r == '\\':
		return `\` + string(r)
	case r == '\n':
		return `\n`
	case r == '\t':
		return `\t`
	case r == '\r':
		return `\r`
	case !odd(r):
		return string(r)
	case r < 0x10000:
		return fmt.Sprintf(`\u%04x`, r)
	}
	return fmt.Sprintf(`\U%08x`, r)
}

// odd tells whether a character cannot be seen, or not be told from another.
func odd(r rune) bool {
	joiner := r == 0x200c || r == 0x200d // inside emoji and some scripts
	return !unicode.IsGraphic(r) && !joiner || unicode.IsSpace(r) && r != ' '
}

// Printable tells whether every character of a line can stand in a file as it is.
func Printable(line string) bool { return utf8.ValidString(line) && strings.IndexFunc(line, odd) < 0 }

// Comment writes text as the rest of a comment, on one line.
func Comment(text string) string {
	if Printable(text) {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		if odd(r) {
			b.WriteString(escaped(r))
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// plainly tells whether every YAML parser reads the text without quotes as itself. It errs on the side of quotes.
func plainly(text string, flow bool) bool {
	if text == "" || resolve(text) != textScalar || !Printable(text) {
		return false
	}
	first, size := utf8.DecodeRuneInString(text)
	switch {
	case strings.ContainsRune(",[]{}#&*!|>'\"%@` ", first) || text[len(text)-1] == ' ' || text[len(text)-1] == ':':
		return false
	case strings.ContainsRune("-?:=<", first) && (len(text) == size || !alphanumeric(rune(text[size]))):
		return false
	case strings.Contains(text, ": ") || strings.Contains(text, " #"):
		return false
	}
	return !flow || !strings.ContainsAny(text, ",[]{}?") && first != ':'
}

func alphanumeric(r rune) bool {
	return r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z'
}
