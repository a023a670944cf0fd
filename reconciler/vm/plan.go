package vm

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/ustclug/pve-reconcile/reconciler/step"
	"github.com/ustclug/pve-reconcile/schema"
)

// Plan says what to do about the guest now. want is the checked manifest with cluster and uuid resolved, base the union of
// what applied revisions declared (zero when none did), have the guest as seen. A setting that may not be changed holds
// back the power of the guest, but not its other settings; a doubt about which guest it is holds back everything.
func Plan(want, base schema.VM, have Observed) step.Plan { return PlanSince(want, base, base, have) }

// PlanSince is Plan where some applied revisions may not have been carried out in full: given is what the last one that
// was declared. Only what is as given declared, and lives otherwise, was changed on the host.
func PlanSince(want, base, given schema.VM, have Observed) step.Plan {
	p := planner{
		want: want, have: have, id: want.ID(), desired: have.Desired(),
		wants: want.Settings(), bases: settings(base), left: map[string]bool{},
		givens: sync.OnceValue(func() map[string]schema.Setting { return settings(given) }),
	}
	if have.Kept {
		p.keep()
	}
	switch {
	case want.Absent():
		p.absent()
	case p.foreign() || p.resting() || p.held():
	case !have.Exists:
		p.create()
	default:
		p.update()
	}
	return p.Plan
}

// settings is what an applied spec gave: nothing when there is none, and nothing of what it left to others.
func settings(v schema.VM) map[string]schema.Setting {
	if v.Kind == "" {
		return nil
	}
	out := v.Settings()
	maps.DeleteFunc(out, func(key string, _ schema.Setting) bool { return v.Ignores(key, "") })
	for key, s := range out {
		for prop := range s.Props {
			if v.Ignores(key, prop) {
				out[key] = out[key].Without(prop, "")
			}
		}
	}
	return out
}

type planner struct {
	step.Plan
	want         schema.VM
	have         Observed
	id           schema.ID
	desired      map[string]string
	wants, bases map[string]schema.Setting
	givens       func() map[string]schema.Setting // only asked when something differs
	left         map[string]bool                  // "net0", "net0.bridge": left as they are and not noted
}

func (p *planner) wait(reason, format string, args ...any) {
	p.Waits = append(p.Waits, step.Wait{Reason: reason, Text: fmt.Sprintf(format, args...)})
}

func (p *planner) note(format string, args ...any) {
	p.Notes = append(p.Notes, fmt.Sprintf(format, args...))
}

func (p *planner) add(s step.Step) { p.Steps = append(p.Steps, s) }

// foreign tells whether the vmid is taken by something that is not the guest meant (law 1).
func (p *planner) foreign() bool {
	have, want := p.have, p.want.Spec
	uuid := schema.UUID(have.Running)
	switch {
	case have.Container:
		p.wait(step.IdentityConflict, "vmid %d is a container on %s, not a virtual machine: choose another vmid", want.VMID, have.Node)
	case !have.Exists:
		return false
	case uuid == "" && p.held(): // PVE writes the uuid of a guest at the end of its creation
	case uuid == "":
		p.wait(step.IdentityConflict, "guest %d (%s) has no uuid in smbios1, so it cannot be told from another: give it the one of the manifest with `%s`, if it is this guest",
			want.VMID, have.Running["name"], step.SetConfig{ID: p.id, Set: map[string]string{"smbios1": "uuid=" + want.UUID}})
	case !strings.EqualFold(uuid, want.UUID):
		p.wait(step.IdentityConflict, "guest %d (%s) has the uuid %s, the manifest means %s: another guest uses this vmid. To adopt it, write `uuid: %s` under spec; otherwise choose another vmid",
			want.VMID, have.Running["name"], uuid, want.UUID, uuid)
	case have.Node != want.Node:
		p.wait(step.Misplaced, "guest %d lives on node %s, the manifest says %s: migrate it there in PVE, or correct the manifest", want.VMID, have.Node, want.Node)
	default:
		return false
	}
	return true
}

// resting tells whether PVE holds a lock under which the config is whole, and nothing is to be done that the lock would refuse:
// a backup of a guest that is as declared is nobody's business.
func (p *planner) resting() bool {
	lock := p.have.Running["lock"]
	if !p.have.Exists || !slices.Contains([]string{"backup", "snapshot", "snapshot-delete", "suspended"}, lock) {
		return false
	}
	try := *p
	try.update()
	if len(try.Steps)+len(try.Waits) > 0 {
		return false
	}
	p.Plan = try.Plan
	p.note("PVE has locked guest %d (%s)", p.id.VMID, lock)
	return true
}

// held tells whether PVE holds a lock on the guest.
func (p *planner) held() bool {
	lock := p.have.Running["lock"]
	switch lock {
	case "":
	case "suspended": // no task holds it: unlocking would lose the saved memory
		p.wait(step.Locked, "guest %d is suspended to disk, and PVE refuses changes until it goes on: `qm resume %d`", p.want.Spec.VMID, p.want.Spec.VMID)
	default:
		p.wait(step.Locked, "PVE has locked guest %d (%s): wait for that to end; if nothing is running any more, `qm unlock %d`", p.want.Spec.VMID, lock, p.want.Spec.VMID)
	}
	return lock != ""
}

