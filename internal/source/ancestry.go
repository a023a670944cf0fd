package source

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
)

// IsAncestor reports whether old is new or comes before it in new's history.
// Both are full 40 digits and have to be in the repository: a missing one is
// an *Error with CommitMissing, not false. The answer true is found without
// reading the whole history; false takes all of it.
func (s *Source) IsAncestor(ctx context.Context, old, new string) (bool, error) {
	var is bool
	err := s.read(func(repo *git.Repository) error {
		a, err := s.commit(repo, old)
		if err != nil {
			return err
		}
		b, err := s.commit(repo, new)
		if err != nil {
			return err
		}
		is, err = isAncestor(ctx, repo, a.Hash, b.Hash)
		return err
	})
	if err != nil {
		return false, s.describe(err, Revision{})
	}
	return is, nil
}

// isAncestor walks from the newest commit down in the order of time. Clocks
// may lie, so time orders the walk but never ends it.
func isAncestor(ctx context.Context, repo *git.Repository, old, new plumbing.Hash) (bool, error) {
	found := old == new
	if found {
		return true, nil
	}
	err := walkHistory(ctx, repo, new, func(c *object.Commit) (more bool) {
		found = c.Hash == old
		return !found
	})
	return found, err
}

// walkHistory visits a commit and all that came before it, the newest first as
// far as clocks tell, until visit has seen enough.
func walkHistory(ctx context.Context, repo *git.Repository, from plumbing.Hash, visit func(*object.Commit) (more bool)) error {
	c, err := repo.CommitObject(from)
	if err != nil {
		return err
	}
	walk := object.NewCommitIterCTime(c, nil, nil)
	defer walk.Close()
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		c, err := walk.Next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, plumbing.ErrObjectNotFound):
			if cut, _ := repo.Storer.Shallow(); len(cut) > 0 {
				return problem(Unsupported, "git fetch --unshallow in that repository brings the rest", "the repository is a shallow clone, its history is cut")
			}
			return fmt.Errorf("history of %s: %w", short(from.String()), err)
		case err != nil:
			return err
		case !visit(c):
			return nil
		}
	}
}

func (s *Source) commit(repo *git.Repository, commit string) (*object.Commit, error) {
	h, err := s.resolve(commit)
	if err != nil {
		return nil, err
	}
	c, err := repo.CommitObject(h)
	if errors.Is(err, plumbing.ErrObjectNotFound) {
		return nil, problem(CommitMissing, "", "commit %s is not in the repository", short(commit))
	}
	if err != nil {
		return nil, problem(Unreadable, "", "commit %s: %w", short(commit), err)
	}
	return c, nil
}
