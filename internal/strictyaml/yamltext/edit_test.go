package yamltext

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/ustclug/pve-reconcile/internal/strictyaml"
)

func at(path string, value Tree, after ...string) Edit {
	return Edit{Path: strings.Split(path, "."), Value: value, After: after}
}

func TestApply(t *testing.T) {
	for _, c := range []struct {
		name, text string
		line       int
		edits      []Edit
		want       string // begins with "!": the error
	}{
		{"plain", "a: 1 # one\nb: 2\n", 1, []Edit{at("a", Raw("3"))}, "a: 3 # one\nb: 2\n"},
		{"single quotes become what is needed", "a: 'x y' # c\n", 1, []Edit{at("a", Text("z"))}, "a: z # c\n"},
		{"double quotes stay", `a: "x y"   # c` + "\n", 1, []Edit{at("a", Text("z"))}, `a: "z"   # c` + "\n"},
		{"quotes inside quotes", `a: {b: "x, \" }", c: 'it''s' , d: 1}` + "\n", 1, []Edit{at("a.c", Text("x")), at("a.b", Text(`"`))}, `a: {b: '"', c: x , d: 1}` + "\n"},
		{"first of brackets goes", "a: { b: 1, c: 2 }\n", 1, []Edit{at("a.b", Tree{})}, "a: { c: 2 }\n"},
		{"last of brackets goes", "a: { b: 1, c: 2 }\n", 1, []Edit{at("a.c", Tree{})}, "a: { b: 1 }\n"},
		{"into empty brackets", "a: {}\nb: 1\n", 1, []Edit{at("a.c", Raw("2"))}, "a: {c: 2}\nb: 1\n"},
		{"before the first", "a: {c: 2}\n", 1, []Edit{at("a.b", Raw("1"))}, "a: {b: 1, c: 2}\n"},
		{"brackets over lines", "a: {\n  b: 1, # one\n  c: [x, y], # two\n}\n", 1, []Edit{at("a.d", Raw("3"), "b", "c"), at("a.b", Raw("2"))}, "a: {\n  b: 2, # one\n  c: [x, y], d: 3, # two\n}\n"},
		{"a block goes", "a:\n  b: 1 # c\n\n  # d\n  c:\n  - x\nd: 2\n", 1, []Edit{at("a", Tree{})}, "d: 2\n"},
		{"behind a block", "a:\n  b: |\n    x\n\n    y\n\nc: 1\n", 1, []Edit{at("a.d", Raw("2"), "b")}, "a:\n  b: |\n    x\n\n    y\n  d: 2\n\nc: 1\n"},
		{"the end has no line break", "a: 1", 1, []Edit{at("b", Raw("2"), "a")}, "a: 1\nb: 2"},
		{"text becomes prose", "a: x # c\nb: 1\n", 1, []Edit{at("a", Prose("y\nz"))}, "a: | # c\n  y\n  z\nb: 1\n"},
		{"prose becomes text", "a: | # c\n  y\n  z\nb: 1\n", 1, []Edit{at("a", Prose(" x"))}, "a: \" x\" # c\nb: 1\n"},
		{"prose keeps its depth", "a: |\n     y\nb: 1\n", 1, []Edit{at("a", Prose("x\n\n  z"))}, "a: |\n     x\n\n       z\nb: 1\n"},
		{"items keep their comments", "a:\n# one\n- x # x\n# two\n- y # y\n", 1, []Edit{at("a", List(Text("y"), Text("z")))}, "a:\n# one\n# two\n- y # y\n- z\n"},
		{"the second document", "a: 1\n---\na: 1\n", 3, []Edit{at("a", Raw("2"))}, "a: 1\n---\na: 2\n"},
		{"carriage returns", "a: 1\r\nb: 2\r\n", 1, []Edit{at("c", Prose("x\ny"), "a", "b")}, "a: 1\r\nb: 2\r\nc: |\r\n  x\r\n  y\r\n"},
		{"a mark at the beginning", "\ufeffa: 1\nb: 2\n", 1, []Edit{at("a", Raw("3"))}, "\ufeffa: 3\nb: 2\n"},
		{"wide characters", "a: {ü: \"ö\", b: 1}\n", 1, []Edit{at("a.b", Raw("2"))}, "a: {ü: \"ö\", b: 2}\n"},
		{"a mapping for its short form", "a: q # c\n", 1, []Edit{at("a", Map(Field{Key: "type", Value: Text("q")}, Field{Key: "x", Value: Raw("1")}))}, "a: {type: q, x: 1} # c\n"},
		{"the short form of a mapping", "a: {type: q, x: 1} # c\n", 1, []Edit{at("a", Short("type", "r"))}, "a: {type: r} # c\n"},
		{"gone already", "a: 1\n", 1, []Edit{at("b", Tree{})}, "a: 1\n"},
		{"no such document", "a: 1\n", 2, []Edit{at("a", Raw("2"))}, "!a: no document begins on line 2"},
		{"text over lines", "a: x\n  y\nb: 1\n", 1, []Edit{at("a", Text("z"))}, "!a: line 1: a value over several lines"},
		{"a block for text", "a:\n  b: 1\n", 1, []Edit{at("a", Text("z"))}, "!a: line 2: cannot be edited in this form"},
		{"nothing to go into", "a: 1\n", 1, []Edit{at("a.b", Raw("2"))}, "!a.b: line 1: not a mapping"},
	} {
		have, err := Apply([]byte(c.text), c.line, c.edits)
		if want, bad := strings.CutPrefix(c.want, "!"); bad {
			if err == nil || !strings.HasPrefix(err.Error(), want) {
				t.Errorf("%s: %v, want %s", c.name, err, want)
			}
		} else if err != nil || string(have) != c.want {
			t.Errorf("%s: %v\n%q, want\n%q", c.name, err, have, c.want)
		}
	}
}

