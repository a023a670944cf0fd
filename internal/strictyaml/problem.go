package strictyaml

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Problem is one thing wrong with a file, placed where a person can find it.
type Problem struct {
	File         string
	Line, Column int    // 1-based; Column counts characters
	Path         string // "spec.disks.scsi0.size"; "" for the whole document
	Text         string // what is wrong, lower case
	Hint         string // what to do, or the nearest spelling; may be empty
}

// String puts the problem on one line, the way editors and CI systems find it.
func (p Problem) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s:%d:%d: ", p.File, p.Line, p.Column)
	if p.Path != "" {
		b.WriteString(p.Path)
		b.WriteString(": ")
	}
	b.WriteString(p.Text)
	if p.Hint != "" {
		b.WriteString(", ")
		b.WriteString(p.Hint)
	}
	return b.String()
}

// unlisted stands for problems beyond the most that are listed, at the place of the first of them.
func unlisted(first Problem, n int) Problem {
	first.Path, first.Hint = "", ""
	first.Text = fmt.Sprintf("and %d more problems in this document", n)
	return first
}

func sortProblems(problems []Problem) {
	slices.SortStableFunc(problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
}

// excerpt quotes what the user wrote, cut short.
func excerpt(text string) string { return strconv.Quote(shorten(text)) }

// shorten cuts text to 40 characters.
func shorten(text string) string {
	const most = 40
	if len(text) <= most || utf8.RuneCountInString(text) <= most {
		return text
	}
	count := 0
	for i := range text {
		if count++; count > most-3 {
			return text[:i] + "..."
		}
	}
	return text
}

// oneLine keeps text that others made from breaking the line of a problem.
func oneLine(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, text)
}

// segment writes one mapping key as a part of a path; keys that would garble the line are quoted.
func segment(key string) string {
	odd := func(r rune) bool { return !unicode.IsGraphic(r) || unicode.IsSpace(r) }
	if key == "" || strings.ContainsFunc(key, odd) || len(key) > 100 {
		return excerpt(key)
	}
	return key
}

// join adds a key to a path.
func join(path, key string) string {
	if path == "" {
		return segment(key)
	}
	return path + "." + segment(key)
}

// joinIndex adds a list position to a path.
func joinIndex(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }
