package sim

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"sort"
	"strings"
	"testing"
)

// TestSchemaTable compares the simulator's parameter table with the published schemas, so that neither a new call
// nor a new option is missed.
func TestSchemaTable(t *testing.T) {
	dir := apiDir(t)
	for file, version := range map[string]string{"schema.json": "9.2.11", "schema-8.json": "8.4.21"} {
		raw, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		var published struct {
			Formats map[string]map[string]map[string]any
			Paths   map[string]map[string]struct {
				Parameters map[string]map[string]any
				Additional bool `json:"additional_parameters_allowed"`
			}
		}
		if err := json.Unmarshal(raw, &published); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		s := schemaFor(version)
		calls := 0
		for path, methods := range published.Paths {
			for method, want := range methods {
				calls++
				have := s.endpoints[path][method]
				if have == nil {
					t.Errorf("%s: %s %s is missing", file, method, path)
					continue
				}
				if have.anyParam != want.Additional {
					t.Errorf("%s: %s %s: any parameter: have %v", file, method, path, have.anyParam)
				}
				compareProperties(t, fmt.Sprintf("%s: %s %s", file, method, path), &have.params, want.Parameters)
			}
		}
		for name, want := range published.Formats {
			if s.formats[name] == nil {
				t.Errorf("%s: format %s is missing", file, name)
				continue
			}
			compareProperties(t, file+": format "+name, s.formats[name], want)
		}
		have := 0
		for _, methods := range s.endpoints {
			have += len(methods)
		}
		if have != calls {
			t.Errorf("%s: have %d calls, want %d", file, have, calls)
		}
	}
}

func compareProperties(t *testing.T, where string, table *properties, want map[string]map[string]any) {
	t.Helper()
	var wanted []string
	for name := range want {
		wanted = append(wanted, name)
	}
	sort.Strings(wanted)
	var have []string
	for _, name := range table.names() {
		if p := table.byName[name]; p == nil || !p.privateToSimulator {
			have = append(have, name)
		}
	}
	if !reflect.DeepEqual(have, wanted) {
		t.Errorf("%s: have parameters %v, want %v", where, have, wanted)
		return
	}
	for name, w := range want {
		p := table.byName[name]
		if p == nil {
			p = table.counts[strings.TrimSuffix(name, "[n]")]
		}
		text := func(key string) string {
			if w[key] == nil {
				return ""
			}
			return fmt.Sprint(w[key])
		}
		var enum []string
		if list, ok := w["enum"].([]any); ok {
			for _, one := range list {
				enum = append(enum, fmt.Sprint(one))
			}
		}
		optional := w["optional"] == true || w["optional"] == float64(1)
		if p.kind != text("type") || p.optional != optional || !reflect.DeepEqual(p.enum, enum) || p.requires != text("requires") ||
			p.alias != text("alias") || p.pattern != text("pattern") || (p.min != nil) != (w["minimum"] != nil) || (p.maxLen >= 0) != (w["maxLength"] != nil) {
			t.Errorf("%s: %s: have %+v, want %v", where, name, *p, w)
		}
	}
}
