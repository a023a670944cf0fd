package source

import (
	"context"
	"errors"
	"fmt"
	"path"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
)

// Version is a file as one commit left it.
type Version struct {
	Revision Revision
	Content  []byte
}

// maxHistory bounds the commits that are walked for one file.
const maxHistory = 10_000

// History walks the commits that changed a file, the newest first, until the file was added, visit says that it has
// seen enough, or the bound is reached: then cut is true. The commit is full 40 digits, the file is named below the
// configured sub-directory. Of a merge it follows the side the file came from unchanged, else the first parent, as
// git log does; a file that was renamed counts as added then.
func (s *Source) History(ctx context.Context, commit, file string, visit func(Version) (more bool)) (cut bool, err error) {
	at := path.Join(path.Clean("/" + s.settings.Path)[1:], file)
	var seen []plumbing.Hash // versions shown already, when the repository has to be read again
	err = s.read(func(repo *git.Repository) error {
		c, err := s.commit(repo, commit)
		if err != nil {
			return err
		}
		shown := len(seen)
		cut, err = history(ctx, repo, c, at, func(v Version) bool {
			if shown--; shown >= 0 {
				return true
			}
			seen = append(seen, plumbing.NewHash(v.Revision.Commit))
			return visit(v)
		})
		return err
	})
	if err != nil {
		return false, s.describe(err, Revision{})
	}
	return cut, nil
}

func history(ctx context.Context, repo *git.Repository, c *object.Commit, file string, visit func(Version) bool) (cut bool, err error) {
	blob, err := blobAt(c, file)
	if err != nil {
		return false, err
	}
	for range maxHistory {
		if err := ctx.Err(); err != nil || blob.IsZero() {
			return false, err
		}
		next, before, err := parentWith(c, file, blob)
		if errors.Is(err, plumbing.ErrObjectNotFound) {
			return true, nil // a shallow clone ends here
		}
		if err != nil {
			return false, err
		}
		if before != blob {
			text, err := content(repo, blob)
			if err != nil {
				return false, fmt.Errorf("file %s of commit %s: %w", file, short(c.Hash.String()), err)
			}
			if !visit(Version{Revision: revisionOf(c, ""), Content: text}) {
				return false, nil
			}
		}
		c, blob = next, before
	}
	return true, nil
}

// parentWith is the parent to go on with, and what it has of the file: one that has the same, else the first.
func parentWith(c *object.Commit, file string, same plumbing.Hash) (parent *object.Commit, blob plumbing.Hash, err error) {
	for i := range c.ParentHashes {
		p, err := c.Parent(i)
		if err != nil {
			return nil, plumbing.ZeroHash, err
		}
		b, err := blobAt(p, file)
		if err != nil {
			return nil, plumbing.ZeroHash, err
		}
		if b == same {
			return p, b, nil
		}
		if i == 0 {
			parent, blob = p, b
		}
	}
	return parent, blob, nil
}

// blobAt is the hash of a file's content, zero when the commit has no such file.
func blobAt(c *object.Commit, file string) (plumbing.Hash, error) {
	t, err := c.Tree()
	if err != nil {
		return plumbing.ZeroHash, err
	}
	e, err := t.FindEntry(file)
	switch {
	case errors.Is(err, object.ErrEntryNotFound), errors.Is(err, object.ErrDirectoryNotFound):
		return plumbing.ZeroHash, nil
	case err != nil:
		return plumbing.ZeroHash, err
	case !e.Mode.IsFile():
		return plumbing.ZeroHash, nil
	}
	return e.Hash, nil
}
