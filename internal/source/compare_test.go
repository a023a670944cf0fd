package source

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/ustclug/pve-reconcile/internal/config"
)

func subjects(revs []Revision) string {
	var all []string
	for _, r := range revs {
		all = append(all, r.Subject)
	}
	return strings.Join(all, " ")
}

// A history with a merge, and one beside it:
//
//	first - a - b - m - tip      first - x - y
//	          \ side /
func TestCompare(t *testing.T) {
	r := newRepo(t)
	at := map[string]string{"first": r.git("rev-parse", "HEAD")}
	add := func(name string) { at[name] = r.commit(name) }
	add("a")
	r.git("checkout", "-q", "-b", "side")
	add("side")
	r.git("checkout", "-q", "main")
	add("b")
	r.git("merge", "-q", "--no-ff", "-m", "m", "side")
	at["m"] = r.git("rev-parse", "HEAD")
	add("tip")
	r.git("checkout", "-q", "-b", "other", at["first"])
	add("x")
	add("y")
	at["gone"] = "1234567890123456789012345678901234567890"
	s := openLocalSource(t, config.Source{URL: r.dir})
	for _, c := range []struct{ before, tip, want string }{
		{"", "tip", "missing= gone= dropped=0 added=0"},
		{"tip", "tip", "missing= gone= dropped=0 added=0"},
		{"first a b side m", "tip", "missing= gone= dropped=0 added=0"},
		{"tip", "b", "missing=tip gone= dropped=3 added=0"},
		{"b", "side", "missing=b gone= dropped=1 added=1"},
		{"tip first", "y", "missing=tip gone= dropped=5 added=2"},
		{"y tip", "tip", "missing=y gone= dropped=2 added=0"},
		{"y tip", "m", "missing=y tip gone= dropped=3 added=0"},
		{"gone", "tip", "missing=gone gone=gone dropped=0 added=6"},
		{"gone first", "x", "missing=gone gone=gone dropped=0 added=1"},
	} {
		var before []string
		for name := range strings.FieldsSeq(c.before) {
			before = append(before, at[name])
		}
		have, err := s.Compare(background(t), before, at[c.tip])
		if err != nil {
			t.Fatal(err)
		}
		names := func(commits []string) string {
			var all []string
			for _, commit := range commits {
				for name, h := range at {
					if h == commit {
						all = append(all, name)
					}
				}
			}
			return strings.Join(all, " ")
		}
		text := fmt.Sprintf("missing=%s gone=%s dropped=%d added=%d", names(have.Missing), names(have.Gone), have.DroppedCount, have.AddedCount)
		if text != c.want || len(have.Dropped) != have.DroppedCount || len(have.Added) != have.AddedCount {
			t.Errorf("%s -> %s: have %s (%s / %s)\nwant %s", c.before, c.tip, text, subjects(have.Dropped), subjects(have.Added), c.want)
		}
	}
	_, err := s.Compare(background(t), nil, at["gone"])
	wantError(t, err, CommitMissing)
	_, err = s.Compare(background(t), []string{"HEAD"}, at["tip"])
	wantError(t, err, CommitMissing)
}

func TestCompareListsAFew(t *testing.T) {
	r := newRepo(t)
	first := r.git("rev-parse", "HEAD")
	for i := range MaxListed + 3 {
		r.commit(fmt.Sprint(i))
	}
	have, err := openLocalSource(t, config.Source{URL: r.dir}).Compare(background(t), []string{r.git("rev-parse", "HEAD")}, first)
	if err != nil || len(have.Dropped) != MaxListed || have.DroppedCount != MaxListed+3 {
		t.Errorf("have %d of %d, %v", len(have.Dropped), have.DroppedCount, err)
	}
}

func TestFind(t *testing.T) {
	r := newRepo(t)
	first := r.git("rev-parse", "HEAD")
	r.git("checkout", "-q", "-b", "side")
	side := r.commit("on the side")
	r.git("checkout", "-q", "main")
	tip := r.commit("second")
	s := openLocalSource(t, config.Source{URL: r.dir})
	for _, begin := range []string{first, first[:10], first[:4], strings.ToUpper(first[:7])} {
		if have, err := s.Find(background(t), tip, begin); err != nil || have.Commit != first || have.Subject != "first" {
			t.Errorf("%s: have %+v, %v", begin, have, err)
		}
	}
	for begin, text := range map[string]string{
		first[:3]:   "give the hash of a commit, or at least its first 4 digits",
		"":          "is not a commit",
		"main":      "is not a commit",
		first + "0": "is not a commit",
		side[:12]:   "there is no commit " + side[:12] + " in the history of " + tip[:10],
		"ffffffff":  "there is no commit ffffffff in the history",
	} {
		_, err := s.Find(background(t), tip, begin)
		wantError(t, err, CommitMissing, text)
	}
}

func TestFindAmbiguous(t *testing.T) {
	r := newRepo(t)
	seen := map[string]string{}
	for i := range 2000 { // 65536 beginnings of four digits: two commits share one long before
		commit := r.git("commit-tree", "-m", fmt.Sprint(i), "-p", "HEAD", "HEAD^{tree}")
		other, twice := seen[commit[:4]]
		seen[commit[:4]] = commit
		if !twice {
			continue
		}
		tip := r.git("commit-tree", "-m", "both", "-p", commit, "-p", other, "HEAD^{tree}")
		_, err := openLocalSource(t, config.Source{URL: r.dir}).Find(background(t), tip, commit[:4])
		wantError(t, err, CommitMissing, "several commits begin with "+commit[:4], "give more digits")
		return
	}
	t.Fatal("no two commits begin alike")
}

// Everything that is new is looked at: merges, and what they bring from the side.
func TestDoubts(t *testing.T) {
	r := newRepo(t)
	first := r.git("rev-parse", "HEAD")
	r.git("checkout", "-q", "-b", "side")
	r.commit("bad side")
	r.git("checkout", "-q", "main")
	r.commit("good")
	r.git("merge", "-q", "--no-ff", "-m", "bad merge", "side")
	tip := r.commit("good tip")
	s := openLocalSource(t, config.Source{URL: r.dir})
	check := func(object []byte) error {
		if strings.Contains(string(object), "\n\nbad") {
			return errors.New("is bad")
		}
		if !strings.HasPrefix(string(object), "tree ") {
			return fmt.Errorf("is no object: %q", object)
		}
		return nil
	}
	for _, c := range []struct {
		before []string
		want   string
	}{
		{[]string{first}, "2 of 4"},
		{[]string{tip}, "0 of 0"},
		{nil, "0 of 1"},
		{[]string{"1234567890123456789012345678901234567890"}, "0 of 1"},
		{[]string{first, r.git("rev-parse", "side")}, "1 of 3"},
	} {
		doubts, refused, count, err := s.Doubts(background(t), c.before, tip, check)
		if have := fmt.Sprintf("%d of %d", refused, count); err != nil || have != c.want || len(doubts) != refused {
			t.Errorf("%v: have %s, %v, %v, want %s", c.before, have, doubts, err, c.want)
		}
		for _, d := range doubts {
			if !strings.HasPrefix(d.Revision.Subject, "bad") || d.Err.Error() != "is bad" {
				t.Errorf("have %+v", d)
			}
		}
	}
}
