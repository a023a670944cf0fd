package manifests_test

import (
	"path/filepath"
	"testing"
	"testing/fstest"

	"golang.org/x/tools/txtar"

	"github.com/ustclug/pve-reconcile/manifests"
)

// FuzzLoad: whatever a file holds, loading ends, every problem has a place, what is refused is not acted on, a file that
// yields nothing is no silent removal, and the file beside it is read.
func FuzzLoad(f *testing.F) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		f.Fatal("no golden files", err)
	}
	for _, file := range files {
		a, err := txtar.ParseFile(file)
		if err != nil {
			f.Fatal(err)
		}
		for _, m := range tree(f, a) {
			f.Add(m.Data)
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		set := manifests.Load(fstest.MapFS{"a.yaml": {Data: text}, "b.yaml": {Data: []byte(good)}})
		for _, p := range set.Problems {
			if p.File != "a.yaml" && p.File != "b.yaml" || p.Line < 1 || p.Column < 1 || p.Text == "" {
				t.Errorf("a problem without a place: %+v", p)
			}
		}
		beside := set.Refused["VirtualMachine/good"] // the fuzzed file claims the same
		found := 0
		for _, v := range set.VMs {
			if set.Refused["VirtualMachine/"+v.Object.Metadata.Name] {
				t.Errorf("%s is refused and acted on", v.Object.Metadata.Name)
			}
			beside = beside || v.File == "b.yaml"
			if v.File == "a.yaml" {
				found++
			}
			v.Object.Settings()
			v.Object.Violations(set.Rules(v.Object.Spec.Node))
			if faults := v.Object.Validate(); len(faults) > 0 {
				t.Errorf("accepted with %v", faults)
			}
		}
		if !beside {
			t.Error("the good file was not read")
		}
		for _, n := range set.Nodes {
			if n.File == "a.yaml" {
				found++
			}
		}
		if found == 0 && len(set.Problems) == 0 {
			t.Error("a file without an object is no problem")
		}
		if len(set.Problems) > 0 && len(set.Refused) == 0 && !set.Unread {
			t.Error("a problem that refuses nothing")
		}
	})
}
