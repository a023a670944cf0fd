package source

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
)

// Comparison says how a revision stands to revisions that were applied before.
type Comparison struct {
	// Missing are those that are not in the history of the revision; none:
	// it descends from all of them, and the other fields are empty.
	Missing []string
	// Gone are those of Missing that are not in the repository at all.
	Gone []string
	// Dropped are commits in the history of those before and not in the
	// revision's, Added the other way round. The newest come first, and there
	// are at most MaxListed of each; the counts are of all.
	Dropped, Added           []Revision
	DroppedCount, AddedCount int
}

// MaxListed is how many commits a Comparison lists of each side.
const MaxListed = 10

// Compare compares a commit with others, all of 40 digits. Errors are *Error or ctx's own.
func (s *Source) Compare(ctx context.Context, before []string, commit string) (Comparison, error) {
	var c Comparison
	err := s.read(func(repo *git.Repository) error {
		tip, err := s.commit(repo, commit)
		if err != nil {
			return err
		}
		c, err = s.compare(ctx, repo, before, tip.Hash)
		return err
	})
	if err != nil {
		return Comparison{}, s.describe(err, Revision{})
	}
	return c, nil
}

func (s *Source) compare(ctx context.Context, repo *git.Repository, before []string, tip plumbing.Hash) (Comparison, error) {
	var out Comparison
	left := map[plumbing.Hash]bool{}
	for _, old := range before {
		h, err := s.resolve(old)
		if err != nil {
			return out, err
		}
		left[h] = h != tip
	}
	delete(left, tip)
	if len(left) == 0 {
		return out, nil
	}
	err := walkHistory(ctx, repo, tip, func(c *object.Commit) bool {
		delete(left, c.Hash)
		return len(left) > 0
	})
	if err != nil || len(left) == 0 {
		return out, err
	}
	var there []plumbing.Hash
	for _, old := range before {
		h := plumbing.NewHash(old)
		if _, err := repo.CommitObject(h); err == nil {
			there = append(there, h)
		} else if !errors.Is(err, plumbing.ErrObjectNotFound) {
			return out, err
		} else if left[h] {
			out.Gone = append(out.Gone, old)
		}
		if left[h] && !slices.Contains(out.Missing, old) {
			out.Missing = append(out.Missing, old)
		}
	}
	return out, out.sides(ctx, repo, there, tip)
}

// sides lists what only one of the histories has.
func (c *Comparison) sides(ctx context.Context, repo *git.Repository, before []plumbing.Hash, tip plumbing.Hash) error {
	old, err := histories(ctx, repo, before)
	if err != nil {
		return err
	}
	now, err := histories(ctx, repo, []plumbing.Hash{tip})
	if err != nil {
		return err
	}
	if c.Dropped, c.DroppedCount, err = only(ctx, repo, before, now); err != nil {
		return err
	}
	c.Added, c.AddedCount, err = only(ctx, repo, []plumbing.Hash{tip}, old)
	return err
}

// histories is the set of commits that are one of these or come before it.
func histories(ctx context.Context, repo *git.Repository, tips []plumbing.Hash) (map[plumbing.Hash]bool, error) {
	all := map[plumbing.Hash]bool{}
	for _, tip := range tips {
		if all[tip] {
			continue
		}
		if err := walkHistory(ctx, repo, tip, func(c *object.Commit) bool { all[c.Hash] = true; return true }); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// only lists the commits in the history of the tips that are not among the others.
func only(ctx context.Context, repo *git.Repository, tips []plumbing.Hash, others map[plumbing.Hash]bool) (list []Revision, count int, err error) {
	seen := map[plumbing.Hash]bool{}
	for _, tip := range tips {
		err := walkHistory(ctx, repo, tip, func(c *object.Commit) bool {
			if !others[c.Hash] && !seen[c.Hash] {
				seen[c.Hash] = true
				list = append(list, revisionOf(c, ""))
			}
			return true
		})
		if err != nil {
			return nil, 0, err
		}
	}
	slices.SortStableFunc(list, func(a, b Revision) int { return b.When.Compare(a.When) })
	return list[:min(len(list), MaxListed)], len(list), nil
}

// Find returns the one commit in the history of tip, full 40 digits, whose hash begins as given: at least 4 digits.
func (s *Source) Find(ctx context.Context, tip, begin string) (Revision, error) {
	begin = strings.ToLower(begin)
	if len(begin) < 4 || len(begin) > 40 || strings.Trim(begin, "0123456789abcdef") != "" {
		return Revision{}, s.describe(problem(CommitMissing, "give the hash of a commit, or at least its first 4 digits", "%q is not a commit", oneLine(begin, 60)), Revision{})
	}
	var found []Revision
	err := s.read(func(repo *git.Repository) error {
		c, err := s.commit(repo, tip)
		if err != nil {
			return err
		}
		found = nil
		return walkHistory(ctx, repo, c.Hash, func(c *object.Commit) bool {
			if strings.HasPrefix(c.Hash.String(), begin) {
				found = append(found, revisionOf(c, ""))
			}
			return len(found) < 2
		})
	})
	switch {
	case err != nil:
	case len(found) == 0:
		err = problem(CommitMissing, "", "there is no commit %s in the history of %s", begin, short(tip))
	case len(found) > 1:
		err = problem(CommitMissing, "give more digits", "several commits begin with %s, as %s and %s", begin, found[0].Commit, found[1].Commit)
	}
	if err != nil {
		return Revision{}, s.describe(err, Revision{})
	}
	return found[0], nil
}
