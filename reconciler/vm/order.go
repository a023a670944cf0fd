package vm

import (
	"slices"
	"strconv"

	"github.com/ustclug/pve-reconcile/reconciler/step"
	"github.com/ustclug/pve-reconcile/schema"
)

// protected: PVE takes no drive from a guest while its protection is on. Where the manifest lowers that, it is lowered
// first; where it does not, the drives stay until a person decides.
func (c *change) protected() {
	drives := slices.DeleteFunc(slices.Clone(c.remove), func(key string) bool { row, _ := schema.RowOf(key); return !row.Drive() })
	if on := c.have.Running["protection"]; on == "" || on == "0" || len(drives) == 0 {
		return
	}
	switch {
	case c.set["protection"] == "0", slices.Contains(c.remove, "protection"):
		c.ahead("protection")
	default:
		c.remove = slices.DeleteFunc(c.remove, func(key string) bool { return slices.Contains(drives, key) })
		for _, key := range drives {
			c.wait(step.Refused, "%s: no longer in the manifest, but the guest is protected: declare `protection: false` to have it detached and kept as unused, or put it back", key)
		}
	}
}

// memory: PVE compares new memory with the balloon the guest has, even where the same write deletes that.
func (c *change) memory() {
	row, _ := schema.RowOf("memory")
	memory, err1 := strconv.Atoi(row.Parse(c.set["memory"])["current"])
	balloon, err2 := strconv.Atoi(c.have.Desired()["balloon"])
	_, wanted := c.set["balloon"]
	switch {
	case err1 != nil || err2 != nil || wanted || balloon <= memory:
	case slices.Contains(c.remove, "balloon"):
		c.ahead("balloon")
	default:
		delete(c.set, "memory")
		c.wait(step.Refused, "memory: %d MiB is less than the balloon of %d MiB that the guest has and the manifest does not declare: declare balloon too", memory, balloon)
	}
}

// cloudInitDrive: a guest has one cloud-init drive, so it leaves its old slot before it comes to another.
func (c *change) cloudInitDrive() {
	for _, key := range keys(c.wants) {
		src := c.wants[key].Source
		if _, fresh := c.set[key]; src == nil || !src.CloudInit || !fresh || c.have.Desired()[key] != "" {
			continue
		}
		old := ""
		for k, text := range c.have.Running {
			if row, ok := schema.RowOf(k); ok && row.Drive() && k != key && schema.CloudInitDrive(row.Parse(text)) {
				old = k
			}
		}
		switch _, stays := c.have.Desired()[old]; {
		case old == "":
		case slices.Contains(c.remove, old):
			c.ahead(old)
		case stays:
			delete(c.set, key)
			c.wait(step.Refused, "%s: the guest has its cloud-init drive in %s: declare it there, or delete that one by hand", key, old)
		default:
			delete(c.set, key)
			c.note("%s is made once the cloud-init drive in %s is gone, after a restart", key, old)
			if !slices.Contains(c.Restart, old) {
				c.Restart = append(c.Restart, old)
			}
		}
	}
}

// bootable holds a boot order back while it names a device that something above holds back: PVE refuses the whole write.
func (p *planner) bootable(set map[string]string) {
	for _, device := range schema.BootOrder(set["boot"]) {
		_, there := p.desired[device]
		if _, comes := set[device]; !there && !comes {
			delete(set, "boot")
			p.note("boot is written once %s is there", device)
			return
		}
	}
}

// ahead moves a key into a write of its own, before the others: what PVE takes of them depends on it.
func (c *change) ahead(key string) {
	s := step.SetConfig{ID: c.id, Digest: c.have.Digest}
	if text, ok := c.set[key]; ok {
		s.Set = map[string]string{key: text}
		delete(c.set, key)
	} else {
		s.Delete = []string{key}
		c.remove = slices.DeleteFunc(c.remove, func(k string) bool { return k == key })
	}
	c.add(s)
}
