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
		hint = didYouMean(names[0], slices.Sorted(maps.Keys(vmids)))
		for name, vmid := range vmids {
			if vmid != 0 && names[0] == strconv.Itoa(vmid) {
				hint = fmt.Sprintf(", guest %d is %q", vmid, name)
			}
		}
	}
	return fmt.Errorf("no manifest is called %q in revision %s%s", strings.Join(names, ", "), rev.Short(), hint)
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
