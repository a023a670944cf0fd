package adopt_test

import (
	"strings"
	"testing"
	"testing/fstest"

	"go.yaml.in/yaml/v3"
	"pgregory.net/rapid"

	"github.com/ustclug/pve-reconcile/reconciler/adopt"
)

// TestEditAnyDrift: a manifest that is there, in either style of YAML, is brought to whatever the guest has become: the
// text edited holds every comment that stands alone, and then nothing differs any more.
func TestEditAnyDrift(t *testing.T) {
	updated, all := 0, 0
	for range rounds(5) {
		rapid.Check(t, func(t *rapid.T) {
			before := pve{t}.observed(3, 6, 20)
			v, left, err := adopt.Manifest(nameFor(before), before, owner)
			if err != nil {
				t.Skip(err)
			}
			text := "# above all\n\n" + string(adopt.Text(v, before, left)) + "# the end\n"
			if rapid.Bool().Draw(t, "block") {
				text = block(t, text)
			}
			tree := adopt.Tree{Files: fstest.MapFS{"web.yaml": {Data: []byte(text)}}, Owner: owner, Update: true, Cluster: func(_, _ string) string { return "ustc" }}
			after := pve{t}.drifted(before)
			f := adopt.Plan(tree, nil, []adopt.Guest{after})[0]
			all++
			switch {
			case f.Verdict == adopt.Refused && strings.Contains(f.Why, "in place") && !strings.Contains(f.Why, "several lines"):
				t.Errorf("%s\n%s", f.Why, text)
			case f.Verdict == adopt.Updated:
				updated++
				for line := range strings.Lines(text) {
					if strings.HasPrefix(line, "#") && !strings.Contains(string(f.Text), line) {
						t.Errorf("lost %q in\n%s", line, f.Text)
					}
				}
				tree.Files = fstest.MapFS{"web.yaml": {Data: f.Text}}
				if again := adopt.Plan(tree, nil, []adopt.Guest{after})[0]; again.Verdict != adopt.InSync {
					t.Errorf("again: %s %s %q\n%s\n%s\n%s", again.Verdict, again.Why, again.Changed, text, f.Text, shown(after.Have))
				}
			}
		})
	}
	if updated*4 < all {
		t.Errorf("%d of %d were updated", updated, all)
	}
}

// block writes a file without brackets.
func block(t *rapid.T, text string) string {
	var n yaml.Node
	if err := yaml.Unmarshal([]byte(text), &n); err != nil {
		t.Fatal(err)
	}
	unfold(&n)
	out, err := yaml.Marshal(&n)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func unfold(n *yaml.Node) {
	if n.Kind == yaml.MappingNode || n.Kind == yaml.SequenceNode {
		n.Style &^= yaml.FlowStyle
	}
	for _, c := range n.Content {
		unfold(c)
	}
}
