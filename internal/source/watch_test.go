package source

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ustclug/pve-reconcile/internal/config"
)

// patience bounds how long an event may take under load; a watch that works answers in milliseconds.
const patience = 30 * time.Second

// eye is a watcher that a test looks through.
type eye struct {
	t     *testing.T
	w     *Watcher
	mu    sync.Mutex
	names []string // of the events that mattered
}

func watch(t *testing.T, repo, branch string) *eye {
	t.Helper()
	e := &eye{t: t}
	e.w = newWatcher(repo, branch, nil)
	e.w.saw = func(name string) {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.names = append(e.names, name)
	}
	e.w.quiet, e.w.most = 20*time.Millisecond, 200*time.Millisecond
	e.w.again = time.Hour // no second look helps
	e.w.start()
	t.Cleanup(e.w.Close)
	return e
}

// sees waits until the watcher says that something changed.
func (e *eye) sees(what string) {
	e.t.Helper()
	select {
	case <-e.w.Changed():
	case <-time.After(patience):
		e.t.Fatalf("%s: not noticed", what)
	}
}

// settle takes what is still to come of something that was seen.
func (e *eye) settle() {
	for {
		select {
		case <-e.w.Changed():
		case <-time.After(300 * time.Millisecond):
			e.mu.Lock()
			e.names = nil
			e.mu.Unlock()
			return
		}
	}
}

// ignores checks that what was done since the last settle woke nobody: events come in their order, so nothing but a
// sentinel may be among those that mattered.
func (e *eye) ignores(gitDir, what string) {
	e.t.Helper()
	sentinel := filepath.Join(gitDir, "packed-refs")
	if err := os.WriteFile(sentinel+".new", []byte("# pack-refs with: peeled fully-peeled sorted\n"), 0o600); err != nil {
		e.t.Fatal(err)
	}
	if err := os.Rename(sentinel+".new", sentinel); err != nil {
		e.t.Fatal(err)
	}
	e.sees("the sentinel after " + what)
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, name := range e.names {
		if name != sentinel {
			e.t.Errorf("%s: woke because of %s", what, name)
		}
	}
	e.names = nil
}

func TestWatchBareRepository(t *testing.T) {
	r := newRepo(t)
	bare := r.bare()
	e := watch(t, bare, "main")
	push := func(what string, args ...string) {
		t.Helper()
		e.settle()
		r.push(args...)
		e.sees(what)
	}
	r.commit("second")
	push("push", "main")
	r.git("commit", "-q", "--amend", "--allow-empty", "-m", "rewritten")
	push("forced push", "--force", "main")

	e.settle()
	runGit(t, bare, "pack-refs", "--all")
	e.sees("pack-refs")
	r.commit("third")
	push("push after pack-refs", "main")

	e.settle()
	runGit(t, bare, "update-ref", "refs/heads/main", r.git("rev-parse", "HEAD~1"))
	e.sees("update-ref")
	e.settle()
	runGit(t, bare, "gc", "-q")
	e.sees("gc")
	e.settle()
	runGit(t, bare, "update-ref", "-d", "refs/heads/main")
	e.sees("deleting a packed branch")

	r.commit("fourth")
	push("push of the branch that is gone", "main")
}

func TestWatchNestedBranchMadeLater(t *testing.T) {
	r := newRepo(t)
	bare := r.bare()
	e := watch(t, bare, "feature/a/b")
	for _, what := range []string{"new", "again", "once more"} {
		e.settle()
		r.commit(what)
		r.push("main:feature/a/b")
		e.sees(what)
	}
	e.settle()
	runGit(t, bare, "update-ref", "-d", "refs/heads/feature/a/b")
	e.sees("deleted with its directories")
	e.settle()
	r.push("main:feature/a/b")
	e.sees("made anew")
	e.settle()
	r.commit("after that")
	r.push("main:feature/a/b")
	e.sees("push after that")
}

func TestWatchFollowsHEAD(t *testing.T) {
	r := newRepo(t)
	bare := r.bare()
	e := watch(t, bare, "")
	r.push("main:team/next")
	e.settle()
	runGit(t, bare, "symbolic-ref", "HEAD", "refs/heads/team/next")
	e.sees("another HEAD")
	e.settle()
	r.commit("on the new branch")
	r.push("main:team/next")
	e.sees("push to the new branch")
}

