package schema

import (
	"slices"
	"testing"
)

// TestRootOnly: what FACTS §2 lists, and what qemu-server's check_vm_modify_config_perm leaves to its last branch.
func TestRootOnly(t *testing.T) {
	want := []string{
		"affinity", "amd-sev", "arch", "args", "hookscript", "hugepages", "intel-tdx", "ivshmem", "keephugepages", "parallel",
		"spice_enhancements", "vmgenid",
	}
	var have []string
	for _, r := range Rows() {
		if r.Root {
			have = append(have, r.Key)
		}
	}
	if slices.Sort(have); !slices.Equal(have, want) {
		t.Errorf("root@pam only: %v, want %v", have, want)
	}
	for _, c := range []struct {
		key, text string
		want      bool
	}{
		{"serial0", "socket", false},
		{"serial1", "/dev/ttyS0", true},
		{"usb0", "spice", false},
		{"usb0", "host=SPICE,usb3=1", false},
		{"usb0", "mapping=stick", false},
		{"usb0", "1-2.3", true},
		{"usb0", "host=0951:1666", true},
		{"hostpci0", "mapping=gpu,pcie=1", false},
		{"hostpci0", "01:00.0", true},
		{"hostpci0", "host=01:00", true},
		{"hostpci0", "mapping=gpu,romfile=vbios.bin", true},
		{"parallel0", "/dev/parport0", true},
		{"scsi0", "local-zfs:vm-100-disk-0", false},
		{"startup", "order=1", false},
	} {
		row, ok := RowOf(c.key)
		if !ok {
			t.Fatal(c.key)
		}
		if row.RootOnly(c.text) != c.want {
			t.Errorf("%s: %s: root@pam only is %v, want %v", c.key, c.text, !c.want, c.want)
		}
	}
}
