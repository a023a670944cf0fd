package sim

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// pair is one row of the recorded table: what was written, what was read back, what the file held.
type pair struct {
	Parameter string          `json:"parameter"`
	Written   string          `json:"written"`
	Status    int             `json:"status"`
	ReadBack  any             `json:"read_back"`
	JSONType  string          `json:"json_type"`
	Stored    []string        `json:"stored"`
	Error     any             `json:"error"`
	WriteBack json.RawMessage `json:"write_back"`
}

const normVM = "/api2/json/nodes/pve1/qemu/400/config"

// TestNormalisation writes every recorded value and compares what is read back, what the file holds, and what
// writing the read value again changes.
func TestNormalisation(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join(apiDir(t), "normalisation.json"))
	if err != nil {
		t.Fatal(err)
	}
	var table struct{ Rows []pair }
	if err := json.Unmarshal(raw, &table); err != nil {
		t.Fatal(err)
	}
	w := readWorld(t, "testdata/contract/normalisation.world")
	s := New(w, Options{Clock: NewManualClock(time.Unix(1795369300, 0))})
	good := 0
	for i, row := range table.Rows {
		if diff := row.play(t, s); diff != "" {
			t.Errorf("row %d: %s = %q: %s", i+1, row.Parameter, row.Written, diff)
		} else {
			good++
		}
	}
	fmt.Printf("%d of %d written values match\n", good, len(table.Rows))
}

func ask(t testing.TB, s *Server, method, path, form string) (reply, map[string]any) {
	t.Helper()
	r, err := http.NewRequest(method, "https://pve1:8006"+path, strings.NewReader(form))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "PVEAPIToken=root@pam!recon="+s.w.Access.Secrets["root@pam!recon"])
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	rep := s.answer(r)
	var body map[string]any
	if err := json.Unmarshal(rep.body, &body); err != nil {
		t.Fatalf("%s %s: %s", method, path, rep.body)
	}
	return rep, body
}

func (row pair) play(t testing.TB, s *Server) string {
	t.Helper()
	form := url.Values{row.Parameter: {row.Written}}.Encode()
	rep, body := ask(t, s, "PUT", normVM, form)
	if rep.status != row.Status {
		return fmt.Sprintf("have %d %s, want %d %v", rep.status, rep.body, row.Status, row.Error)
	}
	if row.Status != 200 {
		want, have := row.Error, body["errors"]
		if _, plain := want.(string); plain {
			have = body["message"]
		}
		if !reflect.DeepEqual(want, have) {
			return fmt.Sprintf("have error %v, want %v", have, want)
		}
		return ""
	}
	_, body = ask(t, s, "GET", normVM, "")
	conf := body["data"].(map[string]any)
	if have := conf[row.Parameter]; mac(have) != mac(row.ReadBack) || jsonType(have) != row.JSONType {
		return fmt.Sprintf("have %v (%s), want %v (%s)", have, jsonType(have), row.ReadBack, row.JSONType)
	}
	if have := storedLines(s.w.VMs[400].Config(), row.Parameter); mac(have) != mac(fmt.Sprint(row.Stored)) {
		return fmt.Sprintf("the file holds %s, want %s", have, row.Stored)
	}
	if row.WriteBack == nil || conf[row.Parameter] == nil {
		return ""
	}
	return row.writeBack(t, s, conf)
}

// mac masks a made-up address.
func mac(v any) string {
	return generated.ReplaceAllStringFunc(fmt.Sprint(v), func(word string) string {
		if strings.HasPrefix(word, "BC:24:11:") && !strings.HasPrefix(word, "BC:24:11:AA") {
			return "MAC"
		}
		return word
	})
}

func jsonType(v any) string {
	switch v.(type) {
	case string:
		return "str"
	case float64:
		return "int"
	case nil:
		return "NoneType"
	}
	return fmt.Sprintf("%T", v)
}

func storedLines(text, parameter string) string {
	lines := []string{}
	for _, line := range strings.Split(text, "\n") {
		if parameter == "description" && strings.HasPrefix(line, "#") || strings.HasPrefix(line, parameter+":") {
			lines = append(lines, line)
		}
	}
	return fmt.Sprint(lines)
}

// writeBack writes the value that was read and compares which options change.
func (row pair) writeBack(t testing.TB, s *Server, before map[string]any) string {
	t.Helper()
	var want struct{ Changed map[string][]any }
	if string(row.WriteBack) != `"identical"` {
		if err := json.Unmarshal(row.WriteBack, &want); err != nil {
			t.Fatal(err)
		}
	}
	value := before[row.Parameter]
	if n, ok := value.(float64); ok {
		value = fmt.Sprintf("%.0f", n)
	}
	rep, _ := ask(t, s, "PUT", normVM, url.Values{row.Parameter: {value.(string)}}.Encode())
	if rep.status != 200 {
		return fmt.Sprintf("writing it back: %d %s", rep.status, rep.body)
	}
	_, body := ask(t, s, "GET", normVM, "")
	after := body["data"].(map[string]any)
	have := map[string][]any{}
	for key := range after {
		if key != "digest" && !reflect.DeepEqual(before[key], after[key]) {
			have[key] = []any{before[key], after[key]}
		}
	}
	if len(want.Changed) == 0 && len(have) == 0 || reflect.DeepEqual(want.Changed, have) {
		return ""
	}
	return fmt.Sprintf("writing it back changes %v, want %v", have, want.Changed)
}
