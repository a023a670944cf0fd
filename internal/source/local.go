package source

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/storer"
	"github.com/go-git/go-git/v5/storage/filesystem"
)

// readLocal reads the tip of the branch in a repository on this machine.
// Nothing is fetched and nothing is written; what is not committed is not seen.
func (s *Source) readLocal() (Revision, error) {
	var rev Revision
	err := s.read(func(repo *git.Repository) error {
		branches, head, err := branchesOf(repo)
		if err != nil {
			return problem(Unreadable, "git -C "+s.at.Path+" fsck says more", "references: %w", err)
		}
		branch, err := pick(branches, head, s.settings.Branch)
		if err != nil {
			return err
		}
		c, err := repo.CommitObject(branches[branch])
		if err != nil {
			return problem(Unreadable, "git -C "+s.at.Path+" fsck says more", "commit %s of branch %s: %w", short(branches[branch].String()), branch, err)
		}
		rev = revisionOf(c, branch)
		return nil
	})
	return rev, err
}

func branchesOf(repo *git.Repository) (branches map[string]plumbing.Hash, head string, err error) {
	refs, err := repo.Branches()
	if err != nil {
		return nil, "", err
	}
	branches = map[string]plumbing.Hash{}
	err = storer.ReferenceIter(refs).ForEach(func(ref *plumbing.Reference) error {
		if ref.Type() == plumbing.HashReference {
			branches[ref.Name().Short()] = ref.Hash()
		}
		return nil
	})
	if err != nil {
		return nil, "", err
	}
	ref, err := repo.Reference(plumbing.HEAD, false)
	if err == nil && ref.Type() == plumbing.SymbolicReference {
		head = ref.Target().Short()
	}
	return branches, head, nil
}

func openLocal(dir string) (*git.Repository, error) {
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, problem(NotFound, similar(dir, "check source.url"), "there is no such directory")
	case errors.Is(err, fs.ErrPermission):
		return nil, problem(Unreadable, "let the user of this program read it", "%w", err)
	case err != nil:
		return nil, problem(Unreadable, "check source.url", "%w", err)
	case !info.IsDir():
		return nil, problem(NotFound, "source.url has to name the directory of a repository", "this is a file")
	}
	repo, err := git.PlainOpenWithOptions(dir, &git.PlainOpenOptions{EnableDotGitCommonDir: true})
	if err != nil {
		return nil, explainOpen(dir, err)
	}
	if err := checkAlternates(dir, repo); err != nil {
		return nil, err
	}
	return forReading(repo)
}

// checkAlternates refuses a repository that borrows objects from another one.
// go-git reads the other's whole index for each such object and does not find
// their sizes at all.
func checkAlternates(dir string, repo *git.Repository) error {
	store, ok := repo.Storer.(*filesystem.Storage)
	if !ok {
		return nil
	}
	name := store.Filesystem().Join("objects", "info", "alternates")
	info, err := store.Filesystem().Stat(name)
	if err != nil || info.Size() == 0 {
		return nil
	}
	return problem(Unsupported,
		fmt.Sprintf("copy them in with: git -C %s repack -a -d, then remove objects/info/alternates there", dir),
		"the repository borrows objects from another one (objects/info/alternates)")
}

func explainOpen(dir string, err error) error {
	text := err.Error()
	switch {
	case errors.Is(err, git.ErrRepositoryNotExists):
		return problem(NotFound, similar(dir, "make one with git init --bare, or correct source.url"), "the directory is not a git repository")
	case errors.Is(err, fs.ErrPermission):
		return problem(Unreadable, "let the user of this program read all of the repository", "%w", err)
	case errors.Is(err, git.ErrUnknownExtension), errors.Is(err, git.ErrUnsupportedExtensionRepositoryFormatVersion):
		return explainExtension(strings.ToLower(text))
	case errors.Is(err, git.ErrUnsupportedRepositoryFormatVersion):
		return problem(Unsupported, "push the history to a repository made by git init --bare", "%s", oneLine(text, 200))
	}
	return problem(Unreadable, "git -C "+dir+" fsck says more", "%w", err)
}

func explainExtension(text string) error {
	const bare = "use a plain bare repository: git init --bare, and push to it"
	switch {
	case strings.Contains(text, "objectformat"):
		return problem(Unsupported, sha256Hint, "the repository uses SHA-256 object names")
	case strings.Contains(text, "refstorage"):
		return problem(Unsupported, "convert it: git refs migrate --ref-format=files", "the repository keeps its references in the reftable format, which cannot be read")
	case strings.Contains(text, "worktreeconfig"):
		return problem(Unsupported, bare, "the repository has extensions.worktreeConfig, as git sparse-checkout sets it")
	case strings.Contains(text, "partialclone"):
		return problem(Unsupported, bare, "the repository is a partial clone and lacks objects")
	}
	return problem(Unsupported, bare, "%s", oneLine(text, 200))
}

// similar looks for the repository that was probably meant.
func similar(dir, otherwise string) string {
	if isRepository(dir + ".git") {
		return fmt.Sprintf("did you mean %s.git?", dir)
	}
	for up := filepath.Dir(dir); up != filepath.Dir(up); up = filepath.Dir(up) {
		if isRepository(up) {
			rel, _ := filepath.Rel(up, dir)
			return fmt.Sprintf("did you mean url: %s with path: %s?", up, rel)
		}
	}
	return otherwise
}

func isRepository(dir string) bool {
	for _, git := range []string{dir, filepath.Join(dir, ".git")} {
		if _, err := os.Stat(filepath.Join(git, "objects")); err == nil {
			if _, err := os.Stat(filepath.Join(git, "HEAD")); err == nil {
				return true
			}
		}
	}
	return false
}
