package migration

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/ustclug/pve-reconcile/reconciler/step"
)

// Severity is how much a finding matters.
type Severity string

// The severities.
const (
	Blocker Severity = "Blocker" // nothing goes on until it is mended
	Warning Severity = "Warning"
	Fine    Severity = "Info"
)

// Finding is one thing that the checks found.
type Finding struct {
	Check    string
	Severity Severity
	Text     string
	Fix      string // what to do; "" when there is nothing to
}

func (f Finding) String() string {
	if f.Fix == "" {
		return f.Text
	}
	return f.Text + ": " + f.Fix
}

// A check looks at one thing that can fail early. Until says which stage it is of no concern after.
type check struct {
	name  string
	until string
	look  func(view) []Finding
}

var checks = []check{
	{"SourceZvol", Boot, eachFinding(checkSourceZvol)},
	{"Ownership", Boot, checkOwnership},
	{"Claim", Boot, checkClaim},
	{"Received", Boot, checkReceived},
	{"StagingPlace", Cutover, checkStagingPlace},
	{"StagingSource", Copy, eachFinding(checkStagingSource)},
	{"Size", Boot, eachFinding(checkSize)},
	{"Guest", Boot, checkGuest},
	{"Space", Cutover, checkSpace},
	{"Pools", Cutover, checkPools},
	{"Versions", Cutover, checkVersions},
	{"Features", Cutover, checkFeatures},
	{"Encryption", Cutover, eachFinding(checkEncryption)},
	{"Compression", Cutover, eachFinding(checkCompression)},
	{"Power", Cutover, checkPower},
	{"Network", Boot, checkNetwork},
	{"Agent", FSTrim, checkAgent},
	{"Discard", FSTrim, eachFinding(checkDiscard)},
	{"OtherDisks", Boot, checkOtherDisks},
	{"Clocks", Retire, checkClocks},
}

func eachFinding(look func(view, disk) []Finding) func(view) []Finding {
	return func(v view) (out []Finding) {
		for _, d := range v.disks {
			out = append(out, look(v, d)...)
		}
		return out
	}
}

func blocker(text, fix string) []Finding { return []Finding{{Severity: Blocker, Text: text, Fix: fix}} }

func warning(text, fix string) []Finding { return []Finding{{Severity: Warning, Text: text, Fix: fix}} }

// findings are what all checks find that still matter.
func (v view) findings() (out []Finding) {
	if v.booted() {
		return nil
	}
	at, _ := pick(stages[1:], v)
	for _, c := range checks {
		until := slices.IndexFunc(stages, func(s stage) bool { return s.name == c.until })
		if at+1 > until || c.until == Cutover && v.began() { // it may have been fine once, and the guest is off
			continue
		}
		for _, f := range c.look(v) {
			f.Check = c.name
			out = append(out, f)
		}
	}
	slices.SortStableFunc(out, func(a, b Finding) int {
		rank := map[Severity]int{Blocker: 0, Warning: 1, Fine: 2}
		return cmp.Compare(rank[a.Severity], rank[b.Severity])
	})
	return out
}

// cleared: nothing that was found forbids going on.
func cleared(v view) bool {
	return !slices.ContainsFunc(v.findings(), func(f Finding) bool { return f.Severity == Blocker })
}

func checkSourceZvol(v view, d disk) []Finding {
	switch s := d.Source; {
	case !s.Exists:
		return blocker(fmt.Sprintf("%s: there is no %s on %s", d.Slot, d.zvol, v.source()), "correct spec.source.disks")
	case s.Type != "volume":
		return blocker(fmt.Sprintf("%s: %s is a %s, not a zvol", d.Slot, d.zvol, s.Type), "correct spec.source.disks")
	case len(d.holders()) > 0 && v.machine() && !v.began():
		return blocker(fmt.Sprintf("%s: %s is in use on %s itself (%s), and would stay open when the guest is off", d.Slot, d.zvol, v.source(), strings.Join(d.holders(), ", ")),
			"end that (`vgchange -an`, `mdadm --stop`, `umount`), and keep the host from doing it again (global_filter in lvm.conf)")
	case len(d.holders()) > 0 && v.running():
		return warning(fmt.Sprintf("%s: %s is in use on %s itself (%s)", d.Slot, d.zvol, v.source(), strings.Join(d.holders(), ", ")),
			"that has to end when the guest is shut down")
	case len(s.Openers) > 1 && v.running():
		return warning(fmt.Sprintf("%s: several processes have %s open: %s", d.Slot, d.zvol, strings.Join(s.Openers, ", ")), "only the guest's may stay")
	case len(s.Openers) == 0 && v.running() && s.Device != "":
		return warning(fmt.Sprintf("%s: the guest runs, but nothing has %s open", d.Slot, d.zvol), "is it this guest's disk?")
	}
	return nil
}

