// Package migration decides what to do next about a Migration: Plan reads its stage off the world as it is seen and returns
// steps, or why it may not go on. It is pure: it asks no host, knows no clock (now is a field of what was observed), stores
// no stage, and never infers anything from a host that did not answer.
package migration

import (
	"time"

	"github.com/ustclug/pve-reconcile/reconciler/vm"
)

// Observed is all that a migration looks at, at one moment.
type Observed struct {
	Now    time.Time
	Source Host   // runs the guest now
	Target Host   // the node of PVE that will
	Power  Power  // the guest on the source host
	Disks  []Disk // in the order of the manifest

	VM    vm.Observed // the guest of PVE
	Agent string      // of that guest, while it runs: "", "up" or "down"
	Ran   bool        // PVE's task list has a start of that guest (qmstart), or it runs
	// LastStart is when PVE began to start the guest last, by its task list and clock; zero when not known.
	LastStart time.Time

	Rates Rates // measured so far, from this migration's record; zero where nothing was
}

// Host is one end as it was seen.
type Host struct {
	Name  string
	Error string    // why it could not be looked at, "" when it could; then all below is unknown (law 8)
	Clock time.Time // its own
	ZFS   string    // version of the kernel module, "2.1.11-1"
	Tools string    // version of the zfs command
	Pools map[string]Pool
	// Staging is the file system that staging zvols are below, on the target's host; its parent is Parent.
	Staging, Parent Dataset
	// Received are the zvols below Parent.
	Received []string
}

// Pool is what a pool says of itself.
type Pool struct {
	Name     string
	Health   string // ONLINE, DEGRADED, ...
	Ashift   int    // of its first top-level vdev, 0 when not known
	Vdevs    []Vdev
	Features map[string]string // "large_blocks": "enabled", "active" or "disabled"
}

// Vdev is one top-level vdev that holds data.
type Vdev struct {
	Type  string // raidz1, raidz2, raidz3, mirror, disk
	Disks int
}

// Disk is one disk of the guest at all its places.
type Disk struct {
	Slot    string // "scsi0"
	Source  Dataset
	Staging Dataset
	Target  Dataset // the zvol behind the volume that PVE has in the slot; zero while there is none
	Volid   string  // that volume
}

// Dataset is a zvol or file system as `zfs get` and `zfs list` show it.
type Dataset struct {
	Name         string
	Exists       bool
	GUID         string // decimal
	Type         string // volume or filesystem
	Volsize      int64  // bytes; 0 in a partial receive
	Volblocksize int64
	Used         int64
	Referenced   int64
	Logical      int64 // logicalreferenced
	Available    int64
	RefReserv    int64
	Encryption   string            // "off", or the cipher
	Key          string            // keystatus: "available", "unavailable", "" when not encrypted
	Compression  string            // "lz4", "off"
	Readonly     bool              // set on it, or inherited
	Volmode      string            // likewise
	Origin       string            // of a clone
	Token        *Token            // an interrupted receive
	Local        map[string]string // properties set here: readonly, volmode, snapdev and our user properties (source local or received)
	Snapshots    []Snapshot        // oldest first
	Openers      []string          // processes that have the device open, "qemu-system-x86 (4711)"; nil when none or not asked
	Device       string            // its device node while there is one, "/dev/zd16"; "" when none or not asked
	Clones       []string          // clones of its snapshots
}

// Token is what a receive_resume_token says; the source is asked for it (zfs send -nvP -t).
type Token struct {
	Text     string
	ToGUID   string // decimal
	FromGUID string // decimal, "" for a full stream
	Bytes    int64  // received so far
	Left     int64  // bytes still to send; 0 when not known
	Error    string // why the source cannot go on from it, "" when it can
}

// Snapshot is one snapshot.
type Snapshot struct {
	Name    string // without the dataset
	GUID    string // decimal
	Created time.Time
	Written int64             // bytes written to the dataset since this snapshot (written@NAME)
	Holds   []string          // tags
	Props   map[string]string // our user properties
}

// Power is the state of the guest on the source host.
type Power struct {
	State  string // running, stopped, unknown
	Masked bool   // it cannot be started there by accident
	Text   string // what was answered, where the state is unknown
	// Graceful is "" when a shutdown asks the guest, else why it would not ("the unit has no ExecStop").
	Graceful string
	// Autostart is what masking changes of a guest of libvirt or PVE, as PropAutostart notes it: "onboot=1,protection=0". "" for others.
	Autostart string
}

// Rates are figures measured in earlier stages, bytes a second and seconds. Boot is from a start of the guest of PVE until its
// agent answered, as an earlier attempt has recorded it: the way the guest boots on the source host cannot be seen.
type Rates struct {
	Send, Copy, Hash float64
	Shutdown, Boot   time.Duration
}
