package reconciler

import (
	"context"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ustclug/pve-reconcile/reconciler/step"
	"github.com/ustclug/pve-reconcile/schema"
)

func TestNeedsOfSteps(t *testing.T) {
	id := schema.ID{Cluster: "ustc", Node: "pve-5", VMID: 100}
	desired := map[string]string{"scsi0": "local-zfs:vm-100-disk-0,size=1G"}
	for _, c := range []struct {
		s    step.Step
		want []string
	}{
		{step.StartVM{ID: id}, []string{"node ustc/pve-5"}},
		{step.SetConfig{ID: id, Set: map[string]string{"memory": "1"}}, []string{"node ustc/pve-5"}},
		{step.ResizeDisk{ID: id, Disk: "scsi0"}, []string{"node ustc/pve-5", "storage ustc/local-zfs"}},
		{step.CreateVM{ID: id, Set: map[string]string{"scsi0": "a:4,discard=on", "efidisk0": "a:1", "ide2": "none,media=cdrom"}}, []string{"node ustc/pve-5", "storage ustc/a"}},
	} {
		if got := needs(c.s, desired); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.s, got, c.want)
		}
	}
}

// Many steps of random needs all get their turn, and never more at a time than there is room for.
func TestLimitsHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &Limits{Node: 3, Storage: 1}
		var mu sync.Mutex
		now := map[string]int{}
		var done sync.WaitGroup
		all := [][]string{{"node a"}, {"node b"}, {"node a", "storage s"}, {"node b", "storage s"}, {"node b", "storage r"}}
		for i := range 200 {
			needs := all[i%len(all)]
			done.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				if i%7 == 0 {
					ctx, cancel = context.WithTimeout(t.Context(), time.Second) // gives up
				}
				defer cancel()
				leave, _, err := l.enter(ctx, needs)
				if err != nil {
					return
				}
				mu.Lock()
				for _, n := range needs {
					if now[n]++; now[n] > l.most(n) {
						t.Errorf("%d at a time: %s", now[n], n)
					}
				}
				mu.Unlock()
				time.Sleep(rand.N(time.Second))
				mu.Lock()
				for _, n := range needs {
					now[n]--
				}
				mu.Unlock()
				leave()
			})
		}
		done.Wait()
		if len(l.waiting) != 0 || slices.Max(slices.Collect(maps.Values(l.used))) != 0 {
			t.Errorf("left: %d waiting, %v in use", len(l.waiting), l.used)
		}
	})
}
