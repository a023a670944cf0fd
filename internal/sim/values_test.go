package sim

import (
	"fmt"
	"strings"
	"testing"
)

// Values beyond the recorded table: what PVE's own code makes of them (src: JSONSchema, QemuServer, API2::Qemu).
func TestWrittenValues(t *testing.T) {
	c := newClient(t, Options{})
	c.ok("POST", qemu, "vmid=200&scsi0=local-zfs:1&tpmstate0=local-zfs:1,version=v2.0")
	for _, row := range []struct{ option, value, want string }{
		{"startup", "", "400 startup: invalid format - unable to parse startup options\n"},
		{"startup", "0", "400 startup: invalid format - unable to parse startup options\n"},
		{"startup", "up=1;down=2", "400 startup: invalid format - unable to parse startup options\n"},
		{"startup", "up=1,,down=2", "up=1,,down=2"},
		{"cpuunits", "10000", "10000"},
		{"cpuunits", "262144", "10000"},
		{"cpu", "host,flags=aes", "400 cpu: invalid format - format error\ncpu.flags: value does not match the regex pattern\n"},
		{"cpu", "host,hv-vendor-id=abcdefghijklm", "400 cpu: invalid format - format error\ncpu.hv-vendor-id: value does not match the regex pattern\n"},
		{"cpu", "host,reported-model=kvm64", "400 cpu: invalid format - Property 'reported-model' not allowed in VM-specific CPU config.\n"},
		{"cpu", "flags=+aes", "400 cpu: invalid format - CPU is missing cputype\n"},
		{"hostpci0", "nonsense", "400 hostpci0: invalid format - format error\nhostpci0.host: value does not match the regex pattern\n"},
		{"hostpci0", "0000:01:00.0;0000:01:00.1", "500 only root can set 'hostpci0' config for non-mapped devices"},
		{"hostpci0", "pcie=1", "500 either 'host' or 'mapping' must be set."},
		{"usb0", "host=1234:5678", "500 only root can set 'usb0' config for real devices"},
		{"usb0", "usb3=1", "500 either 'host' or 'mapping' must be set."},
		{"usb0", "host=spice", "host=spice"},
		{"virtiofs0", "dirid=shared", "dirid=shared"},
		{"machine", "pc,viommu=intel", "500 to use Intel vIOMMU please set the machine type to q35"},
		{"machine", "q35,viommu=intel,aw-bits=40", "500 Intel vIOMMU supports only 39 or 48 bits as address width"},
		{"machine", "q35,aw-bits=39", "500 cannot set aw-bits if no vIOMMU is configured"},
		{"machine", "q35,viommu=virtio,aw-bits=40", "q35,viommu=virtio,aw-bits=40"},
		{"vga", "serial0,clipboard=vnc", "500 vga type serial0 is not compatible with VNC clipboard"},
		{"vga", "std,clipboard=vnc", "std,clipboard=vnc"},
		{"sshkeys", "nonsense", "500 SSH public key validation error"},
		{"sshkeys", "%0A", "%0A"},
		{"boot", "legacy=cdn,order=scsi0", "order=scsi0"},
		{"tpmstate0", "local-zfs:vm-200-disk-1,version=v1.2", "500 cannot change TPM state version after creation"},
		{"tpmstate0", "local-zfs:vm-200-disk-1,version=v2.0", "local-zfs:vm-200-disk-1,size=4M,version=v2.0"},
	} {
		status, body := c.call("PUT", qemu+"/200/config", row.option+"="+escaped(row.value))
		have := status
		switch {
		case strings.HasPrefix(status, "200"):
			have = fmt.Sprint(c.config("200")[row.option])
		case body["errors"] != nil:
			for name, text := range body["errors"].(map[string]any) {
				have = fmt.Sprintf("400 %s: %s", name, text)
			}
		}
		if have != row.want {
			t.Errorf("%s=%q: have %q, want %q", row.option, row.value, have, row.want)
		}
	}
}

func escaped(value string) string {
	return strings.NewReplacer("%", "%25", "+", "%2B", ";", "%3B").Replace(value)
}

// Setting, deleting and reverting one option at once is refused in PVE's own, uneven words.
func TestContradictions(t *testing.T) {
	c := newClient(t, Options{})
	for form, want := range map[string]string{
		"memory=512&delete=memory":    "delete you can't use '-memory' and -delete memory' at the same time",
		"memory=512&revert=memory":    "delete you can't use '-memory' and -revert memory' at the same time",
		"revert=memory&delete=memory": "revert you can't use '-delete memory' and -revert memory' at the same time",
	} {
		body := c.refused("400 Parameter verification failed.", "PUT", qemu+"/117/config", form)
		name, text, _ := strings.Cut(want, " ")
		if have := body["errors"].(map[string]any)[name]; have != text {
			t.Errorf("%s: have %v", form, body)
		}
	}
	c.refused("500 failed to update VM 117: invalid bootorder: device 'scsi30' does not exist'", "POST", qemu+"/117/config", "boot=order=scsi30&background_delay=5")
}

