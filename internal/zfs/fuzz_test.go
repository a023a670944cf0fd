package zfs

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

// FuzzAnswers: whatever a host answers, reading it ends, and a dataset is only there when it has a guid.
func FuzzAnswers(f *testing.F) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		a, err := txtar.ParseFile(file)
		if err != nil {
			f.Fatal(err)
		}
		for _, s := range a.Files {
			text, _, _ := strings.Cut(string(s.Data), "=> ")
			f.Add(s.Name, text)
		}
	}
	f.Fuzz(func(t *testing.T, kind, text string) {
		if word, rest, _ := strings.Cut(kind, " "); word == "layout" || word == "dataset" || word == "snapshots" {
			if len(strings.Fields(rest)) == 0 {
				return
			}
		}
		read(kind, text)
		if d, err := parseDataset("p/d", text); err == nil && d.Exists != (d.GUID != "") {
			t.Errorf("%+v", d)
		}
		var a Answer
		a.More = map[string]string{}
		if err := a.read(Question{}, sections(text)); err == nil && !strings.Contains(text, mark+"end") {
			t.Errorf("an answer without an end: %q", text)
		}
	})
}