// TestDiff: only what differs, new and changed keys before those that go.
func TestDiff(t *testing.T) {
	old := Map(Field{Key: "a", Value: Map(Field{Key: "b", Value: Raw("1")}, Field{Key: "c", Value: List(Text("x"))})}, Field{Key: "d", Value: Raw("2")})
	is := Map(Field{Key: "a", Value: Map(Field{Key: "c", Value: List(Text("x"))}, Field{Key: "e", Value: Text("z")})}, Field{Key: "d", Value: Raw("2")})
	var have []string
	for _, e := range Diff(old, is) {
		have = append(have, strings.Join(e.Path, ".")+"="+e.Value.Flow()+" after "+strings.Join(e.After, ","))
	}
	if got, want := strings.Join(have, "; "), `a.e=z after c; a.b="" after `; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// TestPrintedIsRead: every text, as prose too, is read back as it was.
func TestPrintedIsRead(t *testing.T) {
	words := rapid.SampledFrom([]string{"a", " ", "  ", "\n", "\t", "# x", "- ", "---", "...", "x: y", "\r", "\u2028", "ü", "%", "|", "\"", "'", "\\"})
	rapid.Check(t, func(t *rapid.T) {
		s := strings.Join(rapid.SliceOfN(words, 0, 8).Draw(t, "words"), "")
		file := Print(Map(Field{Key: "a", Value: Map(Field{Key: "prose", Value: Prose(s)}, Field{Key: "text", Value: Text(s)}, Field{Key: "list", Value: List(Text(s))})}), 0)
		var into struct {
			A struct {
				Prose string   `json:"prose"`
				Text  string   `json:"text"`
				List  []string `json:"list"`
			} `json:"a"`
		}
		docs, problems := strictyaml.Documents("x", []byte(file))
		if len(docs) == 1 {
			problems = append(problems, docs[0].Decode(&into)...)
		}
		if len(problems) > 0 || strings.TrimRight(into.A.Prose, "\n") != strings.TrimRight(s, "\n") || into.A.Text != s || into.A.List[0] != s {
			t.Fatalf("%v %q\n%s", problems, into, file)
		}
	})
}
