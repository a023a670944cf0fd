package source

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"path"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"
)

// defaultMaxEntries bounds a tree: a few crafted objects can stand for billions of
// files, because a tree may be named by another many times.
const defaultMaxEntries = 100_000

// Tree is the file system of one commit below the configured sub-directory. It
// holds regular and executable files only and never changes. It implements
// fs.FS, fs.ReadFileFS, fs.ReadDirFS and fs.StatFS and may be used from several
// goroutines. Contents are read when asked for. Close it to give back the files
// it holds open.
//
// FileInfo.ModTime is the commit's time; FileInfo.Sys is the blob's hash (a
// string of 40 digits), equal for equal contents.
type Tree struct {
	root    *node
	skipped []Skip
	when    time.Time
	open    func() (*git.Repository, error)
	suspect func()

	mu   sync.Mutex
	repo *git.Repository
}

// SkipKind is why an entry of the tree is not a file to read.
type SkipKind string

const (
	// SkipSymlink is a symbolic link: it could lead out of the repository.
	SkipSymlink SkipKind = "symlink"
	// SkipSubmodule is another repository, known here by its commit only.
	SkipSubmodule SkipKind = "submodule"
	// SkipLFS is a Git LFS pointer: the content is on another server.
	SkipLFS SkipKind = "lfs"
	// SkipName is a name that no file can have here.
	SkipName SkipKind = "name"
)

// Skip is an entry of the tree that is not in its file system.
type Skip struct {
	// Path is relative to the sub-directory, slash-separated. For SkipName the
	// last element is quoted as in Go.
	Path string
	Kind SkipKind
	// Text says what it is and what to do, in one line.
	Text string
}

// node is a file or a directory. The children of a directory are sorted by name.
type node struct {
	name     string
	mode     fs.FileMode
	hash     plumbing.Hash
	size     int64
	children []*node
}

// Tree returns the files of a commit, full 40 digits, below the configured
// sub-directory. Errors are *Error or ctx's own.
func (s *Source) Tree(ctx context.Context, commit string) (*Tree, error) {
	var t *Tree
	err := s.read(func(repo *git.Repository) error {
		t = &Tree{repo: repo, open: s.open, suspect: s.suspect}
		return t.load(ctx, s, commit)
	})
	if err != nil {
		return nil, s.describe(err, Revision{})
	}
	return t, nil
}

// Skipped returns what the tree holds besides files, sorted by path.
func (t *Tree) Skipped() []Skip { return append([]Skip(nil), t.skipped...) }

func (t *Tree) load(ctx context.Context, s *Source, commit string) error {
	c, err := s.commit(t.repo, commit)
	if err != nil {
		return err
	}
	top, err := c.Tree()
	if err != nil {
		return problem(Unreadable, "", "tree of commit %s: %w", short(commit), err)
	}
	top, err = subTree(t.repo, top, s.settings.Path, commit)
	if err != nil {
		return err
	}
	t.when = c.Committer.When
	w := walker{ctx: ctx, repo: t.repo, limit: s.maxEntries}
	t.root, err = w.directory(".", "", top)
	if err != nil {
		return err
	}
	sort.Slice(w.skipped, func(i, j int) bool { return w.skipped[i].Path < w.skipped[j].Path })
	t.skipped = w.skipped
	return nil
}

func subTree(repo *git.Repository, top *object.Tree, sub, commit string) (*object.Tree, error) {
	sub = path.Clean("/" + sub)[1:]
	if sub == "" {
		return top, nil
	}
	at := ""
	for name := range strings.SplitSeq(sub, "/") {
		at = path.Join(at, name)
		e := entryOf(top, name)
		if e == nil {
			return nil, problem(PathMissing, "set source.path to one of: "+directories(top, path.Dir(at)), "commit %s has no directory %s", short(commit), at)
		}
		if e.Mode != filemode.Dir {
			return nil, problem(PathMissing, "source.path has to name a directory", "%s in commit %s is a %s", at, short(commit), kindOf(e.Mode))
		}
		next, err := repo.TreeObject(e.Hash)
		if err != nil {
			return nil, problem(Unreadable, "", "directory %s of commit %s: %w", at, short(commit), err)
		}
		top = next
	}
	return top, nil
}

func entryOf(t *object.Tree, name string) *object.TreeEntry {
	for i := range t.Entries {
		if t.Entries[i].Name == name {
			return &t.Entries[i]
		}
	}
	return nil
}

func kindOf(m filemode.FileMode) string {
	switch m {
	case filemode.Symlink:
		return "symbolic link, which is not followed"
	case filemode.Submodule:
		return "submodule, which is not followed"
	}
	return "file"
}

func directories(t *object.Tree, below string) string {
	all := []string{}
	for _, e := range t.Entries {
		if e.Mode == filemode.Dir {
			all = append(all, oneLine(path.Join(below, e.Name), 60))
		}
	}
	if below == "." {
		all = append([]string{`"." (the whole repository)`}, all...)
	}
	return strings.Join(all[:min(len(all), 10)], ", ")
}

// read returns the content of a blob. The packs it was in may have been
// repacked since the tree was loaded, then the repository is opened anew.
func (t *Tree) read(h plumbing.Hash) ([]byte, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	b, err := content(t.repo, h)
	if err != nil {
		repo, again := t.open()
		if again != nil {
			return nil, fmt.Errorf("%w; opening the repository again: %w", err, again)
		}
		release(t.repo)
		t.repo = repo
		b, err = content(repo, h)
	}
	if err != nil {
		t.suspect()
		return nil, err
	}
	return b, nil
}

// Close closes the files of the repository. A Tree can be read after that; it
// opens them again. It never fails.
func (t *Tree) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	release(t.repo)
	return nil
}

func content(repo *git.Repository, h plumbing.Hash) ([]byte, error) {
	blob, err := repo.BlobObject(h)
	if err != nil {
		return nil, err
	}
	r, err := blob.Reader()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}
