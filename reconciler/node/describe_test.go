package node_test

import (
	"encoding/json"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/ustclug/pve-reconcile/reconciler/node"
	"github.com/ustclug/pve-reconcile/reconciler/step"
)

// described answers every read of a survey, with what is known and else with a refusal.
func described(t testing.TB, have node.Observed) (node.Draft, node.Observed) {
	t.Helper()
	known := have.Answers
	have.Answers = map[string]node.Answer{}
	ask := func(paths []string) {
		for _, path := range paths {
			a, ok := known[path]
			if !ok {
				a.Err = errors.New("GET " + path + ": not implemented")
			}
			have.Answers[path] = a
		}
	}
	ask(node.Survey("pve-5"))
	ask(node.Details("pve-5", have))
	d, err := node.Describe("pve-5", have)
	if err != nil && !errors.Is(err, step.ErrUnreachable) {
		t.Fatal(err)
	}
	return d, have
}

// lawful: the draft is a manifest without faults, needs no answer that the survey did not ask for, and changes nothing.
func lawful(t *testing.T, d node.Draft, have node.Observed) {
	t.Helper()
	for _, f := range d.Node.Validate() {
		t.Errorf("%s: %s", f.Path, f.Text)
	}
	plan, err := node.Plan(d.Node, have)
	if err != nil {
		t.Error(err)
	}
	for _, s := range plan.Steps {
		t.Error(s)
	}
	for _, w := range plan.Waits {
		if w.Reason == step.Refused {
			t.Error(w.Text)
		}
	}
}

// TestDrafts: whatever is seen of a node, the manifest made of it changes nothing of it.
func TestDrafts(t *testing.T) {
	all := corpus(t)
	whole := map[string]node.Answer{}
	for _, g := range all {
		t.Run(g.file, func(t *testing.T) {
			if d, have := described(t, g.have); d.Node.Kind != "" {
				lawful(t, d, have)
			}
		})
		for path, a := range g.have.Answers {
			if a.Err == nil {
				whole[path] = a
			}
		}
	}
	r := rand.New(rand.NewPCG(1, 2))
	paths := slices.Sorted(maps.Keys(whole))
	for range 200 { // nodes made of parts of all goldens, with parts of answers left out
		have := all[0].have
		have.Answers = map[string]node.Answer{}
		for _, path := range paths {
			g := all[r.IntN(len(all))]
			a, ok := g.have.Answers[path]
			if !ok || a.Err != nil {
				a = whole[path]
			}
			a.Body, a.Changes = lessened(r, a.Body), ""
			have.Answers[path] = a
		}
		if r.IntN(2) == 0 {
			have.Nodes = []string{"pve-5", "pve-6"}
		}
		if d, seen := described(t, have); d.Node.Kind != "" {
			lawful(t, d, seen)
		}
		if t.Failed() {
			return
		}
	}
}

// lessened leaves out some of what an answer holds, and puts odd values in its place.
func lessened(r *rand.Rand, raw json.RawMessage) json.RawMessage {
	var v any
	if json.Unmarshal(raw, &v) != nil {
		return raw
	}
	var walk func(any) any
	walk = func(v any) any {
		switch v := v.(type) {
		case map[string]any:
			for _, k := range slices.Sorted(maps.Keys(v)) {
				switch r.IntN(40) {
				case 0:
					delete(v, k)
				case 1:
					if _, plain := v[k].(string); plain {
						v[k] = []any{"", "N/A", "a b", "x=y,z", "[odd*?", strings.Repeat("9", 30), "10.0.0.1/33", "ä"}[r.IntN(8)]
					}
				default:
					v[k] = walk(v[k])
				}
			}
			return v
		case []any:
			for i := range v {
				v[i] = walk(v[i])
			}
			return v
		}
		return v
	}
	out, err := json.Marshal(walk(v))
	if err != nil {
		return raw
	}
	return out
}

// FuzzDescribe: whatever PVE answers, the draft is lawful.
func FuzzDescribe(f *testing.F) {
	all := corpus(f)
	for _, g := range all {
		for path, a := range g.have.Answers {
			f.Add(path, string(a.Body))
		}
	}
	f.Fuzz(func(t *testing.T, path, text string) {
		have := all[0].have
		have.Answers = map[string]node.Answer{path: {Body: json.RawMessage(text)}}
		if d, seen := described(t, have); d.Node.Kind != "" {
			lawful(t, d, seen)
		}
	})
}
