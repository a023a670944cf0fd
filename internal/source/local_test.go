package source

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ustclug/pve-reconcile/internal/config"
)

func TestLocalBareFollowsPushes(t *testing.T) {
	for _, scheme := range []string{"", "file://"} {
		r := newRepo(t)
		url := scheme + r.bare()
		s := openLocalSource(t, config.Source{URL: url, Branch: "main", Path: "pve"})
		have := mustFetch(t, s, r.git("rev-parse", "HEAD"))
		want := Revision{Commit: have.Commit, Branch: "main", Author: "Ann Author <ann@example.org>", Subject: "first", When: have.When}
		if have != want || !have.When.Equal(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)) {
			t.Errorf("have %+v, want %+v", have, want)
		}
		next := r.commit("second", "pve/vms/a.yaml", url)
		r.push("main")
		mustFetch(t, s, next)
		if have := readFile(t, s, next, "vms/a.yaml"); have != url {
			t.Errorf("have %q, want %q", have, url)
		}
		if !s.Has(have.Commit) || s.Has("1234567890123456789012345678901234567890") || s.Has("HEAD") || s.Has(have.Short()) {
			t.Error("Has does not tell commits of the repository from others")
		}
	}
}

func TestLocalWorkingTreeIsReadAsCommitted(t *testing.T) {
	r := newRepo(t)
	want := r.git("rev-parse", "HEAD")
	name := filepath.Join(r.dir, "pve/vms/a.yaml")
	if err := os.WriteFile(name, []byte("not committed\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	r.git("add", "-A")
	s := openLocalSource(t, config.Source{URL: r.dir, Path: "pve"})
	mustFetch(t, s, want)
	if have := readFile(t, s, want, "vms/a.yaml"); have != "name: a\n" {
		t.Errorf("have %q, want what is committed", have)
	}
}

func TestLocalLinkedWorktree(t *testing.T) {
	r := newRepo(t)
	want := r.git("rev-parse", "HEAD")
	linked := filepath.Join(t.TempDir(), "linked")
	r.git("worktree", "add", "-q", "-b", "side", linked)
	mustFetch(t, openLocalSource(t, config.Source{URL: linked, Branch: "main"}), want)
	if have := mustFetch(t, openLocalSource(t, config.Source{URL: linked}), want); have.Branch != "side" {
		t.Errorf("have branch %q, want the one of the linked tree", have.Branch)
	}
}

// A repository that others repack, prune and push to must stay readable from
// a Source and a Tree that were opened before.
func TestLocalSurvivesGC(t *testing.T) {
	r := newRepo(t)
	bare := r.bare()
	s := openLocalSource(t, config.Source{URL: bare, Branch: "main"})
	first := r.git("rev-parse", "HEAD")
	mustFetch(t, s, first)
	tree, err := s.Tree(background(t), first)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		r.commit(fmt.Sprint("more ", i), "pve/vms/b.yaml", fmt.Sprint(i))
		r.push("main")
		runGit(t, bare, "gc", "-q", "--prune=now")
		b, err := tree.ReadFile("pve/vms/a.yaml")
		if err != nil || string(b) != "name: a\n" {
			t.Fatalf("after gc %d: have %q, %v", i, b, err)
		}
		mustFetch(t, s, r.git("rev-parse", "HEAD"))
	}
}

func TestLocalIsNeverWritten(t *testing.T) {
	r := newRepo(t)
	bare := r.bare()
	before := fingerprint(t, bare)
	s := openLocalSource(t, config.Source{URL: bare})
	rev := mustFetch(t, s, r.git("rev-parse", "HEAD"))
	readFile(t, s, rev.Commit, "pve/vms/a.yaml")
	if _, err := s.IsAncestor(background(t), rev.Commit, rev.Commit); err != nil {
		t.Fatal(err)
	}
	if have := fingerprint(t, bare); have != before {
		t.Error("the repository has changed")
	}
}

// fingerprint covers names, modes, times and contents of a directory.
func fingerprint(t *testing.T, dir string) string {
	t.Helper()
	h := sha256.New()
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		fmt.Fprintln(h, name, info.Mode(), info.ModTime().UnixNano(), info.Size())
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}

func TestLocalBranchDeletedKeepsLastGood(t *testing.T) {
	r := newRepo(t)
	bare := r.bare()
	s := openLocalSource(t, config.Source{URL: bare, Branch: "main"})
	want := mustFetch(t, s, r.git("rev-parse", "HEAD"))
	r.git("push", "-q", "origin", "main:other")
	runGit(t, bare, "update-ref", "-d", "refs/heads/main")
	have, err := s.Fetch(background(t))
	wantError(t, err, BranchGone, "branch main was deleted", "stays in force", want.Short())
	runGit(t, bare, "update-ref", "-d", "refs/heads/other")
	_, err = s.Fetch(background(t))
	wantError(t, err, BranchGone, "no branch any more, main was deleted; push it again", "stays in force", want.Short())
	if have != want {
		t.Errorf("have %+v, want the last good revision", have)
	}
}

func TestLocalProblems(t *testing.T) {
	r := newRepo(t)
	bare := r.bare()
	empty := filepath.Join(t.TempDir(), "empty.git")
	runGit(t, "/", "init", "-q", "--bare", empty)
	unborn := filepath.Join(t.TempDir(), "unborn.git")
	runGit(t, "/", "clone", "-q", "--bare", r.dir, unborn)
	runGit(t, unborn, "symbolic-ref", "HEAD", "refs/heads/master")
	detached := filepath.Join(t.TempDir(), "detached")
	runGit(t, "/", "clone", "-q", r.dir, detached)
	runGit(t, detached, "checkout", "-q", "--detach")
	sha256 := filepath.Join(t.TempDir(), "sha256.git")
	runGit(t, "/", "init", "-q", "--bare", "--object-format=sha256", sha256)
	reftable := filepath.Join(t.TempDir(), "reftable.git")
	runGit(t, "/", "clone", "-q", "--bare", r.dir, reftable)
	runGit(t, reftable, "config", "core.repositoryFormatVersion", "1")
	runGit(t, reftable, "config", "extensions.refStorage", "reftable")
	sparse := filepath.Join(t.TempDir(), "sparse")
	runGit(t, "/", "clone", "-q", r.dir, sparse)
	runGit(t, sparse, "sparse-checkout", "set", "pve")
	damaged := filepath.Join(t.TempDir(), "damaged.git")
	runGit(t, "/", "clone", "-q", "--bare", r.dir, damaged)
	if err := os.RemoveAll(filepath.Join(damaged, "objects")); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(damaged, "objects", "pack"), 0o777); err != nil {
		t.Fatal(err)
	}
	shared := filepath.Join(t.TempDir(), "shared.git")
	runGit(t, "/", "clone", "-q", "--bare", "--shared", r.dir, shared)
	plain := t.TempDir()
	for _, test := range []struct {
		name     string
		settings config.Source
		reason   Reason
		texts    []string
	}{
		{"no directory", config.Source{URL: "/nonexistent/infra"}, NotFound, []string{"git /nonexistent/infra: there is no such directory; check source.url"}},
		{"the .git forgotten", config.Source{URL: bare[:len(bare)-len(".git")]}, NotFound, []string{"did you mean " + bare + "?"}},
		{"below a working tree", config.Source{URL: r.dir + "/pve"}, NotFound, []string{"did you mean url: " + r.dir + " with path: pve?"}},
		{"a file", config.Source{URL: r.dir + "/README"}, NotFound, []string{"this is a file"}},
		{"not a repository", config.Source{URL: plain}, NotFound, []string{"not a git repository", "git init --bare"}},
		{"empty", config.Source{URL: empty, Branch: "main"}, EmptyRepository, []string{"no commit yet", "push"}},
		{"missing branch", config.Source{URL: bare, Branch: "mian"}, BranchMissing, []string{"there is no branch mian; set source.branch to one of: main"}},
		{"HEAD of no branch", config.Source{URL: unborn}, BranchMissing, []string{"HEAD names the branch master, which does not exist", "main"}},
		{"detached HEAD", config.Source{URL: detached}, BranchMissing, []string{"HEAD names none", "main"}},
		{"sha256", config.Source{URL: sha256}, Unsupported, []string{"SHA-256 object names", "--object-format=sha1"}},
		{"reftable", config.Source{URL: reftable}, Unsupported, []string{"reftable", "git refs migrate --ref-format=files"}},
		{"sparse checkout", config.Source{URL: sparse}, Unsupported, []string{"worktreeConfig", "bare"}},
		{"alternates", config.Source{URL: shared}, Unsupported, []string{"borrows objects", "repack -a -d"}},
		{"objects gone", config.Source{URL: damaged}, Unreadable, []string{"commit ", "fsck"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			rev, err := openLocalSource(t, test.settings).Fetch(background(t))
			wantError(t, err, test.reason, test.texts...)
			if rev.Commit != "" {
				t.Errorf("have %+v, want none", rev)
			}
		})
	}
}

func TestOpenRefusesLocations(t *testing.T) {
	for url, want := range map[string]string{
		"http://host/infra.git":              "not encrypted",
		"git://host/infra.git":               "not encrypted",
		"https://user:hunter2@host/i.git":    "carries a password",
		"https://ghp_hunter2@host/infra.git": "carries a user name or a token",
		"infra.git":                          "neither an absolute directory nor a URL",
	} {
		_, err := Open(config.Source{URL: url}, Options{Cache: t.TempDir()})
		if err == nil || !contains(err.Error(), want) || contains(err.Error(), "hunter2") {
			t.Errorf("%s: have %v, want %q", url, err, want)
		}
	}
}

func TestRevisionTextsArePrintable(t *testing.T) {
	r := newRepo(t)
	c := r.commit("red \x1b[31malert\u202e\tend\n\nbody")
	rev := mustFetch(t, openLocalSource(t, config.Source{URL: r.dir}), c)
	if want := "red [31malert end"; rev.Subject != want {
		t.Errorf("have %q, want %q", rev.Subject, want)
	}
}
