package migration

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/ustclug/pve-reconcile/reconciler/step"
)

// target is the guest that the migration is for, as it is noted where it is received.
func (v view) target() string { return strconv.Itoa(v.guest.Spec.VMID) + "/" + v.guest.Spec.UUID }

// assignment is which zvol becomes which disk of which guest, as it is noted on the source when the cutover begins.
func (v view) assignment() string {
	out := []string{v.target()}
	for _, d := range v.disks {
		out = append(out, d.Slot+"="+d.zvol)
	}
	slices.Sort(out[1:])
	return strings.Join(out, ",")
}

// diverted is why nothing is done at all: the manifest now names another guest or other disks than what was begun, so that
// nothing of what is seen tells whether the guest it was begun for has run. "" when it does not.
func (v view) diverted() string {
	p := v.have.Target.Parent
	if was := p.Local[step.PropTarget]; was != "" && was != v.target() && p.Local[step.PropMark] == v.uid {
		return v.putBack(p.Name, v.host, was, v.target())
	}
	for _, d := range v.disks {
		if was := d.Source.Local[step.PropTarget]; was != "" && was != v.assignment() && d.Source.Local[step.PropMark] == v.uid {
			return v.putBack(d.zvol, v.source(), was, v.assignment())
		}
	}
	return ""
}

func (v view) putBack(dataset, host, was, now string) string {
	vmid, _, _ := strings.Cut(was, "/")
	return fmt.Sprintf("the manifest was changed on the way: this migration was begun for %s (%s of %s on %s), and now names %s. Put the manifests of Migration/%s and of guest %s back, and it goes on; to move to another guest or disk, put them back with `abort: true`, and begin anew after that. Nothing is done until then",
		was, step.PropTarget, dataset, host, now, v.want.Metadata.Name, vmid)
}
