package strictyaml

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
)

var update = flag.Bool("update", false, "rewrite the golden files in testdata")

// read runs a file through everything and prints the outcome.
func read(file string, text []byte) (problems, values string) {
	documents, found := Documents(file, text)
	var v strings.Builder
	for _, d := range documents {
		var m machine
		found = append(found, d.Decode(&m)...)
		j, err := json.Marshal(m)
		if err != nil {
			panic(err)
		}
		v.Write(append(j, '\n'))
	}
	sortProblems(found)
	var p strings.Builder
	for _, f := range found {
		p.WriteString(f.String() + "\n")
	}
	return p.String(), v.String()
}

// TestGolden reads in.yaml of each file and compares the problems and, where the file asks for them, the values.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no golden files", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) { golden(t, file) })
	}
}

func golden(t *testing.T, file string) {
	a, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	part := func(name string) *txtar.File {
		for i := range a.Files {
			if a.Files[i].Name == name {
				return &a.Files[i]
			}
		}
		return nil
	}
	in := part("in.yaml")
	if in == nil || part("problems") == nil {
		t.Fatal("wants in.yaml and problems")
	}
	problems, values := read(in.Name, in.Data)
	for name, have := range map[string]string{"problems": problems, "values": values} {
		p := part(name)
		switch {
		case p == nil:
		case *update:
			p.Data = []byte(have)
		case string(p.Data) != have:
			t.Errorf("%s:\nhave\n%s\nwant\n%s", name, have, p.Data)
		}
	}
	if *update {
		if err := os.WriteFile(file, txtar.Format(a), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
