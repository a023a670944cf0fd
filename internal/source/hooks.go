package source

import (
	"path/filepath"

	"github.com/go-git/go-git/v5"
)

// PostReceive is the file of a repository's post-receive hook, which need not be there. shared is core.hooksPath where the
// repository's config sets it: git then runs the hooks of that directory, which other repositories may use too.
func PostReceive(dir string) (file, shared string, err error) {
	dir, err = filepath.Abs(dir)
	if err != nil {
		return "", "", err
	}
	if !isRepository(dir) {
		return "", "", &Error{Reason: NotFound, Source: dir, Text: "this is not a git repository", Hint: similar(dir, "name the directory that people push to")}
	}
	_, common := gitDirs(dir)
	repo, err := git.PlainOpenWithOptions(dir, &git.PlainOpenOptions{EnableDotGitCommonDir: true})
	if err == nil {
		if conf, err := repo.Config(); err == nil {
			shared = conf.Raw.Section("core").Option("hooksPath")
		}
	}
	return filepath.Join(common, "hooks", "post-receive"), shared, nil
}
