package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Accepted is the file source.json: the revision of the manifests that was let through last. The next one has to descend
// from it.
type Accepted struct {
	Version int    `json:"version"`
	Head    string `json:"head"`
	// Objects is how many objects its manifests declared.
	Objects int `json:"objects"`
	// Aside are revisions applied before that an acknowledged history no longer has.
	Aside []string `json:"aside,omitempty"`
	// Verified tells that the signatures up to it were checked.
	Verified bool `json:"verified,omitempty"`
	// Acknowledged tells that a person accepted it.
	Acknowledged bool      `json:"acknowledged,omitempty"`
	When         time.Time `json:"when"`
}

func acceptedPath(dir string) string { return filepath.Join(dir, "source.json") }

// ReadAccepted reads what a state directory remembers; a missing file is empty.
func ReadAccepted(dir string) (Accepted, error) {
	path := acceptedPath(dir)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Accepted{}, nil
	}
	if err != nil {
		return Accepted{}, broken(err)
	}
	var a Accepted
	err = json.Unmarshal(text, &a)
	if err == nil && a.Version == 0 {
		err = errNoVersion
	}
	if err != nil {
		return Accepted{}, fmt.Errorf("state: %s is damaged (%w): move it away, after you checked that the history of the branch was not rewritten", path, err)
	}
	if a.Version != Version {
		return Accepted{}, fmt.Errorf("state: %s has format %d, this program knows %d: use the program that wrote it, or a newer one", path, a.Version, Version)
	}
	return a, nil
}

// WriteAccepted replaces what a state directory remembers. The directory is made when it is missing.
func WriteAccepted(dir string, a Accepted) error {
	if err := Make(dir); err != nil {
		return err
	}
	a.Version = Version
	text, err := json.MarshalIndent(a, "", "  ")
	if err != nil {
		return broken(err)
	}
	return WriteFile(acceptedPath(dir), append(text, '\n'), 0o600)
}

// Begun lists the newest revision that was begun on each object.
func (l *Ledger) Begun() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []string
	for _, e := range l.file.Objects {
		if len(e.Revisions) > 0 {
			all = append(all, e.Revisions[0])
		}
	}
	return all
}
