package source

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// Each row damages the clone as a crash or a bad disk would. With and without
// a push afterwards, the next process has to come to the right tree at once.
func TestDamagedCloneHeals(t *testing.T) {
	pack := func(repo, ext string) string {
		t.Helper()
		all, err := filepath.Glob(filepath.Join(repo, "objects/pack/*."+ext))
		if err != nil || len(all) == 0 {
			t.Fatalf("no %s in %s: %v", ext, repo, err)
		}
		if err := os.Chmod(all[0], 0o600); err != nil {
			t.Fatal(err)
		}
		return all[0]
	}
	remove := func(ext string) func(string) error {
		return func(repo string) error { return os.Remove(pack(repo, ext)) }
	}
	overwrite := func(name, content string) func(string) error {
		return func(repo string) error { return os.WriteFile(filepath.Join(repo, name), []byte(content), 0o600) }
	}
	const ref = "refs/remotes/origin/main"
	type damaged struct {
		name   string
		damage func(repo string) error
		pushed bool
		cache  string
	}
	var cases []damaged
	for name, damage := range map[string]func(string) error{
		"pack missing":       remove("pack"),
		"index missing":      remove("idx"),
		"pack empty":         func(repo string) error { return os.Truncate(pack(repo, "pack"), 0) },
		"index empty":        func(repo string) error { return os.Truncate(pack(repo, "idx"), 0) },
		"pack cut":           func(repo string) error { return os.Truncate(pack(repo, "pack"), 60) },
		"pack altered":       func(repo string) error { return alter(pack(repo, "pack"), 60, 20) },
		"index altered":      func(repo string) error { return alter(pack(repo, "idx"), 60, 20) },
		"reference empty":    overwrite(ref, ""),
		"reference garbage":  overwrite(ref, "garbage\n"),
		"reference to none":  overwrite(ref, "1234567890123456789012345678901234567890\n"),
		"reference locked":   overwrite(ref+".lock", ""),
		"packed-refs locked": overwrite("packed-refs.lock", ""),
		"HEAD empty":         overwrite("HEAD", ""),
		"HEAD missing":       func(repo string) error { return os.Remove(filepath.Join(repo, "HEAD")) },
		"config garbage":     overwrite("config", "[core\n\x00"),
		"half a pack":        overwrite("objects/pack/tmp_pack_123", "PACK"),
		"all gone":           os.RemoveAll,
		"empty directory":    func(repo string) error { _ = os.RemoveAll(repo); return os.Mkdir(repo, 0o700) },
	} {
		for _, pushed := range []bool{false, true} {
			cases = append(cases, damaged{name: fmt.Sprintf("%s, pushed %v", name, pushed), damage: damage, pushed: pushed})
		}
	}
	d := serve(t)
	for i := range cases {
		cases[i].cache = filepath.Join(t.TempDir(), "git")
		d.cache = cases[i].cache
		mustFetch(t, d.source(), d.git("rev-parse", "HEAD"))
		if err := cases[i].damage(filepath.Join(d.cache, "repo")); err != nil {
			t.Fatal(err)
		}
	}
	check := func(pushed bool, want string) {
		for _, c := range cases {
			if c.pushed != pushed {
				continue
			}
			t.Run(c.name, func(t *testing.T) {
				d.cache = c.cache
				s := d.source()
				mustFetch(t, s, want)
				for range 5 { // the packs are asked in no order
					if have := readFile(t, s, want, "pve/vms/a.yaml"); have != "name: a\n" {
						t.Errorf("have %q", have)
					}
					if have := readFile(t, s, want, "README"); have != "read me\n" {
						t.Errorf("have %q", have)
					}
				}
				if left, _ := filepath.Glob(filepath.Join(d.cache, "repo/objects/pack/tmp_*")); len(left) > 0 {
					t.Errorf("have leftovers %q", left)
				}
			})
		}
	}
	check(false, d.git("rev-parse", "HEAD"))
	next := d.commit("second", "pve/vms/b.yaml", "name: b\n")
	d.push("main")
	check(true, next)
}

// Damage that comes after the first fetch of a process, and shows when a file
// is read, is healed by its next fetch although nothing was pushed.
func TestDamageFoundWhileReading(t *testing.T) {
	d := serve(t)
	commit := d.git("rev-parse", "HEAD")
	s := d.source()
	mustFetch(t, s, commit)
	tree, err := s.Tree(background(t), commit)
	if err != nil {
		t.Fatal(err)
	}
	packs, _ := filepath.Glob(filepath.Join(d.cache, "repo/objects/pack/*.pack"))
	if err := alter(packs[0], 60, 20); err != nil {
		t.Fatal(err)
	}
	_, fresh := s.Tree(background(t), commit)
	bad := fresh
	for _, name := range []string{"README", "pve/vms/a.yaml"} {
		if _, err := tree.ReadFile(name); err != nil {
			bad = err
		}
	}
	if bad == nil {
		t.Fatal("the damage did not show")
	}
	mustFetch(t, s, commit)
	if !d.noted("the clone is damaged and is made anew") {
		t.Errorf("have notes %q, want the new clone told", d.notes)
	}
	if have := readFile(t, s, commit, "README"); have != "read me\n" {
		t.Errorf("have %q", have)
	}
	if _, err := os.Stat(filepath.Join(d.cache, "broken", "HEAD")); err != nil {
		t.Errorf("the damaged clone was not set aside: %v", err)
	}
	if _, err := os.Stat(filepath.Join(d.cache, "suspect")); err == nil {
		t.Error("the new clone is still under suspicion")
	}
}

// alter flips the bytes between the two distances from a file's end. A pack
// ends with its last object and 20 bytes of sum.
func alter(name string, from, to int) error {
	b, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	for i := len(b) - from; i < len(b)-to; i++ {
		b[i] ^= 0xff
	}
	if err := os.Chmod(name, 0o600); err != nil {
		return err
	}
	return os.WriteFile(name, b, 0o600)
}

// A damaged clone and a server that does not answer: nothing is thrown away.
func TestDamagedCloneStaysWhenServerIsGone(t *testing.T) {
	d := serve(t)
	if err := os.WriteFile(filepath.Join(d.cache, "suspect"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(d.cache, "repo", "HEAD")); err != nil {
		t.Fatal(err)
	}
	d.fault.cut.Store(400) // enough for the list, not for the clone
	_, err := d.source().Fetch(background(t))
	wantError(t, err, Unreachable)
	if _, err := os.Stat(filepath.Join(d.cache, "repo", "config")); err != nil {
		t.Error(err)
	}
	if left, _ := filepath.Glob(filepath.Join(d.cache, "new-*")); len(left) > 0 {
		t.Errorf("have leftovers %q", left)
	}
}
