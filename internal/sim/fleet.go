package sim

import (
	"time"

	"github.com/ustclug/pve-reconcile/internal/sim/zhost"
)

// StartHosts starts the simulated machines of the world. A node and its machine have one clock, the right one.
func (w *World) StartHosts(o zhost.Options) (*zhost.Fleet, error) {
	if len(w.Hosts) > 0 {
		w.Clock = time.Time{}
	}
	return zhost.NewFleet(w.Hosts, o)
}

// Shells are those machines of a fleet that stand for nodes of the world, as Options want them: the datasets of such a node
// are its machine's, and its guests run there.
func (w *World) Shells(f *zhost.Fleet) map[string]Shell {
	shells := map[string]Shell{}
	for _, name := range f.Names() {
		if w.Node(name) != nil {
			shells[name] = f.Host(name).Shell
		}
	}
	return shells
}
