package adopt

import (
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"
)

// overlay is a tree of files as it will be when some have been written, for manifests.Load to read.
type overlay struct {
	fs.FS
	files map[string][]byte
}

// ReadFile reads a file, the written one first.
func (o overlay) ReadFile(name string) ([]byte, error) {
	if data, ok := o.files[name]; ok {
		return data, nil
	}
	return fs.ReadFile(o.FS, name)
}

// Stat knows directories that will be made.
func (o overlay) Stat(name string) (fs.FileInfo, error) {
	if info, err := fs.Stat(o.FS, name); err == nil {
		return info, nil
	}
	for file, data := range o.files {
		switch {
		case file == name:
			return entry{path.Base(name), int64(len(data)), 0}, nil
		case name == "." || strings.HasPrefix(file, name+"/"):
			return entry{path.Base(name), 0, fs.ModeDir}, nil
		}
	}
	return nil, &fs.PathError{Op: "stat", Path: name, Err: fs.ErrNotExist}
}

// ReadDir lists what is there and what will be.
func (o overlay) ReadDir(dir string) ([]fs.DirEntry, error) {
	entries, err := fs.ReadDir(o.FS, dir)
	if err != nil {
		if _, made := o.Stat(dir); made != nil {
			return nil, err
		}
	}
	known := map[string]bool{}
	for _, e := range entries {
		known[e.Name()] = true
	}
	for file, data := range o.files {
		rest, below := strings.CutPrefix(file, dir+"/")
		if dir == "." {
			rest, below = file, true
		}
		name, _, deeper := strings.Cut(rest, "/")
		if !below || known[name] {
			continue
		}
		known[name] = true
		e := entry{name, int64(len(data)), 0}
		if deeper {
			e = entry{name, 0, fs.ModeDir}
		}
		entries = append(entries, e)
	}
	slices.SortFunc(entries, func(x, y fs.DirEntry) int { return strings.Compare(x.Name(), y.Name()) })
	return entries, nil
}

// entry is a file or directory that is not yet there.
type entry struct {
	name string
	size int64
	mode fs.FileMode
}

func (e entry) Name() string               { return e.name }
func (e entry) IsDir() bool                { return e.mode.IsDir() }
func (e entry) Type() fs.FileMode          { return e.mode }
func (e entry) Info() (fs.FileInfo, error) { return e, nil }
func (e entry) Size() int64                { return e.size }
func (e entry) Mode() fs.FileMode          { return e.mode | 0o644 }
func (e entry) ModTime() time.Time         { return time.Time{} }
func (e entry) Sys() any                   { return nil }
