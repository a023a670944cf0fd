package strictyaml

import (
	"bytes"
	"cmp"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/tools/txtar"
)

// FuzzRead: no input makes the reader panic or point outside the file, and what it finds no fault with
// sigs.k8s.io/yaml reads the same.
func FuzzRead(f *testing.F) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		a, err := txtar.ParseFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(a.Files[0].Data)
	}
	for _, text := range agreeSeeds {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		documents, problems := Documents("f", text)
		inside(t, text, problems)
		for _, d := range documents {
			found := d.Decode(&machine{})
			inside(t, text, found)
			if len(d.Problems()) > 0 && len(found) == 0 {
				t.Errorf("Decode keeps quiet about %v", d.Problems())
			}
			for _, p := range found {
				if strings.HasPrefix(p.Text, "expected ") && !strings.Contains(p.Path, `"`) {
					if line, column := d.Position(p.Path); line > p.Line || line == p.Line && column > p.Column {
						t.Errorf("%s: Position says %d:%d", p, line, column)
					}
				}
			}
			d.String("kind")
			d.Decode(&plainKind{})
		}
		if difference := agree(text); difference != "" {
			t.Error(difference)
		}
		if !bytes.ContainsAny(text, "\n#:") && utf8.Valid(text) {
			if difference := slips(string(text)); difference != "" {
				t.Error(difference)
			}
		}
	})
}

// inside checks that problems are sorted and lie in the text or right behind a line of it.
func inside(t *testing.T, text []byte, problems []Problem) {
	t.Helper()
	lines := bytes.Split(bytes.TrimPrefix(text, []byte("\uFEFF")), []byte("\n"))
	for _, p := range problems {
		if p.Line < 1 || p.Line > len(lines) || p.Column < 1 || p.Column > utf8.RuneCount(lines[p.Line-1])+1 {
			t.Errorf("%q: outside of the text: %s", text, p)
		}
		if p.Text == "" || p.File != "f" || strings.ContainsAny(p.String(), "\n\r\x00") {
			t.Errorf("%q: badly written: %q", text, p)
		}
		if strings.HasPrefix(p.Text, "syntax error: ") {
			t.Errorf("%q: the parser's own words: %s", text, p)
		}
	}
	if !slices.IsSortedFunc(problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	}) {
		t.Errorf("%q: not sorted: %v", text, problems)
	}
}
