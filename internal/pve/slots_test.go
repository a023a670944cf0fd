package pve

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// ask sends many requests to a server whose answers take as long as it says for so many at a time.
func ask(s *slots, requests int, takes func(atATime int) time.Duration) (most int) {
	var mu sync.Mutex
	var all sync.WaitGroup
	now := 0
	for range requests {
		all.Go(func() {
			if s.enter(context.Background()) != nil {
				return
			}
			began := time.Now()
			mu.Lock()
			now++
			most = max(most, now)
			d := takes(now)
			mu.Unlock()
			time.Sleep(d)
			mu.Lock()
			now--
			mu.Unlock()
			s.answered(time.Now(), time.Since(began))
			s.leave()
		})
	}
	all.Wait()
	return most
}

// Few workers behind the API get few requests at a time, a fast server as many as allowed, and one that got faster more again.
func TestSlotsAdapt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fast := func(int) time.Duration { return 20 * time.Millisecond }
		slow := func(n int) time.Duration { // as measured: FACTS §10
			return time.Duration(n) * map[bool]time.Duration{true: 10500 * time.Microsecond, false: 7500 * time.Microsecond}[n == 1]
		}
		s := newSlots(8)
		if ask(s, 500, fast); s.bound < 8 {
			t.Errorf("a fast server gets %.1f at a time", s.bound)
		}
		s = newSlots(8)
		if ask(s, 500, slow); s.bound < 2 || s.bound > 5.5 {
			t.Errorf("a server with few workers gets %.1f at a time", s.bound)
		}
		time.Sleep(time.Hour)
		if most := ask(s, 100, slow); most > 6 {
			t.Errorf("later it gets %d at a time", most)
		}
		if ask(s, 500, func(int) time.Duration { return 5 * time.Millisecond }); s.bound < 7 {
			t.Errorf("when it has become fast, %.1f", s.bound)
		}
		if s.busy != 0 || len(s.waiting) != 0 {
			t.Errorf("left: %d busy, %d waiting", s.busy, len(s.waiting))
		}
	})
}

// Who gives up waiting takes no slot with him.
func TestSlotsAreGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSlots(1)
		if err := s.enter(t.Context()); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if s.enter(ctx) == nil {
			t.Error("two in one slot")
		}
		s.leave()
		if err := s.enter(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
