package source

import (
	"context"
	"io"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-git/go-git/v5/plumbing/transport/client"
	gitproto "github.com/go-git/go-git/v5/plumbing/transport/git"

	"github.com/ustclug/pve-reconcile/internal/config"
)

func TestMain(m *testing.M) {
	// git:// is switched off in the product; git daemon is too good a test
	// server to do without.
	client.InstallProtocol("git", gitproto.DefaultClient)
	os.Exit(m.Run())
}

// repo is a repository driven by the real git program.
type repo struct {
	t   testing.TB
	dir string
}

func gitEnv() []string {
	return append(os.Environ(),
		"GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0",
		"GIT_AUTHOR_NAME=Ann Author", "GIT_AUTHOR_EMAIL=ann@example.org", "GIT_AUTHOR_DATE=2026-01-02T03:04:05Z",
		"GIT_COMMITTER_NAME=Ann Author", "GIT_COMMITTER_EMAIL=ann@example.org", "GIT_COMMITTER_DATE=2026-01-02T03:04:05Z",
		"HOME=/nonexistent", "LC_ALL=C")
}

func runGit(t testing.TB, dir string, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir, cmd.Env = dir, gitEnv()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// newRepo makes a repository with a working tree and one commit on main.
func newRepo(t testing.TB) *repo {
	t.Helper()
	r := &repo{t: t, dir: filepath.Join(t.TempDir(), "infra")}
	runGit(t, "/", "init", "-q", "-b", "main", r.dir)
	r.commit("first", "pve/vms/a.yaml", "name: a\n", "README", "read me\n")
	return r
}

func (r *repo) git(args ...string) string {
	r.t.Helper()
	return runGit(r.t, r.dir, args...)
}

// commit writes files (name, content, ...) and returns the new commit.
func (r *repo) commit(subject string, files ...string) string {
	r.t.Helper()
	for i := 0; i < len(files); i += 2 {
		name := filepath.Join(r.dir, files[i])
		if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
			r.t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(files[i+1]), 0o666); err != nil {
			r.t.Fatal(err)
		}
	}
	r.git("add", "-A")
	r.git("commit", "-q", "--allow-empty", "-m", subject)
	return r.git("rev-parse", "HEAD")
}

// bare makes a bare copy, which servers serve and tests push to.
func (r *repo) bare() string {
	r.t.Helper()
	dir := filepath.Join(r.t.TempDir(), "infra.git")
	runGit(r.t, "/", "clone", "-q", "--bare", r.dir, dir)
	r.git("remote", "add", "origin", dir)
	return dir
}

func (r *repo) push(args ...string) {
	r.t.Helper()
	r.git(append([]string{"push", "-q", "origin"}, args...)...)
}

func background(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func openLocalSource(t testing.TB, settings config.Source) *Source {
	t.Helper()
	s, err := Open(settings, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func mustFetch(t testing.TB, s *Source, want string) Revision {
	t.Helper()
	have, err := s.Fetch(background(t))
	if err != nil {
		t.Fatalf("fetch: %v", err)
	}
	if have.Commit != want {
		t.Fatalf("fetch: have %s, want %s", have.Commit, want)
	}
	return have
}

// wantError checks the reason and that each text is in the message.
func wantError(t testing.TB, err error, reason Reason, texts ...string) *Error {
	t.Helper()
	if err == nil {
		t.Fatalf("have no error, want %s", reason)
	}
	if have := reasonOf(err); have != reason {
		t.Errorf("have reason %q, want %q: %v", have, reason, err)
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("have %q, want it to hold %q", err, text)
		}
	}
	if strings.HasPrefix(err.Error(), "git :") {
		t.Errorf("have %q, want it to name the source", err)
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("have several lines: %q", err)
	}
	e, _ := err.(*Error)
	return e
}

func readFile(t testing.TB, s *Source, commit, name string) string {
	t.Helper()
	tree, err := s.Tree(background(t), commit)
	if err != nil {
		t.Fatalf("tree: %v", err)
	}
	b, err := tree.ReadFile(name)
	if err != nil {
		t.Fatalf("read: %v", err)
	}
	return string(b)
}

func contains(text, part string) bool { return strings.Contains(text, part) }

func quiet() *log.Logger { return log.New(io.Discard, "", 0) }

func write(t testing.TB, content string) (file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
