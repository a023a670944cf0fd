// Package source turns a git repository into revisions and read-only file
// trees. It fetches and reads; it never writes to a repository it was pointed
// at, never checks files out, never runs git or a hook, and never follows
// symbolic links or submodules.
package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/storage/filesystem"

	"github.com/ustclug/pve-reconcile/internal/config"
)

// Options are what a Source needs besides the configuration.
type Options struct {
	// Cache is the directory for the clone of a remote repository, usually
	// stateDir/git. It is created. A local repository needs none.
	Cache string
	// Token reads a token file; Key reads a private key file. They are asked
	// again for each exchange with the server, so both may be replaced at any
	// time.
	Token, Key func(file string) (config.Secret, error)
	// Idle is how long a connection may carry no byte. Default 30 s. The
	// whole of a fetch is bounded by its context only.
	Idle time.Duration
	// LockWait is how long to wait for another process that fetches into the
	// same cache. Default 1 min.
	LockWait time.Duration
	// Notice is told, in one line, what happened to the clone that a person
	// may want to know later. May be nil.
	Notice func(text string)
}

// Source is one branch of one repository. It may be used from several
// goroutines; fetches run one after the other.
type Source struct {
	at       config.Location
	settings config.Source
	options  Options
	remote   *remote // nil for a local repository

	packLimit  int // packs in the clone before they are made one
	maxEntries int // files and directories in a tree

	mu      sync.Mutex // one fetch at a time; guards what follows
	last    Revision
	checked bool // the packs of the clone were read completely, once
}

// Open prepares a source; it reads nothing yet and needs no network. The
// settings are those of config.Parse, already validated.
func Open(settings config.Source, o Options) (*Source, error) {
	at, err := config.ParseLocation(settings.URL)
	if err != nil {
		return nil, fmt.Errorf("source.url: %w", err)
	}
	return open(at, settings, o)
}

func open(at config.Location, settings config.Source, o Options) (*Source, error) {
	if o.Idle <= 0 {
		o.Idle = 30 * time.Second
	}
	if o.LockWait <= 0 {
		o.LockWait = time.Minute
	}
	if o.Notice == nil {
		o.Notice = func(string) {}
	}
	s := &Source{at: at, settings: settings, options: o, packLimit: defaultPackLimit, maxEntries: defaultMaxEntries}
	if at.Transport == config.Local {
		return s, nil
	}
	if o.Cache == "" {
		return nil, errors.New("source: no cache directory for a remote repository")
	}
	s.remote = &remote{at: at, url: at.String(), settings: settings, options: o}
	return s, nil
}

// String returns the URL or directory, without credentials.
func (s *Source) String() string { return s.at.String() }

// Fetch returns the newest revision of the branch, after bringing it into the
// clone if the repository is remote. Errors are *Error or ctx's own. With an
// error it returns the last good revision, if there is one: Commit is empty
// otherwise. A deleted branch or an unreachable server therefore never looks
// like an empty tree.
func (s *Source) Fetch(ctx context.Context) (Revision, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var rev Revision
	var err error
	if s.remote == nil {
		rev, err = s.readLocal()
	} else {
		rev, err = s.fetchRemote(ctx)
	}
	if err == nil {
		s.last = rev
		return rev, nil
	}
	if s.last.Commit == "" && s.remote != nil {
		s.last = s.lastFetched()
	}
	if s.last.Commit != "" && reasonOf(err) == BranchMissing && s.last.Branch == s.settings.Branch {
		var e *Error
		_ = errors.As(err, &e)
		err = problem(BranchGone, "push it again, or set source.branch", "the branch %s was deleted", s.last.Branch)
	}
	if s.last.Commit != "" && reasonOf(err) == EmptyRepository {
		err = problem(BranchGone, "push it again", "the repository has no branch any more, %s was deleted", s.last.Branch)
	}
	return s.last, s.describe(err, s.last)
}

