package reconciler_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ustclug/pve-reconcile/reconciler"
)

// bench is a queue whose rounds are told what to answer, and that writes down when they were.
type bench struct {
	*reconciler.Queue
	began time.Time
	mu    sync.Mutex
	at    map[string][]time.Duration
	order []string
	busy  int
	most  int
}

func key(name string) reconciler.Key { return reconciler.Key{Kind: "VirtualMachine", Name: name} }

// newBench makes a queue with a crowd of two for each group, which is the first letter of a name.
func newBench(round func(name string, n int, working func()) reconciler.Next, after func(string) []string) *bench {
	b := &bench{began: time.Now(), at: map[string][]time.Duration{}}
	b.Queue = reconciler.NewQueue(reconciler.QueueOptions{
		Crowd: 2, Retry: reconciler.Backoff{First: 5 * time.Second, Max: time.Minute},
		Group: func(k reconciler.Key) string { return k.Name[:1] },
		After: func(k reconciler.Key) []reconciler.Key {
			var out []reconciler.Key
			if after != nil {
				for _, n := range after(k.Name) {
					out = append(out, key(n))
				}
			}
			return out
		},
		Round: func(_ context.Context, k reconciler.Key, working func()) reconciler.Next {
			b.mu.Lock()
			b.at[k.Name] = append(b.at[k.Name], time.Since(b.began))
			b.order = append(b.order, k.Name)
			n := len(b.at[k.Name])
			b.busy++
			b.most = max(b.most, b.busy)
			b.mu.Unlock()
			next := round(k.Name, n, working)
			b.mu.Lock()
			b.busy--
			b.mu.Unlock()
			return next
		},
	})
	return b
}

func (b *bench) add(names ...string) {
	for _, n := range names {
		b.Add(key(n))
	}
}

// A failing object comes back after pauses that double up to the longest, each shortened by less than a fifth.
func TestFailuresComeBackSlower(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		b := newBench(func(_ string, n int, _ func()) reconciler.Next { return reconciler.Next{Failed: n != 8} }, nil)
		b.Start(ctx)
		b.add("a1")
		time.Sleep(time.Hour)
		synctest.Wait()
		want := []time.Duration{5, 10, 20, 40, 60, 60, 60}
		if got := len(b.at["a1"]); got != 8 {
			t.Fatalf("%d rounds: after a success nothing asks for another", got)
		}
		for i, w := range want {
			pause := b.at["a1"][i+1] - b.at["a1"][i]
			if w *= time.Second; pause > w || pause <= w-w/5-time.Millisecond {
				t.Errorf("pause %d was %s, of %s", i+1, pause, w)
			}
		}
		cancel()
		b.Wait()
	})
}

// Half of the objects fail, and take their time for it: the others are looked at as if these were not there.
func TestFailuresDelayNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		b := newBench(func(name string, _ int, working func()) reconciler.Next {
			if name[0] == 'x' { // a dead host: each look ends in a timeout
				time.Sleep(30 * time.Second)
				return reconciler.Next{Failed: true}
			}
			if name[1] == 'f' { // a step that hangs and fails
				working()
				time.Sleep(3 * time.Minute)
				return reconciler.Next{Failed: true}
			}
			time.Sleep(10 * time.Millisecond)
			return reconciler.Next{}
		}, nil)
		var names []string
		for i := range 50 {
			names = append(names, fmt.Sprintf("x%d", i), fmt.Sprintf("af%d", i), fmt.Sprintf("ao%d", i), fmt.Sprintf("ap%d", i))
		}
		b.Start(ctx)
		for range 20 {
			b.add(names...)
			time.Sleep(time.Minute)
		}
		synctest.Wait()
		for _, n := range names {
			if n[0] == 'a' && n[1] != 'f' && len(b.at[n]) != 20 {
				t.Errorf("%s was looked at %d times of 20", n, len(b.at[n]))
			}
		}
		if last := b.at["ap49"][0]; last > time.Second {
			t.Errorf("the last sound one was looked at after %s", last)
		}
		cancel()
		b.Wait()
	})
}

// A crowd looks at a time; urgent ones go first; who goes before another does.
func TestOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(func(string, int, func()) reconciler.Next { time.Sleep(time.Second); return reconciler.Next{} },
			func(name string) []string { return map[string][]string{"a2": {"a5"}, "a3": {"a2", "gone"}}[name] })
		b.add("a1", "a2", "a3", "a4", "a5", "a6")
		b.Urge(key("a4"))
		b.Start(t.Context())
		time.Sleep(time.Minute)
		synctest.Wait()
		if b.most != 2 {
			t.Errorf("%d at a time, the crowd is 2", b.most)
		}
		place := func(n string) int { return slices.Index(b.order, n) }
		if place("a4") > 1 || place("a5") > place("a2") || place("a2") > place("a3") || len(b.order) != 6 {
			t.Errorf("order %v", b.order)
		}
		b.Wait()
	})
}

// What is asked for during a round is done after it; an urgent wish ends a pause, another does not; what is dropped is gone.
func TestWishes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		b := newBench(func(name string, _ int, _ func()) reconciler.Next {
			time.Sleep(time.Second)
			if name == "w1" {
				return reconciler.Next{After: 10 * time.Second}
			}
			return reconciler.Next{Failed: name == "b1"}
		}, nil)
		b.Start(ctx)
		b.add("a1", "b1", "w1")
		time.Sleep(500 * time.Millisecond)
		b.add("a1", "a1", "a1")
		time.Sleep(2 * time.Second)
		b.add("b1") // pauses, and goes on pausing
		if d := b.Depth(); len(d.Pausing) != 2 || d.Pausing[0].Key != key("b1") || d.Pausing[0].Failures != 1 {
			t.Errorf("depth %+v", d)
		}
		b.Urge(key("b1"))
		time.Sleep(10 * time.Second)
		b.Keep([]reconciler.Key{key("a1")})
		time.Sleep(time.Hour)
		synctest.Wait()
		if len(b.at["a1"]) != 2 {
			t.Errorf("asked for three times during its round, it had %d rounds", len(b.at["a1"]))
		}
		if at := b.at["b1"]; len(at) < 2 || at[1] != 2500*time.Millisecond || len(at) > 3 {
			t.Errorf("the urgent wish: %v", at)
		}
		if at := b.at["w1"]; len(at) != 2 || at[1] != 11*time.Second {
			t.Errorf("a look after ten seconds: %v", at)
		}
		if d := b.Depth(); d.Ready+d.Working+len(d.Pausing) != 0 {
			t.Errorf("left: %+v", d)
		}
		cancel()
		b.Wait()
	})
}

// When it is told to stop, no round begins, and Wait waits for those that have.
func TestStopWaitsForRounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		b := newBench(func(string, int, func()) reconciler.Next { time.Sleep(time.Minute); return reconciler.Next{} }, nil)
		b.Start(ctx)
		b.add("a1", "a2", "a3")
		time.Sleep(time.Second)
		cancel()
		b.Wait()
		if since := time.Since(b.began); since != time.Minute || len(b.order) != 2 {
			t.Errorf("after %s: %v", since, b.order)
		}
	})
}
