package adopt_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"golang.org/x/tools/txtar"

	"github.com/ustclug/pve-reconcile/manifests"
	"github.com/ustclug/pve-reconcile/reconciler/adopt"
	"github.com/ustclug/pve-reconcile/reconciler/node"
)

var update = flag.Bool("update", false, "rewrite the goldens")

// A golden is one import:
//
//	-- options --          words: update, named
//	-- FILE.yaml --        the tree before; "\r" at the end of a line stands for a carriage return
//	-- have VMID --        a guest, as in the goldens of package vm
//	-- pending VMID --     its pending changes
//	-- nodes --            the nodes of the cluster, which are imported as well; the first may be alone
//	-- GET PATH --         what PVE answers about one; what is not here cannot be read
//	-- result --           what Plan says of each node and guest
//	-- written FILE --     what is written
func TestPlan(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no goldens: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			given := &txtar.Archive{Comment: a.Comment}
			for _, f := range a.Files {
				if f.Name != "result" && !strings.HasPrefix(f.Name, "written ") {
					given.Files = append(given.Files, f)
				}
			}
			tree, hosts, guests := story(t, file, given)
			result := adopt.Plan(tree, hosts, guests)
			have := *given
			have.Files = append(have.Files, txtar.File{Name: "result", Data: []byte(told(result))})
			seen := map[string]bool{}
			for _, f := range result {
				if f.Text != nil && !seen[f.Path] {
					seen[f.Path] = true
					have.Files = append(have.Files, txtar.File{Name: "written " + f.Path, Data: bytes.ReplaceAll(f.Text, []byte("\r"), []byte(`\r`))})
				}
			}
			again(t, tree, hosts, guests, result)
			got := txtar.Format(&have)
			if *update {
				if err := os.WriteFile(file, got, 0o644); err != nil {
					t.Fatal(err)
				}
			} else if want := txtar.Format(a); !bytes.Equal(got, want) {
				t.Errorf("have\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func story(t *testing.T, file string, a *txtar.Archive) (adopt.Tree, []adopt.Host, []adopt.Guest) {
	fsys := fstest.MapFS{}
	tree := adopt.Tree{Files: fsys, Owner: owner, Cluster: func(stated, _ string) string {
		if stated != "" {
			return stated
		}
		return "ustc"
	}}
	pending := map[string]string{}
	for _, f := range a.Files {
		if vmid, ok := strings.CutPrefix(f.Name, "pending "); ok {
			pending[vmid] = string(f.Data)
		}
	}
	var guests []adopt.Guest
	var nodes []string
	answers := map[string]node.Answer{}
	for _, f := range a.Files {
		path, read := strings.CutPrefix(f.Name, "GET ")
		switch {
		case f.Name == "nodes":
			nodes = strings.Fields(string(f.Data))
		case read:
			answers[path] = node.Answer{Body: f.Data}
		case f.Name == "options":
			tree.Update = strings.Contains(string(f.Data), "update")
			tree.Named = strings.Contains(string(f.Data), "named")
		case strings.HasPrefix(f.Name, "have "):
			vmid := strings.TrimPrefix(f.Name, "have ")
			g := observe(t, file, string(f.Data), pending[vmid])
			g.ID.VMID, _ = strconv.Atoi(vmid)
			guests = append(guests, g)
		case !strings.HasPrefix(f.Name, "pending "):
			fsys[f.Name] = &fstest.MapFile{Data: bytes.ReplaceAll(f.Data, []byte(`\r`), []byte("\r"))}
		}
	}
	var hosts []adopt.Host
	for _, name := range nodes {
		hosts = append(hosts, host(name, nodes, answers))
	}
	return tree, hosts, guests
}

func host(name string, nodes []string, answers map[string]node.Answer) adopt.Host {
	h := adopt.Host{Name: name, Alone: len(nodes) == 1, Have: node.Observed{Cluster: "ustc", Nodes: nodes, Answers: map[string]node.Answer{}}}
	ask := func(paths []string) {
		for _, path := range paths {
			a, ok := answers[path]
			if !ok {
				a.Err = errors.New("GET " + path + ": 501 Method 'GET " + path + "' not implemented")
			}
			h.Have.Answers[path] = a
		}
	}
	ask(node.Survey(name))
	ask(node.Details(name, h.Have))
	return h
}

func told(files []adopt.File) string {
	var b strings.Builder
	for _, f := range files {
		id := strconv.Itoa(f.ID.VMID)
		if f.Host != nil {
			id = "node"
		}
		fmt.Fprintf(&b, "%s %s %s %s\n", id, f.Verdict, f.Name, f.Path)
		if f.Why != "" {
			fmt.Fprintln(&b, "  why:", f.Why)
		}
		for _, c := range f.Changed {
			fmt.Fprintln(&b, "  changed:", c)
		}
		for _, l := range f.Left {
			fmt.Fprintln(&b, "  left:", adopt.Shown(l))
		}
		for _, n := range f.Notes {
			fmt.Fprintln(&b, "  note:", n)
		}
	}
	return b.String()
}

// again imports once more into the tree as it then is: everything has its manifest, and nothing differs.
func again(t *testing.T, tree adopt.Tree, hosts []adopt.Host, guests []adopt.Guest, result []adopt.File) {
	t.Helper()
	fsys := tree.Files.(fstest.MapFS)
	for _, f := range result {
		if f.Text != nil {
			fsys[f.Path] = &fstest.MapFile{Data: f.Text}
		}
	}
	tree.Update = true
	for n, f := range adopt.Plan(tree, hosts, guests) {
		wrote := result[n].Text != nil
		if wrote && f.Verdict != adopt.InSync {
			t.Errorf("%s: imported again: %s %s %q", f.Path, f.Verdict, f.Why, f.Changed)
		}
	}
	for _, p := range manifests.Load(fsys).Problems {
		t.Log(p)
	}
}