// machine: the guest is a virtual one, whose disks nothing on its host opens but itself. A unit or commands may be of a
// container, whose file system the host mounts.
func (v view) machine() bool {
	p := v.spec().Source.Power
	return p.Libvirt != "" || p.PVE != nil || p.QMP != ""
}

// holders are what the host itself has on a source's zvol: a mount, a volume group that was found in it.
func (d disk) holders() []string {
	return slices.DeleteFunc(slices.Clone(d.Source.Openers), func(who string) bool {
		return !strings.HasPrefix(who, "held by ") && !strings.HasPrefix(who, "mounted on ")
	})
}

// checkOwnership: what another migration has marked is not touched.
func checkOwnership(v view) (out []Finding) {
	for _, d := range v.disks {
		for _, p := range []struct {
			host string
			Dataset
		}{{v.source(), d.Source}, {v.host, d.Staging}} {
			if mark := p.Local[step.PropMark]; p.Exists && mark != "" && mark != v.uid {
				out = append(out, blocker(fmt.Sprintf("%s: %s on %s belongs to another migration (%s)", d.Slot, p.Name, p.host, mark),
					fmt.Sprintf("end that one; if it is gone: `zfs inherit %s %s`", step.PropMark, p.Name))...)
			}
		}
		if s := d.Staging; s.Exists && s.Local[step.PropMark] == "" && !v.ours(d) {
			out = append(out, blocker(fmt.Sprintf("%s: %s on %s is there already and not of this migration", d.Slot, s.Name, v.host), "rename or destroy it, or take another spec.target.staging")...)
		}
	}
	if p := v.have.Target.Parent; p.Exists && p.Local[step.PropMark] != v.uid {
		out = append(out, blocker(fmt.Sprintf("%s on %s is there already and not of this migration", v.parent(), v.host), "rename or destroy it, or take another spec.target.staging")...)
	}
	return out
}

// ours: a staging zvol without our mark is known by what it received.
func (v view) ours(d disk) bool {
	if t := d.Staging.Token; t != nil && slices.ContainsFunc(d.cuts, func(s Snapshot) bool { return s.GUID == t.ToGUID }) {
		return true
	}
	return d.common >= 0
}

func checkClaim(v view) []Finding {
	claim := v.have.Target.Parent.Local[step.PropClaim]
	if claim == "" || claim == v.want.Claim() || v.have.Target.Parent.Local[step.PropMark] != v.uid {
		return nil
	}
	return blocker(fmt.Sprintf("another repository has the same migration, and drives it (%s of %s is %s)", step.PropClaim, v.parent(), claim),
		fmt.Sprintf("take it out there; then, to go on from here: `zfs set %s=%s %s` on %s", step.PropClaim, v.want.Claim(), v.parent(), v.host))
}

// checkReceived: what was received for a disk that the manifest no longer has is not left to itself.
func checkReceived(v view) (out []Finding) {
	for _, name := range v.have.Target.Received {
		if strings.HasPrefix(path.Base(name), "reconcile-") || v.some(func(d disk) bool { return v.want.StagingZvol(d.Slot) == name }) {
			continue
		}
		out = append(out, blocker(fmt.Sprintf("%s on %s was received for a disk that spec.source.disks no longer has (`to: %s`)", name, v.host, path.Base(name)),
			fmt.Sprintf("put the manifest back, and it goes on; or, if that disk is not to be moved, release `%s` of its snapshots and `zfs destroy -r %s`", v.tag, name))...)
	}
	return out
}

func checkStagingPlace(v view) []Finding {
	staging := v.spec().Target.Staging
	switch s := v.have.Target.Staging; {
	case !s.Exists:
		return blocker(fmt.Sprintf("there is no %s on %s", staging, v.host), "`zfs create -o canmount=off -o mountpoint=none "+staging+"`")
	case s.Type != "filesystem":
		return blocker(fmt.Sprintf("%s on %s is a %s", staging, v.host, s.Type), "take a file system for spec.target.staging")
	}
	return nil
}

// checkStagingSource: what was received came from the zvol that the manifest names.
func checkStagingSource(v view, d disk) []Finding {
	from := d.Staging.Local[step.PropSource]
	if !d.Staging.Exists || from == "" || d.Source.GUID == "" || from == d.Source.GUID {
		return nil
	}
	return blocker(fmt.Sprintf("%s: %s was received from another zvol than %s (guid %s, not %s)", d.Slot, d.Staging.Name, d.zvol, from, d.Source.GUID),
		fmt.Sprintf("put the manifest back; or, to send it anew, `zfs destroy -r %s` on %s after `zfs release %s` of its snapshots", d.Staging.Name, v.host, v.tag))
}

