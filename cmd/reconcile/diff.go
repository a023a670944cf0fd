package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/ustclug/pve-reconcile/internal/source"
	"github.com/ustclug/pve-reconcile/reconciler"
	"github.com/ustclug/pve-reconcile/reconciler/step"
	"github.com/ustclug/pve-reconcile/reconciler/vm"
	"github.com/ustclug/pve-reconcile/schema"
)

func runDiff(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	c, p, words, code, done := closely(ctx, "diff", args, stdout, stderr, "NAME")
	if done {
		return code
	}
	o, r, err := p.object(ctx, words[0])
	if err != nil {
		return failed(stderr, err)
	}
	if c.output == "json" {
		if err := writeJSON(stdout, diffOf(p, o)); err != nil {
			return failed(stderr, err)
		}
		return r.ExitCode()
	}
	printTable(stdout, p, o)
	return r.ExitCode()
}

// closely reads the command line of a verb about one guest or node, and the manifests.
func closely(ctx context.Context, name string, args []string, stdout, stderr io.Writer, needs ...string) (c common, p *program, words []string, code int, done bool) {
	f := flag.NewFlagSet(name, flag.ContinueOnError)
	c.register(f)
	words, code, done = parse(f, args, stdout, stderr)
	if done {
		return c, nil, nil, code, true
	}
	if len(words) != len(needs) {
		return c, nil, nil, usage(stderr, "%s takes %s", name, strings.Join(needs, " and ")), true
	}
	kind, rest, ok := strings.Cut(words[0], "/")
	if ok {
		words[0] = rest
	}
	p, err := assemble(c, stderr)
	if err == nil {
		err = p.read(ctx, words[:1])
	}
	if err != nil {
		return c, nil, nil, failed(stderr, err), true
	}
	for long, brief := range short {
		if ok && (kind == long || kind == brief) {
			p.kind = long
		}
	}
	if ok && p.kind == "" {
		return c, nil, nil, usage(stderr, "%s %s/%s: there is no kind %q, write vm/%s or node/%s", name, kind, rest, kind, rest, rest), true
	}
	if f := blocked(p.input); f != nil {
		fmt.Fprintln(stderr, "reconcile:", f)
		return c, nil, nil, exitPerson, true
	}
	return c, p, words, 0, false
}

// object looks at one guest or node, and has its values from all sides. Of two with one name, the guest is meant unless the kind
// was said.
func (p *program) object(ctx context.Context, name string) (reconciler.Object, reconciler.Report, error) {
	p.input.Tables = true
	r := p.reconciler.Plan(ctx, p.input)
	for _, o := range slices.Backward(r.Objects) { // guests sort last
		switch {
		case o.Kind != schema.KindVM && o.Kind != schema.KindNode || o.Name != name || p.kind != "" && o.Kind != p.kind:
		case o.Err != nil:
			return o, r, o.Err
		case o.Verdict == reconciler.Refused:
			return o, r, fmt.Errorf("the manifest of %s has problems: `reconcile plan %s` lists them", name, name)
		default:
			return o, r, nil
		}
	}
	return reconciler.Object{}, r, fmt.Errorf("%q is no guest and no node: only these have values to compare", name)
}

// printTable shows a row a value; what is not alike is marked.
func printTable(w io.Writer, p *program, o reconciler.Object) {
	w = visible{w}
	fmt.Fprintln(w, title(p))
	fmt.Fprintf(w, "%s %s%s, last applied %s\n", marks[o.Verdict], called(o), verdictWord(o), dash(shorten(o.Given)))
	for _, x := range o.Plan.Waits {
		fmt.Fprintf(w, "    %s: %s\n", x.Reason, x.Text)
	}
	printOthers(w, o.Others)
	table(w, func(t io.Writer) { printRows(t, o) })
}

func printRows(t io.Writer, o reconciler.Object) {
	fmt.Fprintln(t, "  KEY\tDECLARED\tAPPLIED\tLIVE\tWHY")
	for _, r := range o.Table {
		mark := " "
		if r.Cause == step.Git || r.Cause == step.New || r.Cause == step.Drift || r.Cause == step.Pending {
			mark = "~"
		}
		live := cell(legible(r.Key, r.Live))
		if r.Pending != "" {
			live += ", next " + cell(legible(r.Key, r.Pending))
		}
		fmt.Fprintf(t, "%s %s\t%s\t%s\t%s\t%s\n", mark, r.Name(), cell(legible(r.Key, r.Declared)), cell(legible(r.Key, r.Applied)), live, rowWords(r, o))
	}
}

// table aligns what is filled in, a line a row with tabs between its cells.
func table(w io.Writer, fill func(t io.Writer)) {
	var text strings.Builder
	t := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fill(t)
	_ = t.Flush()
	for line := range strings.Lines(text.String()) {
		fmt.Fprintln(w, strings.TrimRight(line, " \n"))
	}
}

// called is what an object is and where it lives.
func called(o reconciler.Object) string {
	if o.Kind == schema.KindNode {
		return "node/" + o.Name
	}
	return fmt.Sprintf("vm/%s (%s/%d)", o.Name, o.ID.Node, o.ID.VMID)
}

func shorten(commit string) string { return source.Revision{Commit: commit}.Short() }

// cell is a value for a column.
func cell(value string) string {
	value = step.Escaped(strings.Join(strings.Fields(value), " "))
	if r := []rune(value); len(r) > 36 {
		value = string(r[:33]) + "..."
	}
	return dash(value)
}

// rowWords says in words what is the matter with a row, "" when nothing is.
func rowWords(r vm.Row, o reconciler.Object) string {
	switch {
	case r.Ignored:
		return "ignored"
	case r.Report:
		return "changed on the host, left alone"
	}
	switch r.Cause {
	case step.Git:
		if r.Declared == "" {
			return "gone from git"
		}
		return "changed in git"
	case step.New:
		return "new in the manifest"
	case step.Drift:
		return "changed on the host"
	case step.Pending:
		return "waits for " + o.Awaited()
	case step.Undeclared:
		return "nobody declared it"
	}
	return ""
}

// tableJSON is the shape of `diff -o json`, documented in docs/output.md.
type tableJSON struct {
	Revision source.Revision `json:"revision"`
	Name     string          `json:"name"`
	Verdict  string          `json:"verdict"`
	Applied  string          `json:"applied,omitempty"`
	Rows     []rowJSON       `json:"rows"`
}

type rowJSON struct {
	Name     string `json:"name"`
	Path     string `json:"path,omitempty"`
	Declared string `json:"declared,omitempty"`
	Applied  string `json:"applied,omitempty"`
	Live     string `json:"live,omitempty"`
	Pending  string `json:"pending,omitempty"`
	Cause    string `json:"cause,omitempty"`
	Report   bool   `json:"report,omitempty"`
	Ignored  bool   `json:"ignored,omitempty"`
}

func rowOf(r vm.Row) rowJSON {
	return rowJSON{r.Name(), r.Path, r.Declared, r.Applied, r.Live, r.Pending, string(r.Cause), r.Report, r.Ignored}
}

func diffOf(p *program, o reconciler.Object) tableJSON {
	out := tableJSON{Revision: p.revision, Name: o.Name, Verdict: string(o.Verdict), Applied: o.Given, Rows: []rowJSON{}}
	for _, r := range o.Table {
		out.Rows = append(out.Rows, rowOf(r))
	}
	return out
}

func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}
