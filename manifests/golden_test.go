package manifests_test

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"golang.org/x/tools/txtar"

	"github.com/ustclug/pve-reconcile/manifests"
)

var update = flag.Bool("update", false, "rewrite the golden files in testdata")

// tree makes a tree of files out of an archive. A name that ends in " (quoted)" holds Go strings, one a line, for bytes that
// are no text.
func tree(t testing.TB, a *txtar.Archive) fstest.MapFS {
	t.Helper()
	fsys := fstest.MapFS{}
	for _, f := range a.Files {
		if f.Name == "problems" || f.Name == "objects" {
			continue
		}
		name, quoted := strings.CutSuffix(f.Name, " (quoted)")
		data := f.Data
		if quoted {
			data = nil
			for line := range strings.Lines(string(f.Data)) {
				s, err := strconv.Unquote(strings.TrimSpace(line))
				if err != nil {
					t.Fatal(f.Name, err)
				}
				data = append(data, s...)
			}
		}
		fsys[name] = &fstest.MapFile{Data: data}
	}
	return fsys
}

func problems(s manifests.Set) string {
	var b strings.Builder
	for _, p := range s.Problems {
		fmt.Fprintln(&b, p)
	}
	return b.String()
}

// objects prints what is left to act on, and what may not count as removed.
func objects(s manifests.Set) string {
	var b strings.Builder
	for _, v := range s.VMs {
		fmt.Fprintf(&b, "VirtualMachine/%s %s:%d\n", v.Object.Metadata.Name, v.File, v.Line)
	}
	for _, n := range s.Nodes {
		fmt.Fprintf(&b, "Node/%s %s:%d rules %d\n", n.Object.Metadata.Name, n.File, n.Line, len(s.Rules(n.Object.Metadata.Name)))
	}
	for _, m := range s.Migrations {
		fmt.Fprintf(&b, "Migration/%s %s:%d\n", m.Object.Metadata.Name, m.File, m.Line)
	}
	for _, name := range slices.Sorted(maps.Keys(s.Refused)) {
		fmt.Fprintln(&b, "refused", name)
	}
	if s.Unread {
		fmt.Fprintln(&b, "unread")
	}
	for _, p := range s.Advice {
		fmt.Fprintln(&b, "advice", p)
	}
	fmt.Fprintln(&b, "files", s.Files)
	return b.String()
}

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
	set := manifests.Load(tree(t, a))
	have := map[string]string{"problems": problems(set), "objects": objects(set)}
	if *update {
		a.Files = slices.DeleteFunc(a.Files, func(f txtar.File) bool { return have[f.Name] != "" || f.Name == "problems" })
		a.Files = append(a.Files, txtar.File{Name: "problems", Data: []byte(have["problems"])}, txtar.File{Name: "objects", Data: []byte(have["objects"])})
		if err := os.WriteFile(file, txtar.Format(a), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	compared := 0
	for _, f := range a.Files {
		if text, ok := have[f.Name]; ok {
			compared++
			if want := string(f.Data); text != want {
				t.Errorf("%s: have\n%swant\n%s", f.Name, text, want)
			}
		}
	}
	if compared != 2 {
		t.Error("a golden file has the sections problems and objects")
	}
}
