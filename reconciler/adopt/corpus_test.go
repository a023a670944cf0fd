package adopt_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/ustclug/pve-reconcile/reconciler/adopt"
	"github.com/ustclug/pve-reconcile/reconciler/vm"
	"github.com/ustclug/pve-reconcile/schema"
)

// observe reads a guest as goldens print it: "@status running" and the like, then "key: value" as `qm config` prints.
func observe(t testing.TB, file, have, pending string) adopt.Guest {
	t.Helper()
	g := adopt.Guest{ID: schema.ID{Cluster: "ustc", Node: "pve-5", VMID: 101}}
	g.Have = vm.Observed{Exists: true, Node: "pve-5", Status: "stopped", Running: map[string]string{}, Pending: map[string]vm.Change{}}
	for line := range strings.Lines(have) {
		line = strings.TrimRight(line, "\n")
		if at, ok := strings.CutPrefix(line, "@"); ok {
			note(t, file, &g, strings.Fields(at))
		} else if key, value, ok := strings.Cut(line, ":"); ok {
			g.Have.Running[key] = unescaped(strings.TrimPrefix(value, " "))
		}
	}
	for line := range strings.Lines(pending) {
		key, value, _ := strings.Cut(strings.TrimRight(line, "\n"), ": ")
		if key == "delete" {
			g.Have.Pending[value] = vm.Change{Delete: true}
		} else {
			g.Have.Pending[key] = vm.Change{Value: unescaped(value)}
		}
	}
	return g
}

func unescaped(s string) string {
	return strings.NewReplacer(`\n`, "\n", `\t`, "\t", `\r`, "\r", `\e`, "\x1b").Replace(s)
}

func note(t testing.TB, file string, g *adopt.Guest, words []string) {
	switch words[0] {
	case "status":
		g.Have.Status = words[1]
	case "node":
		g.Have.Node, g.ID.Node = words[1], words[1]
	case "vmid":
		g.ID.VMID, _ = strconv.Atoi(words[1])
	case "container":
		g.Have.Container, g.Have.Exists = true, false
	case "size":
		if g.Have.Sizes == nil {
			g.Have.Sizes = map[string]int64{}
		}
		g.Have.Sizes[words[1]], _ = strconv.ParseInt(words[2], 10, 64)
	case "tags":
		g.Have.Facts.TagsCaseSensitive = words[1] == "case-sensitive"
	case "rule": // policies say what may be, not what is
	default:
		t.Fatalf("%s: unknown annotation %q", file, words[0])
	}
}

// TestGoldenPlans: every guest of the goldens of package vm can be imported, but for those that say why not.
func TestGoldenPlans(t *testing.T) {
	files, err := filepath.Glob("../vm/testdata/*.txtar")
	if err != nil || len(files) < 40 {
		t.Fatalf("%d goldens: %v", len(files), err)
	}
	refused := map[string]string{
		"container": "is a container", "no_uuid": "has no uuid", "tombstone_locked": "still working on its config", "create_under_way": "still working on its config",
	}
	for _, file := range files {
		a, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		sections := map[string]string{}
		for _, f := range a.Files {
			sections[f.Name] = string(f.Data)
		}
		if _, ok := sections["have"]; !ok {
			continue // the guest does not exist
		}
		name := strings.TrimSuffix(filepath.Base(file), ".txtar")
		t.Run(name, func(t *testing.T) {
			why := law(t, observe(t, file, sections["have"], sections["pending"]))
			if want := refused[name]; want == "" && why != "" || !strings.Contains(why, want) {
				t.Errorf("refused: %q, want %q", why, want)
			}
		})
	}
}

var configPath = regexp.MustCompile(`/nodes/([^/]+)/qemu/(\d+)/(config|pending)(\?.*)?$`)

