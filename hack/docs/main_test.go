package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/ustclug/pve-reconcile/manifests"
)

func TestManualIsFresh(t *testing.T) {
	want, err := render()
	if err != nil {
		t.Fatal(err)
	}
	have, err := os.ReadFile(filepath.Join("..", "..", "docs", "manifests.md"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(have, want) {
		t.Error("docs/manifests.md is stale: run `go run ./hack/docs` and commit it")
	}
}

// TestExamples loads the examples of the manual together, as one tree: each is complete and they keep each other's rules.
func TestExamples(t *testing.T) {
	tree := fstest.MapFS{}
	for i, m := range regexp.MustCompile("(?ms)^```yaml\n(.*?)^```$").FindAllStringSubmatch(manual, -1) {
		tree[fmt.Sprintf("example%d.yaml", i)] = &fstest.MapFile{Data: []byte(m[1])}
	}
	set := manifests.Load(tree)
	for _, p := range set.Problems {
		t.Error(p)
	}
	if len(set.VMs) != 3 || len(set.Nodes) != 5 || len(set.Migrations) != 1 {
		t.Errorf("%d guests, %d nodes and %d migrations in %d examples", len(set.VMs), len(set.Nodes), len(set.Migrations), len(tree))
	}
}

// TestLinks follows every link inside the manual.
func TestLinks(t *testing.T) {
	text, err := render()
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(string(text), -1) {
		if known[anchor(m[1])] {
			t.Errorf("two headings are called %q", m[1])
		}
		known[anchor(m[1])] = true
	}
	links := regexp.MustCompile(`\]\(#([^)]*)\)`).FindAllStringSubmatch(string(text), -1)
	for _, m := range links {
		if !known[m[1]] {
			t.Errorf("no heading #%s", m[1])
		}
	}
	if len(links) < 30 {
		t.Errorf("only %d links", len(links))
	}
	_, tables, _ := strings.Cut(string(text), "## Reference")
	for line := range strings.Lines(tables) {
		if strings.HasPrefix(line, "| `") && strings.Count(strings.ReplaceAll(line, `\|`, ""), "|") != 7 {
			t.Errorf("a row with the wrong number of cells: %s", line)
		}
	}
}
