//go:build lab

package labtest

import (
	"strings"
	"testing"
)

// The order of 2021: nothing but the full stream moves while the guest runs.
func TestOrderOf2021(t *testing.T) {
	s := move{create: "-s -b 8k", size: "64Mi", rate: 40000, cutover: usual, spec: "  precopy: {maxPasses: 0}\n"}.begin(t)
	s.finish()
	s.arrived()
	s.untouched(ours...)
	t.Log(s.reconcile("record", "docker2").want(t, 0).out)
}

// A source whose zvol is not sparse and has large blocks, on a pool that can neither send large blocks nor lz4.
func TestOldPool(t *testing.T) {
	m := move{create: "-b 64k", size: "64Mi", rate: 40000, cutover: usual, spec: "  precopy: {maxPasses: 1, untilDelta: 64Ki}\n"}
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
	m := move{create: "-s -b 4k", size: "64Mi", rate: 40000, cutover: usual, spec: "  precopy: {maxPasses: 1, untilDelta: 64Ki}\n"}
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
	m := move{create: "-s -b 8k", size: "64Mi", rate: 40000, cutover: `{mode: Approve, approve: ""}`, spec: "  precopy: {maxPasses: 1, untilDelta: 64Ki}\n"}
	s := m.begin(t)
	s.reconcile("--once", "--wait").want(t, 3)
	m.spec += "  abort: true\n"
	s.commit("migration.yaml", m.migration())
	r := s.reconcile("--once", "--wait")
	t.Logf("%s\n%s%s", r.took, r.out, r.errs)
	if have := mirrors2.sh(t, "docker2 status || :"); have != "running" {
		t.Errorf("docker2 on mirrors2 is %s", have)
	}
	s.untouched()
}

// With retire set so, the target is all that is left of a migration.
func TestRetire(t *testing.T) {
	m := move{create: "-s -b 8k", size: "64Mi", rate: 40000, cutover: usual, spec: "  precopy: {maxPasses: 0}\n"}
	s := m.begin(t)
	s.finish()
	s.arrived()
	m.spec += "  retire: {staging: 1s, source: {destroy: {after: 1s}}}\n"
	s.commit("migration.yaml", m.migration())
	r := s.reconcile("--once", "--wait")
	t.Logf("%s\n%s%s", r.took, r.out, r.errs)
	if left := mirrors2.sh(t, "zfs list -H -o name -t all -r pool0/qemu"); strings.Contains(left, "docker2") {
		t.Errorf("of the source is left:\n%s", left)
	}
	s.untouched("pool0/qemu/docker2", targetZvol)
	if r := pve5.report(t); r.State != "running" {
		t.Errorf("docker2 on pve-5: %+v", r)
	}
}
