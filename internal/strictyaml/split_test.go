package strictyaml

import (
	"strings"
	"testing"
)

func TestBytesThatAreNotText(t *testing.T) {
	tests := []struct{ name, in, problems, kinds string }{
		{"empty", "", "", ""},
		{"blank", "\n \n# comment\n", "", ""},
		{"byte order mark", "\uFEFFkind: a\n", "", "a"},
		{"byte order mark and a fault", "\uFEFFkind: @\n", "f:1:7: a value may not begin with \"@\", quote it\n", ""},
		{"Windows lines", "kind: a\r\nspec:\r\n  vmid: 1\r\n---\r\nkind: b\r\n...\r\n", "", "a b"},
		{"Windows lines and a fault", "kind: a\r\nspec:\r\n  vmid: 1\r\n   node: x\r\n", "f:4:4: indented deeper than the field above, which already has a value, line it up with the fields around it\n", ""},
		{"no newline at the end", "kind: a", "", "a"},
		{"old Mac lines", "kind: a\rspec: {}\r", "f:1:8: carriage return inside a line, save the file with plain newlines\n", ""},
		{"Latin 1", "kind: a\n# f\xfcr\n", "f:2:4: not UTF-8: byte 0xfc, save the file as UTF-8\n", ""},
		{"Latin 1 after characters", "kind: \"äö\xfc\"\n---\nkind: b\n", "f:1:10: not UTF-8: byte 0xfc, save the file as UTF-8\n", "b"},
		{"UTF-16", "\xff\xfek\x00i\x00", "f:1:1: the file is UTF-16, save it as UTF-8\n", ""},
		{"NUL", "kind: a\nspec: \x00\n", "f:2:7: NUL byte at offset 14: this is not a text file\n", ""},
		{"escape character", "kind: a\x1b[0m\n", "f:1:8: control character U+001B, remove it, or write \"\\u001b\" in double quotes\n", ""},
		{"line separator", "kind: a\u2028b\n", "f:1:8: invisible line separator U+2028, remove it, or write \"\\u2028\" in double quotes\n", ""},
		{"byte order mark inside", "kind: a\n---\n\uFEFFkind: b\n", "f:3:1: byte order mark inside the file, remove it\n", "a"},
		{"markers only", "---\n--- # x\n...\n---\n", "", ""},
		{"markers that are none", "kind: \"---\"\nspec:\n  description: |\n    ---\n   \n    ...\n---x: 1\n", "", "---"},
		{"text after the end", "kind: a\n... b\n", "f:2:5: unexpected text after \"...\", begin a new document with \"---\"\n", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			documents, problems := Documents("f", []byte(test.in))
			var have strings.Builder
			for _, p := range problems {
				have.WriteString(p.String() + "\n")
			}
			if have.String() != test.problems {
				t.Errorf("problems:\nhave %q\nwant %q", have.String(), test.problems)
			}
			var kinds []string
			for _, d := range documents {
				kind, _ := d.String("kind")
				kinds = append(kinds, kind)
			}
			if strings.Join(kinds, " ") != test.kinds {
				t.Errorf("kinds: have %q, want %q", kinds, test.kinds)
			}
		})
	}
}
