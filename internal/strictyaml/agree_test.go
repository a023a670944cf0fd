package strictyaml

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
	"pgregory.net/rapid"
	sigs "sigs.k8s.io/yaml"
)

// plainKind has no hooks, so that encoding/json reads it the same way.
type plainKind struct {
	Text   string               `json:"text,omitempty"`
	Int    int64                `json:"int,omitempty"`
	Small  uint8                `json:"small,omitempty"`
	Bool   *bool                `json:"bool,omitempty"`
	Float  float64              `json:"float,omitempty"`
	Map    map[string]string    `json:"map,omitempty"`
	List   []string             `json:"list,omitempty"`
	Inner  *plainKind           `json:"inner,omitempty"`
	Inners map[string]plainKind `json:"inners,omitempty"`
	Rows   [][]int              `json:"rows,omitempty"`
	Any    any                  `json:"any,omitempty"`
}

// agree decodes a text with both readers; it returns "" if ours complains or both agree.
func agree(text []byte) string {
	documents, problems := Documents("f", text)
	if len(documents) != 1 || len(problems) != 0 {
		return ""
	}
	var have, want plainKind
	if documents[0].Decode(&have) != nil {
		return ""
	}
	if err := sigs.UnmarshalStrict(text, &want); err != nil {
		return fmt.Sprintf("%q: we find nothing wrong, sigs.k8s.io/yaml: %v", text, err)
	}
	if have, want := canonical(have), canonical(want); have != want {
		return fmt.Sprintf("%q:\nhave %s\nwant %s", text, have, want)
	}
	return ""
}

// canonical prints a value with every number in an any field as float64: encoding/json knows no other.
func canonical(k plainKind) string {
	j, err := json.Marshal(k)
	if err != nil {
		return err.Error()
	}
	var back plainKind
	if err := json.Unmarshal(j, &back); err != nil {
		return err.Error()
	}
	j, _ = json.Marshal(back)
	return string(j)
}

func TestAgreesWithSigsYAML(t *testing.T) {
	for _, text := range agreeSeeds {
		if difference := agree([]byte(text)); difference != "" {
			t.Error(difference)
		}
		documents, problems := Documents("f", []byte(text))
		if len(documents) != 1 || len(problems) != 0 || documents[0].Decode(&plainKind{}) != nil {
			t.Errorf("%q is meant to be clean: %v %v", text, problems, documents[0].Decode(&plainKind{}))
		}
	}
}

var agreeSeeds = []string{
	"text: a b\nint: -5\nsmall: 255\nbool: false\nfloat: 1.5\n",
	"text: |\n  a\n   b\n\n  c\nlist: [a, 'b', \"c\\n\"]\nmap: {a: b, \"on\": \"off\", 5: x}\n",
	"text: >-\n  a\n  b\n\n  c\ninner:\n  inner: {text: x}\n  inners:\n    a: {int: 0}\n    b: {}\n",
	"any: {a: [1, 1.5, true, null, ~, x, \"1\"], b: {}, c: [], d: -0.0, e: 9007199254740993}\n",
	"rows: [[], [1], [2, 3]]\ntext: multi\n  line\n  text\n",
	"text: ''\nlist: []\nmap: {}\nfloat: 3\n",
	"float: 1.25e+3\nany: 1.5e-7\ntext: 00:50:56:9f:00:22\nlist:\n- 1.2.3\n- -x\n- 1Gi\n- 10.0.0.0/8\n",
	"text: \"\\u00e4\\x41\\t\"\nmap:\n  a.b/c: \"null\"\n  ? b\n  : x\n",
}

// TestRoundTrip writes random values with sigs.k8s.io/yaml and yaml/v3 and reads them back.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawKind(t, 2)
		text, err := sigs.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		documents, problems := Documents("f", text)
		if len(documents) == 0 && strings.TrimSpace(string(text)) == "{}" {
			return
		}
		if len(documents) != 1 || len(problems) != 0 {
			t.Fatalf("%s\n%v", text, problems)
		}
		var have plainKind
		if problems := documents[0].Decode(&have); problems != nil {
			t.Fatalf("%s\n%v", text, problems)
		}
		if !reflect.DeepEqual(have, want) {
			t.Fatalf("%s\nhave %s\nwant %s", text, canonical(have), canonical(want))
		}
		if difference := agree(text); difference != "" {
			t.Fatal(difference)
		}
	})
}

// drawKind draws values that any YAML writer writes so that no reader can mistake them.
func drawKind(t *rapid.T, depth int) plainKind {
	text := rapid.StringMatching(`[a-z "':#äö\n-]{0,3}x?[0-9a-z ,{}\[\]&*!|>%@.:\n-]{0,12}q`)
	k := plainKind{
		Text: text.Draw(t, "text"), Int: rapid.Int64().Draw(t, "int"), Small: rapid.Uint8().Draw(t, "small"),
	}
	if rapid.Bool().Draw(t, "more") {
		yes := rapid.Bool().Draw(t, "bool")
		k.Bool = &yes
		k.Float = float64(rapid.IntRange(-1000, 1000).Draw(t, "float")) / 8
		k.Map = rapid.MapOfN(text, text, 1, 4).Draw(t, "map")
		k.List = rapid.SliceOfN(text, 1, 4).Draw(t, "list")
		k.Rows = rapid.SliceOfN(rapid.SliceOfN(rapid.Int(), 1, 3), 1, 3).Draw(t, "rows")
		k.Any = []any{int64(rapid.Int32().Draw(t, "any")), text.Draw(t, "any"), true, nil, map[string]any{"a": 0.5}}
	}
	if depth > 0 && rapid.Bool().Draw(t, "inner") {
		inner := drawKind(t, depth-1)
		k.Inner = &inner
		k.Inners = map[string]plainKind{text.Draw(t, "key"): drawKind(t, depth-1)}
	}
	return k
}

// TestNothingSlipsThrough compares our reading of plain scalars with that of yaml/v3.
func TestNothingSlipsThrough(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		scalar := rapid.StringMatching(`[-+.0-9a-zA-Z~_:<=TZ]{1,8}|[-+]?[0-9_]{1,6}(\.[0-9_]{0,3})?([eE][-+]?[0-9]{1,3})?|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([Tt ][0-9:.Z]{0,8})?`).Draw(t, "scalar")
		if difference := slips(scalar); difference != "" {
			t.Fatal(difference)
		}
	})
}

// slips tells whether yaml/v3 reads a plain scalar as something else than text while we read text.
func slips(scalar string) string {
	var n yaml.Node
	if yaml.Unmarshal([]byte("a: "+scalar), &n) != nil || len(n.Content) == 0 || len(n.Content[0].Content) != 2 {
		return ""
	}
	v := n.Content[0].Content[1]
	if v.Kind == yaml.ScalarNode && v.Style == 0 && v.Tag != "!!str" && resolve(v.Value) == textScalar {
		return fmt.Sprintf("yaml/v3 reads %q as %s, we read text", v.Value, v.Tag)
	}
	return ""
}
