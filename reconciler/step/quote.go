package step

import (
	"fmt"
	"strings"
	"unicode"
)

// Quote prints a word so that a POSIX shell reads it back.
func Quote(s string) string {
	plain := s != "" && strings.IndexFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_=,.:/+%@", r))
	}) < 0
	if plain {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// printed is a word for people, which bash reads back: what a terminal obeys must not reach one. No other shell takes it so,
// which is why nothing that is run is quoted by it.
func printed(s string) string {
	if strings.IndexFunc(s, obeyed) < 0 {
		return Quote(s)
	}
	return "$'" + Escaped(strings.NewReplacer(`\`, `\\`, "'", `\x27`).Replace(s)) + "'"
}

// Escaped is a text for terminals: control characters but line breaks and tabs, and those that turn the direction of writing,
// are shown as escapes instead of being obeyed.
func Escaped(s string) string {
	if strings.IndexFunc(s, obeyed) < 0 {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		switch {
		case !obeyed(r):
			b.WriteRune(r)
		case r < 0x80:
			fmt.Fprintf(&b, `\x%02x`, r)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

// obeyed tells whether a terminal does something at a character instead of showing it.
func obeyed(r rune) bool {
	return unicode.IsControl(r) && r != '\n' && r != '\t' || unicode.Is(unicode.Bidi_Control, r)
}
