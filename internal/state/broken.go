package state

import (
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/sys/unix"
)

// broken is an error of the state directory, with what a person can do about it.
func broken(err error) error {
	advice := ""
	switch {
	case errors.Is(err, fs.ErrPermission):
		advice = ": run as the user that the state directory belongs to, or set stateDir in the config file"
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		advice = ": make room there; no run goes on without its state"
	case errors.Is(err, unix.EROFS):
		advice = ": its file system is read-only; after a fault of the disk `dmesg` says why"
	case errors.Is(err, unix.ENOTDIR):
		advice = ": stateDir in the config file has to be a directory, or a place for one"
	}
	return fmt.Errorf("state: %w%s", err, advice)
}
