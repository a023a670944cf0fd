package strictyaml

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// decode reads one document that has no syntax error.
func decode(t *testing.T, text string, into any) []string {
	t.Helper()
	documents, problems := Documents("f", []byte(text))
	if len(documents) != 1 || len(problems) != 0 {
		t.Fatalf("%q: %d documents, %v", text, len(documents), problems)
	}
	var lines []string
	for _, p := range documents[0].Decode(into) {
		lines = append(lines, p.String())
	}
	return lines
}

func TestDecodeOverDefaults(t *testing.T) {
	yes := true
	m := machine{}
	m.Kind = "Default"
	m.Spec = machineSpec{
		Onboot: true, Protection: &yes, Memory: size{512}, CPU: cpu{Type: "host", Cores: 2}, Tags: []string{"a", "b"},
		Rules: map[string]any{"old": true}, Free: "old", Priority: 5,
	}
	have := decode(t, "spec: {onboot: false, protection: false, cpu: {cores: 8}, tags: [c], rules: {new: 1}, free: null, memory: x, priority: 1.5}", &m)
	want := []string{`f:1:107: spec.memory: not a size: x`, "f:1:120: spec.priority: expected a whole number, found 1.5"}
	if !reflect.DeepEqual(have, want) {
		t.Errorf("have %q", have)
	}
	if m.Kind != "Default" || m.Spec.CPU != (cpu{Type: "host", Cores: 8}) {
		t.Errorf("fields that are not mentioned keep their value: %+v", m)
	}
	if m.Spec.Memory != (size{512}) || m.Spec.Priority != 5 {
		t.Errorf("an unsound value changes nothing: %+v", m.Spec)
	}
	if m.Spec.Onboot || yes || m.Spec.Free != nil {
		t.Errorf("false and null are values: %+v", m.Spec)
	}
	if len(m.Spec.Tags) != 1 || len(m.Spec.Rules) != 1 || m.Spec.Rules["new"] != int64(1) {
		t.Errorf("lists and maps are replaced: %+v", m.Spec)
	}
}

func TestUnsoundPartsLeaveNoTraps(t *testing.T) {
	var v struct {
		Number  *int            `json:"number"`
		Struct  *cpu            `json:"struct"`
		List    []*cpu          `json:"list"`
		Map     map[string]*cpu `json:"map"`
		Numbers map[string]int  `json:"numbers"`
		Sizes   []size          `json:"sizes"`
	}
	have := decode(t, "number: x\nstruct: {cores: x, type: host}\nlist: [x, {cores: 1}, ]\nmap: {a: , b: x, c: {cores: 1}}\nnumbers: {a: x, b: 1}\nsizes: [x, 1]\n", &v)
	if len(have) != 7 {
		t.Errorf("7 problems, have %q", have)
	}
	if v.Number != nil {
		t.Errorf("an unsound number stays unset: %d", *v.Number)
	}
	if v.Struct == nil || v.Struct.Type != "host" {
		t.Errorf("what is sound in a struct is kept: %+v", v.Struct)
	}
	if len(v.List) != 2 || v.List[0] == nil || v.List[1].Cores != 1 {
		t.Errorf("lists keep their positions and hold no nil: %+v", v.List)
	}
	if v.Map["c"].Cores != 1 {
		t.Errorf("%+v", v.Map)
	}
	for key, c := range v.Map {
		if c == nil {
			t.Errorf("map entry %s is nil", key)
		}
	}
	if !reflect.DeepEqual(v.Numbers, map[string]int{"b": 1}) || !reflect.DeepEqual(v.Sizes, []size{{}, {1}}) {
		t.Errorf("%+v %+v", v.Numbers, v.Sizes)
	}
}

