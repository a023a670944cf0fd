package strictyaml

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
)

// cost reads a file and returns the memory it took, in bytes.
func cost(text string) (problems []Problem, documents int, spent uint64) {
	var before, after runtime.MemStats
	in := []byte(text)
	runtime.ReadMemStats(&before)
	found, problems := Documents("f", in)
	for _, d := range found {
		problems = append(problems, d.Decode(&machine{})...)
	}
	runtime.ReadMemStats(&after)
	return problems, len(found), after.TotalAlloc - before.TotalAlloc
}

func TestHostileFilesAreCheap(t *testing.T) {
	const full = 1 << 20
	fill := func(s string) string { return strings.Repeat(s, full/len(s)-8) }
	laughs := "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
	for c := 'b'; c <= 'i'; c++ {
		laughs += fmt.Sprintf("%c: &%c [%s*%c]\n", c, c, strings.Repeat(fmt.Sprintf("*%c, ", c-1), 9), c-1)
	}
	tests := []struct {
		name, text, want string
		most             uint64 // bytes, each allocation counted
	}{
		{"a file of 100 MB", strings.Repeat("a: b\n", 20<<20), "f:1:1: the file is too large: 104857600 bytes", 1 << 20},
		{"a billion laughs", laughs, "f:1:4: a: anchor &a: anchors and aliases are not supported", 1 << 20},
		{
			"one text of 100 kB, 5,000 times", "a: &a " + strings.Repeat("x", 100_000) + "\nb:\n" + strings.Repeat("- *a\n", 5000),
			"f:1:4: a: anchor &a", 16 << 20,
		},
		{"a list that holds itself", "a: &a [*a]\n", "f:1:4: a: anchor &a", 1 << 20},
		{"aliases only", "[&a a" + fill(",*a") + "]", "f:1:1: the file holds too much", 4 << 20},
		{"values only", "[" + fill("a,") + "]", "f:1:1: the file holds too much: more than 100000 values", 4 << 20},
		{"documents only", fill("---\na\n"), "the file holds too much", 200 << 20},
		{"broken documents only", fill("---\n]\n"), "the file holds too much", 500 << 20},
		{"bytes that are not text", fill("---\n\x01\n"), "the file holds too much", 64 << 20},
		{"lists in lists", strings.Repeat("[", 5000) + strings.Repeat("]", 5000), "f:1:101: nested too deep: at most 100 levels are read", 16 << 20},
		{"lists in lists in lists", strings.Repeat("[", 50_000), "f:1:10001: nested far too deep", 200 << 20},
		{"unknown fields only", func() string {
			var b strings.Builder
			for i := range 50_000 {
				fmt.Fprintf(&b, "key%d: value\n", i)
			}
			return b.String()
		}(), "f:1001:1: and 49000 more problems in this document", 128 << 20},
		{"one field again and again", strings.Repeat("kind: x\n", 50_000), "f:2:1: kind: set twice", 128 << 20},
		{"a long number", "spec: {vmid: " + strings.Repeat("9", 500_000) + "}", "f:1:14: spec.vmid: 9999", 32 << 20},
		{"a long field name", strings.Repeat("k", 1000) + ": x", `f:1:1: "kkkkkkkk`, 1 << 20},
		{"only blank documents", fill("---\n"), "", 64 << 20},
		{"an open quote", `a: "` + fill("x"), "f:1:4: the quote opened here", 64 << 20},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			problems, documents, spent := cost(test.text)
			var have strings.Builder
			for _, p := range problems {
				have.WriteString(p.String() + "\n")
			}
			if !strings.Contains(have.String(), test.want) || test.want == "" && len(problems)+documents > 0 {
				t.Errorf("have %.300s\nwant %s", have.String(), test.want)
			}
			if spent > test.most {
				t.Errorf("took %d KiB, at most %d wanted", spent>>10, test.most>>10)
			}
			for line := range strings.Lines(have.String()) {
				if len(line) > 500 {
					t.Fatalf("a line too long to read: %.600s", line)
				}
			}
		})
	}
}

func TestLimitsMayBeSet(t *testing.T) {
	text := []byte("a: [b, {c: d}]\n---\nkind: x\n")
	tests := []struct {
		limits    Limits
		documents int
		want      string
	}{
		{Limits{}, 2, ""},
		{Limits{Bytes: 10}, 0, "f:1:1: the file is too large: 27 bytes, at most 10 are read, split it into several files"},
		{Limits{Depth: 3}, 2, "f:1:12: nested too deep: at most 3 levels are read"},
		{Limits{Nodes: 14}, 1, "f:1:12: the file holds too much: more than 14 values, split it into several files"},
		{Limits{Nodes: 15}, 1, "f:2:1: the file holds too much: more than 15 values, split it into several files"},
		{Limits{Nodes: 27}, 2, ""},
	}
	for _, test := range tests {
		documents, problems := test.limits.Split("f", text)
		for _, d := range documents {
			problems = append(problems, d.Problems()...)
		}
		var have []string
		for _, p := range problems {
			have = append(have, p.String())
		}
		if strings.Join(have, "\n") != test.want || len(documents) != test.documents {
			t.Errorf("%+v: %d documents, %q; want %d, %q", test.limits, len(documents), have, test.documents, test.want)
		}
	}
}
