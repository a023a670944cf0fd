package source

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"
)

const lockPoll = 50 * time.Millisecond

// lock takes the file's lock for this process, waiting at most wait. go-git
// locks nothing itself, and a plan by hand may run beside the daemon. The file
// names the holder and is never removed: a removed lock file is two locks.
func lock(ctx context.Context, name string, wait time.Duration) (unlock func(), err error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, problem(Unreadable, "run as the user that owns the state directory", "lock of the cache: %w", err)
	}
	deadline := time.Now().Add(wait)
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			break
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			_ = f.Close()
			return nil, problem(Unreadable, "put the state directory on a local disk", "lock %s: %w", name, err)
		}
		if time.Now().After(deadline) {
			holder, _ := os.ReadFile(name)
			_ = f.Close()
			return nil, problem(Locked, "wait for it, or look why it hangs",
				"another process is fetching: %s holds %s", oneLine(string(holder), 80), name)
		}
		select {
		case <-ctx.Done():
			_ = f.Close()
			return nil, ctx.Err()
		case <-time.After(lockPoll):
		}
	}
	_ = f.Truncate(0)
	_, _ = f.WriteAt([]byte(fmt.Sprintf("process %d (%s)\n", os.Getpid(), strings.Join(os.Args[:1], ""))), 0)
	return func() { _ = f.Close() }, nil
}