func TestEmbeddedStructs(t *testing.T) {
	type Base struct {
		Name  string `json:"name"`
		Other string
	}
	type deep struct {
		Base
		Deep string `json:"deep"`
	}
	var v struct {
		deep  `json:",inline"`
		Named Base   `json:"named"`
		Flat  Base2  `json:",inline"`
		Name  string `json:"name"` // nearer than Base's
	}
	if have := decode(t, "name: a\nOther: b\ndeep: c\nnamed: {name: d}\nflat: e\n", &v); have != nil {
		t.Errorf("have %q", have)
	}
	if v.Name != "a" || v.deep.Name != "" || v.Other != "b" || v.Deep != "c" || v.Named.Name != "d" || v.Flat.Flat != "e" {
		t.Errorf("have %+v", v)
	}
}

type Base2 struct {
	Flat string `json:"flat"`
}

// TestProgramMistakesPanic: a type that YAML cannot be read into is found by the first test that uses it.
func TestProgramMistakesPanic(t *testing.T) {
	twice := reflect.StructOf([]reflect.StructField{
		{Name: "A", Type: reflect.TypeFor[string](), Tag: `json:"a"`},
		{Name: "B", Type: reflect.TypeFor[string](), Tag: `json:"a"`},
	})
	type hidden struct{ *header }
	text := "a: 1\nb: {c: 1}\n"
	tests := map[string]any{
		"two fields of": reflect.New(twice).Interface(),
		"not exported":  &hidden{},
		"b.c: a map keyed by int": &struct {
			B map[int]int `json:"b"`
		}{},
		"a: a chan int": &struct {
			A chan int `json:"a"`
		}{},
		"a: a error": &struct {
			A error `json:"a"`
		}{},
		"Decode wants a pointer to a struc": struct{}{},
		"not *int":                          new(int),
		"not *struct {}":                    (*struct{})(nil),
		"not <nil>":                         nil,
	}
	documents, _ := Documents("f", []byte(text))
	for want, into := range tests {
		func() {
			defer func() {
				if have := fmt.Sprint(recover()); !strings.Contains(have, want) {
					t.Errorf("%T: panics with %q, want %q", into, have, want)
				}
			}()
			documents[0].Decode(into)
		}()
	}
}

func TestHintsFromElsewhere(t *testing.T) {
	type part struct {
		Size, Only string
	}
	var v struct {
		Spec struct {
			A, B, C, D part
			E          struct {
				F    part
				List []struct{ Deep string }
				Self *[]any
			}
		}
		Top struct{ Size string }
	}
	tests := []struct{ in, want string }{
		{"Deep: x", "f:1:1: Deep: unknown field, did you mean Spec.E.List[].Deep?"},
		{"Size: x", "f:1:1: Size: unknown field, known here: Spec, Top"},
		{"Spec: {E: {Size: x}}", "f:1:12: Spec.E.Size: unknown field, did you mean Spec.E.F.Size?"},
		{"Spec: {only: x}", "f:1:8: Spec.only: unknown field, known here: A, B, C, D, E"},
		{"Spec: {e: x}", `f:1:8: Spec.e: unknown field, did you mean "E"?`},
	}
	for _, test := range tests {
		if have := strings.Join(decode(t, test.in, &v), "\n"); have != test.want {
			t.Errorf("%s:\nhave %s\nwant %s", test.in, have, test.want)
		}
	}
}

// TestManyBrokenDocuments: the effort for locating faults is limited, but each stays within its document.
func TestManyBrokenDocuments(t *testing.T) {
	const n = 1000
	_, problems := Documents("f", []byte(strings.Repeat("---\nkind: x\nspec: {a: @}\nmetadata: {}\n", n)))
	if len(problems) != n {
		t.Fatalf("%d problems, want %d", len(problems), n)
	}
	for i, p := range problems {
		if i < 50 && (p.Line != 4*i+3 || p.Column != 11) || p.Line <= 4*i || p.Line > 4*i+4 {
			t.Fatalf("document %d, from line %d: %s", i, 4*i+1, p)
		}
	}
}
