package zfs

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/ustclug/pve-reconcile/internal/host"
	"github.com/ustclug/pve-reconcile/reconciler/migration"
	"github.com/ustclug/pve-reconcile/reconciler/step"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// read is what is made of an answer; the name of its section begins with what was asked.
func read(kind, text string) string {
	word, rest, _ := strings.Cut(kind, " ")
	switch word {
	case "refusal":
		err := explain(&host.Error{Host: "h", Script: "zfs", Code: 1, Stderr: text})
		var names []string
		for _, c := range []struct {
			name string
			err  error
		}{
			{"Busy", step.ErrBusy},
			{"Stale", step.ErrStale},
			{"Forbidden", step.ErrForbidden},
			{"Unreachable", step.ErrUnreachable},
			{"Space", ErrSpace},
			{"Token", ErrToken},
			{"Exists", ErrExists},
			{"Gone", ErrGone},
			{"Modified", ErrModified},
			{"Damaged", ErrDamaged},
		} {
			if errors.Is(err, c.err) {
				names = append(names, c.name)
			}
		}
		if len(names) == 0 {
			names = []string{"-"}
		}
		_, advice, _ := strings.Cut(err.Error(), "; ")
		return strings.TrimSpace(strings.Join(names, " ") + ": " + advice)
	case "token":
		t := parseToken("TOKEN", text)
		return fmt.Sprintf("to %s from %s bytes %d left %d error %q", t.ToGUID, t.FromGUID, t.Bytes, t.Left, t.Error)
	case "size":
		return fmt.Sprint(parseSize(text))
	case "version":
		tools, module := parseVersion(text)
		return fmt.Sprintf("tools %q module %q", tools, module)
	case "layout":
		return fmt.Sprint(parseLayout(strings.Fields(rest)[0], text))
	case "dataset":
		d, err := parseDataset(strings.Fields(rest)[0], text)
		out, _ := json.Marshal(d)
		return fmt.Sprintf("%s %v", out, err)
	case "snapshots":
		a := Answer{Datasets: map[string]migration.Dataset{}}
		name := strings.Fields(rest)[0]
		err := a.readDatasets([]string{name}, map[string]string{"datasets": name + "\tguid\t1\t-\n", "snapshots": part(text, "list"), "written": part(text, "written"), "holds": part(text, "holds"), "marks": part(text, "marks")})
		out, _ := json.Marshal(a.Datasets[name].Snapshots)
		return fmt.Sprintf("%s clones %v %v", out, a.Datasets[name].Clones, err)
	case "openers":
		devices, openers := parseOpeners(text)
		out, _ := json.Marshal([]any{devices, openers})
		return string(out)
	}
	return "no such kind"
}

// part is the text behind a line "# NAME".
func part(text, name string) string {
	_, rest, _ := strings.Cut(text, "# "+name+"\n")
	body, _, _ := strings.Cut(rest, "# ")
	return body
}

// TestRecorded reads what real hosts answered.
func TestRecorded(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) < 3 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		a, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for i, f := range a.Files {
			text, want, _ := strings.Cut(string(f.Data), "=> ")
			have := read(f.Name, text)
			if *update {
				a.Files[i].Data = []byte(text + "=> " + have + "\n")
			} else if have+"\n" != want {
				t.Errorf("%s: %s:\n%s\nwant %s\nhave %s", file, f.Name, text, want, have)
			}
		}
		if *update {
			if err := os.WriteFile(file, txtar.Format(a), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}
