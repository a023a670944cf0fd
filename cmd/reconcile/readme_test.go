package main

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/ustclug/pve-reconcile/internal/sim"
)

// TestReadmeRole: the role that both READMEs tell people to make is the one that all stories run with.
func TestReadmeRole(t *testing.T) {
	file, err := os.Open("../../internal/sim/testdata/pve-5.world")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	w, err := sim.ParseWorld(file)
	if err != nil {
		t.Fatal(err)
	}
	want := slices.Sorted(slices.Values(w.Access.Roles["Reconcile"]))
	for _, name := range []string{"../../README.md", "../../README.zh-CN.md"} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		m := regexp.MustCompile(`pveum role add Reconcile --privs "([^"]+)"`).FindSubmatch(text)
		if m == nil {
			t.Fatalf("%s makes no role", name)
		}
		if have := slices.Sorted(slices.Values(strings.Fields(string(m[1])))); !slices.Equal(have, want) {
			t.Errorf("%s: have %s, want %s", name, have, want)
		}
	}
}
