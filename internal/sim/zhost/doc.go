// Package zhost is a machine with ZFS that behaves: pools and datasets in memory, zvols and their snapshots as sparse files,
// a guest that writes to them, and a real SSH server whose commands are run by a real shell that finds zfs, zpool, systemctl
// and the like first in its PATH as tiny programs that ask the simulated machine. It refuses what OpenZFS refuses, with its
// texts and exit codes, and fails on request.
//
// It never runs a command outside of the private directories of its hosts on purpose: paths below /dev/zvol, /run and
// /run/lock in scripts are mapped into them. But a script is run by the machine's own shell: this is a stage, not a sandbox.
// Its streams and resume tokens are its own and go to no real pool, and it shares no table with the rest of the project, so
// that each checks the other.
//
// # The text of a host
//
// One thing a line, "#" begins a comment:
//
//	zfs 2.1.11-1+deb12u1
//	pool POOL layout=raidz2:6,raidz2:6 disk=2T ashift=12 feature@large_blocks=disabled
//	filesystem DATASET used=11G PROPERTY=VALUE...
//	    encryption=on: with a key of its own, loaded; what is made or received below is encrypted with it
//	zvol DATASET volsize=64M volblocksize=8k data=30% seed=7 PROPERTY=VALUE...
//	vg NAME SIZE FREE LVS, pv VG NAME SIZE FREE, thin VG LV SIZE DATA% METASIZE META%
//	skew 2h (of its clock), machine aarch64 (what uname says)
//	guest NAME disks=ZVOL,... systemd=UNIT qmp=PATH libvirt=DOMAIN vmid=N running deaf hard slow=5s
//	    writes=64K every=100ms trim=30% agent-after=2s no-agent no-onboot protected
//
// A layout is of stripes "disk:N", mirrors "mirror:N" or "raidz1:N" to "raidz3:N", one a top-level vdev. A zvol is sparse
// unless it says thick, and holds that share of bytes that do not compress.
package zhost
