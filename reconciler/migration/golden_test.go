package migration_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/ustclug/pve-reconcile/reconciler/migration"
	"github.com/ustclug/pve-reconcile/schema"
)

var update = flag.Bool("update", false, "rewrite the golden files in testdata")

// TestStages reads testdata/*.txtar: the sections "migration" and "vm" replace fields of the manifests, from there on; then
// come pairs of sections, "NAME" with facts and "NAME: plan" with what is decided. After a section "details", what people
// see of it is part of that.
func TestStages(t *testing.T) {
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
	move, guest, cases, detailed := "", "", 0, false
	var out []txtar.File
	for i, f := range a.Files {
		switch {
		case f.Name == "migration":
			move = string(f.Data)
		case f.Name == "details":
			detailed = true
		case f.Name == "vm":
			guest = string(f.Data)
		case strings.HasSuffix(f.Name, ": plan"):
			continue
		default:
			cases++
			s := resolved(t, move, guest)
			observed := facts(t, s, string(f.Data))
			status := migration.Decide(s.want, s.guest, schema.VM{}, observed)
			have := printed(status)
			if detailed {
				have += details(status)
			}
			if why := migration.Holds(s.want, observed); detailed && why != "" {
				have += "holds: " + why + "\n"
			}
			want := ""
			if i+1 < len(a.Files) && a.Files[i+1].Name == f.Name+": plan" {
				want = string(a.Files[i+1].Data)
			}
			if have != want && !*update {
				t.Errorf("%s: have\n%swant\n%s", f.Name, have, want)
			}
			out = append(out, f, txtar.File{Name: f.Name + ": plan", Data: []byte(have)})
			continue
		}
		out = append(out, f)
	}
	if cases == 0 {
		t.Error("no cases")
	}
	if *update {
		a.Files = out
		if err := os.WriteFile(file, txtar.Format(a), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// printed is a decision as text.
func printed(s migration.Status) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %d of %d", s.Stage, s.Number, s.Of)
	if s.Table != "" {
		fmt.Fprintf(&b, " of the %s", s.Table)
	}
	b.WriteString("\n")
	for _, st := range s.Steps {
		fmt.Fprintln(&b, st)
	}
	for _, w := range s.Waits {
		fmt.Fprintf(&b, "wait %s: %s\n", w.Reason, w.Text)
	}
	for _, n := range s.Notes {
		fmt.Fprintln(&b, "note:", n)
	}
	if s.Soon != 0 {
		fmt.Fprintln(&b, "look again in", s.Soon)
	}
	return strings.ReplaceAll(b.String(), "org.ustclug.pve-reconcile:", "o.u.p:")
}

// details is what people see of a decision.
func details(s migration.Status) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d passes, delta %d MiB, hash %q\n", s.Passes, s.Delta>>20, s.Hash)
	if s.Awaited != "" {
		fmt.Fprintf(&b, "awaited: %s\n", s.Awaited)
	}
	if s.Within != 0 {
		fmt.Fprintf(&b, "within: %s\n", s.Within)
	}
	if s.Forecast != nil {
		fmt.Fprintf(&b, "forecast %s: %s\n", s.Forecast.Total, s.Forecast)
	}
	for _, f := range s.Findings {
		fmt.Fprintf(&b, "%s %s: %s\n", f.Severity, f.Check, f)
	}
	for _, a := range s.Spaces {
		fmt.Fprintln(&b, a.Advice)
	}
	for _, c := range s.Conditions {
		if c.Reason != "NotReached" {
			fmt.Fprintf(&b, "%s=%v %s\n", c.Type, c.Status, c.Reason)
		}
	}
	return strings.ReplaceAll(b.String(), "org.ustclug.pve-reconcile:", "o.u.p:")
}

// goldens is the text of all golden files.
func goldens(t *testing.T) string {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		b.Write(text)
	}
	return b.String()
}
