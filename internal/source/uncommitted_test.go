package source

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ustclug/pve-reconcile/internal/config"
)

func TestUncommitted(t *testing.T) {
	t.Parallel()
	r := newRepo(t)
	commit := r.commit("second", "pve/vms/b.yaml", "b: 1\nc: 2\n", "pve/gone.yaml", "g\n", "pve/same.yaml", "s\n", "other.yaml", "o\n")
	linked := filepath.Join(t.TempDir(), "linked")
	yaml := func(name string) bool { return strings.HasSuffix(name, ".yaml") }
	have := func(dir string, want ...string) {
		t.Helper()
		s, err := Open(config.Source{URL: dir, Branch: "main", Path: "pve"}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		names, err := s.Uncommitted(background(t), Revision{Commit: commit, Branch: "main"}, yaml)
		if err != nil || !slices.Equal(names, want) {
			t.Errorf("%s: have %q, %v, want %q", dir, names, err, want)
		}
	}
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	have(r.dir)
	write(filepath.Join(r.dir, "pve/vms/a.yaml"), "name: b\n")
	write(filepath.Join(r.dir, "pve/vms/b.yaml"), "b: 1\r\nc: 2\r\n") // as git writes it with core.autocrlf
	write(filepath.Join(r.dir, "pve/new.yaml"), "n\n")
	write(filepath.Join(r.dir, "pve/notes.txt"), "not wanted\n")
	write(filepath.Join(r.dir, "other.yaml"), "outside of the path\n")
	if err := os.Remove(filepath.Join(r.dir, "pve/gone.yaml")); err != nil {
		t.Fatal(err)
	}
	have(r.dir, "gone.yaml", "new.yaml", "vms/a.yaml")
	have(r.bare())

	r.git("checkout", "-q", "-f", "-b", "team")
	have(r.dir) // of another branch
	r.git("worktree", "add", "-q", linked, "main")
	have(linked)
	write(filepath.Join(linked, "pve/same.yaml"), "another\n")
	have(linked, "same.yaml")
}
