package source

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ustclug/pve-reconcile/internal/config"
)

// remotes is the table of servers that a repository is followed from: git's own programs, each behind a proxy with faults.
var remotes = map[string]func(t *testing.T, bare string, f *fault) func(cache string) *Source{
	"git daemon": func(t *testing.T, bare string, f *fault) func(string) *Source {
		addr := proxied(t, gitDaemon(t, filepath.Dir(bare)), f)
		return func(cache string) *Source {
			return daemonSource(t, addr, filepath.Base(bare), cache, config.Source{Branch: "main"})
		}
	},
	"git http-backend": func(t *testing.T, bare string, f *fault) func(string) *Source {
		server := newHTTPS(t, filepath.Dir(bare), "")
		u, err := url.Parse(server.URL)
		if err != nil {
			t.Fatal(err)
		}
		at := "https://" + proxied(t, u.Host, f) + "/" + filepath.Base(bare)
		return func(cache string) *Source {
			return remoteSource(t, cache, config.Source{URL: at, Branch: "main", CAFile: server.ca})
		}
	},
	"ssh": func(t *testing.T, bare string, f *fault) func(string) *Source {
		server := newSSH(t)
		server.addr = proxied(t, server.addr, f)
		server.trust(t, server.hostKey.PublicKey())
		return func(cache string) *Source {
			return remoteSource(t, cache, config.Source{URL: "ssh://git@" + server.addr + bare, Branch: "main", KeyFile: server.key, KnownHostsFile: server.known})
		}
	},
}

// TestAnyServerAnyWeather is one story over each transport: what people and networks do to a branch.
func TestAnyServerAnyWeather(t *testing.T) {
	for name, serve := range remotes {
		t.Run(name, func(t *testing.T) {
			r := newRepo(t)
			bare, cache := r.bare(), filepath.Join(t.TempDir(), "git")
			f := &fault{}
			open := serve(t, bare, f)
			notes := ""
			fresh := func() *Source { // what a newly started process opens
				s := open(cache)
				s.options.Notice = func(text string) { notes += text + "\n" }
				return s
			}
			s := fresh()
			first := r.git("rev-parse", "HEAD")
			mustFetch(t, s, first)

			second := r.commit("second", "pve/vms/b.yaml", "name: b\n")
			r.push("main")
			mustFetch(t, s, second)
			rewriteBranch(t, r, s, first, second)
			if !strings.Contains(notes, "branch main was rewritten: "+short(second)) {
				t.Errorf("have notes %q", notes)
			}
			rewritten := r.git("rev-parse", "HEAD")

			// The administrator of the server moves the branch, and throws away what nothing names any more.
			runGit(t, bare, "update-ref", "refs/heads/main", first)
			runGit(t, bare, "reflog", "expire", "--expire=now", "--all")
			runGit(t, bare, "gc", "-q", "--prune=now")
			mustFetch(t, s, first)
			mustFetch(t, fresh(), first)
			for _, old := range []string{second, rewritten} {
				if readFile(t, s, old, "README") != "read me\n" {
					t.Errorf("%s is lost", old)
				}
			}
			deleteBranch(t, r, bare, s, first)
			breakOff(t, r, s, f)
			damageClone(t, r, fresh, cache)
			if !strings.Contains(notes, "the clone is damaged and is made anew") {
				t.Errorf("have notes %q", notes)
			}
		})
	}
}

// rewriteBranch pushes another history by force: it is followed, and what it drops stays readable and is told.
func rewriteBranch(t *testing.T, r *repo, s *Source, first, second string) {
	t.Helper()
	r.git("reset", "-q", "--hard", first)
	other := r.commit("another second", "pve/vms/c.yaml", "name: c\n")
	r.push("--force", "main")
	mustFetch(t, s, other)
	if have := readFile(t, s, second, "pve/vms/b.yaml"); have != "name: b\n" {
		t.Errorf("the dropped commit: have %q", have)
	}
	c, err := s.Compare(background(t), []string{first, second}, other)
	if err != nil || len(c.Missing) != 1 || c.Missing[0] != second || len(c.Gone) != 0 || subjects(c.Dropped) != "second" || subjects(c.Added) != "another second" {
		t.Errorf("have %+v, %v", c, err)
	}
}

// deleteBranch: the last good revision stays, and the branch may come back.
func deleteBranch(t *testing.T, r *repo, bare string, s *Source, first string) {
	t.Helper()
	r.git("push", "-q", "origin", first+":refs/heads/other")
	runGit(t, bare, "update-ref", "-d", "refs/heads/main")
	have, err := s.Fetch(background(t))
	wantError(t, err, BranchGone, "the branch main was deleted; push it again", "stays in force")
	if have.Commit != first || readFile(t, s, first, "README") != "read me\n" {
		t.Errorf("have %+v, want the last good revision", have)
	}
	r.push("main")
	mustFetch(t, s, r.git("rev-parse", "HEAD"))
}

// breakOff cuts the connection in the middle of a fetch, at several places, and lets the server come back.
func breakOff(t *testing.T, r *repo, s *Source, f *fault) {
	t.Helper()
	before := r.git("rev-parse", "HEAD")
	random := strings.Builder{}
	for i := range 20000 {
		fmt.Fprintf(&random, "%x\n", i*i*7919)
	}
	next := r.commit("big", "pve/vms/big.yaml", random.String())
	r.push("main")
	for _, cut := range []int64{1, 100, 1500, 4000, 9000, 20000} {
		f.cut.Store(cut)
		have, err := s.Fetch(background(t))
		wantError(t, err, Unreachable)
		if have.Commit != before || readFile(t, s, before, "README") != "read me\n" {
			t.Errorf("cut after %d bytes: have %+v, want the last good revision, readable", cut, have)
		}
	}
	f.cut.Store(0)
	mustFetch(t, s, next)
	if have := readFile(t, s, next, "pve/vms/big.yaml"); have != random.String() {
		t.Error("the file came through damaged")
	}
}

// damageClone overwrites all packs of the clone with garbage; the next process sets it aside and clones anew.
func damageClone(t *testing.T, r *repo, fresh func() *Source, cache string) {
	t.Helper()
	packs, err := filepath.Glob(filepath.Join(cache, "repo/objects/pack/*.pack"))
	if err != nil || len(packs) == 0 {
		t.Fatalf("have no packs: %v", err)
	}
	for _, pack := range packs {
		info, err := os.Stat(pack)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(pack, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(pack, []byte(strings.Repeat("x", int(info.Size()))), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tip := r.git("rev-parse", "HEAD")
	s := fresh()
	mustFetch(t, s, tip)
	if have := readFile(t, s, tip, "pve/vms/a.yaml"); have != "name: a\n" {
		t.Errorf("have %q", have)
	}
	if _, err := os.Stat(filepath.Join(cache, "broken")); err != nil {
		t.Errorf("the damaged clone was not set aside: %v", err)
	}
}
