package source

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"path"
	"sort"
	"strconv"
	"strings"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"
)

// walker reads all directories and looks at each file, of which those that are
// not large stay in the cache of objects.
type walker struct {
	ctx     context.Context
	repo    *git.Repository
	entries int
	limit   int
	skipped []Skip
}

func (w *walker) directory(name, at string, t *object.Tree) (*node, error) {
	if err := w.ctx.Err(); err != nil {
		return nil, err
	}
	dir := &node{name: name, mode: fs.ModeDir | 0o555}
	taken := map[string]bool{}
	for _, e := range t.Entries {
		if w.entries++; w.entries > w.limit {
			return nil, problem(Unsupported, "set source.path to the directory with the manifests", "there are more than %d files", w.limit)
		}
		child := path.Join(at, e.Name)
		if !fs.ValidPath(e.Name) || strings.Contains(e.Name, "/") || e.Name == "." || taken[e.Name] {
			w.skip(path.Join(at, strconv.Quote(e.Name)), SkipName, "this name cannot be used: rename it with git mv")
			continue
		}
		taken[e.Name] = true
		n, err := w.entry(e, child)
		if err != nil {
			return nil, err
		}
		if n != nil {
			dir.children = append(dir.children, n)
		}
	}
	sort.Slice(dir.children, func(i, j int) bool { return dir.children[i].name < dir.children[j].name })
	return dir, nil
}

func (w *walker) skip(at string, kind SkipKind, text string) {
	w.skipped = append(w.skipped, Skip{Path: at, Kind: kind, Text: text})
}

func (w *walker) entry(e object.TreeEntry, at string) (*node, error) {
	switch e.Mode {
	case filemode.Dir:
		t, err := w.repo.TreeObject(e.Hash)
		if err != nil {
			return nil, fmt.Errorf("directory %s: %w", at, err)
		}
		return w.directory(e.Name, at, t)
	case filemode.Symlink:
		o, err := w.repo.Storer.EncodedObject(plumbing.BlobObject, e.Hash)
		if err != nil {
			return nil, fmt.Errorf("symbolic link %s: %w", at, err)
		}
		target, err := head(o, 4096)
		if err != nil {
			return nil, fmt.Errorf("symbolic link %s: %w", at, err)
		}
		w.skip(at, SkipSymlink, fmt.Sprintf("symbolic link to %s: links are not followed, commit the file itself", oneLine(target, 200)))
		return nil, nil
	case filemode.Submodule:
		w.skip(at, SkipSubmodule, fmt.Sprintf("submodule at commit %s: submodules are not fetched, commit the files themselves", short(e.Hash.String())))
		return nil, nil
	}
	// Not EncodedObjectSize: it leaves the file of each loose object open.
	o, err := w.repo.Storer.EncodedObject(plumbing.BlobObject, e.Hash)
	if err != nil {
		return nil, fmt.Errorf("file %s: %w", at, err)
	}
	pointer, err := isPointer(o)
	if err != nil {
		return nil, fmt.Errorf("file %s: %w", at, err)
	}
	if pointer {
		w.skip(at, SkipLFS, "Git LFS pointer: the content is not in the repository, take the file out of LFS with git lfs migrate export")
		return nil, nil
	}
	mode := fs.FileMode(0o444)
	if e.Mode == filemode.Executable {
		mode = 0o555
	}
	return &node{name: e.Name, mode: mode, hash: e.Hash, size: o.Size()}, nil
}

// isPointer recognises what Git LFS commits instead of the content: a text
// below 1024 bytes that begins with its version line (git-lfs docs/spec.md).
func isPointer(o plumbing.EncodedObject) (bool, error) {
	const first = "version https://git-lfs.github.com/spec/"
	if o.Size() < int64(len(first)) || o.Size() >= 1024 {
		return false, nil
	}
	text, err := head(o, len(first))
	return text == first, err
}

// head returns at most limit bytes of a blob.
func head(o plumbing.EncodedObject, limit int) (string, error) {
	r, err := o.Reader()
	if err != nil {
		return "", err
	}
	defer r.Close()
	b, err := io.ReadAll(io.LimitReader(r, int64(limit)))
	return string(b), err
}
