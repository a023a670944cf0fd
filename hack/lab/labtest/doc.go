// Package labtest runs the real reconcile binary against the lab: two QEMU guests with real ZFS, and the API of a simulated
// PVE whose storage is the pool of one of them. Its tests have the build tag lab (make lab-test, make lab-smoke), start from
// pristine pools, and print what they measured. They contact nothing outside the machine and start no guests but the lab's.
package labtest