func (p *planner) create() {
	if p.want.Spec.UUID != "" && p.want.Adopts() {
		p.wait(step.Missing, "no guest %d exists on %s: a manifest that states a uuid means a guest that is already there, and PVE never changes the vmid of one. To have a new one created, take the uuid out", p.id.VMID, p.id.Node)
		return
	}
	if len(p.givens()) > 0 {
		p.wait(step.Missing, "guest %d was there when its manifest was last carried out, and is gone from %s: a guest is never made anew by itself, its disks would be empty. If it was deleted on purpose, take the manifest out for one run; put back after that, it creates a new guest", p.id.VMID, p.id.Node)
		return
	}
	set := map[string]string{}
	for _, key := range keys(p.wants) {
		s := p.wants[key]
		text := s.Merge("", nil, p.have.Facts)
		if s.Source != nil {
			text = s.Fresh()
		}
		if p.mayWrite(s.Row, key, text) {
			set[key] = text
		}
	}
	p.bootable(set)
	p.add(step.CreateVM{ID: p.id, Set: set})
	if p.want.Spec.Power == "Running" && len(p.Waits) == 0 {
		p.add(step.StartVM{ID: p.id})
	}
}

// mayWrite refuses what only root@pam itself may set: this program always speaks as a token (FACTS §2).
func (p *planner) mayWrite(row *schema.Row, key, text string) bool {
	if !row.RootOnly(text) {
		return true
	}
	p.wait(step.RootOnly, "%s: PVE lets only root@pam itself set this, no token: run on %s: %s", key, p.id.Node,
		step.SetConfig{ID: p.id, Set: map[string]string{key: text}})
	return false
}

// update brings an existing guest to what the manifest says.
func (p *planner) update() {
	p.ignore()
	p.compare()
	c := change{planner: p, set: map[string]string{}, stay: map[string]bool{}}
	for _, key := range keys(p.wants) {
		s := p.wants[key]
		if s.Source != nil {
			c.drive(s)
		} else {
			c.setting(s)
		}
	}
	c.removals()
	c.protected()
	c.memory()
	c.cloudInitDrive()
	c.undeclared()
	ordered(p.Diffs)
	p.bootable(c.set)
	p.Steps = append(p.Steps, c.resizes...)
	if len(c.set)+len(c.remove)+len(c.revert) > 0 {
		p.add(step.SetConfig{ID: p.id, Digest: p.have.Digest, Set: c.set, Delete: c.remove, Revert: c.revert})
	}
	after := maps.Clone(p.desired)
	maps.Copy(after, c.set)
	for _, v := range schema.Violations(schema.Firm(p.have.Rules), after) {
		p.note("policy: %s", v.Text)
	}
	for _, text := range p.want.Advised(p.have.Rules, after) {
		p.note("recommended: %s", text)
	}
	p.power()
}

// power starts, stops or restarts the guest, once nothing else is left to do that could change how it runs.
func (p *planner) power() {
	spec := p.want.Spec
	running := p.have.IsRunning()
	template := p.desired["template"] == "1"
	switch {
	case spec.Power == "Running" && template:
		p.wait(step.Template, "guest %d is a template and cannot be started: set power: Unmanaged", p.id.VMID)
	case len(p.Waits) > 0:
		if spec.Power == "Running" && !running {
			p.note("not started while something above is blocked")
		}
	case spec.Power == "Running" && !running:
		p.add(step.StartVM{ID: p.id})
	case spec.Power == "Stopped" && running:
		p.add(step.ShutdownVM{ID: p.id})
		p.Restart = nil
	case running && len(p.Restart) > 0 && spec.RestartPolicy == "Allowed" && len(p.Steps) == 0:
		if spec.Power != "Running" {
			p.note("restartPolicy: Allowed acts only with power: Running, so that reconcile may start the guest again")
			return
		}
		p.note("restart applies %s", strings.Join(p.Restart, ", "))
		p.Restart = nil
		p.add(step.ShutdownVM{ID: p.id})
		p.add(step.StartVM{ID: p.id})
	}
}

// absent carries out a tombstone: everything must match before a guest is deleted (law 6).
func (p *planner) absent() {
	have := p.have
	if !have.Exists && !have.Container {
		p.note("gone: the manifest can be deleted")
		return
	}
	if p.foreign() || p.held() {
		return
	}
	if name, ok := have.Running["name"]; !p.wants["name"].Same(name, ok, nil, have.Facts) {
		p.wait(step.IdentityConflict, "guest %d is called %q, the tombstone %q: nothing is deleted unless uuid, vmid, node and name all match", p.id.VMID, name, p.want.GuestName())
		return
	}
	if have.IsRunning() {
		p.add(step.ShutdownVM{ID: p.id})
	}
	if on := p.desired["protection"]; on != "" && on != "0" {
		p.add(step.SetConfig{ID: p.id, Digest: have.Digest, Set: map[string]string{"protection": "0"}})
	}
	p.add(step.DeleteVM{ID: p.id})
	var disks []string
	for _, key := range slices.SortedFunc(maps.Keys(p.desired), schema.CompareKeys) {
		if volid := ownedVolume(key, p.desired[key]); volid != "" {
			disks = append(disks, key+" "+volid)
		}
	}
	if len(disks) > 0 {
		p.note("destroys %s", strings.Join(disks, ", "))
	}
}

// ownedVolume is the volume a config key holds, "" for other keys, CD images and empty drives.
func ownedVolume(key, text string) string {
	if rest, ok := strings.CutPrefix(key, "unused"); ok && rest != "" {
		return text
	}
	row, ok := schema.RowOf(key)
	if !ok || !row.Drive() {
		return ""
	}
	props := row.Parse(text)
	if props["file"] == "none" || props["media"] == "cdrom" && !schema.CloudInitDrive(props) {
		return ""
	}
	return props["file"]
}

func keys(m map[string]schema.Setting) []string {
	return slices.SortedFunc(maps.Keys(m), schema.CompareKeys)
}
