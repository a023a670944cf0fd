package sim

import (
	"sort"
	"strings"
)

// bootOrder is the list of "boot: order=..."; false if there is none (a legacy order, or no boot option).
func bootOrder(s settings) ([]string, bool) {
	order, ok := parsePlain(s["boot"], "legacy")["order"]
	if !ok {
		return nil, false
	}
	return splitList(order), true
}

// printBootOrder prints an order; an empty one is an empty text, which reads as one blank.
func printBootOrder(order []string) string {
	if len(order) == 0 {
		return ""
	}
	return "order=" + strings.Join(order, ";")
}

// defaultBootOrder is the order that a new VM gets: first disk, first CD drive, first NIC
// (src: QemuServer::get_default_bootdevices).
func defaultBootOrder(s settings) []string {
	var order []string
	for _, wantCD := range []bool{false, true} {
		for _, slot := range driveOrder(s) {
			isCD := strings.Contains(s[slot], "media=cdrom")
			if isCD == wantCD && slot != "efidisk0" && slot != "tpmstate0" {
				order = append(order, slot)
				break
			}
		}
	}
	var nets []string
	for key := range s {
		if netSlot.MatchString(key) {
			nets = append(nets, key)
		}
	}
	sort.Slice(nets, func(i, j int) bool { return slotLess(nets[i], nets[j]) })
	if len(nets) > 0 {
		order = append(order, nets[0])
	}
	return order
}

// driveOrder lists the drives of a VM as PVE walks them when it looks for a boot disk.
func driveOrder(s settings) []string {
	rank := map[string]int{"ide": 0, "scsi": 1, "virtio": 2, "sata": 3, "efidisk": 4, "tpmstate": 5}
	var slots []string
	for key := range s {
		if isDrive(key) {
			slots = append(slots, key)
		}
	}
	sort.Slice(slots, func(i, j int) bool {
		a, b := rank[trimIndex(slots[i])], rank[trimIndex(slots[j])]
		if a != b {
			return a < b
		}
		return slotLess(slots[i], slots[j])
	})
	return slots
}

func slotLess(a, b string) bool {
	return atoi(strings.TrimPrefix(a, trimIndex(a))) < atoi(strings.TrimPrefix(b, trimIndex(b)))
}

func without(list []string, drop string) []string {
	var kept []string
	for _, one := range list {
		if one != drop {
			kept = append(kept, one)
		}
	}
	return kept
}
