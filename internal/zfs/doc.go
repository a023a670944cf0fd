// Package zfs is what this program knows of ZFS: the command lines of zfs and zpool, what they answer, and what their
// refusals mean. It observes datasets and makes the steps that change them on the hosts of the config file.
//
// It never decides what to do next, never destroys what does not carry the mark it was told, never receives with -F, and
// reads a received zvol only through a read-only clone of a snapshot.
package zfs
