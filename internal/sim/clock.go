package sim

import (
	"sync"
	"time"
)

// Clock is the time of the world.
type Clock interface {
	Now() time.Time
	Sleep(d time.Duration)
}

// scaled runs Speed times as fast as the machine's clock; with Speed 0 a Sleep moves it instead of waiting.
type scaled struct {
	mu    sync.Mutex
	real  time.Time
	start time.Time
	shift time.Duration
	speed float64
}

func newClock(start time.Time, speed float64) *scaled {
	now := time.Now()
	if start.IsZero() {
		start = now
	}
	return &scaled{real: now, start: start, speed: speed}
}

func (c *scaled) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	speed := c.speed
	if speed == 0 {
		speed = 1
	}
	return c.start.Add(c.shift + time.Duration(float64(time.Since(c.real))*speed))
}

func (c *scaled) Sleep(d time.Duration) {
	if c.speed == 0 {
		c.Jump(d)
		return
	}
	time.Sleep(time.Duration(float64(d) / c.speed))
}

// Jump moves the clock, also backwards.
func (c *scaled) Jump(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.shift += d
}

// linger lets a client wait. Whoever asks for latency means it in real time, also in a world in which nothing else takes
// any; only under a clock that a test moves by hand it takes none.
func (s *Server) linger(d time.Duration) {
	if c, ok := s.clock.(*scaled); ok && c.speed == 0 {
		time.Sleep(d)
		return
	}
	s.clock.Sleep(d)
}

// ManualClock stands still until it is moved; a Sleep moves it.
type ManualClock struct {
	mu  sync.Mutex
	now time.Time
}

// NewManualClock starts at a time.
func NewManualClock(now time.Time) *ManualClock { return &ManualClock{now: now} }

// Now is where the clock stands.
func (c *ManualClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Sleep moves the clock and does not wait.
func (c *ManualClock) Sleep(d time.Duration) { c.Jump(d) }

// Jump moves the clock, also backwards.
func (c *ManualClock) Jump(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}
