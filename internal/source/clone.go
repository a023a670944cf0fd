package source

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
)

// The clone is a cache: bare, with full history, in Cache/repo. Beside it lie
// lock, url (what was cloned), suspect (see suspectPath) and broken (the last
// clone that had to be replaced, for whoever wants to know why).

const (
	// keptRefs hold commits that a forced push took off the branch, so that
	// the revision applied last stays readable.
	keptRefs = "refs/kept/"
	// headRef remembers which branch the server's HEAD names.
	headRef = plumbing.ReferenceName("refs/remotes/origin/HEAD")
	// defaultPackLimit: each fetch that brings something leaves one pack.
	defaultPackLimit = 100
)

func (s *Source) fetchRemote(ctx context.Context) (Revision, error) {
	if err := os.MkdirAll(s.options.Cache, 0o700); err != nil {
		return Revision{}, problem(Unreadable, "run as the user that owns the state directory", "cache: %w", err)
	}
	unlock, err := lock(ctx, filepath.Join(s.options.Cache, "lock"), s.options.LockWait)
	if err != nil {
		return Revision{}, err
	}
	defer unlock()
	branches, head, err := s.remote.list(ctx)
	if err != nil {
		return Revision{}, err
	}
	branch, err := pick(branches, head, s.settings.Branch)
	if err != nil {
		return Revision{}, err
	}
	repo, err := s.usableClone(ctx, branch)
	if ctx.Err() != nil {
		return Revision{}, ctx.Err()
	}
	if err != nil {
		s.options.Notice("the clone is damaged and is made anew: " + oneLine(err.Error(), 200))
		return s.renew(ctx, branch)
	}
	return s.update(ctx, repo, branch, branches[branch])
}

// update brings the branch to what the server has.
func (s *Source) update(ctx context.Context, repo *git.Repository, branch string, want plumbing.Hash) (Revision, error) {
	old := tipOf(repo, branch)
	if old != want {
		err := s.remote.fetch(ctx, repo, branch)
		if err != nil && !errors.Is(err, errAmbiguous) {
			return Revision{}, err
		}
		if err != nil {
			if damage := s.checkAll(ctx, branch); damage != nil {
				s.options.Notice("the clone is damaged and is made anew: " + oneLine(damage.Error(), 200))
				return s.renew(ctx, branch)
			}
			return Revision{}, problem(Unreachable, "", "%s", strings.TrimPrefix(err.Error(), errAmbiguous.Error()+": "))
		}
	}
	// The repository object cached the packs from before the fetch.
	var rev Revision
	repo, err := git.PlainOpen(s.clonePath())
	if err == nil {
		rev, err = s.settle(ctx, repo, branch, old)
	}
	if err != nil {
		if ctx.Err() != nil {
			return Revision{}, ctx.Err()
		}
		s.options.Notice("the clone is damaged and is made anew: " + oneLine(err.Error(), 200))
		return s.renew(ctx, branch)
	}
	return rev, nil
}

// settle records what a fetch brought: the branch that HEAD names, the commits
// that left the branch, and one pack out of many.
func (s *Source) settle(ctx context.Context, repo *git.Repository, branch string, old plumbing.Hash) (Revision, error) {
	now := tipOf(repo, branch)
	c, err := repo.CommitObject(now)
	if err != nil {
		return Revision{}, fmt.Errorf("commit %s: %w", now, err)
	}
	if _, err := c.Tree(); err != nil {
		return Revision{}, fmt.Errorf("tree of commit %s: %w", now, err)
	}
	if s.settings.Branch == "" {
		if err := repo.Storer.SetReference(plumbing.NewSymbolicReference(headRef, trackingRef(branch))); err != nil {
			return Revision{}, err
		}
	}
	if old != now && !old.IsZero() {
		if err := s.keep(ctx, repo, branch, old, now); err != nil {
			return Revision{}, err
		}
		if err := s.repack(repo); err != nil {
			return Revision{}, err
		}
	}
	return revisionOf(c, branch), nil
}

