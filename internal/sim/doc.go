// Package sim is a Proxmox VE API server that behaves: it keeps a world (nodes, storages, networks, users,
// virtual machines as their config files), answers the API over HTTPS as the recorded server does, refuses what
// that server refuses, and fails on request.
//
// It never talks to a real host (FromLive only turns answers fetched by the caller into a world), runs no guest,
// and shares no table with the rest of the project, so that each checks the other.
//
// # World files
//
// A world is one text of "-- NAME ARGS --" sections, most of them files as a host has them:
//
//	world                     version, local (the node that is asked), clock, resource-lag, hold-after-stop, "time TASKTYPE"
//	datacenter.cfg            as in /etc/pve
//	storage.cfg               as in /etc/pve
//	user.cfg                  as in /etc/pve: users, tokens, roles, ACLs, pools
//	token.cfg, shadow.cfg     "NAME SECRET" a line
//	node NAME                 status (online, offline, refused, unresolvable), ip, booted, cpus, memory, memory-used, root, root-used
//	interfaces NODE           /etc/network/interfaces; interfaces.new is what waits to be applied
//	volumes STORAGE NODE      "NAME size=1G used=4K format=raw content=images ctime=N" a line
//	zfs NODE                  "DATASET volsize=1G volblocksize=16k used=1M" a line; snapshots as "DATASET@NAME"
//	vm ID NODE STATE          the config file, or what `qm config` prints; STATE is running, paused or stopped, then
//	                          deaf (no reaction to ACPI), agent (an agent answers), plugged=net1,..., pid=, started=, locked-until=
//	guest VMID                what runs in it when a real host stands for its node: start, shutdown, stop, status, agent
//	                          (commands there; {scsi0} is the device of that slot, {command} what the agent is asked)
//	host NAME                 a simulated machine with ZFS (see package zhost); one called like a node stands for it
//	task UPID                 exit, end, running, log
//	read PATH                 the JSON of an answer that nothing changes, such as /nodes/N/hardware/pci
//
// Sizes are bytes, or end in K, M, G or T; times are seconds since 1970 or RFC 3339. The text before the first
// section is a comment. WriteTo prints the same form again.
package sim
