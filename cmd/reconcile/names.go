package main

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/ustclug/pve-reconcile/internal/source"
	"github.com/ustclug/pve-reconcile/manifests"
)

// unknownError names what nobody declares, and what may have been meant of what is: near in spelling, or by its vmid.
func unknownError(names []string, rev source.Revision, vmids map[string]int) error {
	hint := ""
	if len(names) == 1 {
		others := slices.DeleteFunc(slices.Sorted(maps.Keys(vmids)), func(s string) bool { return numbers(s) != numbers(names[0]) })
		hint = didYouMean(names[0], others) // web2 is no slip of the finger for web1
		for name, vmid := range vmids {
			if vmid != 0 && names[0] == strconv.Itoa(vmid) {
				hint = fmt.Sprintf(", guest %d is %q", vmid, name)
			}
		}
	}
	return fmt.Errorf("no manifest is called %q in revision %s%s", strings.Join(names, ", "), rev.Short(), hint)
}

// unknown names what the daemon follows no manifest of.
func (d *daemon) unknown(names []string) error {
	vmids := map[string]int{}
	for _, o := range d.current().Status().Report().Objects {
		vmids[o.Name] = o.ID.VMID
	}
	return unknownError(names, d.current().Revision(), vmids)
}

// numbers are the digits of a name.
func numbers(s string) string {
	return strings.Map(func(r rune) rune {
		if r < '0' || r > '9' {
			return -1
		}
		return r
	}, s)
}

// vmidsOf are the vmids of all that a tree declares by name, 0 of what has none.
func vmidsOf(set manifests.Set) map[string]int {
	out := map[string]int{}
	for _, n := range set.Nodes {
		out[n.Object.Metadata.Name] = 0
	}
	for _, m := range set.Migrations {
		out[m.Object.Metadata.Name] = 0
	}
	for _, v := range set.VMs {
		out[v.Object.Metadata.Name] = v.Object.Spec.VMID
	}
	return out
}