func TestWatchIgnoresWhatIsNotFollowed(t *testing.T) {
	r := newRepo(t)
	bare := r.bare()
	if err := os.WriteFile(filepath.Join(bare, "refs/heads/main"), []byte(r.git("rev-parse", "HEAD")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	e := watch(t, bare, "main")
	r.push("main:other", "main:feature/x")
	r.push("main")
	if err := os.WriteFile(filepath.Join(filepath.Dir(bare), "neighbour"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(bare, "refs/heads/main"), 0o640); err != nil {
		t.Fatal(err)
	}
	e.ignores(bare, "other branches, a push of nothing, a file beside the repository and a chmod")
}

func TestWatchRepositoryComesAndGoes(t *testing.T) {
	r := newRepo(t)
	away := r.bare()
	dir := filepath.Join(t.TempDir(), "not", "yet", "infra.git")
	r.git("remote", "set-url", "origin", dir)
	e := watch(t, dir, "main")
	runGit(t, "/", "clone", "-q", "--bare", away, dir)
	e.sees("the repository appears, with the directories above it")
	for _, how := range []func() error{
		func() error { return os.RemoveAll(dir) },
		func() error { return os.Rename(dir, dir+".old") },
		func() error { return os.RemoveAll(filepath.Dir(filepath.Dir(dir))) },
	} {
		e.settle()
		if err := how(); err != nil {
			t.Fatal(err)
		}
		e.sees("the repository goes")
		e.settle()
		runGit(t, "/", "clone", "-q", "--bare", away, dir)
		e.sees("the repository comes back")
		e.settle()
		r.commit("pushed to the new one")
		r.push("--force", "main")
		e.sees("push to the repository that came back")
	}
}

func TestWatchThroughLink(t *testing.T) {
	r := newRepo(t)
	one, two := r.bare(), filepath.Join(t.TempDir(), "two.git")
	runGit(t, "/", "clone", "-q", "--bare", one, two)
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(one, link); err != nil {
		t.Fatal(err)
	}
	e := watch(t, link, "main")
	r.commit("second")
	r.push("main")
	e.sees("push to where the link leads")
	e.settle()
	if err := os.Symlink(two, link+".new"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(link+".new", link); err != nil {
		t.Fatal(err)
	}
	e.sees("the link is exchanged")
	e.settle()
	r.git("push", "-q", two, "main")
	e.sees("push to where it leads now")
}

func TestWatchWorkingTree(t *testing.T) {
	r := newRepo(t)
	e := watch(t, r.dir, "")
	r.commit("second")
	e.sees("commit")
	e.settle()
	if err := os.WriteFile(filepath.Join(r.dir, "pve/vms/a.yaml"), []byte("edited\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r.git("add", "-A")
	e.ignores(filepath.Join(r.dir, ".git"), "what is not committed")
	e.settle()
	r.git("commit", "-q", "-m", "third")
	e.sees("commit of it")
	e.settle()
	r.git("checkout", "-q", "-b", "side")
	e.sees("checkout of another branch")
	e.settle()
	r.commit("on side")
	e.sees("commit on the other branch")
}

func TestWatchLinkedWorktree(t *testing.T) {
	r := newRepo(t)
	linked := filepath.Join(t.TempDir(), "linked")
	r.git("worktree", "add", "-q", "-b", "side", linked)
	e := watch(t, linked, "")
	runGit(t, linked, "commit", "-q", "--allow-empty", "-m", "in the worktree")
	e.sees("commit in the linked worktree")
	e.settle()
	r.commit("on main, which it does not follow")
	e.ignores(filepath.Join(r.dir, ".git"), "another branch")
	e.settle()
	runGit(t, linked, "checkout", "-q", "-b", "other")
	e.sees("checkout there")
}

// What git 2.45 does with a reftable: tables.list.lock becomes tables.list. The git here may be too old to make one.
func TestWatchReftable(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "infra.git")
	for _, d := range []string{"refs", "objects", "reftable"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	put := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name+".lock"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, name+".lock"), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	put("HEAD", "ref: refs/heads/.invalid\n")
	put("reftable/tables.list", "one\n")
	e := watch(t, dir, "main")
	put("reftable/tables.list", "one\ntwo\n")
	e.sees("push to a reftable")
}

// A stream of changes may not put off the news for ever.
func TestWatchDebounceEnds(t *testing.T) {
	r := newRepo(t)
	e := watch(t, r.dir, "main")
	name := filepath.Join(r.dir, ".git/refs/heads/main")
	head, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
				_ = os.WriteFile(name, head, 0o600)
			}
		}
	})
	e.sees("changes without end")
	close(stop)
	wg.Wait()
}

func TestWatchSaysWhyNot(t *testing.T) {
	for err, want := range map[error]string{
		syscall.ENOSPC: "/srv/git cannot be watched: the limit of watches is reached (raise it: sysctl fs.inotify.max_user_watches)",
		syscall.EMFILE: "/srv/git cannot be watched: too many watchers or open files (raise it: sysctl fs.inotify.max_user_instances)",
		syscall.EACCES: "/srv/git cannot be watched: permission denied",
	} {
		if have := explainWatch("/srv/git", err); have != want {
			t.Errorf("have %q, want %q", have, want)
		}
	}
	if os.Geteuid() != 0 {
		r := newRepo(t)
		refs := filepath.Join(r.dir, ".git/refs/heads")
		if err := os.Chmod(refs, 0o300); err != nil {
			t.Fatal(err)
		}
		e := watch(t, r.dir, "main")
		if have := e.w.Trouble(); !strings.Contains(have, "refs/heads cannot be watched: permission denied") {
			t.Errorf("have trouble %q", have)
		}
		_ = os.Chmod(refs, 0o700)
	}
}

func TestWatchTellsOnce(t *testing.T) {
	var notes []string
	w := newWatcher("/srv/git/infra.git", "main", func(text string) { notes = append(notes, text) })
	for _, problems := range [][]string{{"b", "a", "b"}, {"a", "b"}, nil, nil} {
		w.tell(problems)
	}
	if want := "a; b; polling goes on|pushes to /srv/git/infra.git are noticed at once again"; strings.Join(notes, "|") != want {
		t.Errorf("have %q, want %q", notes, want)
	}
}

func TestRemoteIsNotWatched(t *testing.T) {
	s := remoteSource(t, t.TempDir(), config.Source{URL: "https://127.0.0.1:1/infra.git"})
	w := s.Watch(nil)
	if w != nil || w.Changed() != nil || w.Trouble() != "" {
		t.Error("a remote repository has a watcher")
	}
	w.Close()
}
