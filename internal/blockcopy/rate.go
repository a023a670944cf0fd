package blockcopy

import (
	"context"
	"sync"
	"time"
)

// limit holds all workers together to a number of bytes a second. It never lets a burst through: an idle second is
// not saved up, because a pool that serves guests feels the burst.
type limit struct {
	rate int64 // 0: none
	mu   sync.Mutex
	next time.Time
}

// wait returns when n more bytes may be moved.
func (l *limit) wait(ctx context.Context, n int) error {
	if l.rate <= 0 || n == 0 {
		return ctx.Err()
	}
	l.mu.Lock()
	now := time.Now()
	if l.next.Before(now) {
		l.next = now
	}
	turn := l.next
	l.next = l.next.Add(time.Duration(float64(n) / float64(l.rate) * float64(time.Second)))
	l.mu.Unlock()
	if !turn.After(now) {
		return ctx.Err()
	}
	timer := time.NewTimer(turn.Sub(now))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
