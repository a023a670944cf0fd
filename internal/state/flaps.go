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

// Flaps is the file flaps.json: which steps succeeded lately, by "Kind/name", to notice that somebody undoes them.
type Flaps struct {
	path string
	mu   sync.Mutex
	file flaps
}

type flaps struct {
	Version int             `json:"version"`
	Objects map[string]made `json:"objects"`
}

// made is what was made of one manifest of an object.
type made struct {
	Manifest string                 `json:"manifest"` // tells manifests apart
	Steps    map[string][]time.Time `json:"steps"`
}

// OpenFlaps reads the file of a state directory; a missing or a damaged one remembers nothing.
func OpenFlaps(dir string) (*Flaps, error) {
	f := &Flaps{path: filepath.Join(dir, "flaps.json"), file: flaps{Version: Version}}
	text, err := os.ReadFile(f.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, broken(err)
	}
	if err == nil && json.Unmarshal(text, &f.file) != nil {
		f.file = flaps{Version: Version}
	}
	if f.file.Version != Version {
		return nil, fmt.Errorf("state: %s has format %d, this program knows %d: use the program that wrote it, or a newer one", f.path, f.file.Version, Version)
	}
	if f.file.Objects == nil {
		f.file.Objects = map[string]made{}
	}
	return f, nil
}

// Times lists when a step succeeded for a manifest, after since.
func (f *Flaps) Times(object, manifest, step string, since time.Time) []time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	m := f.file.Objects[object]
	if m.Manifest != manifest {
		return nil
	}
	return after(m.Steps[step], since)
}

func after(times []time.Time, since time.Time) []time.Time {
	var out []time.Time
	for _, t := range times {
		if t.After(since) {
			out = append(out, t)
		}
	}
	return out
}

// Note remembers that a step succeeded, and forgets what was before since, and other manifests of the object.
func (f *Flaps) Note(object, manifest, step string, now, since time.Time) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for key, m := range f.file.Objects {
		for s, times := range m.Steps {
			if m.Steps[s] = after(times, since); len(m.Steps[s]) == 0 {
				delete(m.Steps, s)
			}
		}
		if len(m.Steps) == 0 {
			delete(f.file.Objects, key)
		}
	}
	m := f.file.Objects[object]
	if m.Manifest != manifest {
		m = made{Manifest: manifest}
	}
	if m.Steps == nil {
		m.Steps = map[string][]time.Time{}
	}
	m.Steps[step] = append(slices.Clip(m.Steps[step]), now)
	f.file.Objects[object] = m
	return f.save()
}

// Forget forgets what was made of an object; of every one without a name.
func (f *Flaps) Forget(object string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if object == Everything {
		clear(f.file.Objects)
	} else if _, ok := f.file.Objects[object]; !ok {
		return nil
	}
	delete(f.file.Objects, object)
	return f.save()
}

func (f *Flaps) save() error {
	text, err := json.MarshalIndent(f.file, "", "  ")
	if err != nil {
		return broken(err)
	}
	return WriteFile(f.path, append(text, '\n'), 0o600)
}
