package pmxcfs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/ustclug/pve-reconcile/internal/state"
)

// Lease is the right to act on a cluster, which one daemon of all nodes has: a directory below priv/lock, which pmxcfs lets
// exactly one make, lets only the node that made it renew (utime), and removes on request of others (utime 0) after two
// minutes without renewal. What is done later than Margin after the last renewal is not covered by it.
type Lease struct {
	Name   string // of the lock
	Dir    string // state directory: remembers that the lease is ours over a crash
	Mount  *Mount
	Holder state.Holder
	// Renew is how often it is renewed, Margin for how long after a renewal nobody else can have it for sure. Both have
	// defaults that fit pmxcfs.
	Renew, Margin time.Duration

	mu      sync.Mutex
	renewed time.Time // monotonic; zero: not held
	stop    context.CancelFunc
	lost    chan struct{}
}

const (
	renewEvery  = 20 * time.Second
	leaseMargin = 60 * time.Second // of the 120 that pmxcfs waits: a write takes up to 60 s to be answered
	tryEvery    = time.Second
)

func (l *Lease) path() string { return filepath.Join(l.Mount.dir, "priv", "lock", l.Name) }
func (l *Lease) note() string { return filepath.Join(l.Mount.dir, "priv", l.Name+".holder") }
func (l *Lease) mine() string { return filepath.Join(l.Dir, "lease.json") }

// HeldError says that another one has the lease, and who, as far as it is known.
type HeldError struct{ Holder state.Holder }

func (e *HeldError) Error() string {
	if e.Holder.Host == "" {
		return "the lease of the cluster is held by another node"
	}
	return "the lease of the cluster is held by " + e.Holder.String()
}

// Try takes the lease if it is free, or still ours from before a crash. A held one is a *HeldError, and the cluster is asked
// to free it, should it have expired.
func (l *Lease) Try() error {
	began := time.Now()
	err := os.Mkdir(l.path(), 0o755)
	switch {
	case err == nil:
		err = l.touch()
	case errors.Is(err, fs.ErrExist) && l.ours():
		err = l.touch()
	case errors.Is(err, fs.ErrExist):
		_ = os.Chtimes(l.path(), time.Unix(0, 0), time.Unix(0, 0)) // refused unless it has expired
		return &HeldError{l.holder()}
	}
	if err != nil {
		return fmt.Errorf("pmxcfs: lease: %w (it takes root, and a cluster with quorum)", err)
	}
	if text, err := json.Marshal(l.Holder); err == nil {
		_ = os.WriteFile(l.note(), append(text, '\n'), 0o600) // for people only
	}
	ctx, cancel := context.WithCancel(context.Background())
	l.mu.Lock()
	l.renewed, l.stop, l.lost = began, cancel, make(chan struct{})
	l.mu.Unlock()
	go l.keep(ctx)
	return nil
}

// Wait takes the lease when it becomes free. waiting is told who has it, whenever that is news.
func (l *Lease) Wait(ctx context.Context, waiting func(error)) error {
	said := ""
	for {
		err := l.Try()
		if err == nil {
			return nil
		}
		if now := err.Error(); now != said {
			said = now
			waiting(err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(tryEvery):
		}
	}
}

// holder reads who says to have the lease.
func (l *Lease) holder() (h state.Holder) {
	if text, err := os.ReadFile(l.note()); err == nil {
		_ = json.Unmarshal(text, &h) // being written just now: unknown
	}
	return h
}

// held is the file lease.json.
type held struct {
	Version int    `json:"version"`
	Path    string `json:"path"`
	Renewed int64  `json:"renewed"` // mtime of the lock, seconds
	Before  int64  `json:"before"`  // the one before: a crash between the two writes leaves it
}

// touch renews the lock. Its time is in whole seconds, and has to grow.
func (l *Lease) touch() error {
	info, err := os.Stat(l.path())
	if err != nil {
		return err
	}
	now := time.Unix(max(time.Now().Unix(), info.ModTime().Unix()+1), 0)
	text, err := json.Marshal(held{state.Version, l.path(), now.Unix(), info.ModTime().Unix()})
	if err != nil {
		return err
	}
	// Remembered first: a time that only the lock has could not be told to be ours.
	if err := state.WriteFile(l.mine(), append(text, '\n'), 0o600); err != nil {
		return err
	}
	return os.Chtimes(l.path(), now, now)
}

// ours tells whether the lock that is there is the one we renewed last, or were about to: another node's has another time.
func (l *Lease) ours() bool {
	text, err := os.ReadFile(l.mine())
	var h held
	if err != nil || json.Unmarshal(text, &h) != nil || h.Version != state.Version || h.Path != l.path() {
		return false
	}
	info, err := os.Stat(l.path())
	if err != nil {
		return false
	}
	at := info.ModTime().Unix()
	return at == h.Renewed || at == h.Before
}

// keep renews the lease until it is released or lost.
func (l *Lease) keep(ctx context.Context) {
	every := l.Renew
	if every == 0 {
		every = renewEvery
	}
	pause := every
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		began := time.Now()
		pause = every
		err := l.still()
		if err == nil {
			err = l.touch()
		}
		l.mu.Lock()
		if ctx.Err() != nil {
			l.mu.Unlock()
			return
		}
		switch {
		case err == nil:
			l.renewed = began
		case missing(err) || errors.Is(err, errTaken) || time.Since(l.renewed) > l.margin():
			l.renewed = time.Time{}
			close(l.lost)
			l.mu.Unlock()
			return
		default:
			pause = every / 5 // no quorum just now, perhaps
		}
		l.mu.Unlock()
	}
}

var errTaken = errors.New("the lease was taken by another node")

// still looks whether the lock is the one renewed last. A time of zero is somebody's request that is being refused.
func (l *Lease) still() error {
	info, err := os.Stat(l.path())
	if err != nil {
		return err
	}
	if info.ModTime().Unix() != 0 && !l.ours() {
		return errTaken
	}
	return nil
}

func (l *Lease) margin() time.Duration {
	if l.Margin == 0 {
		return leaseMargin
	}
	return l.Margin
}

// Check is the fence before each write: it says why nothing may be written now.
func (l *Lease) Check() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.renewed.IsZero() {
		return errors.New("the lease of the cluster is not held")
	}
	if since := time.Since(l.renewed); since > l.margin() {
		return fmt.Errorf("the lease of the cluster could not be renewed for %s: another node may act by now", since.Round(time.Second))
	}
	return nil
}

// Lost is closed when the lease is lost.
func (l *Lease) Lost() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lost
}

// Release lets another one act at once.
func (l *Lease) Release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stop == nil {
		return
	}
	l.stop()
	l.stop = nil
	if !l.renewed.IsZero() && l.still() == nil {
		_ = os.Remove(l.note())
		_ = os.Remove(l.path()) // left behind, it expires
	}
	l.renewed = time.Time{}
}