// keep makes sure that a commit which a forced push took away is not lost.
func (s *Source) keep(ctx context.Context, repo *git.Repository, branch string, old, now plumbing.Hash) error {
	descends, err := isAncestor(ctx, repo, old, now)
	if err != nil || descends {
		return err
	}
	s.options.Notice(fmt.Sprintf("branch %s was rewritten: %s is not an ancestor of %s", branch, short(old.String()), short(now.String())))
	name := plumbing.ReferenceName(keptRefs + old.String())
	return repo.Storer.SetReference(plumbing.NewHashReference(name, old))
}

func (s *Source) repack(repo *git.Repository) error {
	packs, err := filepath.Glob(filepath.Join(s.clonePath(), "objects", "pack", "*.pack"))
	if err != nil || len(packs) < s.packLimit {
		return err
	}
	if err := repo.RepackObjects(&git.RepackConfig{}); err != nil {
		return fmt.Errorf("repack: %w", err)
	}
	return nil
}

// usableClone opens the clone, or makes an empty one. An error means that it
// is damaged.
func (s *Source) usableClone(ctx context.Context, branch string) (*git.Repository, error) {
	dir := s.clonePath()
	if err := sweep(s.options.Cache); err != nil {
		return nil, err
	}
	if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
		if _, err := git.PlainInit(dir, true); err != nil {
			return nil, err
		}
		if err := os.WriteFile(filepath.Join(s.options.Cache, "url"), []byte(s.at.String()+"\n"), 0o600); err != nil {
			return nil, err
		}
	}
	if !s.checked {
		// What an earlier process left, perhaps in a crash, is found here and not by whoever reads it.
		if err := checkPacks(ctx, dir); err != nil {
			return nil, err
		}
	}
	if _, err := os.Stat(s.suspectPath()); err == nil {
		if err := s.checkAll(ctx, branch); err != nil {
			return nil, err
		}
		_ = os.Remove(s.suspectPath())
	}
	s.checked = true
	repo, err := git.PlainOpen(dir)
	if err != nil {
		return nil, err
	}
	return repo, s.moved(repo)
}

// moved notices that source.url names another repository than the one cloned.
// Its history is kept, because the revision applied last is read from it, but
// its branches are forgotten.
func (s *Source) moved(repo *git.Repository) error {
	name := filepath.Join(s.options.Cache, "url")
	was, err := os.ReadFile(name)
	if err == nil && strings.TrimSpace(string(was)) == s.at.String() {
		return nil
	}
	refs, err := repo.References()
	if err != nil {
		return err
	}
	var old []*plumbing.Reference
	_ = refs.ForEach(func(ref *plumbing.Reference) error {
		if ref.Name().IsRemote() {
			old = append(old, ref)
		}
		return nil
	})
	for _, ref := range old {
		if ref.Type() == plumbing.HashReference {
			kept := plumbing.ReferenceName(keptRefs + ref.Hash().String())
			if err := repo.Storer.SetReference(plumbing.NewHashReference(kept, ref.Hash())); err != nil {
				return err
			}
		}
		if err := repo.Storer.RemoveReference(ref.Name()); err != nil {
			return err
		}
	}
	s.options.Notice("source.url changed; the history fetched before is kept")
	return os.WriteFile(name, []byte(s.at.String()+"\n"), 0o600)
}

func tipOf(repo *git.Repository, branch string) plumbing.Hash {
	ref, err := repo.Reference(trackingRef(branch), true)
	if err != nil {
		return plumbing.ZeroHash
	}
	return ref.Hash()
}

// lastFetched is the revision an earlier process fetched, if any.
func (s *Source) lastFetched() Revision {
	was, err := os.ReadFile(filepath.Join(s.options.Cache, "url"))
	if err != nil || strings.TrimSpace(string(was)) != s.at.String() {
		return Revision{}
	}
	repo, err := git.PlainOpen(s.clonePath())
	if err != nil {
		return Revision{}
	}
	branch := s.settings.Branch
	if branch == "" {
		ref, err := repo.Reference(headRef, false)
		if err != nil {
			return Revision{}
		}
		branch = strings.TrimPrefix(ref.Target().String(), "refs/remotes/origin/")
	}
	c, err := repo.CommitObject(tipOf(repo, branch))
	if err != nil {
		return Revision{}
	}
	return revisionOf(c, branch)
}
