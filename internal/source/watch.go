package source

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/ustclug/pve-reconcile/internal/config"
)

const (
	watchQuiet = 200 * time.Millisecond // a push is several events: wait until they are over
	watchMost  = 2 * time.Second        // but not longer than this
	watchAgain = 30 * time.Second       // what should be watched is looked up anew
)

// Watcher wakes whoever follows a repository on this machine when its references may have moved. It is a hint and no
// more: it may come without reason, and on network file systems it may not come. The commit that Fetch returns decides.
// The methods of a nil Watcher do nothing and its channel never delivers.
type Watcher struct {
	repo, branch string
	notice       func(string)
	changed      chan struct{}
	stop, done   chan struct{}
	quiet, most  time.Duration
	again        time.Duration
	saw          func(name string) // for tests; nil otherwise

	events *fsnotify.Watcher // nil while the kernel gives none
	names  map[string]bool   // what matters
	dirs   map[string]bool   // what is watched

	mu      sync.Mutex
	trouble string
}

// Watch begins to watch a repository on this machine; it returns nil for a remote one. Begin before the first Fetch: then
// nothing is missed in between. notice is told when pushes cannot be noticed at once, and when they can again.
func (s *Source) Watch(notice func(text string)) *Watcher {
	if s.at.Transport != config.Local {
		return nil
	}
	w := newWatcher(s.at.Path, s.settings.Branch, notice)
	w.start()
	return w
}

func newWatcher(repo, branch string, notice func(string)) *Watcher {
	if notice == nil {
		notice = func(string) {}
	}
	return &Watcher{
		repo: repo, branch: branch, notice: notice,
		changed: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{}),
		quiet: watchQuiet, most: watchMost, again: watchAgain, dirs: map[string]bool{},
	}
}

func (w *Watcher) start() {
	w.rescan()
	go w.run()
}

// Changed delivers once after references may have moved, however many did.
func (w *Watcher) Changed() <-chan struct{} {
	if w == nil {
		return nil
	}
	return w.changed
}

// Trouble says why pushes may not be noticed at once, "" when they are.
func (w *Watcher) Trouble() string {
	if w == nil {
		return ""
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.trouble
}

// Close ends the watch and waits for it.
func (w *Watcher) Close() {
	if w == nil {
		return
	}
	close(w.stop)
	<-w.done
}

func (w *Watcher) run() {
	defer close(w.done)
	again := time.NewTicker(w.again)
	defer again.Stop()
	var first time.Time // of the events not delivered yet
	wake := time.NewTimer(time.Hour)
	wake.Stop()
	defer wake.Stop()
	touch := func() {
		now := time.Now()
		if first.IsZero() {
			first = now
		}
		wake.Reset(min(w.quiet, max(0, w.most-now.Sub(first))))
	}
	for {
		var events chan fsnotify.Event
		var errs chan error
		if w.events != nil {
			events, errs = w.events.Events, w.events.Errors
		}
		select {
		case <-w.stop:
			w.drop()
			return
		case e := <-events:
			if w.matters(e) {
				if w.saw != nil {
					w.saw(e.Name)
				}
				if w.goes(e) {
					w.drop()
				}
				w.rescan()
				touch()
			}
		case <-errs: // the queue ran over, or a watch broke: anything may have happened
			w.rescan()
			touch()
		case <-again.C:
			if w.rescan() {
				touch()
			}
		case <-wake.C:
			first = time.Time{}
			select {
			case w.changed <- struct{}{}:
			default: // not taken yet: one is enough
			}
		}
	}
}

// matters: an event in a watched directory that is about a name we follow, or about a watched directory itself.
func (w *Watcher) matters(e fsnotify.Event) bool {
	if e.Op == fsnotify.Chmod {
		return false
	}
	return w.names[e.Name] || w.goes(e)
}

// goes: a watched directory is no longer there. What the kernel still has to say of it could be taken for another one that has
// its name by then, whose events would be lost: everything is watched anew.
func (w *Watcher) goes(e fsnotify.Event) bool {
	return w.dirs[e.Name] && e.Op&(fsnotify.Remove|fsnotify.Rename) != 0
}

func (w *Watcher) drop() {
	if w.events != nil {
		_ = w.events.Close()
		w.events = nil
	}
	w.dirs = map[string]bool{}
}

// rescan watches what has to be watched now, and tells whether that is something new: what was made before its
// directory was watched brings no event. A directory is asked for even if it is watched: another one may have taken its name.
func (w *Watcher) rescan() (news bool) {
	var problems []string
	if w.events == nil {
		events, err := fsnotify.NewWatcher()
		if err != nil {
			w.tell([]string{explainWatch(w.repo, err)})
			return false
		}
		w.events, news = events, true
	}
	var before []string
	for range 8 { // until nothing comes or goes while we look; a tree is not deeper than a few directories
		n := watched(w.repo, w.branch)
		w.names, problems = n.names, nil
		same := slices.Equal(n.dirs, before)
		before = n.dirs
		added := false
		for _, dir := range n.dirs {
			isNew, problem := w.watch(dir)
			added = added || isNew
			if problem != "" && !n.above(dir) {
				problems = append(problems, problem)
			}
		}
		for dir := range w.dirs {
			if !slices.Contains(n.dirs, dir) {
				_ = w.events.Remove(dir) // it may be gone already
				delete(w.dirs, dir)
			}
		}
		if !added && same {
			break
		}
		news = news || added
	}
	w.tell(problems)
	return news
}

// watch adds one directory, if it is there.
func (w *Watcher) watch(dir string) (isNew bool, problem string) {
	err := w.events.Add(dir)
	if err != nil {
		delete(w.dirs, dir)
		if errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ENOTDIR) {
			return false, "" // its parent is watched, and sees it come
		}
		return false, explainWatch(dir, err)
	}
	isNew = !w.dirs[dir]
	w.dirs[dir] = true
	if kind := foreign(dir); kind != "" {
		problem = fmt.Sprintf("%s is on %s: what other machines write there is not noticed at once", w.repo, kind)
	}
	return isNew, problem
}

// tell passes on what hinders, once.
func (w *Watcher) tell(problems []string) {
	slices.Sort(problems)
	text := strings.Join(slices.Compact(problems), "; ")
	w.mu.Lock()
	before := w.trouble
	w.trouble = text
	w.mu.Unlock()
	switch {
	case text == before:
	case text == "":
		w.notice("pushes to " + w.repo + " are noticed at once again")
	default:
		w.notice(text + "; polling goes on")
	}
}

func explainWatch(dir string, err error) string {
	switch {
	case errors.Is(err, syscall.ENOSPC):
		return fmt.Sprintf("%s cannot be watched: the limit of watches is reached (raise it: sysctl fs.inotify.max_user_watches)", dir)
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		return fmt.Sprintf("%s cannot be watched: too many watchers or open files (raise it: sysctl fs.inotify.max_user_instances)", filepath.Clean(dir))
	}
	return fmt.Sprintf("%s cannot be watched: %s", dir, oneLine(err.Error(), 120))
}
