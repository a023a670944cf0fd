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

// Doubt is a commit whose signature does not count, and why.
type Doubt struct {
	Revision Revision
	Err      error
}

// maxCommit bounds one commit object: its message and signature.
const maxCommit = 1 << 20

// Doubts has check look at every commit in the history of a commit that is not in the history of those before, merges and
// what they brought included; with none of them in the repository, at the commit alone. check is given the object as git stores it. The first
// MaxListed commits that it refuses are returned, the newest first, and their number; count is how many were looked at.
func (s *Source) Doubts(ctx context.Context, before []string, commit string, check func(object []byte) error) (doubts []Doubt, refused, count int, err error) {
	err = s.read(func(repo *git.Repository) error {
		tip, err := s.commit(repo, commit)
		if err != nil {
			return err
		}
		var there []plumbing.Hash
		for _, old := range before {
			h, err := s.resolve(old)
			if err != nil {
				return err
			}
			if _, err := repo.CommitObject(h); err == nil {
				there = append(there, h)
			} else if !errors.Is(err, plumbing.ErrObjectNotFound) {
				return err
			}
		}
		known, err := histories(ctx, repo, there)
		if err != nil {
			return err
		}
		doubts, refused, count = nil, 0, 0
		var broken error
		err = walkHistory(ctx, repo, tip.Hash, func(c *object.Commit) bool {
			if known[c.Hash] {
				return true
			}
			count++
			raw, err := rawCommit(repo, c.Hash)
			if err != nil {
				broken = err
				return false
			}
			if err := check(raw); err != nil {
				if refused++; len(doubts) < MaxListed {
					doubts = append(doubts, Doubt{revisionOf(c, ""), err})
				}
			}
			return len(there) > 0
		})
		return errors.Join(err, broken)
	})
	if err != nil {
		return nil, 0, 0, s.describe(err, Revision{})
	}
	return doubts, refused, count, nil
}

// rawCommit is a commit as it is stored, compared with its hash: go-git does not do that when it reads.
func rawCommit(repo *git.Repository, h plumbing.Hash) ([]byte, error) {
	o, err := repo.Storer.EncodedObject(plumbing.CommitObject, h)
	if err != nil {
		return nil, fmt.Errorf("commit %s: %w", short(h.String()), err)
	}
	if o.Size() > maxCommit {
		return nil, problem(Unsupported, "", "commit %s is larger than %d KiB", short(h.String()), maxCommit>>10)
	}
	if err := verify(o, h); err != nil {
		return nil, fmt.Errorf("commit %s: %w", short(h.String()), err)
	}
	r, err := o.Reader()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}
