package schema

import (
	"slices"
	"strings"
	"testing"
)

func TestEveryKindIsReadBack(t *testing.T) {
	for name, k := range kinds {
		if k.print == nil || k.read == nil || k.same == nil || k.check == nil {
			t.Errorf("kind %s: a column is empty", name)
		}
	}
}

// TestReadDrives: what a slot holds is said by storage and size where that is the whole truth, and else by the volume.
func TestReadDrives(t *testing.T) {
	for _, c := range []struct{ key, text, want, left string }{
		{"scsi0", "local-zfs:vm-200-disk-0,size=300G", "{Storage:local-zfs Size:300Gi}", ""},
		{"scsi0", "file=local-zfs:vm-200-disk-0,size=1536M", "{Storage:local-zfs Size:1536Mi}", ""},
		{"scsi0", "volume=local-zfs:vm-200-disk-0,size=1.5G", "{Storage:local-zfs Size:1536Mi}", ""},
		{"scsi0", "local-zfs:vm-200-disk-0", "{Volume:local-zfs:vm-200-disk-0}", ""},
		{"scsi0", "local-zfs:vm-200-disk-0,size=528K", "{Volume:local-zfs:vm-200-disk-0}", "scsi0.size"},
		{"scsi0", "local:200/disk.raw,size=0T", "{Volume:local:200/disk.raw}", "scsi0.size"},
		{"scsi0", "/dev/disk/by-id/ata-x,size=1G", "", "scsi0"},
		{"scsi0", "/dev/disk/by-path/pci:0,size=1G", "", "scsi0"},
		{"ide2", "none,media=cdrom", "{CDROM:none}", ""},
		{"ide2", "cdrom,media=cdrom", "", "ide2"},
		{"ide2", "none", "", "ide2"},
		{"ide2", "local:iso/cloudinit-live.iso,media=cdrom,size=1G", "{CDROM:local:iso/cloudinit-live.iso}", ""},
		{"ide2", "local-zfs:vm-200-cloudinit,media=cdrom,size=4M", "{Storage:local-zfs CloudInit}", ""},
		{"ide2", "local:200/vm-200-cloudinit.qcow2,media=cdrom", "{Storage:local CloudInit}", ""},
		{"efidisk0", "local-zfs:vm-200-disk-1,efitype=4m,size=528K", "{Storage:local-zfs}", ""},
		{"tpmstate0", "local-zfs:vm-200-disk-1,size=4M,version=v2.0", "{Storage:local-zfs}", ""},
		{"virtio0", "x:vm-200-disk-1,size=4M", "", "virtio0"},
	} {
		spec, left := Read(map[string]string{c.key: c.text}, 200)
		have := ""
		if s, ok := (VM{Spec: spec}).Settings()[c.key]; ok {
			have = shownSource(*s.Source)
		}
		var names []string
		for _, l := range left {
			names = append(names, l.Name())
			if l.Why == "" || l.Text == "" {
				t.Errorf("%s %s: %+v", c.key, c.text, l)
			}
		}
		if have != c.want || strings.Join(names, " ") != c.left {
			t.Errorf("%s %s: %s, left %s; want %s, %s", c.key, c.text, have, names, c.want, c.left)
		}
	}
}

func shownSource(s Source) string {
	var parts []string
	for _, p := range [][2]string{{"Storage", s.Storage}, {"Volume", s.Volume}, {"CDROM", s.CDROM}} {
		if p[1] != "" {
			parts = append(parts, p[0]+":"+p[1])
		}
	}
	if s.Size.Bytes > 0 {
		parts = append(parts, "Size:"+s.Size.String())
	}
	if s.CloudInit {
		parts = append(parts, "CloudInit")
	}
	return "{" + strings.Join(parts, " ") + "}"
}

// TestReadPrunes: what manifests may not say is left over, with the reason, and takes along only what makes no sense without.
func TestReadPrunes(t *testing.T) {
	spec, left := Read(map[string]string{
		"name": "no_name", "ipconfig0": "ip=10.0.0.2", "net0": "virtio=BC:24:11:00:00:01", "net1": "virtio=BC:24:11:00:00:02,bridge=vmbr0,odd=1",
		"net2": "e1000=BC:24:11:00:00:02,bridge=vmbr0", "vcpus": "9", "boot": "order=scsi0;net1", "onboot": "perhaps", "cipassword": "**********",
		"tags": "ok;-bad", "memory": "4096.5", "meta": "x", "unused0": "local-zfs:vm-1-disk-1", "lock": "backup", "odd": "1", "scsi1": " ",
	}, 200)
	if spec.Init != nil {
		t.Errorf("cloudInit: %+v says nothing", spec.Init)
	}
	var have []string
	for _, l := range left {
		have = append(have, l.Name()+": "+l.Why)
	}
	want := []string{
		`boot: scsi0 is not among the declared devices`,
		`cipassword: a secret, which PVE does not show: give its hash with cloudInit.passwordHash if git should keep it`,
		`ipconfig0: ip: "10.0.0.2" is not an address of this form: 10.0.0.2/24, dhcp, manual`,
		`lock: a lock that PVE holds; it goes away by itself, or with ` + "`qm unlock`",
		`memory: current: not a whole number`,
		`name: "no_name" is not a name PVE takes: letters, digits, dashes and dots, as in a DNS name`,
		`net0: bridge: required: bridge of the node: vmbr0`,
		`net1.odd: manifests have no such option`,
		`net2.macaddr: BC:24:11:00:00:02 is the MAC of net1 already`,
		`odd: manifests have no such setting`,
		`onboot: neither on nor off`,
		`tags: "-bad" does not look right: tags: letters, digits, and _ . + - after the first character`,
		`unused0: a detached disk; it is kept`,
		`vcpus: 9 is more than sockets times cores, 1`,
	}
	if !slices.Equal(have, want) {
		t.Errorf("have\n%s\nwant\n%s", strings.Join(have, "\n"), strings.Join(want, "\n"))
	}
}
