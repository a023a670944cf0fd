package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// Holder says who holds the lock of a state directory.
type Holder struct {
	PID     int       `json:"pid"`
	Host    string    `json:"host"`
	Command string    `json:"command"`
	Since   time.Time `json:"since"`
}

func (h Holder) String() string {
	if h.PID == 0 {
		return "another process"
	}
	return fmt.Sprintf("pid %d on %s (%s), since %s", h.PID, h.Host, h.Command, h.Since.Local().Format("2006-01-02 15:04:05"))
}

// HeldError says that another run holds the lock.
type HeldError struct {
	Path   string
	Holder Holder
}

func (e *HeldError) Error() string { return fmt.Sprintf("%s is held by %s", e.Path, e.Holder) }

// Lock takes the lock of a state directory, which it makes when missing. The kernel releases it with the process, however
// that ends. A held lock is a *HeldError.
func Lock(dir string, h Holder) (release func(), err error) {
	if err := Make(dir); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, "lock")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, broken(err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		defer f.Close()
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, broken(fmt.Errorf("lock %s: %w", path, err))
		}
		held := &HeldError{Path: path}
		if text, err := os.ReadFile(path); err == nil {
			_ = json.Unmarshal(text, &held.Holder) // a holder that is just writing is named another time
		}
		return nil, held
	}
	text, err := json.Marshal(h)
	if err == nil {
		err = f.Truncate(0)
	}
	if err == nil {
		_, err = f.WriteAt(append(text, '\n'), 0)
	}
	if err != nil {
		f.Close()
		return nil, broken(fmt.Errorf("lock %s: %w", path, err))
	}
	return func() {
		_ = f.Truncate(0)
		_ = f.Close()
	}, nil
}

// Make makes a state directory that only its owner can read.
func Make(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return broken(err)
	}
	return nil
}

// Tidy takes away what writers left that were killed: files that were not renamed within a minute.
func Tidy(dir string, now time.Time) {
	left, err := filepath.Glob(filepath.Join(dir, ".*.json.*"))
	if err != nil {
		return // the pattern is sound
	}
	for _, f := range left {
		if info, err := os.Stat(f); err == nil && now.Sub(info.ModTime()) > time.Minute {
			_ = os.Remove(f) // another time, then
		}
	}
}

// turn waits for the lock of a file that is only ever held for a moment.
func turn(path string) (release func(), err error) {
	if err := Make(filepath.Dir(path)); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, broken(err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		f.Close()
		return nil, broken(fmt.Errorf("lock %s: %w", path, err))
	}
	return func() { _ = f.Close() }, nil
}