func checkSize(v view, d disk) []Finding {
	disk := v.guest.Spec.Disks[d.Slot]
	if disk == nil || disk.Size == nil || d.Source.Volsize == 0 {
		return nil
	}
	want := rounded(d.Source.Volsize)
	fix := fmt.Sprintf("write `size: %s` in VirtualMachine/%s", manifestSize(want), v.guest.Metadata.Name)
	switch {
	case disk.Size.Bytes != want:
		return blocker(fmt.Sprintf("%s: %s has %s, the guest's disk %s", d.Slot, d.zvol, manifestSize(want), disk.Size), fix+"; it can be grown after the migration")
	case d.Target.Exists && d.Target.Volsize < want: // the zvol was grown on the way
		return blocker(fmt.Sprintf("%s: %s has %s, %s %s", d.Slot, d.zvol, manifestSize(want), d.Target.Name, manifestSize(d.Target.Volsize)), fmt.Sprintf("`qm resize %d %s %dM`", v.guest.Spec.VMID, d.Slot, want>>20))
	case d.Target.Exists && d.Target.Volsize != want:
		return blocker(fmt.Sprintf("%s: %s has %s, %s %s", d.Slot, d.zvol, manifestSize(want), d.Target.Name, manifestSize(d.Target.Volsize)), "give the guest a fresh disk of that size")
	}
	return nil
}

func manifestSize(n int64) string {
	for _, u := range []struct {
		name string
		n    int64
	}{{"Ti", 1 << 40}, {"Gi", 1 << 30}, {"Mi", 1 << 20}} {
		if n > 0 && n%u.n == 0 {
			return strconv.FormatInt(n/u.n, 10) + u.name
		}
	}
	return strconv.FormatInt(n, 10) + " bytes"
}

func checkPools(v view) (out []Finding) {
	for _, p := range []struct {
		host    Host
		dataset string
	}{{v.have.Source, v.disks[0].zvol}, {v.have.Target, v.parent()}} {
		pool := p.host.Pools[poolOf(p.dataset)]
		switch pool.Health {
		case "", "ONLINE":
		case "DEGRADED":
			out = append(out, warning(fmt.Sprintf("pool %s on %s is DEGRADED", pool.Name, p.host.Name), "see `zpool status "+pool.Name+"`")...)
		default:
			out = append(out, blocker(fmt.Sprintf("pool %s on %s is %s", pool.Name, p.host.Name, pool.Health), "see `zpool status "+pool.Name+"`")...)
		}
	}
	return out
}

// hazards are versions of OpenZFS with bugs that hurt here.
var hazards = []struct {
	below, source string
	severity      Severity
	text          string
}{
	{"0.7.0", "source", Blocker, "holes can be missing from incremental streams (openzfs#4023, #4809, #4904): set the module's option send_holes_without_birth_time=1 and upgrade"},
	{"2.0.0", "source", Warning, "sending with changing options can lose data (openzfs#6224); they are not changed during a migration"},
	{"2.1.2", "target", Warning, "pools with ashift 9 and 12 mixed can be damaged (openzfs#12762)"},
}

func checkVersions(v view) (out []Finding) {
	for _, h := range []struct {
		role string
		Host
	}{{"source", v.have.Source}, {"target", v.have.Target}} {
		if h.ZFS == "" {
			out = append(out, warning("the version of ZFS on "+h.Name+" is not known", "")...)
			continue
		}
		for _, z := range hazards {
			if z.source == h.role && older(h.ZFS, z.below) {
				out = append(out, Finding{Severity: z.severity, Text: fmt.Sprintf("%s has OpenZFS %s: %s", h.Name, h.ZFS, z.text)})
			}
		}
		if h.Tools != "" && series(h.Tools) != series(h.ZFS) {
			out = append(out, warning(fmt.Sprintf("%s has the zfs command %s with the kernel module %s", h.Name, h.Tools, h.ZFS), "load the module that was installed, or reboot")...)
		}
	}
	return out
}

// older compares versions such as "2.1.11-1+deb12u1" and "0.6.5.11".
func older(version, than string) bool { return slices.Compare(numbers(version), numbers(than)) < 0 }

func numbers(version string) (out []int) {
	version = strings.TrimPrefix(strings.TrimPrefix(version, "zfs-kmod-"), "zfs-")
	for part := range strings.SplitSeq(version, ".") {
		end := strings.IndexFunc(part, func(r rune) bool { return r < '0' || r > '9' })
		if end >= 0 {
			part = part[:end]
		}
		n, err := strconv.Atoi(part)
		if err != nil {
			break
		}
		out = append(out, n)
		if end >= 0 {
			break
		}
	}
	return out
}

func series(version string) string {
	n := numbers(version)
	return fmt.Sprint(n[:min(2, len(n))])
}
