package source

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/ustclug/pve-reconcile/internal/config"
)

const lfsPointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n"

var (
	_ fs.ReadFileFS = (*Tree)(nil)
	_ fs.ReadDirFS  = (*Tree)(nil)
	_ fs.StatFS     = (*Tree)(nil)
)

func treeOf(t testing.TB, settings config.Source, commit string) *Tree {
	t.Helper()
	tree, err := openLocalSource(t, settings).Tree(background(t), commit)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

func TestTreeIsAFileSystem(t *testing.T) {
	r := newRepo(t)
	big := strings.Repeat("0123456789abcdef", 1<<14)
	c := r.commit("files", "pve/vms/b.yaml", "", "pve/node.yaml", "kind: Node\n", "pve/deep/er/x y.yaml", "x\r\n",
		"pve/[odd]*?.yaml", "odd", "pve/big.bin", big, "pve/utf8-ü.yaml", "\xff\xfe")
	if err := os.Chmod(filepath.Join(r.dir, "pve/node.yaml"), 0o755); err != nil {
		t.Fatal(err)
	}
	c = r.commit("executable " + c)
	tree := treeOf(t, config.Source{URL: r.dir, Path: "pve"}, c)
	want := []string{"vms/a.yaml", "vms/b.yaml", "node.yaml", "deep/er/x y.yaml", "[odd]*?.yaml", "big.bin", "utf8-ü.yaml"}
	if err := fstest.TestFS(tree, want...); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"vms/b.yaml": "", "deep/er/x y.yaml": "x\r\n", "utf8-ü.yaml": "\xff\xfe", "big.bin": big} {
		if have, err := tree.ReadFile(name); err != nil || string(have) != content {
			t.Errorf("%s: have %d bytes and %v, want the content byte for byte", name, len(have), err)
		}
	}
	info, err := tree.Stat("node.yaml")
	if err != nil || info.Mode() != 0o555 || info.Size() != 11 || info.Sys() != r.git("hash-object", "pve/node.yaml") {
		t.Errorf("have %v, %v", info, err)
	}
	if _, err := tree.ReadFile("../README"); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("have %v, want the parent refused", err)
	}
	if _, err := tree.ReadFile("vms"); err == nil || !contains(err.Error(), "is a directory") {
		t.Errorf("have %v", err)
	}
	if _, err := tree.ReadDir("node.yaml"); err == nil || !contains(err.Error(), "not a directory") {
		t.Errorf("have %v", err)
	}
	if err := tree.Close(); err != nil {
		t.Error(err)
	}
	if have, err := tree.ReadFile("node.yaml"); err != nil || string(have) != "kind: Node\n" {
		t.Errorf("after Close: have %q, %v", have, err)
	}
	if skipped := tree.Skipped(); len(skipped) != 0 {
		t.Errorf("have %v, want nothing skipped", skipped)
	}
}

