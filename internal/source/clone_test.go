package source

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"

	"github.com/ustclug/pve-reconcile/internal/config"
)

// served is a repository behind git daemon with a cache that has followed it
// to its first commit.
type served struct {
	*repo
	t     *testing.T
	bare  string
	addr  string
	cache string
	fault fault
	notes []string
}

func serve(t *testing.T) *served {
	t.Helper()
	r := newRepo(t)
	d := &served{repo: r, t: t, bare: r.bare(), cache: filepath.Join(t.TempDir(), "state", "git")}
	d.addr = proxied(t, gitDaemon(t, filepath.Dir(d.bare)), &d.fault)
	mustFetch(t, d.source(), r.git("rev-parse", "HEAD"))
	return d
}

// source is what a newly started process would open.
func (d *served) source() *Source {
	d.t.Helper()
	s := daemonSource(d.t, d.addr, "infra.git", d.cache, config.Source{Branch: "main"})
	s.options.Notice = func(text string) { d.notes = append(d.notes, text) }
	return s
}

func (d *served) noted(text string) bool {
	return strings.Contains(strings.Join(d.notes, "\n"), text)
}

func TestRemoteBranchDeletedKeepsLastGood(t *testing.T) {
	d := serve(t)
	first := d.git("rev-parse", "HEAD")
	s := d.source()
	d.git("push", "-q", "origin", "main:other")
	runGit(t, d.bare, "update-ref", "-d", "refs/heads/main")
	have, err := s.Fetch(background(t))
	e := wantError(t, err, BranchGone, "the branch main was deleted; push it again", "stays in force")
	if have.Commit != first || e.Last.Commit != first || readFile(t, s, first, "README") != "read me\n" {
		t.Errorf("have %+v, want the last good revision, readable", have)
	}
	runGit(t, d.bare, "update-ref", "-d", "refs/heads/other")
	have, err = d.source().Fetch(background(t))
	wantError(t, err, BranchGone, "no branch any more, main was deleted; push it again", "stays in force")
	if have.Commit != first {
		t.Errorf("have %+v, want the last good revision", have)
	}
	d.push("main")
	mustFetch(t, s, first)
}

func TestRemoteBranchNeverThere(t *testing.T) {
	d := serve(t)
	s := d.source()
	s.settings.Branch, s.remote.settings.Branch = "mian", "mian"
	rev, err := s.Fetch(background(t))
	wantError(t, err, BranchMissing, "there is no branch mian; set source.branch to one of: main")
	if rev.Commit != "" {
		t.Errorf("have %+v, want no revision of another branch", rev)
	}
}

func TestDefaultBranchIsFollowed(t *testing.T) {
	d := serve(t)
	s := d.source()
	s.settings.Branch = ""
	if have := mustFetch(t, s, d.git("rev-parse", "HEAD")); have.Branch != "main" {
		t.Errorf("have branch %q", have.Branch)
	}
	d.git("checkout", "-q", "-b", "trunk")
	next := d.commit("on trunk")
	d.push("trunk")
	runGit(t, d.bare, "symbolic-ref", "HEAD", "refs/heads/trunk")
	if have := mustFetch(t, s, next); have.Branch != "trunk" {
		t.Errorf("have branch %q", have.Branch)
	}
	d.fault.stall.Store(true)
	again := d.source()
	again.settings.Branch = ""
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	have, err := again.Fetch(ctx)
	wantError(t, err, Unreachable, "not done in time")
	if have.Commit != next {
		t.Errorf("have %+v, want the last good revision of trunk", have)
	}
}

// Wherever the connection breaks, the old revision stays readable, and the
// next fetch brings the new one.
func TestConnectionCut(t *testing.T) {
	d := serve(t)
	first := d.git("rev-parse", "HEAD")
	s := d.source()
	random := strings.Builder{}
	for i := range 4000 {
		fmt.Fprintf(&random, "%x\n", i*i*7919)
	}
	next := d.commit("second", "pve/vms/big.yaml", random.String())
	d.push("main")
	list := int64(len(runGit(t, d.bare, "show-ref")))
	for _, cut := range []int64{1, 10, list, 400, 1000, 4000} {
		d.fault.cut.Store(cut)
		have, err := s.Fetch(background(t))
		wantError(t, err, Unreachable)
		if have.Commit != first || readFile(t, s, first, "README") != "read me\n" {
			t.Errorf("cut after %d bytes: have %+v, want the last good revision, readable", cut, have)
		}
	}
	d.fault.cut.Store(0)
	mustFetch(t, s, next)
	if have := readFile(t, s, next, "pve/vms/big.yaml"); have != random.String() {
		t.Error("the file came through damaged")
	}
	if len(d.notes) > 0 {
		t.Errorf("have notes %q, want none: the clone was never damaged", d.notes)
	}
	if left, _ := filepath.Glob(filepath.Join(d.cache, "repo/objects/pack/tmp_*")); len(left) > 1 {
		t.Errorf("have leftovers %q", left)
	}
}

