package node_test

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/ustclug/pve-reconcile/internal/strictyaml"
	"github.com/ustclug/pve-reconcile/reconciler/node"
	"github.com/ustclug/pve-reconcile/reconciler/step"
	"github.com/ustclug/pve-reconcile/schema"
)

var update = flag.Bool("update", false, "rewrite the golden plans")

// golden is one story of a node: what is declared, what PVE answers, what is done or said.
//
//	-- assert.yaml --            spec.assert of node pve-5
//	-- storages.yaml --          spec.storages of it
//	-- network.yaml --           spec.network of it; dns.yaml, timeZone.yaml, hosts.yaml and datacenter.yaml likewise
//	-- reached --                addresses of the endpoint
//	-- changes --                the diff that PVE puts beside the list of interfaces
//	-- nodes --                  nodes of the cluster; only pve-5 when left out
//	-- GET /nodes/pve-5/status --  the data part of the answer, as recorded; one section for each read that is made
//	-- 403 /nodes/pve-5/dns --     what PVE said instead; 403 is forbidden, 595 not reachable, others are PVE's own troubles
//	-- plan --                   what Plan says
type golden struct {
	file    string
	archive *txtar.Archive
	want    schema.Node
	have    node.Observed
}

func corpus(t testing.TB) []golden {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no goldens: %v", err)
	}
	var out []golden
	for _, file := range files {
		a, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		g := golden{file: file, archive: a, have: node.Observed{Cluster: "ustc", Nodes: []string{"pve-5"}, Answers: map[string]node.Answer{}}}
		declared := map[string]string{}
		for _, f := range a.Files {
			verb, path, _ := strings.Cut(f.Name, " ")
			text := strings.TrimSpace(string(f.Data))
			switch verb {
			case "assert.yaml", "storages.yaml", "network.yaml", "dns.yaml", "timeZone.yaml", "hosts.yaml", "datacenter.yaml":
				declared[strings.TrimSuffix(verb, ".yaml")] = string(f.Data)
			case "reached":
				g.have.Reached = strings.Fields(text)
			case "changes":
				a := g.have.Answers["/nodes/pve-5/network"]
				a.Changes = string(f.Data)
				g.have.Answers["/nodes/pve-5/network"] = a
			case "nodes":
				g.have.Nodes = strings.Fields(text)
			case "GET":
				if !json.Valid(f.Data) {
					t.Fatalf("%s: %s is no JSON", file, f.Name)
				}
				g.have.Answers[path] = node.Answer{Body: f.Data}
			case "403":
				g.have.Answers[path] = node.Answer{Err: fmt.Errorf("GET %s: %s: %w", path, text, step.ErrForbidden)}
			case "595":
				g.have.Answers[path] = node.Answer{Err: fmt.Errorf("GET %s: %s: %w", path, text, step.ErrUnreachable)}
			case "500":
				g.have.Answers[path] = node.Answer{Err: errors.New("GET " + path + ": " + text)}
			case "plan":
			default:
				t.Fatalf("%s: unknown section %s", file, f.Name)
			}
		}
		g.want = parse(t, file, declared)
		out = append(out, g)
	}
	return out
}

func parse(t testing.TB, file string, declared map[string]string) schema.Node {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "apiVersion: %s\nkind: Node\nmetadata: {name: pve-5}\nspec:\n", schema.APIVersion)
	for _, field := range slices.Sorted(maps.Keys(declared)) {
		b.WriteString("  " + field + ":\n")
		for line := range strings.Lines(declared[field]) {
			b.WriteString("    " + line)
		}
	}
	docs, problems := strictyaml.Documents(file, []byte(b.String()))
	var n schema.Node
	if len(docs) == 1 {
		problems = append(problems, docs[0].Decode(&n)...)
	}
	for _, p := range problems {
		t.Fatal(p)
	}
	for _, f := range n.Validate() {
		t.Fatalf("%s: %s: %s", file, f.Path, f.Text)
	}
	return n
}

