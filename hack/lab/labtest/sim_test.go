//go:build lab

package labtest

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

const qemu = "/nodes/pve-5/qemu"

// What the API of the simulated PVE allocates, resizes, snapshots, rolls back, clones and destroys are zvols of the real
// pool; the guest in the VM is a process there, and its fstrim gives space back to the pool.
func TestSimulatorOnRealZFS(t *testing.T) {
	s := newScene(t)
	before := pve5.datasets(t)
	s.done(s.api("POST", qemu, "vmid=200&name=docker2&agent=1&scsihw=virtio-scsi-pci&scsi0=local-zfs:0.0625,discard%3Don&scsi1=local-zfs:0.01"))
	const disk = "rpool/data/vm-200-disk-0"
	if have := pve5.sh(t, "zfs get -Hp -o value volsize,volblocksize,refreservation %s | tr '\\n' ' '", disk); have != "67108864 16384 0" {
		t.Errorf("volsize, volblocksize and refreservation of the new disk: %s", have)
	}
	s.done(s.api("PUT", qemu+"/200/resize", "disk=scsi0&size=%2B64M"))
	if have := pve5.number(t, "volsize", disk); have != 128<<20 {
		t.Errorf("volsize after the resize: %d", have)
	}
	s.done(s.api("POST", qemu+"/200/snapshot", "snapname=one"))
	s.done(s.api("POST", qemu+"/200/snapshot/one/rollback", ""))
	s.done(s.api("DELETE", qemu+"/200/snapshot/one", ""))

	pve5.sh(t, "udevadm settle; mke2fs -q -t ext4 /dev/zvol/%s", disk)
	s.done(s.api("POST", qemu+"/200/status/start", ""))
	pve5.wrote(t, 5)
	pve5.sh(t, "head -c 24M /dev/urandom >/mnt/docker2/blob; sync /mnt/docker2/blob; rm /mnt/docker2/blob; sync")
	full := pve5.number(t, "used", disk)
	trimmed := s.api("POST", qemu+"/200/agent/fstrim", "")
	after := pve5.number(t, "used", disk)
	t.Logf("used before fstrim %d, after %d: %v", full, after, trimmed)
	if full-after < 20<<20 {
		t.Errorf("fstrim gave back %d bytes of about 24 MiB", full-after)
	}
	s.done(s.api("POST", qemu+"/200/status/shutdown", ""))
	if _, err := pve5.try("docker2 status"); err == nil {
		t.Error("docker2 still runs after the shutdown")
	}
	s.done(s.api("POST", qemu+"/200/status/start", ""))
	if r := pve5.checked(t); len(r.Bad) > 0 || !r.Clean || r.Files == 0 {
		t.Errorf("after the second start: %+v", r)
	}
	s.done(s.api("POST", qemu+"/200/status/stop", ""))

	s.done(s.api("POST", qemu+"/200/template", ""))
	s.done(s.api("POST", qemu+"/200/clone", "newid=201"))
	if have := pve5.sh(t, "zfs get -Hp -o value origin rpool/data/vm-201-disk-0"); !strings.HasPrefix(have, "rpool/data/base-200-disk-") {
		t.Errorf("origin of the linked clone: %s", have)
	}
	s.done(s.api("DELETE", qemu+"/201", ""))
	for range 20 { // a device that was open a moment ago is busy
		if _, err := pve5.try("fuser -s /dev/zvol/rpool/data/* || :; zfs list rpool/data/base-200-disk-0"); err == nil {
			break
		}
		time.Sleep(time.Second)
	}
	s.done(s.api("DELETE", qemu+"/200", ""))
	if have := fmt.Sprint(pve5.datasets(t)); have != fmt.Sprint(before) {
		t.Errorf("datasets before %v\nand after      %v", before, have)
	}
}
