package source

import (
	"bytes"
	"io"
	"io/fs"
	"sort"
	"strings"
	"time"
)

// Open opens a file or directory.
func (t *Tree) Open(name string) (fs.File, error) {
	n, err := t.find("open", name)
	if err != nil {
		return nil, err
	}
	if n.mode.IsDir() {
		return &dirFile{info: t.info(n), left: t.entries(n)}, nil
	}
	return &file{tree: t, node: n, path: name}, nil
}

// ReadFile returns the content of a file.
func (t *Tree) ReadFile(name string) ([]byte, error) {
	n, err := t.find("read", name)
	if err != nil {
		return nil, err
	}
	if n.mode.IsDir() {
		return nil, &fs.PathError{Op: "read", Path: name, Err: errIsDirectory}
	}
	b, err := t.read(n.hash)
	if err != nil {
		return nil, &fs.PathError{Op: "read", Path: name, Err: err}
	}
	return b, nil
}

// ReadDir returns the entries of a directory, sorted by name.
func (t *Tree) ReadDir(name string) ([]fs.DirEntry, error) {
	n, err := t.find("readdir", name)
	if err != nil {
		return nil, err
	}
	if !n.mode.IsDir() {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: errNotDirectory}
	}
	return t.entries(n), nil
}

// Stat describes a file or directory without reading it.
func (t *Tree) Stat(name string) (fs.FileInfo, error) {
	n, err := t.find("stat", name)
	if err != nil {
		return nil, err
	}
	return t.info(n), nil
}

type constError string

func (e constError) Error() string { return string(e) }

const (
	errIsDirectory  = constError("is a directory")
	errNotDirectory = constError("not a directory")
)

func (t *Tree) find(op, name string) (*node, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	n := t.root
	if name == "." {
		return n, nil
	}
	for part := range strings.SplitSeq(name, "/") {
		i := sort.Search(len(n.children), func(i int) bool { return n.children[i].name >= part })
		if i == len(n.children) || n.children[i].name != part {
			return nil, &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
		}
		n = n.children[i]
	}
	return n, nil
}

func (t *Tree) info(n *node) info { return info{n, t.when} }

func (t *Tree) entries(n *node) []fs.DirEntry {
	all := make([]fs.DirEntry, len(n.children))
	for i, c := range n.children {
		all[i] = fs.FileInfoToDirEntry(t.info(c))
	}
	return all
}

type info struct {
	node *node
	when time.Time
}

func (i info) Name() string       { return i.node.name }
func (i info) Size() int64        { return i.node.size }
func (i info) Mode() fs.FileMode  { return i.node.mode }
func (i info) ModTime() time.Time { return i.when }
func (i info) IsDir() bool        { return i.node.mode.IsDir() }
func (i info) String() string     { return fs.FormatFileInfo(i) }

func (i info) Sys() any {
	if i.IsDir() {
		return nil
	}
	return i.node.hash.String()
}

// file reads its content at the first Read, so that a caller may look at the
// size before.
type file struct {
	tree    *Tree
	node    *node
	path    string
	content *bytes.Reader
	closed  bool
}

func (f *file) Stat() (fs.FileInfo, error) { return f.tree.info(f.node), nil }

func (f *file) Read(p []byte) (int, error) {
	if f.closed {
		return 0, &fs.PathError{Op: "read", Path: f.path, Err: fs.ErrClosed}
	}
	if f.content == nil {
		b, err := f.tree.read(f.node.hash)
		if err != nil {
			return 0, &fs.PathError{Op: "read", Path: f.path, Err: err}
		}
		f.content = bytes.NewReader(b)
	}
	return f.content.Read(p)
}

func (f *file) Close() error {
	f.closed, f.content = true, nil
	return nil
}

type dirFile struct {
	info info
	left []fs.DirEntry
}

func (d *dirFile) Stat() (fs.FileInfo, error) { return d.info, nil }
func (d *dirFile) Close() error               { return nil }

func (d *dirFile) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: d.info.Name(), Err: errIsDirectory}
}

func (d *dirFile) ReadDir(n int) ([]fs.DirEntry, error) {
	if n <= 0 {
		all := d.left
		d.left = nil
		return all, nil
	}
	if len(d.left) == 0 {
		return nil, io.EOF
	}
	n = min(n, len(d.left))
	some := d.left[:n]
	d.left = d.left[n:]
	return some, nil
}