// A disk changes its VM only under the conditions of PVE, which are looked at before the task and in it.
func TestReassignRefusals(t *testing.T) {
	c := newClient(t, Options{})
	c.ok("POST", qemu, "vmid=200&scsi0=local-zfs:1&ide2=none,media=cdrom&boot=order=scsi0%3Bide2")
	c.ok("POST", qemu, "vmid=201&scsi0=local-zfs:1")
	c.ok("POST", qemu, "vmid=202&scsi0=local-zfs:1")
	c.ok("POST", qemu+"/202/template", "")
	stale := strings.Repeat("0", 40)
	both := c.refused("400 Parameter verification failed.", "POST", qemu+"/200/move_disk", "disk=scsi0&target-vmid=201&storage=local-lvm")
	if errs := both["errors"].(map[string]any); errs["storage"] != "either set 'storage' or 'target-vmid', but not both" || errs["target-vmid"] != errs["storage"] {
		t.Errorf("both: %v", both)
	}
	none := c.refused("400 Parameter verification failed.", "POST", qemu+"/200/move_disk", "disk=scsi0")
	if errs := none["errors"].(map[string]any); errs["storage"] != "both 'storage' and 'target-vmid' missing, either needs to be set" || errs["target-vmid"] != errs["storage"] {
		t.Errorf("none: %v", none)
	}
	for _, row := range []struct{ want, form string }{
		{"500 could not find target VM 4711", "disk=scsi0&target-vmid=4711"},
		{"500 VM 200: detected modified configuration - file changed by other user? Try again.", "disk=scsi0&target-vmid=201&target-disk=scsi1&digest=" + stale},
		{"500 VM 201: detected modified configuration - file changed by other user? Try again.", "disk=scsi0&target-vmid=201&target-disk=scsi1&target-digest=" + stale},
		{"500 Disk 'scsi9' for VM '200' does not exist", "disk=scsi9&target-vmid=201"},
		{"500 Target disk key 'scsi0' is already in use for VM '201'", "disk=scsi0&target-vmid=201"},
		{"500 CD drive contents can't be moved to another VM", "disk=ide2&target-vmid=201"},
		{"500 Can't move disks from or to template VMs", "disk=scsi0&target-vmid=202&target-disk=scsi1"},
	} {
		c.refused(row.want, "POST", qemu+"/200/move_disk", row.form)
	}
	c.refused("500 Cannot move disk to another VM while the source VM is running - detach first", "POST", qemu+"/117/move_disk", "disk=scsi0&target-vmid=201&target-disk=scsi1")
	if have := c.exit(c.ok("POST", qemu+"/200/move_disk", "disk=scsi0&target-vmid=201&target-disk=scsi1")); have != "OK" {
		t.Fatal(have)
	}
	if from, to := c.config("200"), c.config("201"); from["boot"] != "order=ide2" || from["scsi0"] != nil || to["scsi1"] != "local-zfs:vm-201-disk-1,size=1G" {
		t.Errorf("have %v and %v", from, to)
	}
	if have := c.exit(c.ok("PUT", qemu+"/4711/resize", "disk=scsi0&size=1G")); have != "Configuration file 'nodes/pve-5/qemu-server/4711.conf' does not exist" {
		t.Errorf("resize of no VM: %s", have)
	}
}

// What a running guest takes at once, what waits, and what it refuses, beyond the recordings
// (src: QemuServer::vmconfig_hotplug_pending).
func TestHotplugLimits(t *testing.T) {
	const scsi0, net0 = "local-lvm:vm-117-disk-0", "virtio=BC:24:11:4E:00:17,bridge=vmbr0,firewall=1"
	for _, row := range []struct{ form, want string }{
		{"delete=scsi0", "scsi0: hotplug problem - can't unplug bootdisk 'scsi0'\n"},
		{"scsi0=none,media=cdrom", "scsi0: hotplug problem - unable to change media type\n"},
		{"scsi0=" + scsi0 + ",discard=ignore,iothread=1,ssd=1", "pending"}, // its default, but not written before
		{"scsi0=" + scsi0 + ",discard=on,iothread=1,serial=abc,ssd=1", "applied"},
		{"net0=" + strings.Replace(net0, "bridge=vmbr0,", "", 1), "applied"},
		{"usb0=spice", "applied"},
		{"ostype=win11", "pending"},
		{"agent=1,fstrim_cloned_disks=1", "applied"},
		{"agent=1,freeze-fs=0", "pending"},
		{"vcpus=64", "vcpus: hotplug problem - you can't add more vcpus than maxcpus\n"},
	} {
		c := newClient(t, Options{})
		c.s.Edit(func(w *World) {
			conf := w.VMs[117].config().clone()
			conf.main["ostype"], conf.main["agent"], conf.main["hotplug"] = "l26", "1", "disk,network,usb,cpu"
			conf.main["scsi0"], conf.main["net0"] = scsi0+",discard=on,iothread=1,size=32G,ssd=1", net0
			conf.main["boot"] = "order=scsi0;net0"
			w.VMs[117].write(conf)
		})
		status, body := c.call("PUT", qemu+"/117/config", escaped(row.form))
		conf := c.s.Dump().VMs[117].config()
		have := "applied"
		switch {
		case body["errors"] != nil:
			for name, text := range body["errors"].(map[string]any) {
				have = fmt.Sprint(name, ": ", text)
			}
		case !strings.HasPrefix(status, "200"):
			have = status
		case len(conf.pending) > 0:
			have = "pending"
		}
		if have != row.want {
			t.Errorf("%s: have %q, want %q\n%s", row.form, have, row.want, conf.text())
		}
		if row.form == "ostype=win11" && conf.pending["machine"] != "pc-i440fx-10.0" {
			t.Errorf("the machine was not pinned: %v", conf.pending)
		}
	}
}
