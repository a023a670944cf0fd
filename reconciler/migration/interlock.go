package migration

import (
	"fmt"
	"strings"

	"github.com/ustclug/pve-reconcile/reconciler/step"
	"github.com/ustclug/pve-reconcile/schema"
)

// An interlock is one thing that has to hold at the moment before the target is started. A host that was not reached
// proves nothing: then no plan is made at all. Witnesses on the network are not among them: a bridge remembers a MAC for
// minutes after its guest is off, so that they would tell of the past.
type interlock struct {
	name   string
	reason string                  // why it is there
	fails  func(view) (why string) // "" when it holds
	again  bool                    // it also has to hold when a target that has run is started again before it was seen to be up
}

var interlocks = []interlock{
	{"SourceOff", "two running copies of one guest destroy its data and its peers'", func(v view) string {
		if v.have.Power.State != "stopped" {
			return fmt.Sprintf("the guest on %s is %s", v.source(), orUnknown(v.have.Power.State))
		}
		return ""
	}, true},
	{"SourceClosed", "a process with the zvol open writes on, whatever is set on the zvol", func(v view) string {
		if !v.stopped() {
			return v.openText()
		}
		return ""
	}, true},
	{"SourceMasked", "a boot of the source host must not start the guest there", func(v view) string {
		if v.masks() && !v.have.Power.Masked {
			return fmt.Sprintf("the guest on %s could be started there", v.source())
		}
		return ""
	}, true},
	{"SourceFenced", "even a guest started by hand there must not be able to write", eachDisk(func(v view, d disk) string {
		if !d.fenced() {
			return fmt.Sprintf("%s on %s is not fenced (readonly=on, volmode=none, no device)", d.zvol, v.source())
		}
		return ""
	}), true},
	{"FinalSnapshot", "what was written after the last snapshot would be lost", eachDisk(func(_ view, d disk) string {
		if _, ok := d.final(); !ok {
			return fmt.Sprintf("%s was written to after its last snapshot, or has none", d.zvol)
		}
		return ""
	}), false},
	{"Copied", "the target must not start on an older or half a copy", eachDisk(func(_ view, d disk) string {
		if !d.holds(d.finalGUID()) {
			return fmt.Sprintf("%s does not hold the last snapshot of %s", orUnknown(d.Target.Name), d.zvol)
		}
		return ""
	}), false},
	{"Proven", "a stream can arrive whole and its content still be wrong (openzfs#4904)", eachDisk(func(v view, d disk) string {
		if p, ok := v.proof(d); !ok || v.expected(d) == "" || v.expected(d) != p.Props[step.PropHash] {
			return fmt.Sprintf("the hashes of %s and %s are not equal", d.zvol, d.Target.Name)
		}
		return ""
	}), false},
	{"Untouched", "what was proven must still be what is there", eachDisk(func(v view, d disk) string {
		final, _ := d.final()
		if p, ok := v.proof(d); !ok || p.Props[step.PropCopied] != final.GUID || p.Written > 0 {
			return fmt.Sprintf("%s may have been written to since it was proven", d.Target.Name)
		}
		return ""
	}), false},
	{"RightDisk", "the guest has to start from the zvol that was proven, known by guid and mark, not by its path", rightDisks, true},
	{"TargetOff", "a guest that runs is not started", func(v view) string {
		switch vm := v.have.VM; {
		case !vm.Exists:
			return "the guest does not exist on PVE"
		case vm.Node != v.guest.Spec.Node:
			return fmt.Sprintf("the guest is on node %s", vm.Node)
		case vm.Running["lock"] != "":
			return fmt.Sprintf("PVE has locked the guest (%s)", vm.Running["lock"])
		}
		return ""
	}, true},
	{"OneIdentity", "another guest may have taken the vmid", func(v view) string {
		if uuid := schema.UUID(v.have.VM.Running); !strings.EqualFold(uuid, v.guest.Spec.UUID) {
			return fmt.Sprintf("guest %d has the uuid %s, not %s", v.guest.Spec.VMID, orUnknown(uuid), v.guest.Spec.UUID)
		}
		return ""
	}, true},
	{"NotTakenBack", "a cutover that is being taken back starts the source", func(v view) string {
		if v.takenBack() || !v.began() {
			return "the cutover was taken back"
		}
		return ""
	}, false},
	{"InTime", "a stop that lasts too long is taken back, which takes a target that has not started", func(v view) string {
		if v.overrun() {
			return "the stop lasts longer than maxDowntime"
		}
		return ""
	}, false},
}

func eachDisk(fails func(view, disk) string) func(view) string {
	return func(v view) string {
		for _, d := range v.disks {
			if why := fails(v, d); why != "" {
				return d.Slot + ": " + why
			}
		}
		return ""
	}
}

// rightDisks: the config of the guest has our zvols in its slots.
func rightDisks(v view) string {
	config := v.have.VM.Desired()
	for _, d := range v.disks {
		row, _ := schema.RowOf(d.Slot)
		volid := ""
		if text := config[d.Slot]; row != nil && text != "" {
			volid = row.Parse(text)["file"]
		}
		switch {
		case volid == "" || volid != d.Volid:
			return fmt.Sprintf("%s: guest %d has %s there, not %s", d.Slot, v.guest.Spec.VMID, orUnknown(volid), orUnknown(d.Volid))
		case !v.marked(d):
			return fmt.Sprintf("%s: %s does not carry this migration's mark", d.Slot, d.Target.Name)
		case d.Source.Volsize == 0 || d.Target.Volsize != rounded(d.Source.Volsize):
			return fmt.Sprintf("%s: %s has %d bytes, %s has %d", d.Slot, d.zvol, d.Source.Volsize, d.Target.Name, d.Target.Volsize)
		}
	}
	return ""
}

// rounded is a size as PVE allocates it: whole MiB.
func rounded(size int64) int64 { return (size + schema.MiB - 1) / schema.MiB * schema.MiB }

// interlocked lists the interlocks that do not hold.
func (v view) interlocked() (failing []interlock, texts []string) {
	for _, i := range interlocks {
		if v.used() && !i.again {
			continue
		}
		if why := i.fails(v); why != "" {
			failing, texts = append(failing, i), append(texts, i.name+": "+why+" ("+i.reason+")")
		}
	}
	return failing, texts
}
