package pve

import (
	"context"
	"slices"
	"sync"
	"time"
)

// slots bounds how many requests are on the way. The bound adapts to the server: PVE's API has a few worker processes, and a
// crowd before them answers nobody sooner and slows the web page (FACTS §10). How long answers take, compared with the
// shortest one lately, tells how many requests wait inside the server: with more than crowded, one fewer is sent at a time,
// with fewer than idle, one more.
type slots struct {
	mu      sync.Mutex
	most    int
	bound   float64
	busy    int
	waiting []chan struct{}

	smooth        time.Duration // of answers
	least, before time.Duration // shortest answers of this window and the last; 0: none yet
	window        time.Time     // when this one began
}

const (
	crowded    = 3.0
	idle       = 1.5
	windowSpan = 10 * time.Minute
)

func newSlots(most int) *slots { return &slots{most: most, bound: float64(most)} }

// enter waits for a slot.
func (s *slots) enter(ctx context.Context) error {
	s.mu.Lock()
	if s.busy < int(s.bound) && len(s.waiting) == 0 {
		s.busy++
		s.mu.Unlock()
		return nil
	}
	turn := make(chan struct{})
	s.waiting = append(s.waiting, turn)
	s.mu.Unlock()
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
		s.mu.Lock()
		defer s.mu.Unlock()
		if i := slices.Index(s.waiting, turn); i >= 0 {
			s.waiting = slices.Delete(s.waiting, i, i+1)
		} else { // let in just now
			s.busy--
			s.admit()
		}
		return ctx.Err()
	}
}

// leave gives a slot back.
func (s *slots) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.busy--
	s.admit()
}

func (s *slots) admit() {
	for s.busy < int(s.bound) && len(s.waiting) > 0 {
		s.busy++
		close(s.waiting[0])
		s.waiting = s.waiting[1:]
	}
}

// answered learns from an answer. Only answers to the same kind of question can be compared.
func (s *slots) answered(now time.Time, took time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.smooth == 0 {
		s.smooth = took
	}
	s.smooth += (took - s.smooth) / 8
	if now.Sub(s.window) > windowSpan {
		s.before, s.least, s.window = s.least, 0, now
	}
	if s.least == 0 || took < s.least {
		s.least = took
	}
	shortest := s.least
	if s.before > 0 {
		shortest = min(shortest, s.before)
	}
	inside := s.bound * (1 - float64(shortest)/float64(max(s.smooth, 1)))
	switch {
	case inside > crowded:
		s.bound = max(1, s.bound-1/s.bound)
	case inside < idle && s.busy >= int(s.bound):
		s.bound = min(float64(s.most), s.bound+1/s.bound)
	}
	s.admit()
}
