package live_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/ustclug/pve-reconcile/internal/live"
	"github.com/ustclug/pve-reconcile/reconciler/step"
	"github.com/ustclug/pve-reconcile/schema"
)

// Behind the fence nothing is written, neither to a cluster nor on a host; time will help.
func TestFence(t *testing.T) {
	w := live.New(nil)
	asked := []string{}
	w.Fence = func(cluster string) error {
		asked = append(asked, cluster)
		return errors.New("the lease of the cluster is not held")
	}
	for _, s := range []step.Step{step.StartVM{ID: schema.ID{Cluster: "ustc", Node: "pve-5", VMID: 100}}, step.HoldSnapshots{}} {
		if _, err := w.Do(t.Context(), s); !errors.Is(err, step.ErrBusy) || !strings.Contains(err.Error(), "nothing is written: the lease of the cluster is not held") {
			t.Errorf("%s: %v", s, err)
		}
	}
	if len(asked) != 2 || asked[0] != "ustc" || asked[1] != "" {
		t.Errorf("asked about %q", asked)
	}
}
