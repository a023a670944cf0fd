// Package state keeps the little that must outlive a run: which revisions of an object were applied, and who is running.
// It decides nothing. A lost state directory loses the ability to take settings away again, and nothing else (law 3).
package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// Version is the format of the ledger. A newer one is refused, never guessed at.
const Version = 1

// errNoVersion: what is JSON, and yet nothing that this program ever wrote.
var errNoVersion = errors.New("it has no version")

// Ledger is the file state.json: by "cluster/vmid", what was applied.
type Ledger struct {
	path   string
	mu     sync.Mutex
	file   file
	news   bool // in memory and not in the file
	behind bool // besides, the file lacks what had to be in it before a step: it could not be written
}

type file struct {
	Version int              `json:"version"`
	Objects map[string]Entry `json:"objects"`
	Doubts  map[string]Doubt `json:"doubts,omitempty"` // by "cluster/node"
}

// Entry says what was applied of one object.
type Entry struct {
	Kind string `json:"kind"`
	Name string `json:"name"`
	// Revisions are the commits whose declarations the guest may still carry, the newest first: one when the newest was
	// carried out in full, more while it was begun and is blocked.
	Revisions []string `json:"revisions"`
	// Given is the newest revision that was carried out in full, "" when none was or an older program kept the ledger.
	Given string `json:"given,omitempty"`
	// InSync is when the object was last found or made equal to Revisions[0]; zero while it was only begun.
	InSync time.Time `json:"inSync,omitzero"`
	// Moving names the migration that made the guest and has not started it yet: until then nobody else may.
	Moving string `json:"moving,omitempty"`
}

// Open reads the ledger of a state directory; a missing one is empty.
func Open(dir string) (*Ledger, error) {
	l := &Ledger{path: filepath.Join(dir, "state.json"), file: file{Version: Version, Objects: map[string]Entry{}}}
	text, err := os.ReadFile(l.path)
	if errors.Is(err, fs.ErrNotExist) {
		return l, nil
	}
	if err != nil {
		return nil, broken(err)
	}
	l.file.Version = 0
	err = json.Unmarshal(text, &l.file)
	if err == nil && l.file.Version == 0 {
		err = errNoVersion
	}
	if err != nil {
		return nil, fmt.Errorf("state: %s is damaged (%w): move it away; then settings that leave the manifests stay on the guests until you remove them by hand", l.path, err)
	}
	if l.file.Version != Version {
		return nil, fmt.Errorf("state: %s has format %d, this program knows %d: use the program that wrote it, or a newer one", l.path, l.file.Version, Version)
	}
	if l.file.Objects == nil {
		l.file.Objects = map[string]Entry{}
	}
	return l, nil
}

// Entry is what is known of an object.
func (l *Ledger) Entry(key string) (Entry, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e, ok := l.file.Objects[key]
	return e, ok
}

// Entries is a copy of all that is known.
func (l *Ledger) Entries() map[string]Entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	m := make(map[string]Entry, len(l.file.Objects))
	for k, e := range l.file.Objects {
		m[k] = e
	}
	return m
}

// Last is the revision that was last carried out in full, "" when none is known.
func (e Entry) Last() string {
	if e.Given == "" && !e.InSync.IsZero() && len(e.Revisions) > 0 {
		return e.Revisions[0]
	}
	return e.Given
}

// Move records which migration makes a guest, before it does; "" when it has started it.
func (l *Ledger) Move(key, migration string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	e, ok := l.file.Objects[key]
	if !ok || e.Moving == migration && !l.behind {
		return nil
	}
	e.Moving = migration
	l.file.Objects[key] = e
	return l.save()
}

// Begin records that a revision is about to be written to an object, before the first write: after a crash the revision
// still counts as one that may have given what is live.
func (l *Ledger) Begin(key, kind, name, revision string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.file.Objects[key]
	if len(e.Revisions) > 0 && e.Revisions[0] == revision {
		if l.behind {
			return l.save()
		}
		return nil
	}
	e.Given = e.Last()
	e.Kind, e.Name, e.InSync = kind, name, time.Time{}
	e.Revisions = append([]string{revision}, slices.DeleteFunc(slices.Clone(e.Revisions), func(r string) bool { return r == revision })...)
	l.file.Objects[key] = e
	return l.save()
}

// Done records that objects are as a revision says, in memory: Flush writes it. What a crash loses of it is found again by
// the next look, since Begin writes at once.
func (l *Ledger) Done(revision string, now time.Time, objects map[string]Entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for key, o := range objects {
		e := l.file.Objects[key]
		if len(e.Revisions) == 1 && e.Revisions[0] == revision && e.Given == revision && !e.InSync.IsZero() && e.Name == o.Name {
			continue
		}
		l.file.Objects[key] = Entry{Kind: o.Kind, Name: o.Name, Revisions: []string{revision}, Given: revision, InSync: now}
		l.news = true
	}
}

// Flush writes what Done recorded, if that was news.
func (l *Ledger) Flush() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.news && !l.behind {
		return nil
	}
	return l.save()
}

// Forget drops an object that is gone for good.
func (l *Ledger) Forget(key string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.file.Objects[key]; !ok {
		return nil
	}
	delete(l.file.Objects, key)
	return l.save()
}

// save replaces the file whole, so that a crash leaves the old one or the new one.
func (l *Ledger) save() error {
	text, err := json.MarshalIndent(l.file, "", "  ")
	if err != nil {
		return broken(err)
	}
	if err := WriteFile(l.path, append(text, '\n'), 0o600); err != nil {
		l.behind = true
		return err
	}
	l.news, l.behind = false, false
	return nil
}

// WriteFile writes a file so that readers and crashes see the old content or the new one, never a part.
func WriteFile(path string, text []byte, mode fs.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return broken(fmt.Errorf("write %s: %w", path, plain(err)))
	}
	defer os.Remove(f.Name())
	_, err = f.Write(text)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return broken(fmt.Errorf("write %s: %w", path, plain(err)))
	}
	if d, err := os.Open(filepath.Dir(path)); err == nil {
		_ = d.Sync() // the rename itself; not all file systems can
		_ = d.Close()
	}
	return nil
}

// plain is an error of the file system without the name of the file that is written first: that is another one at each try, and
// what fails all night is to be said once.
func plain(err error) error {
	var one *fs.PathError
	var two *os.LinkError
	switch {
	case errors.As(err, &one):
		return one.Err
	case errors.As(err, &two):
		return two.Err
	}
	return err
}
