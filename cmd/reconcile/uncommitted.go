package main

import (
	"bytes"
	"context"
	"crypto/sha1" // as git does
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// uncommitted says which manifests in the working tree of a repository on this machine are not as in the revision: only what
// is committed counts, which is easily forgotten. "" when none, or when there is no working tree of this branch.
func (p *program) uncommitted(ctx context.Context) string {
	top := strings.TrimPrefix(p.config.Source.URL, "file://")
	head, err := os.ReadFile(filepath.Join(top, ".git", "HEAD"))
	if err != nil || !filepath.IsAbs(top) || strings.TrimSpace(string(head)) != "ref: refs/heads/"+p.revision.Branch {
		return ""
	}
	tree, err := p.source.Tree(ctx, p.revision.Commit)
	if err != nil {
		return ""
	}
	defer tree.Close()
	work := os.DirFS(filepath.Join(top, filepath.FromSlash(p.config.Source.Path)))
	var differ []string
	for _, name := range slices.Compact(slices.Sorted(slices.Values(append(yamlIn(tree), yamlIn(work)...)))) {
		if !asCommitted(tree, work, name) {
			differ = append(differ, name)
		}
	}
	if len(differ) == 0 {
		return ""
	}
	const most = 3
	text := strings.Join(differ[:min(most, len(differ))], ", ")
	if more := len(differ) - most; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return fmt.Sprintf("not committed in %s, and so not seen: %s", top, text)
}

// asCommitted compares by git's hash, so that no committed file has to be read again. Git may write line ends of another kind
// into a working tree.
func asCommitted(tree, work fs.FS, name string) bool {
	committed, err := fs.Stat(tree, name)
	if err != nil {
		return false
	}
	text, err := fs.ReadFile(work, name)
	if err != nil {
		return false
	}
	return blob(text) == committed.Sys() || blob(bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n"))) == committed.Sys()
}

// blob is git's hash of a file.
func blob(text []byte) string {
	h := sha1.New()
	fmt.Fprintf(h, "blob %d\x00", len(text))
	h.Write(text)
	return hex.EncodeToString(h.Sum(nil))
}

// yamlIn lists the files of a tree that would be read as manifests. What cannot be walked is left out.
func yamlIn(tree fs.FS) []string {
	var out []string
	_ = fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		hidden := strings.HasPrefix(path.Base(name), ".") && name != "."
		switch {
		case err != nil:
			return fs.SkipDir
		case hidden && d.IsDir():
			return fs.SkipDir
		case !hidden && d.Type().IsRegular() && (path.Ext(name) == ".yaml" || path.Ext(name) == ".yml"):
			out = append(out, name)
		}
		return nil
	})
	return out
}
