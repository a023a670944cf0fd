package vm_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/ustclug/pve-reconcile/internal/strictyaml"
	"github.com/ustclug/pve-reconcile/reconciler/step"
	"github.com/ustclug/pve-reconcile/reconciler/vm"
	"github.com/ustclug/pve-reconcile/schema"
)

var update = flag.Bool("update", false, "rewrite the golden plans")

// golden is one story: a manifest, the manifest last applied, a guest as `qm config` prints it, and the plan.
//
//	-- spec.yaml --   the spec of web; vmid 101 on pve-5 in cluster ustc of owner ustclug unless it says otherwise. A first
//	                  line "metadata: {name: x}" gives it another name
//	-- base.yaml --   the spec last applied; absent: never applied
//	-- have --        key: value as `qm config` prints; absent: no such guest. Lines before the config, as "@key value":
//	                  @status, @node, @container, @size VOLID BYTES, @tags case-sensitive, @rule forbid|require KEY VALUE REASON
//	-- pending --     key: value, or "delete: key"
//	-- plan --        what Plan says
//	-- diffs --       why, value by value; optional
//	-- table --       every value from all sides; optional
type golden struct {
	file    string
	archive *txtar.Archive
	want    schema.VM
	base    schema.VM
	have    vm.Observed
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
		g := golden{file: file, archive: a}
		for _, f := range a.Files {
			text := string(f.Data)
			switch f.Name {
			case "spec.yaml":
				g.want = parse(t, file, text)
			case "base.yaml":
				g.base = parse(t, file, text)
			case "have":
				g.have = observe(t, file, text)
			case "pending":
				g.have.Pending = pending(text)
			case "plan", "diffs", "table":
			default:
				t.Fatalf("%s: unknown section %s", file, f.Name)
			}
		}
		out = append(out, g)
	}
	return out
}

func parse(t testing.TB, file, spec string) schema.VM {
	t.Helper()
	var b strings.Builder
	metadata, rest, ok := strings.Cut(spec, "\n")
	if !ok || !strings.HasPrefix(metadata, "metadata:") {
		metadata, rest = "metadata: {name: web}", spec
	}
	spec = rest
	fmt.Fprintf(&b, "apiVersion: %s\nkind: VirtualMachine\n%s\nspec:\n", schema.APIVersion, metadata)
	for _, key := range []string{"node: pve-5", "vmid: 101"} {
		name, _, _ := strings.Cut(key, ":")
		if !strings.Contains("\n"+spec, "\n"+name+":") {
			b.WriteString("  " + key + "\n")
		}
	}
	for line := range strings.Lines(spec) {
		b.WriteString("  " + line)
	}
	docs, problems := strictyaml.Documents(file, []byte(b.String()))
	var v schema.VM
	if len(docs) == 1 {
		problems = append(problems, docs[0].Decode(&v)...)
	}
	for _, p := range problems {
		t.Fatal(p)
	}
	for _, f := range v.Validate() {
		t.Fatalf("%s: %s: %s", file, f.Path, f.Text)
	}
	return v.Resolve("ustclug", "ustc")
}

func observe(t testing.TB, file, text string) vm.Observed {
	o := vm.Observed{Exists: true, Node: "pve-5", Status: "stopped", Digest: "d1", Running: map[string]string{}, Pending: map[string]vm.Change{}}
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if rest, ok := strings.CutPrefix(line, "@"); ok {
			annotate(t, file, &o, strings.Fields(rest))
			continue
		}
		if key, value, ok := strings.Cut(line, ":"); ok {
			o.Running[key] = strings.ReplaceAll(strings.TrimPrefix(value, " "), `\n`, "\n")
		}
	}
	return o
}

func annotate(t testing.TB, file string, o *vm.Observed, words []string) {
	switch words[0] {
	case "status":
		o.Status = words[1]
	case "node":
		o.Node = words[1]
	case "container":
		o.Container, o.Exists = true, false
	case "size":
		n, err := strconv.ParseInt(words[2], 10, 64)
		if err != nil {
			t.Fatal(file, err)
		}
		if o.Sizes == nil {
			o.Sizes = map[string]int64{}
		}
		o.Sizes[words[1]] = n
	case "tags":
		o.Facts.TagsCaseSensitive = words[1] == "case-sensitive"
	case "rule":
		o.Rules = append(o.Rules, schema.Rule{Require: words[1] == "require", Settings: map[string][]string{words[2]: {words[3]}}, Reason: strings.Join(words[4:], " "), Node: "pve-5"})
	default:
		t.Fatalf("%s: unknown annotation %q", file, words[0])
	}
}

func pending(text string) map[string]vm.Change {
	m := map[string]vm.Change{}
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimRight(line, "\n"), ": ")
		if key == "delete" {
			m[value] = vm.Change{Delete: true}
		} else {
			m[key] = vm.Change{Value: value}
		}
	}
	return m
}

// printed is a plan as text, one line a fact.
func printed(p step.Plan) string {
	var b strings.Builder
	for _, s := range p.Steps {
		fmt.Fprintln(&b, s)
	}
	for _, w := range p.Waits {
		fmt.Fprintf(&b, "wait %s: %s\n", w.Reason, w.Text)
	}
	if len(p.Restart) > 0 {
		fmt.Fprintln(&b, "restart needed:", strings.Join(p.Restart, " "))
	}
	for _, n := range p.Notes {
		fmt.Fprintln(&b, "note:", n)
	}
	return b.String()
}

// causes is the differences of a plan as text, one line a value.
func causes(p step.Plan) string {
	var b strings.Builder
	for _, d := range p.Diffs {
		fmt.Fprintf(&b, "%s %s (%s): base %q have %q want %q", d.Cause, d.Name(), d.Path, d.Base, d.Have, d.Want)
		if d.Report {
			b.WriteString(" report")
		}
		b.WriteString("\n")
	}
	return b.String()
}

// rows is a table as text.
func rows(table []vm.Row) string {
	var b strings.Builder
	for _, r := range table {
		fmt.Fprintf(&b, "%s (%s): declared %q applied %q live %q pending %q %s", r.Name(), r.Path, r.Declared, r.Applied, r.Live, r.Pending, r.Cause)
		if r.Ignored {
			b.WriteString("ignored")
		}
		b.WriteString("\n")
	}
	return strings.ReplaceAll(b.String(), " \n", "\n")
}

func TestPlans(t *testing.T) {
	for _, g := range corpus(t) {
		t.Run(strings.TrimSuffix(filepath.Base(g.file), ".txtar"), func(t *testing.T) {
			p := vm.Plan(g.want, g.base, g.have)
			found := false
			for i, f := range g.archive.Files {
				have := ""
				switch f.Name {
				case "plan":
					have, found = printed(p), true
				case "diffs":
					have = causes(p)
				case "table":
					have = rows(vm.Table(g.want, g.base, g.have, p.Diffs))
				default:
					continue
				}
				if *update {
					g.archive.Files[i].Data = []byte(have)
				} else if want := string(f.Data); have != want {
					t.Errorf("%s: have:\n%s\nwant:\n%s", f.Name, have, want)
				}
			}
			if !found {
				t.Error("no plan section")
			}
			if *update {
				if err := os.WriteFile(g.file, txtar.Format(g.archive), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}
