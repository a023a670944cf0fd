package reconciler

import (
	"context"
	"slices"
	"strings"
	"sync"

	"github.com/ustclug/pve-reconcile/reconciler/step"
	"github.com/ustclug/pve-reconcile/schema"
)

// Limits bounds the steps that are made at a time on one node, and of these the ones that allocate on one storage. Nil, or
// a zero count, is no limit. Who waits keeps nothing others need; who came first goes first where there is room for both.
type Limits struct {
	Node, Storage int

	mu      sync.Mutex
	used    map[string]int
	waiting []*waiter
}

type waiter struct {
	needs []string
	admit chan struct{}
}

// enter waits until there is room for a step. waited tells that the world had time to change meanwhile.
func (l *Limits) enter(ctx context.Context, needs []string) (leave func(), waited bool, err error) {
	if l == nil {
		return func() {}, false, nil
	}
	w := &waiter{needs: needs, admit: make(chan struct{})}
	l.mu.Lock()
	l.waiting = append(l.waiting, w)
	l.admit()
	l.mu.Unlock()
	leave = sync.OnceFunc(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, n := range needs {
			l.used[n]--
		}
		l.admit()
	})
	select {
	case <-w.admit:
		return leave, false, nil
	default:
	}
	select {
	case <-w.admit:
		return leave, true, nil
	case <-ctx.Done():
		l.mu.Lock()
		defer l.mu.Unlock()
		if i := slices.Index(l.waiting, w); i >= 0 {
			l.waiting = slices.Delete(l.waiting, i, i+1)
		} else { // let in just now
			for _, n := range needs {
				l.used[n]--
			}
			l.admit()
		}
		return nil, true, ctx.Err()
	}
}

// admit lets in whom there is room for.
func (l *Limits) admit() {
	if l.used == nil {
		l.used = map[string]int{}
	}
	l.waiting = slices.DeleteFunc(l.waiting, func(w *waiter) bool {
		for _, n := range w.needs {
			if most := l.most(n); most > 0 && l.used[n] >= most {
				return false
			}
		}
		for _, n := range w.needs {
			l.used[n]++
		}
		close(w.admit)
		return true
	})
}

func (l *Limits) most(need string) int {
	if strings.HasPrefix(need, "storage ") {
		return l.Storage
	}
	return l.Node
}

// needs lists what a step takes room of: its node, and the storages it allocates on. desired is the config of its guest.
func needs(s step.Step, desired map[string]string) []string {
	id := s.Guest()
	out := []string{"node " + id.Cluster + "/" + id.Node}
	drives := func(set map[string]string) {
		for key, value := range set {
			row, ok := schema.RowOf(key)
			if !ok || !row.Drive() {
				continue
			}
			storage, _, ok := strings.Cut(row.Parse(value)["file"], ":")
			if need := "storage " + id.Cluster + "/" + storage; ok && !slices.Contains(out, need) {
				out = append(out, need)
			}
		}
	}
	switch s := s.(type) {
	case step.CreateVM:
		drives(s.Set)
	case step.SetConfig:
		drives(s.Set)
	case step.ResizeDisk:
		drives(map[string]string{s.Disk: desired[s.Disk]})
	case step.OnHost: // takes hours, and nothing that others wait for
		return nil
	default: // of its node only
	}
	return out
}
