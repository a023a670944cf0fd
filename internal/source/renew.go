package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"
)

// renew replaces the clone by a fresh one that was read completely. The old
// one is set aside as broken; it stays in place when the server does not answer.
func (s *Source) renew(ctx context.Context, branch string) (Revision, error) {
	dir, err := os.MkdirTemp(s.options.Cache, "new-")
	if err != nil {
		return Revision{}, problem(Unreadable, "make room or correct the permissions", "cache: %w", err)
	}
	defer os.RemoveAll(dir) //nolint:errcheck // swept by the next fetch
	repo, err := git.PlainInit(dir, true)
	if err != nil {
		return Revision{}, problem(Unreadable, "", "new clone: %w", err)
	}
	if err := s.remote.fetch(ctx, repo, branch); err != nil {
		if errors.Is(err, errAmbiguous) {
			err = problem(Unreachable, "", "%s", strings.TrimPrefix(err.Error(), errAmbiguous.Error()+": "))
		}
		return Revision{}, err
	}
	if err := readAll(dir, branch); err != nil {
		return Revision{}, problem(Unreadable, "run git fsck on the server", "a fresh clone cannot be read: %w", err)
	}
	broken := filepath.Join(s.options.Cache, "broken")
	err = os.RemoveAll(broken)
	if err == nil {
		err = os.Rename(s.clonePath(), broken)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Revision{}, problem(Unreadable, "", "set the damaged clone aside: %w", err)
	}
	if err := os.Rename(dir, s.clonePath()); err != nil {
		return Revision{}, problem(Unreadable, "", "put the new clone in place: %w", err)
	}
	_ = os.Remove(s.suspectPath())
	if err := os.WriteFile(filepath.Join(s.options.Cache, "url"), []byte(s.at.String()+"\n"), 0o600); err != nil {
		return Revision{}, problem(Unreadable, "", "cache: %w", err)
	}
	repo, err = git.PlainOpen(s.clonePath())
	if err != nil {
		return Revision{}, problem(Unreadable, "", "new clone: %w", err)
	}
	return s.settle(ctx, repo, branch, plumbing.ZeroHash)
}

// sweep removes what a killed process leaves: half packs, lock files, and
// references without content. Each of the latter two would make every later
// fetch fail. Call it under the lock only.
func sweep(cache string) error {
	leftovers, _ := filepath.Glob(filepath.Join(cache, "new-*"))
	repo := filepath.Join(cache, "repo")
	for _, pattern := range []string{"objects/pack/tmp_*", "objects/tmp_*", "*.lock", "tmp_*"} {
		found, _ := filepath.Glob(filepath.Join(repo, pattern))
		leftovers = append(leftovers, found...)
	}
	for _, name := range leftovers {
		if err := os.RemoveAll(name); err != nil {
			return err
		}
	}
	return filepath.WalkDir(filepath.Join(repo, "refs"), func(name string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if info.Size() == 0 || strings.HasSuffix(name, ".lock") {
			return os.Remove(name)
		}
		return nil
	})
}

// checkAll reads all packs, and all that the clone has of the branch. A clone
// without the branch is sound if its packs are and it opens.
func (s *Source) checkAll(ctx context.Context, branch string) error {
	if err := checkPacks(ctx, s.clonePath()); err != nil {
		return err
	}
	repo, err := git.PlainOpen(s.clonePath())
	if err != nil {
		return err
	}
	if tipOf(repo, branch).IsZero() {
		return nil
	}
	return readAll(s.clonePath(), branch)
}

// readAll reads the commits of the branch and every file of its tip.
func readAll(dir, branch string) error {
	repo, err := git.PlainOpen(dir)
	if err != nil {
		return err
	}
	tip, err := repo.CommitObject(tipOf(repo, branch))
	if err != nil {
		return fmt.Errorf("tip of %s: %w", branch, err)
	}
	err = object.NewCommitPreorderIter(tip, nil, nil).ForEach(func(*object.Commit) error { return nil })
	if err != nil {
		return fmt.Errorf("history of %s: %w", branch, err)
	}
	tree, err := tip.Tree()
	if err != nil {
		return fmt.Errorf("tree of %s: %w", branch, err)
	}
	return readTree(repo, tree, map[plumbing.Hash]bool{})
}

func readTree(repo *git.Repository, tree *object.Tree, seen map[plumbing.Hash]bool) error {
	for _, e := range tree.Entries {
		if seen[e.Hash] || e.Mode == filemode.Submodule {
			continue
		}
		seen[e.Hash] = true
		if e.Mode == filemode.Dir {
			sub, err := repo.TreeObject(e.Hash)
			if err != nil {
				return fmt.Errorf("directory %s: %w", e.Name, err)
			}
			if err := readTree(repo, sub, seen); err != nil {
				return err
			}
			continue
		}
		o, err := repo.Storer.EncodedObject(plumbing.BlobObject, e.Hash)
		if err != nil {
			return fmt.Errorf("file %s: %w", e.Name, err)
		}
		if err := verify(o, e.Hash); err != nil {
			return fmt.Errorf("file %s: %w", e.Name, err)
		}
	}
	return nil
}

// verify compares content and hash, which go-git does not do when it reads.
func verify(o plumbing.EncodedObject, want plumbing.Hash) error {
	r, err := o.Reader()
	if err != nil {
		return err
	}
	defer r.Close()
	h := plumbing.NewHasher(o.Type(), o.Size())
	if _, err := io.Copy(h, r); err != nil {
		return err
	}
	if h.Sum() != want {
		return errors.New("content does not match its hash")
	}
	return nil
}
