package source

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/ustclug/pve-reconcile/internal/config"
)

// Uncommitted lists the files of a repository's working tree on this machine that are not as in a revision, of those whose
// names are wanted, sorted: they do not count until they are committed. None where there is no working tree, or one of another
// branch. A file that cannot be read is left out.
func (s *Source) Uncommitted(ctx context.Context, r Revision, wanted func(name string) bool) ([]string, error) {
	own, _ := gitDirs(s.at.Path)
	if s.at.Transport != config.Local || own == s.at.Path || headBranch(own) != r.Branch {
		return nil, nil
	}
	tree, err := s.Tree(ctx, r.Commit)
	if err != nil {
		return nil, err
	}
	defer tree.Close()
	work := os.DirFS(filepath.Join(s.at.Path, filepath.FromSlash(s.settings.Path)))
	var out []string
	for _, name := range slices.Compact(slices.Sorted(slices.Values(append(files(tree, wanted), files(work, wanted)...)))) {
		if !asCommitted(tree, work, name) {
			out = append(out, name)
		}
	}
	return out, nil
}

// asCommitted compares by git's hash, so that no blob has to be read again. Git may write line ends of another kind into a
// working tree.
func asCommitted(tree, work fs.FS, name string) bool {
	text, err := fs.ReadFile(work, name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return true
	}
	committed, missing := fs.Stat(tree, name)
	if err != nil || missing != nil {
		return false
	}
	return blob(text) == committed.Sys() || blob(bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n"))) == committed.Sys()
}

// blob is the hash that Tree has of a file with this content.
func blob(text []byte) string { return plumbing.ComputeHash(plumbing.BlobObject, text).String() }

// files lists the regular files of a tree whose names are wanted. What cannot be walked is left out.
func files(tree fs.FS, wanted func(string) bool) (out []string) {
	_ = fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil, d.IsDir() && path.Base(name) == ".git":
			return fs.SkipDir
		case d.Type().IsRegular() && wanted(name):
			out = append(out, name)
		}
		return nil
	})
	return out
}
