// Package vm decides what to do about one virtual machine: Plan compares what git wants, what git last gave and what PVE
// has, and returns steps. It is pure: it asks no host, knows no clock, and never decides what PVE can hot-plug (law 7).
package vm

import (
	"maps"

	"github.com/ustclug/pve-reconcile/schema"
)

// Observed is one guest as PVE shows it. Config values are PVE's own text by PVE's own keys, read raw.
type Observed struct {
	Exists    bool
	Container bool   // the vmid belongs to an LXC container
	Node      string // where the guest lives; empty when it does not exist
	Status    string // "running" or "stopped" (PVE: GET status/current; paused guests are running)

	// Running is what the guest runs with, Pending what waits for a restart (PVE: GET /pending, FACTS §4).
	Running map[string]string
	Pending map[string]Change
	Digest  string // SHA-1 of the whole config, guards every write

	// Sizes holds the real sizes in bytes of the guest's volumes by volid, where they were asked for: size= in a config
	// can be stale (FACTS §5). Nil means not asked.
	Sizes map[string]int64

	Facts schema.Facts
	Rules []schema.Rule // the node's policy
	// Kept: nothing may be taken away, whatever the manifest no longer has (law 15).
	Kept bool
}

// Change is one pending change of a config key.
type Change struct {
	Value  string
	Delete bool
}

// Desired is the config with the pending changes applied: what the guest has after its next start.
func (o Observed) Desired() map[string]string {
	m := maps.Clone(o.Running)
	if m == nil {
		m = map[string]string{}
	}
	for k, c := range o.Pending {
		if c.Delete {
			delete(m, k)
		} else {
			m[k] = c.Value
		}
	}
	return m
}

// IsRunning tells whether the guest runs, paused ones included.
func (o Observed) IsRunning() bool { return o.Exists && o.Status == "running" }
