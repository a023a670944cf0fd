package sim

import "strings"

func init() {
	on("PUT /nodes/{node}/qemu/{vmid}/resize", resizeDisk)
}

// resizeDisk always forks; what is wrong is told by the task (FACTS §5).
func resizeDisk(c *call) (any, error) {
	id, slot, size, digest := c.num("vmid"), c.str("disk"), c.str("size"), c.str("digest")
	if c.flag("skiplock") && !c.who.root() {
		return nil, badParam("skiplock", "Only root may use this option.")
	}
	return c.fork(job{kind: "resize", id: itoa(id), vm: c.w.VMs[id], work: func(t *Task) error {
		vm := c.w.VMs[id]
		if vm == nil {
			return dief("Configuration file 'nodes/%s/qemu-server/%d.conf' does not exist", c.node.Name, id)
		}
		if digest != "" && digest != vm.digest() {
			return dief("checksum mismatch (file change by other user?)")
		}
		if err := c.notLocked(vm.config().main); err != nil {
			return err
		}
		return c.resize(t, vm, slot, size)
	}})
}

func (c *call) resize(t *Task, vm *VM, slot, size string) error {
	conf := vm.config().clone()
	text, ok := conf.main[slot]
	if !ok {
		return dief("disk '%s' does not exist", slot)
	}
	d, err := c.parseDrive(slot, text)
	if err != nil {
		return err
	}
	if d.isCD() {
		return dief("you can't resize a cdrom")
	}
	if !d.hasVolume() {
		return dief("disk '%s' has no associated volume", slot)
	}
	st, name, err := c.volume(d.file())
	if err != nil {
		return err
	}
	if err := c.check("/storage/"+st.st.ID, []string{"Datastore.AllocateSpace"}, false); err != nil {
		return err
	}
	v := st.find(name.name)
	if v == nil {
		return dief("Could not determine current size of volume '%s'", d.file())
	}
	relative, grow := strings.CutPrefix(size, "+")
	want, err := parseBytes(relative)
	if err != nil {
		return err
	}
	if grow {
		want += v.Size
	}
	if want < v.Size {
		return dief("shrinking disks is not supported")
	}
	if want == v.Size {
		return nil
	}
	if c.s.full(st.st.ID) && !st.isDir() {
		return dief("zfs error: cannot set property for '%s': size is greater than available space", st.path(v.Name))
	}
	if err := st.resize(v.Name, want); err != nil {
		return err
	}
	if !vm.isRunning() && st.isDir() {
		t.logf("Image resized.")
	}
	if !st.isDir() {
		want = st.find(name.name).Size
	}
	d.set("size", sizeOfConfig(want))
	conf.main[slot] = d.text()
	vm.write(conf)
	return nil
}
