package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// Migrations is what a state directory keeps of migrations, each in a directory of its own: a lock, a history, and how far
// its long steps are. Nothing is decided from it: what it loses are figures.
type Migrations struct {
	dir string

	mu       sync.Mutex
	names    map[string]string // by mark
	progress map[string]*moving
}

// moving are the long steps of one migration that this process makes.
type moving struct {
	lines   []Progress
	written time.Time
}

// Progress is how far a long step is.
type Progress struct {
	Stage   string    `json:"stage"`
	Step    string    `json:"step"`           // send, copy, verify, hash
	Disk    string    `json:"disk"`           // "scsi0"
	Done    int64     `json:"done"`           // bytes
	Total   int64     `json:"total"`          // bytes; 0: not known
	Rate    int64     `json:"rate"`           // bytes a second, lately
	ETA     float64   `json:"eta,omitempty"`  // seconds; 0: not known
	Began   time.Time `json:"began,omitzero"` // this run of the step
	Updated time.Time `json:"updated"`
	Final   bool      `json:"final,omitempty"`
}

// MigrationsIn are those of a state directory.
func MigrationsIn(dir string) *Migrations {
	return &Migrations{dir: filepath.Join(dir, "migrations"), names: map[string]string{}, progress: map[string]*moving{}}
}

func (m *Migrations) path(name string) string { return filepath.Join(m.dir, name) }

// Lock takes the lock of one migration: who holds it makes its steps. A held lock is a *HeldError.
func (m *Migrations) Lock(name string, h Holder) (release func(), err error) {
	for range 10 {
		release, err = Lock(m.path(name), h)
		var held *HeldError
		if !errors.As(err, &held) || held.Holder.PID != 0 {
			return release, err
		}
		time.Sleep(20 * time.Millisecond) // somebody only asks who holds it
	}
	return release, err
}

// Holder says who makes the steps of a migration now, and whether anybody does.
func (m *Migrations) Holder(name string) (Holder, bool) {
	if _, err := os.Stat(m.path(name)); err != nil {
		return Holder{}, false
	}
	release, err := Lock(m.path(name), Holder{})
	var held *HeldError
	if errors.As(err, &held) {
		return held.Holder, true
	}
	if err == nil {
		release()
	}
	return Holder{}, false
}

// Append adds an entry to the history of a migration.
func (m *Migrations) Append(name string, entry any) error {
	if err := Make(m.path(name)); err != nil {
		return err
	}
	return JournalIn(m.path(name)).Append(entry)
}

// Each hands over the history of a migration, the oldest entry first.
func (m *Migrations) Each(name string, visit func(json.RawMessage) error) error {
	return JournalIn(m.path(name)).Each(visit)
}

// Call says which migration has a mark, so that Report can tell whose progress it is told.
func (m *Migrations) Call(mark, name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.names[mark] = name
}

// reportEvery is how often progress is written at most.
const reportEvery = time.Second

// Report keeps how far a long step of the migration with that mark is. Others read it with Progress.
func (m *Migrations) Report(mark string, p Progress) {
	m.mu.Lock()
	defer m.mu.Unlock()
	name, ok := m.names[mark]
	if !ok {
		return
	}
	now := m.progress[name]
	if now == nil {
		now = &moving{}
		m.progress[name] = now
	}
	same := func(q Progress) bool { return q.Disk == p.Disk && (q.Step == p.Step || q.Final) }
	if i := slices.IndexFunc(now.lines, same); i >= 0 {
		now.lines[i] = p
	} else {
		now.lines = append(now.lines, p)
	}
	slices.SortFunc(now.lines, func(a, b Progress) int { return strings.Compare(a.Disk+" "+a.Step, b.Disk+" "+b.Step) })
	if p.Updated.Sub(now.written) < reportEvery && !p.Final {
		return
	}
	now.written = p.Updated
	if text, err := json.Marshal(now.lines); err == nil {
		_ = WriteFile(filepath.Join(m.path(name), "progress.json"), append(text, '\n'), 0o600) // a look from outside is not worth a failure
	}
}

// Over forgets the progress of a migration: no long step is being made.
func (m *Migrations) Over(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.progress, name)
	_ = os.Remove(filepath.Join(m.path(name), "progress.json"))
}

// Progress is how far the long steps of a migration are, whichever process makes them; nil when none does.
func (m *Migrations) Progress(name string) ([]Progress, error) {
	text, err := os.ReadFile(filepath.Join(m.path(name), "progress.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, broken(err)
	}
	var out []Progress
	if err := json.Unmarshal(text, &out); err != nil {
		return nil, fmt.Errorf("state: %s: %w", m.path(name), err)
	}
	if _, held := m.Holder(name); !held {
		return nil, nil // a killed process left it
	}
	return out, nil
}
