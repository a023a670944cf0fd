package state

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// attended is the file in a migration's directory that those have locked, together, who look after it.
const attended = "attended"

// Attend says that a process looks after a migration, also while it makes no step of it: until the file, and every copy of
// it that a child inherited, is closed or its process ends.
func (m *Migrations) Attend(name string) (*os.File, error) {
	if err := Make(m.path(name)); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(m.path(name), attended), os.O_RDONLY|os.O_CREATE, 0o600)
	if err != nil {
		return nil, broken(err)
	}
	for { // who asks holds it for a moment only
		err = unix.Flock(int(f.Fd()), unix.LOCK_SH)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		return nil, errors.Join(broken(fmt.Errorf("lock %s: %w", f.Name(), err)), f.Close())
	}
	return f, nil
}

// Attended tells whether any process looks after a migration. What cannot be asked counts as attended.
func (m *Migrations) Attended(name string) bool {
	f, err := os.Open(filepath.Join(m.path(name), attended))
	if err != nil {
		return !errors.Is(err, fs.ErrNotExist)
	}
	defer f.Close()
	return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil
}
