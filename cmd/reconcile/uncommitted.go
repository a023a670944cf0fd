package main

import (
	"bytes"
	"context"
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
		committed, err1 := fs.ReadFile(tree, name)
		there, err2 := fs.ReadFile(work, name)
		if (err1 == nil) != (err2 == nil) || !bytes.Equal(lines(committed), lines(there)) {
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

// lines is a text without what git may do to line ends on checking out.
func lines(text []byte) []byte { return bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n")) }

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
