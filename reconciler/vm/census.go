package vm

import "github.com/ustclug/pve-reconcile/schema"

// Census is what a cluster says of itself at a glance.
type Census struct {
	Cluster string
	Guests  map[int]Guest   // by vmid; only those the token may see (VM.Audit)
	Nodes   map[string]bool // whether each node is online
	Facts   schema.Facts
}

// Guest is one row of the census.
type Guest struct {
	VMID      int
	Name      string
	Node      string
	Status    string // "running", "stopped", "unknown"
	Container bool
	Template  bool
}