func TestTreeSkipsWhatIsNoFile(t *testing.T) {
	r := newRepo(t)
	link := func(target, name string) {
		if err := os.Symlink(target, filepath.Join(r.dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	link("../../../etc/passwd", "pve/secret.yaml")
	link(".", "pve/loop")
	r.commit("links", "pve/image.yaml", lfsPointer, "pve/notlfs.yaml", "version: https://git-lfs.github.com/spec/v1\n")
	sub := r.git("rev-parse", "HEAD")
	r.git("update-index", "--add", "--cacheinfo", "160000,"+sub+",pve/sub")
	r.git("commit", "-q", "-m", "submodule")
	tree := treeOf(t, config.Source{URL: r.dir, Path: "pve"}, r.git("rev-parse", "HEAD"))
	want := []Skip{
		{"image.yaml", SkipLFS, "Git LFS pointer: the content is not in the repository, take the file out of LFS with git lfs migrate export"},
		{"loop", SkipSymlink, "symbolic link to .: links are not followed, commit the file itself"},
		{"secret.yaml", SkipSymlink, "symbolic link to ../../../etc/passwd: links are not followed, commit the file itself"},
		{"sub", SkipSubmodule, "submodule at commit " + short(sub) + ": submodules are not fetched, commit the files themselves"},
	}
	if have := tree.Skipped(); !reflect.DeepEqual(have, want) {
		t.Errorf("have %+v\nwant %+v", have, want)
	}
	if err := fstest.TestFS(tree, "notlfs.yaml", "vms/a.yaml"); err != nil {
		t.Error(err)
	}
	for _, s := range want {
		if _, err := tree.Stat(s.Path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: have %v, want it absent", s.Path, err)
		}
	}
}

// A pusher may send trees that git itself would refuse to write.
func TestTreeRefusesCraftedNames(t *testing.T) {
	r := newRepo(t)
	blob := r.git("hash-object", "-w", "README")
	raw := ""
	for _, name := range []string{".", "..", "a/b", "bad\xff", "dup", "dup", "good"} {
		raw += "100644 " + name + "\x00" + unhex(t, blob)
	}
	name := filepath.Join(t.TempDir(), "tree")
	if err := os.WriteFile(name, []byte(raw), 0o600); err != nil {
		t.Fatal(err)
	}
	h := r.git("hash-object", "-w", "--literally", "-t", "tree", name)
	c := r.git("commit-tree", "-m", "crafted", h)
	tree := treeOf(t, config.Source{URL: r.dir}, c)
	var have []string
	for _, s := range tree.Skipped() {
		have = append(have, string(s.Kind)+" "+s.Path)
	}
	want := []string{`name "."`, `name ".."`, `name "a/b"`, `name "bad\xff"`, `name "dup"`}
	if !reflect.DeepEqual(have, want) {
		t.Errorf("have %q, want %q", have, want)
	}
	if err := fstest.TestFS(tree, "dup", "good"); err != nil {
		t.Error(err)
	}
}

func TestTreeBombIsRefused(t *testing.T) {
	r := newRepo(t)
	h := r.git("rev-parse", "HEAD^{tree}")
	for range 12 { // 10^12 files of a dozen objects
		raw := ""
		for i := range 10 {
			raw += fmt.Sprintf("40000 %d\x00%s", i, unhex(t, h))
		}
		name := filepath.Join(t.TempDir(), "tree")
		if err := os.WriteFile(name, []byte(raw), 0o600); err != nil {
			t.Fatal(err)
		}
		h = r.git("hash-object", "-w", "--literally", "-t", "tree", name)
	}
	c := r.git("commit-tree", "-m", "bomb", h)
	s := openLocalSource(t, config.Source{URL: r.dir})
	s.maxEntries = 5000
	_, err := s.Tree(background(t), c)
	wantError(t, err, Unsupported, "more than 5000 files", "source.path")
}

func unhex(t *testing.T, s string) string {
	t.Helper()
	var b []byte
	if _, err := fmt.Sscanf(s, "%x", &b); err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestTreeProblems(t *testing.T) {
	r := newRepo(t)
	if err := os.Symlink("pve", filepath.Join(r.dir, "link")); err != nil {
		t.Fatal(err)
	}
	c := r.commit("link")
	blob := r.git("rev-parse", "HEAD:README")
	for _, test := range []struct {
		path, commit string
		reason       Reason
		texts        []string
	}{
		{"pev", c, PathMissing, []string{"has no directory pev; set source.path to one of:", `"." (the whole repository), pve`}},
		{"pve/vns", c, PathMissing, []string{"has no directory pve/vns; set source.path to one of: pve/vms"}},
		{"README", c, PathMissing, []string{"README in commit", "is a file"}},
		{"link", c, PathMissing, []string{"is a symbolic link"}},
		{".", "1234567890123456789012345678901234567890", CommitMissing, []string{"commit 1234567890 is not in the repository"}},
		{".", blob, CommitMissing, []string{"is not in the repository"}},
		{".", "HEAD", CommitMissing, []string{"40 digits"}},
	} {
		_, err := openLocalSource(t, config.Source{URL: r.dir, Path: test.path}).Tree(background(t), test.commit)
		wantError(t, err, test.reason, test.texts...)
	}
	ctx, cancel := context.WithCancel(background(t))
	cancel()
	if _, err := openLocalSource(t, config.Source{URL: r.dir}).Tree(ctx, c); !errors.Is(err, context.Canceled) {
		t.Errorf("have %v, want the context's error", err)
	}
}

// A repository that was never packed has a file for each object; each of them
// left open would soon be one too many.
func TestTreeLeavesNoFileOpen(t *testing.T) {
	r := newRepo(t)
	var files []string
	for i := range 50 {
		files = append(files, fmt.Sprintf("pve/%d.yaml", i), fmt.Sprintf("name: a%d\n", i))
	}
	files = append(files, "pve/large.bin", strings.Repeat("large", 1<<19))
	c := r.commit("many", files...)
	s := openLocalSource(t, config.Source{URL: r.dir})
	for _, packed := range []bool{false, true} {
		if packed {
			r.git("gc", "-q")
		}
		tree, err := s.Tree(background(t), c)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(files); i += 2 {
			if b, err := tree.ReadFile(files[i]); err != nil || string(b) != files[i+1] {
				t.Fatalf("%s: have %d bytes, %v", files[i], len(b), err)
			}
		}
		if err := tree.Close(); err != nil {
			t.Fatal(err)
		}
		if open := openBelow(t, r.dir); len(open) > 0 {
			t.Errorf("packed %v: have %d files open: %v", packed, len(open), open[:min(3, len(open))])
		}
	}
}

func openBelow(t *testing.T, dir string) (open []string) {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		if name, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && strings.HasPrefix(name, dir) {
			open = append(open, name)
		}
	}
	return open
}

func TestTreeIsReadByMany(t *testing.T) {
	r := newRepo(t)
	tree := treeOf(t, config.Source{URL: r.dir}, r.git("rev-parse", "HEAD"))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 20 {
				if b, err := tree.ReadFile("README"); err != nil || string(b) != "read me\n" {
					t.Errorf("have %q, %v", b, err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestIsAncestor(t *testing.T) {
	r := newRepo(t)
	first := r.git("rev-parse", "HEAD")
	r.git("checkout", "-q", "-b", "side")
	side := r.commit("side")
	r.git("checkout", "-q", "main")
	second := r.commit("second")
	r.git("merge", "-q", "-m", "merge", "side")
	merge := r.git("rev-parse", "HEAD")
	orphan := r.git("commit-tree", "-m", "orphan", "HEAD^{tree}")
	s := openLocalSource(t, config.Source{URL: r.dir})
	for _, test := range []struct {
		old, new string
		want     bool
	}{
		{first, first, true},
		{first, merge, true},
		{side, merge, true},
		{second, merge, true},
		{merge, first, false},
		{side, second, false},
		{first, orphan, false},
		{orphan, merge, false},
	} {
		have, err := s.IsAncestor(background(t), test.old, test.new)
		if err != nil || have != test.want {
			t.Errorf("%s before %s: have %v, %v, want %v", test.old, test.new, have, err, test.want)
		}
	}
	_, err := s.IsAncestor(background(t), "1234567890123456789012345678901234567890", merge)
	wantError(t, err, CommitMissing)
	shallow := filepath.Join(t.TempDir(), "shallow")
	runGit(t, "/", "clone", "-q", "--depth=1", "file://"+r.dir, shallow)
	cut := openLocalSource(t, config.Source{URL: shallow})
	alone := runGit(t, shallow, "commit-tree", "-m", "alone", "HEAD^{tree}")
	_, err = cut.IsAncestor(background(t), alone, merge)
	wantError(t, err, Unsupported, "shallow", "--unshallow")
}
