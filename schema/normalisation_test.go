package schema

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"strings"
	"testing"
)

// written is a setting as if a manifest had said text.
func written(t *testing.T, row *Row, key, text string) Setting {
	s := Setting{Row: row, Key: key}
	if row.Scalar() {
		s.Text = text
		if l := row.Leaves[0]; l.kind.name == "description" {
			s.Text = l.kind.print(reflect.ValueOf(text)) // as Settings does
		}
		return s
	}
	props := row.Parse(text)
	s.Props = map[string]string{}
	for _, l := range row.Leaves {
		if v, ok := props[l.Prop]; ok {
			s.Props[l.Prop] = v
		}
	}
	if !row.Drive() {
		return s
	}
	storage, name, _ := strings.Cut(props["file"], ":")
	switch {
	case props["media"] == "cdrom" || storage == "none" || storage == "cdrom":
		s.Source = &Source{CDROM: props["file"]}
	case name == "cloudinit":
		s.Source = &Source{Storage: storage, CloudInit: true}
	case strings.Trim(name, "0123456789.") == "":
		bytes, ok := ParsePVESize(name + "G")
		if !ok {
			t.Fatalf("%s: %q is no size", key, name)
		}
		s.Source = &Source{Storage: storage, Size: Size{Bytes: bytes}}
	default:
		s.Source = &Source{Volume: props["file"]}
	}
	return s
}

// ignoredByPVE are the writes PVE answers with 200 and forgets.
var ignoredByPVE = map[string]string{
	"description: \n": "a lone newline leaves the old text (FACTS §3)",
}

// TestNormalisation writes what was written to a real server and compares it with what was read back: PVE's own
// rewriting of a value must never look like a change.
func TestNormalisation(t *testing.T) {
	var recorded struct {
		Rows []struct {
			Parameter string
			Written   string
			Status    int
			ReadBack  any `json:"read_back"`
		}
	}
	if err := json.Unmarshal(recordings(t, "normalisation.json"), &recorded); err != nil {
		t.Fatal(err)
	}
	compared := 0
	for _, r := range recorded.Rows {
		row, ok := RowOf(r.Parameter)
		if !ok && notDeclared[r.Parameter] == "" {
			t.Errorf("%s is in no table", r.Parameter)
		}
		if !ok || r.Status != 200 || ignoredByPVE[r.Parameter+": "+r.Written] != "" {
			continue
		}
		compared++
		have := ""
		if r.ReadBack != nil {
			have = fmt.Sprint(r.ReadBack)
		}
		s := written(t, row, r.Parameter, r.Written)
		at := fmt.Sprintf("%s: wrote %q, read %q", r.Parameter, r.Written, have)
		settled(t, s, have, r.ReadBack != nil, at)
		allowed(t, s, at)
	}
	if compared < 170 {
		t.Errorf("only %d pairs were compared", compared)
	}
}

// allowed checks that the table takes what PVE took.
func allowed(t *testing.T, s Setting, at string) {
	t.Helper()
	texts := map[string]string{"": s.Text}
	if !s.Row.Scalar() {
		texts = s.Props
	}
	for prop, text := range texts {
		l := s.Row.leaf(prop)
		words := []string{text}
		switch l.kind.name {
		case "bool", "onoff", "int", "float", "mebibytes", "sshkeys", "urlencoded":
			continue
		case "tags", "hotplug", "flags", "semicolons", "words", "addresses":
			words = split(text, ",; ")
		case "bootorder":
			words = BootOrder(text)
		}
		var f faults
		for _, w := range words {
			checkText(&f, l, w, s.Key)
		}
		for _, fault := range f {
			t.Errorf("%s: %s: PVE takes it, the table does not: %s", at, prop, fault.Text)
		}
	}
}

// settled checks that the live text is no change to the setting.
func settled(t *testing.T, s Setting, have string, ok bool, at string) {
	t.Helper()
	if !s.Same(have, ok, nil, Facts{}) {
		t.Errorf("%s: seen as a change: %v", at, s.Differs(have, Facts{}))
	}
	if s.Row.Scalar() {
		return
	}
	if s.Source != nil {
		if why := s.Mismatch(have); why != "" {
			t.Errorf("%s: another drive: %s", at, why)
		}
		if !s.SameImage(have) {
			t.Errorf("%s: another image", at)
		}
	}
	merged := s.Merge(have, nil, Facts{})
	want := s.Row.Parse(have)
	if s.Source != nil {
		delete(want, "size")
	}
	if got := s.Row.Parse(merged); !maps.Equal(got, want) {
		t.Errorf("%s: Merge makes %q of it", at, merged)
	}
	if again := s.Merge(merged, nil, Facts{}); again != merged {
		t.Errorf("%s: Merge makes %q, then %q", at, merged, again)
	}
}