func TestCacheIsLocked(t *testing.T) {
	d := serve(t)
	unlock, err := lock(background(t), filepath.Join(d.cache, "lock"), 0)
	if err != nil {
		t.Fatal(err)
	}
	s := d.source()
	s.options.LockWait = time.Millisecond
	have, err := s.Fetch(background(t))
	wantError(t, err, Locked, fmt.Sprintf("process %d", os.Getpid()), "stays in force")
	if readFile(t, s, have.Commit, "README") != "read me\n" {
		t.Error("reading has to work while another process fetches")
	}
	s.options.LockWait = time.Minute
	ctx, cancel := context.WithCancel(background(t))
	time.AfterFunc(20*time.Millisecond, cancel)
	if _, err := s.Fetch(ctx); err != context.Canceled { //nolint:errorlint // exactly this
		t.Errorf("have %v, want the context's error", err)
	}
	time.AfterFunc(20*time.Millisecond, unlock)
	mustFetch(t, s, d.git("rev-parse", "HEAD"))
}

func TestAnotherURLKeepsHistory(t *testing.T) {
	d := serve(t)
	first := d.git("rev-parse", "HEAD")
	other := newRepo(t)
	commit := other.commit("another repository", "pve/vms/c.yaml", "name: c\n")
	server := newHTTPS(t, filepath.Dir(other.bare()), "")
	s := remoteSource(t, d.cache, config.Source{URL: server.URL + "/infra.git", Branch: "main"})
	_, err := s.Fetch(background(t))
	e := wantError(t, err, UntrustedServer)
	if e.Last.Commit != "" {
		t.Errorf("have %+v of the repository before, want none", e.Last)
	}
	s = remoteSource(t, d.cache, config.Source{URL: server.URL + "/infra.git", Branch: "main", CAFile: server.ca})
	mustFetch(t, s, commit)
	if !s.Has(first) {
		t.Error("the revision applied last is lost")
	}
}

func TestManyPacksBecomeOne(t *testing.T) {
	d := serve(t)
	s := d.source()
	first := d.git("rev-parse", "HEAD")
	d.commit("pushed away", "pve/vms/x.yaml", "x")
	away := d.git("rev-parse", "HEAD")
	d.push("main")
	mustFetch(t, s, away)
	d.git("reset", "-q", "--hard", first)
	last := ""
	packs := func() int {
		all, _ := filepath.Glob(filepath.Join(d.cache, "repo/objects/pack/*.pack"))
		return len(all)
	}
	for i := range 4 {
		last = d.commit("more", "pve/vms/z.yaml", fmt.Sprint(i))
		d.push("--force", "main")
		mustFetch(t, s, last)
	}
	if have := packs(); have < 5 {
		t.Fatalf("have %d packs, want one for each fetch", have)
	}
	s.packLimit = 5
	tree, err := s.Tree(background(t), away)
	if err != nil {
		t.Fatal(err)
	}
	last = d.commit("last", "pve/vms/y.yaml", "y")
	d.push("--force", "main")
	mustFetch(t, s, last)
	if have := packs(); have != 1 {
		t.Errorf("have %d packs, want 1", have)
	}
	if have, err := tree.ReadFile("pve/vms/x.yaml"); err != nil || string(have) != "x" {
		t.Errorf("a tree opened before: have %q, %v", have, err)
	}
	for _, commit := range []string{first, away, last} {
		if !s.Has(commit) || readFile(t, s, commit, "README") != "read me\n" {
			t.Errorf("%s cannot be read any more", commit)
		}
	}
	if !d.noted("was rewritten") {
		t.Errorf("have notes %q, want the rewritten branch told", d.notes)
	}
	next := d.commit("next")
	d.push("main")
	mustFetch(t, s, next)
}

func TestCloneHoldsNoURL(t *testing.T) {
	d := serve(t)
	repo, err := git.PlainOpen(filepath.Join(d.cache, "repo"))
	if err != nil {
		t.Fatal(err)
	}
	conf, err := repo.Config()
	if err != nil || len(conf.Remotes) != 0 || !conf.Core.IsBare {
		t.Errorf("have %+v, %v: want a bare clone without remotes", conf, err)
	}
	if _, err := repo.Reference(plumbing.NewBranchReferenceName("main"), false); err == nil {
		t.Error("the clone has a branch of its own")
	}
}
