package source

import (
	"strings"
	"testing"

	"github.com/ustclug/pve-reconcile/internal/config"
)

func versions(t *testing.T, s *Source, commit, file string, most int) (subjects []string, cut bool) {
	t.Helper()
	cut, err := s.History(background(t), commit, file, func(v Version) bool {
		subjects = append(subjects, v.Revision.Subject+"="+strings.TrimSpace(string(v.Content)))
		return len(subjects) < most
	})
	if err != nil {
		t.Fatal(err)
	}
	return subjects, cut
}

func TestHistoryOfAFile(t *testing.T) {
	r := newRepo(t)
	r.commit("second", "pve/vms/a.yaml", "two\n")
	r.commit("beside", "pve/vms/b.yaml", "b\n")
	r.git("checkout", "-q", "-b", "side")
	r.commit("on the side", "pve/vms/a.yaml", "three\n")
	r.git("checkout", "-q", "main")
	r.commit("meanwhile", "README", "again\n")
	r.git("merge", "-q", "--no-ff", "-m", "merge", "side")
	tip := r.git("rev-parse", "HEAD")
	s := openLocalSource(t, config.Source{URL: r.dir, Path: "pve"})
	for _, c := range []struct {
		file, want string
		most       int
	}{
		{"vms/a.yaml", "on the side=three|second=two|first=name: a", 99},
		{"vms/a.yaml", "on the side=three|second=two", 2},
		{"vms/b.yaml", "beside=b", 99},
		{"vms/none.yaml", "", 99},
		{"nowhere/none.yaml", "", 99},
		{"vms", "", 99},
	} {
		if have, cut := versions(t, s, tip, c.file, c.most); strings.Join(have, "|") != c.want || cut {
			t.Errorf("%s: want %s, have %s, cut %v", c.file, c.want, have, cut)
		}
	}
}

func TestHistoryOfAShallowClone(t *testing.T) {
	r := newRepo(t)
	r.commit("second", "pve/vms/a.yaml", "two\n")
	dir := t.TempDir()
	runGit(t, dir, "clone", "-q", "--depth", "1", "file://"+r.dir, "shallow")
	s := openLocalSource(t, config.Source{URL: dir + "/shallow"})
	if have, cut := versions(t, s, r.git("rev-parse", "HEAD"), "pve/vms/a.yaml", 99); len(have) != 0 || !cut {
		t.Errorf("have %s, cut %v: nobody knows which commit made it so", have, cut)
	}
}
