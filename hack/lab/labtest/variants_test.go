//go:build lab

package labtest

import (
	"strings"
	"testing"
)

// fill leaves so many bytes free in a file system. What is used grows by whole transaction groups, so that it is asked again
// until it was still true.
func (g guest) fill(t *testing.T, dataset string, bytes int) {
	t.Helper()
	g.sh(t, "for n in 1 2 3 4 5 6 7 8 9; do zfs set quota=$(($(zfs get -Hpo value used %s) + %d)) %s 2>/dev/null && exit; done; exit 1", dataset, bytes, dataset)
}

// The order of 2021: nothing but the full stream moves while the guest runs. Staging is full, and then, with the guest off,
// the target: the migration goes on once there is room. When all is retired, the target is all that is left.
func TestOrderOf2021(t *testing.T) {
	m := move{create: "-s -b 8k", size: "64Mi", rate: 40000, cutover: usual, spec: "  precopy: {maxPasses: 0}\n  transfer: {rate: 200KiB/s}\n"}
	s := m.begin(t)
	m.spec = "  precopy: {maxPasses: 0}\n" // the rate would hold for the copy too
	r := s.during("staging is full in the full stream", receiving, func() {
		pve5.fill(t, "rpool/data/migrations", 300000)
	})
	t.Logf("%s%s", r.out, r.errs)
	if have := mirrors2.sh(t, "docker2 status || :"); r.code == 0 || have != "running" {
		t.Fatalf("exit status %d, docker2 %s", r.code, have)
	}
	pve5.sh(t, "zfs set quota=none rpool/data/migrations")
	s.commit("migration.yaml", m.migration())

	r = s.during("the target is full", func() bool { return mirrors2.sh(t, "docker2 status || :") == "stopped masked" }, func() {
		pve5.sh(t, "zfs set reservation=64M rpool/data/migrations; zpool sync")
		pve5.fill(t, "rpool/data", 1000000)
	})
	t.Logf("%s%s", r.out, r.errs)
	if r.code == 0 {
		t.Fatal("it ended well although the target was full")
	}
	if _, err := pve5.try("docker2 status"); err == nil {
		t.Fatal("docker2 runs on a disk that was full before all was copied")
	}
	pve5.sh(t, "zfs set quota=none rpool/data; zfs set reservation=none rpool/data/migrations")
	s.finish()
	s.arrived()
	s.untouched(ours...)
	t.Log(s.reconcile("record", "docker2").want(t, 0).out)

	m.spec += "  retire: {staging: 1s, source: {Destroy: {after: 1s}}}\n"
	s.commit("migration.yaml", m.migration())
	r = s.reconcile("--once", "--wait", moved)
	t.Logf("%s\n%s%s", r.took, r.out, r.errs)
	if left := mirrors2.sh(t, "zfs list -H -o name -t all -r pool0/qemu"); strings.Contains(left, "docker2") {
		t.Errorf("of the source is left:\n%s", left)
	}
	s.untouched("pool0/qemu/docker2", targetZvol)
	if r := pve5.report(t); r.State != "running" {
		t.Errorf("docker2 on pve-5: %+v", r)
	}
}

// A source whose zvol is not sparse and has large blocks, on a pool that can neither send large blocks nor lz4. Staging is
// encrypted.
func TestOldPool(t *testing.T) {
	m := move{
		create: "-b 64k", size: "64Mi", rate: 40000, cutover: usual, spec: "  precopy: {maxPasses: 0}\n",
		staging: "-o encryption=aes-256-gcm -o keyformat=passphrase",
	}
	m.before = func(t *testing.T) {
		mirrors2.sh(t, "zpool destroy -f pool0 && zpool create -f -o ashift=12 -o feature@large_blocks=disabled -o feature@lz4_compress=disabled -o feature@zstd_compress=disabled -O compression=on pool0 raidz2 /dev/disk/by-id/virtio-pool[0-9]*-part1 && zfs create pool0/qemu")
	}
	s := m.begin(t)
	s.finish()
	s.arrived()
	s.untouched(ours...)
}

// A source with encryption, whose key is loaded.
func TestEncryptedSource(t *testing.T) {
	m := move{create: "-s -b 4k", size: "64Mi", rate: 40000, cutover: usual, spec: "  precopy: {maxPasses: 0}\n"}
	m.before = func(t *testing.T) {
		mirrors2.sh(t, "zfs destroy -r pool0/qemu && echo 12345678 | zfs create -o encryption=aes-256-gcm -o keyformat=passphrase pool0/qemu")
	}
	s := m.begin(t)
	s.finish()
	s.arrived()
	s.untouched(ours...)
}

// A migration that is given up leaves what was there before it, and the guest running.
func TestAbort(t *testing.T) {
	m := move{create: "-s -b 8k", size: "64Mi", rate: 40000, cutover: `{mode: Approve, approve: ""}`, spec: "  precopy: {maxPasses: 1, untilDelta: 1Mi}\n"}
	s := m.begin(t)
	s.reconcile("--once", "--wait", moved).want(t, 3)
	m.spec += "  abort: true\n"
	s.commit("migration.yaml", m.migration())
	r := s.reconcile("--once", "--wait", moved)
	t.Logf("%s\n%s%s", r.took, r.out, r.errs)
	if have := mirrors2.sh(t, "docker2 status || :"); have != "running" {
		t.Errorf("docker2 on mirrors2 is %s", have)
	}
	s.untouched()
}
