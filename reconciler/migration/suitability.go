package migration

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ustclug/pve-reconcile/reconciler/step"
	"github.com/ustclug/pve-reconcile/schema"
)

func checkFeatures(v view) (out []Finding) {
	for _, d := range v.disks {
		if d.Source.Volblocksize > stripe && !v.both("large_blocks") {
			out = append(out, blocker(fmt.Sprintf("%s: %s has blocks of %s, and the pool of %s does not know large_blocks", d.Slot, d.zvol, blocks(d.Source.Volblocksize), v.parent()), "`zpool upgrade` on "+v.host)...)
		}
		if v.want.Compressed() && !v.both(compressor(d.Source.Compression)) && d.Source.Compression != "off" {
			out = append(out, Finding{Severity: Fine, Text: fmt.Sprintf("%s: blocks are sent uncompressed, since not both pools know %s", d.Slot, compressor(d.Source.Compression))})
		}
	}
	return out
}

// checkEncryption: streams are never raw. What is encrypted is read with its key on the source, goes over SSH, and is encrypted
// again only where it is received in something encrypted: raw streams have lost data (openzfs#12594, #11688), and what they
// bring cannot be read before its key is brought too.
func checkEncryption(v view, d disk) (out []Finding) {
	source, staging := d.Source, v.have.Target.Staging
	if encrypted(source) && source.Key != "available" {
		return blocker(fmt.Sprintf("%s: the key of %s is not loaded on %s, so that it cannot be sent", d.Slot, d.zvol, v.source()), "`zfs load-key $(zfs get -Ho value encryptionroot "+d.zvol+")` there")
	}
	if encrypted(staging) && staging.Key != "available" {
		return blocker(fmt.Sprintf("the key of %s is not loaded on %s, so that nothing can be received there", staging.Name, v.host), "`zfs load-key $(zfs get -Ho value encryptionroot "+staging.Name+")` there")
	}
	if !encrypted(source) {
		return nil
	}
	how := fmt.Sprintf("%s: %s is encrypted (%s); it is sent as it reads with its key, inside SSH", d.Slot, d.zvol, source.Encryption)
	switch {
	case !encrypted(staging):
		return warning(fmt.Sprintf("%s, and lies in %s on %s unencrypted", how, v.spec().Target.Staging, v.host), "take an encrypted file system for spec.target.staging, and an encrypted storage for the disk")
	case d.Target.Exists && !encrypted(d.Target):
		return warning(fmt.Sprintf("%s, and lies in %s on %s unencrypted", how, d.Target.Name, v.host), "take an encrypted storage for the disk")
	}
	return []Finding{{Severity: Fine, Text: fmt.Sprintf("%s, and encrypted again with the key of %s", how, staging.Name)}}
}

func encrypted(d Dataset) bool {
	return d.Encryption != "" && d.Encryption != "off" && d.Encryption != "-"
}

func checkCompression(v view, d disk) []Finding {
	if d.Target.Exists && d.Target.Compression == "off" {
		return warning(fmt.Sprintf("%s: compression of %s is off, so that zeros take space there", d.Slot, d.Target.Name), "`zfs set compression=lz4 "+d.Target.Name+"`")
	}
	return nil
}

func checkPower(v view) (out []Finding) {
	p := v.have.Power
	if v.began() {
		return nil // the cutover looks for itself
	}
	if p.State != "running" && p.State != "stopped" {
		out = append(out, blocker(fmt.Sprintf("nobody can tell whether the guest runs on %s: %s", v.source(), orUnknown(p.Text)), "correct spec.source.power")...)
	}
	if p.Graceful != "" && !v.spec().Cutover.Kill {
		out = append(out, blocker("the guest would not be shut down gracefully: "+p.Graceful, "give the unit an ExecStop= that asks the guest, give `qmp:` beside `systemd:`, or allow `cutover: {kill: true}`")...)
	}
	if !v.masks() {
		out = append(out, warning(fmt.Sprintf("nothing keeps the guest from being started on %s after the cutover but the fence of its zvols", v.source()), "")...)
	}
	if !v.startable() {
		out = append(out, warning(fmt.Sprintf("with nothing but a QMP socket, the guest cannot be started on %s again when the cutover is taken back", v.source()), "give `systemd:` beside `qmp:`")...)
	}
	return out
}

// checkGuest: what would stop the guest from being made, or its disks from being filled, is told before hours are spent.
func checkGuest(v view) (out []Finding) {
	for _, w := range v.asidePlan().Waits {
		if w.Reason != step.Locked {
			out = append(out, blocker(w.Text, "")...)
		}
	}
	if !v.have.VM.Exists || len(out) > 0 {
		return out
	}
	for _, d := range v.disks {
		if _, why := v.unfit(d); why != "" && v.have.VM.Desired()[d.Slot] != "" {
			out = append(out, blocker(d.Slot+": "+why, "")...)
		}
	}
	return out
}

// checkNetwork: the slot and the MAC of a card decide its name and addresses inside the guest.
func checkNetwork(v view) (out []Finding) {
	var bare []string
	for _, key := range slices.SortedFunc(maps.Keys(v.guest.Spec.Networks), schema.CompareKeys) {
		if n := v.guest.Spec.Networks[key]; n != nil && n.MAC == "" {
			bare = append(bare, key)
		}
	}
	switch {
	case len(v.guest.Spec.Networks) == 0:
		return warning(fmt.Sprintf("VirtualMachine/%s declares no network card", v.guest.Metadata.Name), "")
	case len(bare) > 0:
		out = append(out, warning(fmt.Sprintf("%s have no MAC, and get new ones: addresses and names bound to the old ones are lost", strings.Join(bare, ", ")), "write the MACs the guest has now, in the order of its cards")...)
	}
	first := "ens18"
	if m := v.guest.Spec.Machine; m != nil && strings.Contains(m.Type, "q35") {
		first = "enp6s18"
	}
	return append(out, Finding{Severity: Fine, Text: "the first card is called " + first + " by a guest that names cards by their place, and eth0 by one that counts them"})
}

func checkAgent(v view) []Finding {
	if a := v.guest.Spec.Agent; a == nil || a.Enabled == nil || !*a.Enabled {
		return warning(fmt.Sprintf("VirtualMachine/%s does not enable the guest agent: nobody can tell when the guest is up, and its file systems are not trimmed", v.guest.Metadata.Name), "`agent: {enabled: true}`, with qemu-guest-agent in the guest")
	}
	return nil
}

func checkDiscard(v view, d disk) []Finding {
	if disk := v.guest.Spec.Disks[d.Slot]; v.want.Trims() && disk != nil && (disk.Discard == nil || !*disk.Discard) {
		return warning(d.Slot+": without discard, trimming inside the guest frees nothing", "`discard: true`")
	}
	return nil
}

// checkOtherDisks: disks that are not moved start empty.
func checkOtherDisks(v view) (out []Finding) {
	for _, key := range slices.SortedFunc(maps.Keys(v.guest.Spec.Disks), schema.CompareKeys) {
		d := v.guest.Spec.Disks[key]
		if d != nil && d.Storage != "" && d.Size != nil && !slices.Contains(v.want.Slots(), key) {
			out = append(out, Finding{Severity: Fine, Text: key + " is not moved: the guest finds it empty"})
		}
	}
	return out
}

func checkClocks(v view) []Finding {
	if skew, host := v.skew(); skew > maxSkew {
		return warning(fmt.Sprintf("the clock of %s differs from the program's by %s", host, short(skew)), "set the clocks: windows and spans of time rest on them")
	}
	return nil
}
