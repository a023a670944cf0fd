package zfs

import (
	"errors"
	"fmt"
	"strings"

	"github.com/ustclug/pve-reconcile/internal/host"
	"github.com/ustclug/pve-reconcile/reconciler/step"
)

// What zfs says when it does not do what it was told.
var (
	ErrSpace    = errors.New("out of space")
	ErrToken    = errors.New("resume token refused")
	ErrExists   = errors.New("already exists")
	ErrGone     = errors.New("does not exist")
	ErrModified = errors.New("modified since its last snapshot")
	ErrDamaged  = errors.New("stream damaged")
)

// The exit codes of our own scripts, beside those of zfs (1, 2, 255).
const (
	codeBusy    = 75 // somebody else is at it: look again soon
	codeStale   = 76 // the object is not the one that was meant, or has changed: decide anew
	codeRefused = 77 // never, as it stands
)

// refusal is one thing zfs may answer: what it means and what to do.
type refusal struct {
	text   string
	means  error
	advice string
}

// refusals are tried in order. The texts are those of OpenZFS 2.1 to 2.4 with LC_ALL=C; lines are joined by one space.
var refusals = []refusal{
	{"no such tag on this dataset", step.ErrStale, ""},
	{"space quota exceeded", ErrSpace, "raise the quota of the dataset or of one above it"},
	{"out of space", ErrSpace, "free space in the pool (zfs list -o space), or raise a quota; what was received stays and is continued"},
	{"No space left on device", ErrSpace, "free space in the pool (zfs list -o space)"},
	{"is no longer the same snapshot used in the initial send", ErrToken, "the snapshot was made anew under the same name: the receive is dropped and begun again"},
	{"used in the initial send no longer exists", ErrToken, "the snapshot was destroyed: the receive is dropped and begun again"},
	{"incremental source", ErrToken, "its base is gone or another one: the receive is dropped and begun again"},
	{"resume token is corrupt", ErrToken, "the receive is dropped and begun again"},
	{"contains partially-complete state", step.ErrStale, "an interrupted receive has to be continued or dropped first"},
	{"does not have any resumable receive state", step.ErrStale, ""},
	{"checksum mismatch or incomplete stream", ErrDamaged, "the connection or the sender ended early, or bytes were changed on the way; what came is kept and continued"},
	{"incomplete stream", ErrDamaged, "the connection or the sender ended early"},
	{"failed to read from stream", ErrDamaged, "the sender ended before it had sent anything"},
	{"bad magic number", ErrDamaged, "something else than a stream came: does a login script on the sending host print text?"},
	{"has been modified since most recent snapshot", ErrModified, "somebody wrote to the staging zvol: it is received anew"},
	{"most recent snapshot of", step.ErrStale, "the snapshots at the target are not those that were seen"},
	{"destination already exists", ErrExists, "another snapshot has that name at the target"},
	{"must specify -F to overwrite it", ErrExists, "a dataset is where the stream should go; it is not touched"},
	{"must destroy them to overwrite it", ErrExists, "a dataset with snapshots is where the stream should go; it is not touched"},
	{"dataset already exists", ErrExists, ""},
	{"tag already exists", ErrExists, ""},
	{"dataset is busy", step.ErrBusy, "a process has it open, a receive still runs, or a snapshot is held (fuser, zfs holds)"},
	{"pool is busy", step.ErrBusy, ""},
	{"has dependent clones", step.ErrBusy, "a clone of it is in use (zfs get clones); ours are removed, others are somebody's"},
	{"does not exist", ErrGone, ""},
	{"could not find any snapshots", ErrGone, ""},
	{"kernel modules must be upgraded", ErrDamaged, "the target's ZFS is older than the stream, or the receive was complete already"},
	{"permission denied", step.ErrForbidden, "the account needs to be root, or zfs allow"},
	{"Permission denied the ZFS utilities must be run as root", step.ErrForbidden, "log in as root, or allow the account to use /dev/zfs"},
	{"/dev/zfs and /proc/self/mounts are required", step.ErrForbidden, "the ZFS module is not loaded there (modprobe zfs)"},
	{"The ZFS modules", step.ErrForbidden, "the ZFS module is not loaded there (modprobe zfs)"},
	{"ey must be loaded", step.ErrForbidden, "load the key of the encrypted dataset (zfs load-key)"},
	{"I/O error", ErrDamaged, "the pool reports errors: zpool status -v"},
	{"pool I/O is currently suspended", step.ErrUnreachable, "the pool is suspended: zpool status -x"},
}

// explain makes of a command's failure one that says what it means. Errors that are none of a command pass through.
func explain(err error) error {
	var e *host.Error
	if !errors.As(err, &e) {
		return err
	}
	e.Stderr, _, _ = strings.Cut(e.Stderr, "A resuming stream can be generated") // the token, which is long and is asked for
	switch e.Code {
	case codeBusy:
		return fmt.Errorf("%w: %w", step.ErrBusy, err)
	case codeStale:
		return fmt.Errorf("%w: %w", step.ErrStale, err)
	case codeRefused:
		return err
	case 127:
		return fmt.Errorf("%w; is zfs installed there, and in the PATH of the account?", err)
	}
	if r, ok := find(e.Stderr); ok {
		if r.advice != "" {
			return fmt.Errorf("%w: %w; %s", r.means, err, r.advice)
		}
		return fmt.Errorf("%w: %w", r.means, err)
	}
	return err
}

func find(text string) (refusal, bool) {
	text = strings.Join(strings.Fields(text), " ")
	for _, r := range refusals {
		if strings.Contains(text, r.text) {
			return r, true
		}
	}
	return refusal{}, false
}