// printed is a plan as text, one line a fact.
func printed(p step.Plan, err error) string {
	var b strings.Builder
	for _, s := range p.Steps {
		fmt.Fprintln(&b, s)
	}
	for _, w := range p.Waits {
		fmt.Fprintf(&b, "%s: %s\n", w.Reason, w.Text)
	}
	for _, n := range p.Notes {
		fmt.Fprintln(&b, "note:", n)
	}
	if err != nil {
		fmt.Fprintln(&b, "error:", err)
	}
	return b.String()
}

func TestPlans(t *testing.T) {
	for _, g := range corpus(t) {
		t.Run(strings.TrimSuffix(filepath.Base(g.file), ".txtar"), func(t *testing.T) {
			if asked, there := node.Reads(g.want), slices.Sorted(maps.Keys(g.have.Answers)); !slices.Equal(asked, there) {
				t.Errorf("asks for %q, the golden answers %q", asked, there)
			}
			plan, err := node.Plan(g.want, g.have)
			got := printed(plan, err)
			if len(plan.Steps) > 0 && !g.want.Managed() {
				t.Errorf("an assertion changes nothing, and here are steps: %v", plan.Steps)
			}
			for i, f := range g.archive.Files {
				if f.Name != "plan" {
					continue
				}
				if *update {
					g.archive.Files[i].Data = []byte(got)
					if err := os.WriteFile(g.file, txtar.Format(g.archive), 0o644); err != nil {
						t.Fatal(err)
					}
				} else if want := string(f.Data); got != want {
					t.Errorf("got:\n%s\nwant:\n%s", got, want)
				}
				return
			}
			t.Error("no plan section")
		})
	}
}

// TestEveryAssertionFailsSomewhere: each field of spec.assert has a golden in which just it is at fault.
func TestEveryAssertionFailsSomewhere(t *testing.T) {
	tables, err := schema.Reference(schema.KindNode)
	if err != nil {
		t.Fatal(err)
	}
	var said []string
	for _, g := range corpus(t) {
		plan, _ := node.Plan(g.want, g.have)
		for _, w := range plan.Waits {
			if path, _, _ := strings.Cut(w.Text, ": "); w.Reason == step.AssertionFailed {
				said = append(said, path)
			}
		}
	}
	fields := 0
	for _, table := range tables {
		below, ok := strings.CutPrefix(table.Path, "spec.assert")
		if !ok {
			continue
		}
		for _, f := range table.Fields {
			if f.Table != "" && !strings.HasSuffix(f.Table, ".NAME") {
				continue // its own table says it
			}
			fields++
			want := strings.TrimPrefix(below+"."+f.Name, ".")
			if !slices.ContainsFunc(said, func(path string) bool { return shaped(path, want) }) {
				t.Errorf("no golden in which %s does not hold", want)
			}
		}
	}
	if fields < 25 {
		t.Errorf("only %d fields", fields)
	}
}

// shaped tells whether a path of a message is one of a field: zpools.rpool.used of zpools.NAME.used, hosts.10.0.0.1 of hosts.
func shaped(path, field string) bool {
	group, leaf, named := strings.Cut(field, ".NAME.")
	if named {
		return strings.HasPrefix(path, group+".") && strings.HasSuffix(path, "."+leaf)
	}
	return path == field || strings.HasPrefix(path, field+".")
}

// FuzzAnswers: whatever PVE answers, there is a verdict and no panic.
func FuzzAnswers(f *testing.F) {
	all := corpus(f)
	for _, g := range all {
		for _, a := range g.have.Answers {
			f.Add(string(a.Body))
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, g := range all {
			for path := range g.have.Answers {
				have := g.have
				have.Answers = maps.Clone(g.have.Answers)
				have.Answers[path] = node.Answer{Body: json.RawMessage(text)}
				plan, err := node.Plan(g.want, have)
				for _, w := range plan.Waits {
					if w.Text == "" || w.Reason == "" {
						t.Errorf("%s: a wait that says nothing", g.file)
					}
				}
				if err != nil && !errors.Is(err, step.ErrUnreachable) {
					t.Errorf("%s: %v", g.file, err)
				}
			}
		}
	})
}