// TestRecordedConfigs: so can every guest whose config was recorded from the real API. PVE_API_DIR names the recordings.
func TestRecordedConfigs(t *testing.T) {
	dir := os.Getenv("PVE_API_DIR")
	if dir == "" {
		dir = "../../../shared/pve-api"
	}
	files, _ := filepath.Glob(filepath.Join(dir, "transcripts", "*.json"))
	if len(files) == 0 {
		t.Skip("no recordings: set PVE_API_DIR")
	}
	seen := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var recording any
		if err := json.Unmarshal(text, &recording); err != nil {
			t.Fatal(file, err)
		}
		calls(recording, func(path string, body any) {
			m := configPath.FindStringSubmatch(path)
			if m == nil {
				return
			}
			seen++
			g := adopt.Guest{Have: recorded(body)}
			g.ID.Cluster, g.ID.Node = "ustc", m[1]
			g.ID.VMID, _ = strconv.Atoi(m[2])
			g.Have.Exists, g.Have.Node = true, m[1]
			for _, status := range []string{"running", "stopped"} {
				g.Have.Status = status
				_, otherUUID := g.Have.Pending["smbios1"]
				if why := law(t, g); why != "" && schema.UUID(g.Have.Running) != "" && !otherUUID {
					t.Errorf("%s: %s: refused: %s", filepath.Base(file), path, why)
				}
			}
		})
	}
	if seen < 8 {
		t.Errorf("%d configs among %d recordings", seen, len(files))
	}
	t.Logf("%d configs", seen)
}

// calls finds the answered reads of a recording, however deep.
func calls(v any, found func(path string, body any)) {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			calls(e, found)
		}
	case map[string]any:
		request, _ := v["request"].(map[string]any)
		response, _ := v["response"].(map[string]any)
		if body, ok := response["body"].(map[string]any); ok && request["method"] == "GET" && body["data"] != nil {
			found(request["path"].(string), body["data"])
		}
		for _, e := range v {
			calls(e, found)
		}
	}
}

// recorded makes an observation of either answer: a mapping (config) or a list (pending).
func recorded(body any) vm.Observed {
	o := vm.Observed{Running: map[string]string{}, Pending: map[string]vm.Change{}}
	if config, ok := body.(map[string]any); ok {
		for k, v := range config {
			o.Running[k] = word(v)
		}
	}
	rows, _ := body.([]any)
	for _, r := range rows {
		row := r.(map[string]any)
		key := row["key"].(string)
		if v, ok := row["value"]; ok {
			o.Running[key] = word(v)
		}
		if v, ok := row["pending"]; ok {
			o.Pending[key] = vm.Change{Value: word(v)}
		}
		if row["delete"] != nil {
			o.Pending[key] = vm.Change{Delete: true}
		}
	}
	delete(o.Running, "digest")
	return o
}

func word(v any) string {
	if f, ok := v.(float64); ok {
		return strconv.FormatFloat(f, 'f', -1, 64)
	}
	s, _ := v.(string)
	return s
}

// TestReadBackValues: so can a guest with any single value that the real API was seen to read back.
func TestReadBackValues(t *testing.T) {
	dir := os.Getenv("PVE_API_DIR")
	if dir == "" {
		dir = "../../../shared/pve-api"
	}
	text, err := os.ReadFile(filepath.Join(dir, "normalisation.json"))
	if err != nil {
		t.Skip("no recordings: set PVE_API_DIR")
	}
	var table struct {
		Rows []struct {
			Parameter string
			ReadBack  any `json:"read_back"`
		}
	}
	if err := json.Unmarshal(text, &table); err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, r := range table.Rows {
		if r.ReadBack == nil {
			continue
		}
		seen++
		g := observe(t, "", "name: web\nsmbios1: uuid=8aa3132c-0dbb-5448-bf04-bf8b18ee05bc\n", "")
		g.Have.Running[r.Parameter] = word(r.ReadBack)
		if r.Parameter == "smbios1" && !strings.Contains(word(r.ReadBack), "uuid") {
			continue // refused, as any guest without one
		}
		if why := law(t, g); why != "" {
			t.Errorf("%s %q: refused: %s", r.Parameter, r.ReadBack, why)
		}
	}
	if seen < 100 {
		t.Errorf("%d values", seen)
	}
}
