package source

import (
	"fmt"
	"io/fs"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ustclug/pve-reconcile/internal/config"
)

// bigRepo is a bare repository with 5,000 manifests of about 700 bytes and
// 200 commits that each change ten of them.
func bigRepo(b *testing.B) (bare string) {
	b.Helper()
	bare = filepath.Join(b.TempDir(), "infra.git")
	runGit(b, "/", "init", "-q", "--bare", "-b", "main", bare)
	var s strings.Builder
	file := func(i, version int) {
		text := fmt.Sprintf("kind: VirtualMachine\nmetadata: {name: vm-%d}\nspec: {vmid: %d, memory: %dMi}\n%s", i, i, 1024+version, strings.Repeat("# a comment of some length\n", 24))
		fmt.Fprintf(&s, "M 100644 inline vms/%02d/vm-%04d.yaml\ndata %d\n%s\n", i/100, i, len(text), text)
	}
	for version := range 200 {
		fmt.Fprintf(&s, "commit refs/heads/main\ncommitter A <a@example.org> %d +0000\ndata 1\nx\n", 1700000000+version)
		for i := range 5000 {
			if version == 0 || i%500 == version {
				file(i, version)
			}
		}
	}
	cmd := exec.Command("git", "fast-import", "--quiet")
	cmd.Dir, cmd.Env, cmd.Stdin = bare, gitEnv(), strings.NewReader(s.String())
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	return bare
}

func readEverything(b *testing.B, s *Source, commit string) {
	b.Helper()
	tree, err := s.Tree(background(b), commit)
	if err != nil {
		b.Fatal(err)
	}
	defer tree.Close()
	files := 0
	err = fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		files++
		_, err = tree.ReadFile(name)
		return err
	})
	if err != nil || files != 5000 {
		b.Fatalf("have %d files, %v", files, err)
	}
}

func BenchmarkClone(b *testing.B) {
	bare := bigRepo(b)
	addr := gitDaemon(b, filepath.Dir(bare))
	for b.Loop() {
		s := daemonSource(b, addr, "infra.git", b.TempDir(), config.Source{})
		if _, err := s.Fetch(background(b)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkFetchNothingNew(b *testing.B) {
	bare := bigRepo(b)
	s := daemonSource(b, gitDaemon(b, filepath.Dir(bare)), "infra.git", b.TempDir(), config.Source{})
	if _, err := s.Fetch(background(b)); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := s.Fetch(background(b)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkFetchLocal(b *testing.B) {
	s := openLocalSource(b, config.Source{URL: bigRepo(b)})
	for b.Loop() {
		if _, err := s.Fetch(background(b)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkTree(b *testing.B) {
	s := openLocalSource(b, config.Source{URL: bigRepo(b)})
	rev, err := s.Fetch(background(b))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := s.Tree(background(b), rev.Commit); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkTreeReadAll(b *testing.B) {
	s := openLocalSource(b, config.Source{URL: bigRepo(b)})
	rev, err := s.Fetch(background(b))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		readEverything(b, s, rev.Commit)
	}
}
