package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Suspension says that no step is to be made, why, and until when.
type Suspension struct {
	Reason string    `json:"reason"`
	By     string    `json:"by,omitempty"` // who asked for it
	Since  time.Time `json:"since"`
	Until  time.Time `json:"until,omitzero"` // zero: until somebody resumes
}

func (s Suspension) String() string {
	text := "suspended"
	if s.By != "" {
		text += " by " + s.By
	}
	text += " since " + s.Since.Local().Format("2006-01-02 15:04")
	if !s.Until.IsZero() {
		text += " until " + s.Until.Local().Format("2006-01-02 15:04")
	}
	return text + ": " + s.Reason
}

// Everything is the key under which everything is suspended at once.
const Everything = ""

// Suspensions is the file suspended.json: by "Kind/name", what is suspended.
type Suspensions struct {
	path string
	mu   sync.Mutex
}

type suspensions struct {
	Version int                   `json:"version"`
	All     *Suspension           `json:"all,omitempty"`
	Objects map[string]Suspension `json:"objects,omitempty"`
}

// SuspensionsIn is the file of a state directory. It is read when asked, so that whoever writes it is heard at once.
func SuspensionsIn(dir string) *Suspensions {
	return &Suspensions{path: filepath.Join(dir, "suspended.json")}
}

func (s *Suspensions) read() (suspensions, error) {
	var f suspensions
	text, err := os.ReadFile(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return suspensions{Version: Version}, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &f)
	}
	if err == nil && f.Version == 0 {
		err = errNoVersion
	}
	if err != nil {
		return f, fmt.Errorf("state: %s: %w: correct it, or remove it to suspend nothing", s.path, err)
	}
	if f.Version != Version {
		return f, fmt.Errorf("state: %s has format %d, this program knows %d: use the program that wrote it, or a newer one", s.path, f.Version, Version)
	}
	return f, nil
}

// All lists what is suspended at a time, by "Kind/name"; Everything for all. When the file cannot be read, the error says
// why, and nobody knows what is suspended.
func (s *Suspensions) All(now time.Time) (map[string]Suspension, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f, err := s.read()
	if err != nil {
		return nil, err
	}
	out := map[string]Suspension{}
	maps.Copy(out, f.Objects)
	if f.All != nil {
		out[Everything] = *f.All
	}
	maps.DeleteFunc(out, func(_ string, x Suspension) bool { return !x.Until.IsZero() && !now.Before(x.Until) })
	return out, nil
}

// Suspend suspends an object, or Everything.
func (s *Suspensions) Suspend(key string, x Suspension) error {
	return s.change(x.Since, func(f *suspensions) {
		if key == Everything {
			f.All = &x
			return
		}
		if f.Objects == nil {
			f.Objects = map[string]Suspension{}
		}
		f.Objects[key] = x
	})
}

// Resume ends the suspension of an object, or that of Everything, and tells whether there was one.
func (s *Suspensions) Resume(key string, now time.Time) (was bool, err error) {
	err = s.change(now, func(f *suspensions) {
		if key == Everything {
			was, f.All = f.All != nil, nil
			return
		}
		_, was = f.Objects[key]
		delete(f.Objects, key)
	})
	return was, err
}

// change rewrites the file, without what is over by now. Writers take turns.
func (s *Suspensions) change(now time.Time, do func(*suspensions)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	unlock, err := turn(s.path + ".lock")
	if err != nil {
		return err
	}
	defer unlock()
	f, err := s.read()
	if err != nil {
		return err
	}
	maps.DeleteFunc(f.Objects, func(_ string, x Suspension) bool { return !x.Until.IsZero() && !now.Before(x.Until) })
	do(&f)
	text, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return broken(err)
	}
	return WriteFile(s.path, append(text, '\n'), 0o600)
}