// describe adds the source and the last good revision to an *Error.
func (s *Source) describe(err error, last Revision) error {
	var e *Error
	if errors.As(err, &e) {
		full := *e
		full.Source, full.Last = s.at.String(), last
		return &full
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return &Error{Reason: Unreadable, Source: s.at.String(), Text: oneLine(err.Error(), 300), Last: last, cause: err}
}

// Revision describes a commit, full 40 digits, that is in the repository.
func (s *Source) Revision(commit string) (Revision, error) {
	var rev Revision
	err := s.read(func(repo *git.Repository) error {
		c, err := s.commit(repo, commit)
		if err == nil {
			rev = revisionOf(c, "")
		}
		return err
	})
	if err != nil {
		return Revision{}, s.describe(err, Revision{})
	}
	return rev, nil
}

// Has reports whether the commit, full 40 digits, is in the repository as of
// the last fetch. It is true for commits that a forced push took off the
// branch, as long as the clone lives.
func (s *Source) Has(commit string) bool {
	_, err := s.Revision(commit)
	return err == nil
}

// open opens the repository anew, for reading. A go-git repository kept open
// breaks when git repacks it, and may not be read while it is fetched into.
// Close it with release.
func (s *Source) open() (*git.Repository, error) {
	if s.remote == nil {
		return openLocal(s.at.Path)
	}
	repo, err := git.PlainOpen(s.clonePath())
	if errors.Is(err, git.ErrRepositoryNotExists) {
		return nil, problem(Unreadable, "", "nothing has been fetched yet")
	}
	if err != nil {
		return nil, err
	}
	return forReading(repo)
}

// forReading makes a repository keep its packs open until release: go-git
// otherwise opens one for each object. The cache holds the files of a tree
// between looking at them and reading them.
func forReading(repo *git.Repository) (*git.Repository, error) {
	store, ok := repo.Storer.(*filesystem.Storage)
	if !ok {
		return repo, nil
	}
	objects := cache.NewObjectLRU(16 * cache.MiByte)
	return git.Open(cached{filesystem.NewStorageWithOptions(store.Filesystem(), objects, filesystem.Options{
		KeepDescriptors:      true,
		LargeObjectThreshold: 1 << 20, // larger ones are not held in memory
	}), objects}, nil)
}

// cached asks its cache first: go-git opens the file of a loose object before it does.
type cached struct {
	*filesystem.Storage
	objects cache.Object
}

func (c cached) EncodedObject(t plumbing.ObjectType, h plumbing.Hash) (plumbing.EncodedObject, error) {
	if o, ok := c.objects.Get(h); ok && (t == plumbing.AnyObject || t == o.Type()) {
		return o, nil
	}
	return c.Storage.EncodedObject(t, h)
}

// release closes the packs; the next read opens them again.
func release(repo *git.Repository) {
	if store, ok := repo.Storer.(io.Closer); ok {
		_ = store.Close()
	}
}

// read lets f read the repository, and once more if that fails: somebody may
// have repacked it in between, which takes the packs away.
func (s *Source) read(f func(*git.Repository) error) error {
	var err error
	for range 2 {
		var repo *git.Repository
		if repo, err = s.open(); err == nil {
			err = f(repo)
			release(repo)
		}
		damaged := err != nil && (reasonOf(err) == "" || reasonOf(err) == Unreadable)
		if !damaged || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
			return err
		}
	}
	s.suspect()
	return err
}

func (s *Source) clonePath() string { return filepath.Join(s.options.Cache, "repo") }

// suspectPath is a file that marks a clone that could not be read: the next fetch checks all
// of it. It is a file so that it outlives the process.
func (s *Source) suspectPath() string { return filepath.Join(s.options.Cache, "suspect") }

func (s *Source) suspect() {
	if s.remote != nil {
		_ = os.WriteFile(s.suspectPath(), []byte("objects could not be read\n"), 0o600)
	}
}

func (s *Source) resolve(commit string) (plumbing.Hash, error) {
	if !plumbing.IsHash(commit) || len(commit) != 40 {
		return plumbing.ZeroHash, problem(CommitMissing, "give all 40 digits", "%q is not a commit", oneLine(commit, 60))
	}
	return plumbing.NewHash(commit), nil
}
