package step

// PropPrefix begins the names of all user properties of this program. What a migration has to remember stands in them, on
// the dataset that it is about, and nowhere else.
const PropPrefix = "org.ustclug.pve-reconcile:"

// The user properties. Times are RFC 3339.
const (
	PropMark       = PropPrefix + "migration"  // uid of the migration a dataset or snapshot belongs to
	PropClaim      = PropPrefix + "claim"      // staging parent: the repository that drives the migration
	PropTarget     = PropPrefix + "target"     // staging parent: the guest that it is for, "VMID/UUID"; source zvols, from the cutover on: with the disks, ",scsi0=ZVOL"
	PropSource     = PropPrefix + "source"     // staging and target zvols: guid of the source's zvol
	PropPass       = PropPrefix + "pass"       // snapshots of the source: 1 for the first stream, then one more each
	PropFinal      = PropPrefix + "final"      // yes on a snapshot taken after the guest was shut down
	PropShutdown   = PropPrefix + "shutdown"   // source zvols: when the cutover began; set before the guest is asked to shut down
	PropAutostart  = PropPrefix + "autostart"  // source zvols: what was set on a guest of libvirt or PVE before it was masked, "onboot=1,protection=0"
	PropFence      = PropPrefix + "fence"      // source zvols: what was set there before the fence, "readonly=-,volmode=default"
	PropRolledBack = PropPrefix + "rolledback" // source zvols: when a cutover was taken back, the hash of its plan, and why
	PropCopying    = PropPrefix + "copying"    // target zvols: guid of the snapshot a copy of which was begun
	PropCopied     = PropPrefix + "copied"     // target zvols and their snapshots: guid of the snapshot whose content they hold
	PropHash       = PropPrefix + "hash"       // snapshots: "blake3-tree:LEAF:HEX" as reconcile hash prints it
	PropMismatch   = PropPrefix + "mismatch"   // target zvols: how often the content was not the source's
	PropProgress   = PropPrefix + "progress"   // target zvols: the copier's checkpoint
	PropStarted    = PropPrefix + "started"    // target zvols: when the guest was started; set before it is
	PropBooted     = PropPrefix + "booted"     // target zvols: when the guest was seen to be up
	PropTrimmed    = PropPrefix + "trimmed"    // target zvols: bytes that the guest trimmed, or why none
)
