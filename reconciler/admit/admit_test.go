package admit

import (
	"reflect"
	"strings"
	"testing"
)

func TestBaselines(t *testing.T) {
	for _, c := range []struct {
		known Accepted
		begun []string
		want  string
	}{
		{Accepted{}, nil, ""},
		{Accepted{Head: "c"}, nil, "c"},
		{Accepted{Head: "c"}, []string{"a", "c", "a", ""}, "a c"},
		{Accepted{}, []string{"b", "a"}, "a b"},
		{Accepted{Head: "n", Aside: []string{"a", "b"}}, []string{"a", "b", "n", "c"}, "c n"},
		{Accepted{Head: "a", Aside: []string{"a"}}, nil, "a"}, // a branch that came back
	} {
		if have := strings.Join(c.known.Baselines(c.begun), " "); have != c.want {
			t.Errorf("%+v %v: have %q, want %q", c.known, c.begun, have, c.want)
		}
	}
}

func TestShrunk(t *testing.T) {
	for _, c := range []struct {
		name    string
		before  Accepted
		tree    Tree
		percent int
		known   int
		text    string // "" when it may pass
	}{
		{"grown", Accepted{Head: "a", Objects: 3}, Tree{Objects: 4}, 50, 3, ""},
		{"the same", Accepted{Head: "a", Objects: 3}, Tree{Objects: 3}, 0, 3, ""},
		{"half", Accepted{Head: "a", Objects: 4}, Tree{Objects: 2}, 50, 4, ""},
		{"more than half", Accepted{Head: "a", Objects: 4}, Tree{Objects: 1}, 50, 4, "the manifests declare 1 of what were 4 objects: nothing is taken away, deleted or given up"},
		{"a third, more than a half of few", Accepted{Head: "a", Objects: 3}, Tree{Objects: 1}, 50, 3, "the manifests declare 1 of what were 3 objects: nothing is taken away, deleted or given up"},
		{"one less, none allowed", Accepted{Head: "a", Objects: 100}, Tree{Objects: 99}, 0, 0, "the manifests declare 99 of what were 100 objects: nothing is taken away, deleted or given up"},
		{"one left, all allowed", Accepted{Head: "a", Objects: 100}, Tree{Objects: 1}, 100, 0, ""},
		{"none left, all allowed", Accepted{Head: "a", Objects: 1}, Tree{}, 100, 0, "no manifest is left, there were 1: nothing is taken away, deleted or given up"},
		{"none before", Accepted{Head: "a"}, Tree{}, 50, 0, ""},
		{"none, acknowledged; orphans are still known", Accepted{Head: "a"}, Tree{}, 50, 5, ""},
		{"unread", Accepted{Head: "a", Objects: 9}, Tree{Unread: true}, 50, 9, ""},
		{"nothing known", Accepted{}, Tree{Objects: 1}, 50, 9, ""},
		{"only the ledger known, none left", Accepted{}, Tree{}, 50, 9, "no manifest is left, there were 9: nothing is taken away, deleted or given up"},
		{"nothing at all", Accepted{}, Tree{}, 50, 0, ""},
	} {
		c.tree.Commit = "0123456789abcdef"
		f := c.before.Shrunk(c.tree, c.percent, c.known)
		switch {
		case f == nil && c.text != "", f != nil && f.Text != c.text:
			t.Errorf("%s: have %v, want %q", c.name, f, c.text)
		case f != nil && (f.Reason != SourceShrunk || f.Reason.Blocks() || !strings.Contains(f.Advice, "reconcile ack 0123456789;")):
			t.Errorf("%s: have %+v", c.name, f)
		}
	}
}

func TestRewritten(t *testing.T) {
	if f := (History{Commit: "n"}).Rewritten(); f != nil {
		t.Errorf("have %v for a descendant", f)
	}
	f := History{
		Commit: "0123456789abcdef", Branch: "main", Missing: []string{"aaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbb"}, Gone: []string{"bbbbbbbbbbbbbbbb"},
		Dropped: []Commit{{"aaaaaaaaaaaaaaaa", "More memory", "Ann <ann@example.org>"}}, DroppedCount: 12,
		Added: []Commit{{"0123456789abcdef", "Less", "Bob"}}, AddedCount: 1,
	}.Rewritten()
	want := &Finding{
		Reason:  HistoryRewritten,
		Text:    "branch main is now at 0123456789, which does not descend from aaaaaaaaaa, bbbbbbbbbb, applied before: nothing is applied",
		Advice:  "if the rewritten history is meant, accept it: reconcile ack 0123456789; if not, push the branch as it was",
		Dropped: []string{`aaaaaaaaaa "More memory" by Ann <ann@example.org>`, "and 11 more", "bbbbbbbbbb, which the repository no longer has"},
		Added:   []string{`0123456789 "Less" by Bob`},
	}
	if !reflect.DeepEqual(f, want) || !f.Reason.Blocks() {
		t.Errorf("have %+v\nwant %+v", f, want)
	}
	f = History{Commit: "n", Missing: []string{"a", "b", "c", "d", "e"}}.Rewritten()
	if !strings.Contains(f.Text, "does not descend from a, b, c, 2 others, applied before") {
		t.Errorf("have %s", f.Text)
	}
}

func TestDoubted(t *testing.T) {
	f := Doubted("0123456789abcdef", []Doubt{{Commit{"aaaaaaaaaaaaaaaa", "x", "Eve"}, "is not signed"}}, 3, 7)
	want := `Unverified: 3 of 7 new commits up to 0123456789 are not signed by anybody who may sign: nothing of them is used; have them signed by somebody whom the files of source.verify list, and pushed again`
	if f.Error() != want || strings.Join(f.Added, "|") != `aaaaaaaaaa "x" by Eve is not signed|and 2 more` || !f.Reason.Blocks() {
		t.Errorf("have %s %q", f.Error(), f.Added)
	}
}

// What is remembered after a revision is let through lets it through again, and what is acknowledged too.
func TestWhatIsRemembered(t *testing.T) {
	before := Accepted{Head: "a", Objects: 8, Aside: []string{"z"}}
	next := before.Next(Tree{Commit: "b", Objects: 6})
	if !reflect.DeepEqual(next, Accepted{Head: "b", Objects: 6, Aside: []string{"z"}}) {
		t.Errorf("have %+v", next)
	}
	if n := before.Next(Tree{Commit: "b", Objects: 1, Unread: true}); n.Objects != 8 {
		t.Errorf("what could not be read lowered the count: %+v", n)
	}
	tree := Tree{Commit: "n", Objects: 0}
	acked := before.Acknowledge(tree, []string{"a", "y", "a"})
	if !reflect.DeepEqual(acked, Accepted{Head: "n", Objects: 0, Aside: []string{"a", "y", "z"}}) {
		t.Errorf("have %+v", acked)
	}
	if f := acked.Shrunk(tree, 0, 9); f != nil {
		t.Errorf("an acknowledged tree: have %v", f)
	}
	if have := acked.Baselines([]string{"a", "y", "z"}); !reflect.DeepEqual(have, []string{"n"}) {
		t.Errorf("have %v", have)
	}
}
