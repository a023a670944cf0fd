package sim

import (
	"cmp"
	"fmt"
	"strings"
)

func init() {
	on("POST /nodes/{node}/qemu/{vmid}/move_disk", moveDisk)
}

// moveDisk copies a disk to another storage or format, or gives it to another VM (FACTS §5).
func moveDisk(c *call) (any, error) {
	vm, err := c.vm()
	if err != nil {
		return nil, err
	}
	switch toVM, toStorage := c.has("target-vmid"), c.str("storage") != ""; {
	case toVM && toStorage:
		return nil, oneOfTwo("either set 'storage' or 'target-vmid', but not both")
	case toVM:
		return c.reassign(vm)
	case !toStorage:
		return nil, oneOfTwo("both 'storage' and 'target-vmid' missing, either needs to be set")
	}
	if err := c.check("/storage/"+c.str("storage"), []string{"Datastore.AllocateSpace"}, false); err != nil {
		return nil, err
	}
	conf := vm.config()
	if err := unmodified(vm, c.str("digest")); err != nil {
		return nil, err
	}
	if err := c.notLocked(conf.main); err != nil {
		return nil, err
	}
	slot := c.str("disk")
	d, from, name, err := c.movable(conf, slot)
	if err != nil {
		return nil, err
	}
	to, err := c.storage(c.str("storage"))
	if err != nil {
		return nil, err
	}
	if !to.st.has("images") {
		return nil, badParam("storage", "storage '%s' does not support vm images", to.st.ID)
	}
	format := c.str("format")
	if to == from || to.st.ID == from.st.ID && (format == "" || format == name.format) {
		return nil, dief("you can't move to the same storage with same format")
	}
	snapshotted := conf.inSnapshot(d.file())
	if snapshotted && c.flag("delete") {
		return nil, dief("you can't move a disk with snapshots and delete the source")
	}
	id := vm.ID
	return c.fork(job{kind: "qmmove", id: itoa(id), vm: vm, work: func(t *Task) error {
		vm := c.w.VMs[id]
		if vm == nil {
			return dief("Configuration file 'nodes/%s/qemu-server/%d.conf' does not exist", c.node.Name, id)
		}
		return c.move(t, vm, slot, d, from, name, to, format, snapshotted)
	}})
}

func oneOfTwo(text string) error {
	return badParams(map[string]string{"storage": text, "target-vmid": text})
}

func unmodified(vm *VM, digest string) error {
	if digest != "" && digest != vm.digest() {
		return dief("detected modified configuration - file changed by other user? Try again.")
	}
	return nil
}

// movable finds the drive of a slot that holds a volume.
func (c *call) movable(conf *config, slot string) (drive, *store, *volumeName, error) {
	text, ok := conf.main[slot]
	if !ok {
		return drive{}, nil, nil, dief("disk '%s' does not exist", slot)
	}
	d, err := c.parseDrive(slot, text)
	if err != nil {
		return drive{}, nil, nil, err
	}
	switch {
	case d.isCD() && !d.isCloudinit():
		return d, nil, nil, dief("you can't move a cdrom")
	case !d.hasVolume():
		return d, nil, nil, dief("disk '%s' has no associated volume", slot)
	}
	st, name, err := c.volume(d.file())
	return d, st, name, err
}

func (c *call) move(t *Task, vm *VM, slot string, d drive, from *store, name *volumeName, to *store, format string, snapshotted bool) error {
	source := d.file()
	v := from.find(name.name)
	if v == nil {
		return dief("storage migration failed: volume '%s' does not exist", source)
	}
	t.logf("copying volume '%s' from current storage '%s' to target storage '%s'", source, from.st.ID, to.st.ID)
	if snapshotted {
		t.logf("moving disk with snapshots, snapshots will not be moved!")
	}
	t.logf("create full clone of drive %s (%s)", slot, source)
	volid, err := c.copyVolume(t, v, name.format, to, vm.ID, format)
	if err != nil {
		return dief("storage migration failed: %s", err)
	}
	conf := vm.config().clone()
	moved := d.clone()
	moved.set("file", volid)
	delete(moved.propertyString, "format")
	if copied, copiedName, err := c.volume(volid); err == nil {
		moved.set("size", sizeOfConfig(copied.find(copiedName.name).Size))
	}
	conf.main[slot] = moved.text()
	if c.flag("delete") {
		vm.write(conf)
		t.logf("removing source volume '%s' after successful copy", source)
		return c.dropVolume(t, source)
	}
	key := c.addUnused(conf, source)
	vm.write(conf)
	t.logf("adding source volume '%s' as '%s' to config", source, key)
	return nil
}

// reassign renames a volume to another VM's next free name and moves the config entry.
func (c *call) reassign(vm *VM) (any, error) {
	slot, id := c.str("disk"), c.num("target-vmid")
	other := cmp.Or(c.str("target-disk"), slot)
	if err := c.checkVM(id, "VM.Config.Disk"); err != nil {
		return nil, err
	}
	if id == vm.ID {
		return nil, badParam("target-vmid", "must be different than source VMID to reassign disk")
	}
	st, _, err := c.reassignable(vm, id, slot, other)
	if err != nil {
		return nil, err
	}
	if err := c.check("/storage/"+st.st.ID, []string{"Datastore.AllocateSpace"}, false); err != nil {
		return nil, err
	}
	source := vm.ID
	job := job{kind: "qmmove", id: fmt.Sprintf("%d-%s>%d-%s", vm.ID, slot, id, other), vm: vm}
	job.work = func(t *Task) error {
		vm := c.w.VMs[source]
		if vm == nil {
			return dief("could not find VM %d", source)
		}
		st, name, err := c.reassignable(vm, id, slot, other)
		if err != nil {
			return err
		}
		t.logf("reassign disk '%s' from VM '%d' as '%s' to VM '%d'", slot, vm.ID, other, id)
		return c.giveAway(t, vm, c.w.VMs[id], slot, other, st, name)
	}
	return c.fork(job)
}

// reassignable checks both VMs and the disk, before the task and again in it (src: API2::Qemu move_vm_disk).
func (c *call) reassignable(vm *VM, id int, slot, other string) (*store, *volumeName, error) {
	target := c.w.VMs[id]
	if target == nil {
		return nil, nil, dief("could not find target VM %d", id)
	}
	if target.Node != vm.Node {
		return nil, nil, dief("Both VMs need to be on the same node (%s != %s)", vm.Node, target.Node)
	}
	for _, one := range []*VM{vm, target} {
		if err := c.notLocked(one.config().main); err != nil {
			return nil, nil, err
		}
	}
	if vm.config().main["template"] == "1" || target.config().main["template"] == "1" {
		return nil, nil, dief("Can't move disks from or to template VMs")
	}
	if err := unmodified(vm, c.str("digest")); err != nil {
		return nil, nil, dief("VM %d: %s", vm.ID, err)
	}
	if err := unmodified(target, c.str("target-digest")); err != nil {
		return nil, nil, dief("VM %d: %s", id, err)
	}
	text, ok := vm.config().main[slot]
	if !ok {
		return nil, nil, dief("Disk '%s' for VM '%d' does not exist", slot, vm.ID)
	}
	if _, used := target.config().main[other]; used {
		return nil, nil, dief("Target disk key '%s' is already in use for VM '%d'", other, id)
	}
	return c.givable(vm, slot, other, text)
}

// givable finds the volume of a disk that may change its VM.
func (c *call) givable(vm *VM, slot, other, text string) (*store, *volumeName, error) {
	d, err := c.parseDrive(slot, text)
	switch {
	case err != nil:
		return nil, nil, err
	case d.isCDLike():
		return nil, nil, dief("CD drive contents can't be moved to another VM")
	case !d.hasVolume():
		return nil, nil, dief("Volume '%s' not managed by PVE", d.file())
	case vm.config().inSnapshot(d.file()):
		return nil, nil, dief("Can't move disk used by a snapshot to another VM")
	case vm.isRunning() && !unusedSlot.MatchString(slot):
		return nil, nil, dief("Cannot move disk to another VM while the source VM is running - detach first")
	}
	if _, err := c.parseDrive(other, text); err != nil {
		return nil, nil, dief("failed to parse source disk for target disk format - ")
	}
	return c.volume(d.file())
}

func (c *call) giveAway(t *Task, vm, target *VM, slot, other string, st *store, name *volumeName) error {
	conf := vm.config().clone()
	d, err := c.parseDrive(slot, conf.main[slot])
	if err != nil {
		return err
	}
	file, err := st.rename(name.name, st.freeName(target.ID, name.format), target.ID)
	if err != nil {
		return err
	}
	if order, ok := bootOrder(conf.main); ok && contains(order, slot) {
		t.logf("removing disk '%s' from boot order config", slot)
		conf.main["boot"] = printBootOrder(without(order, slot))
	}
	t.logf("removing disk '%s' from VM '%d' config", slot, vm.ID)
	delete(conf.main, slot)
	vm.write(conf)
	d.set("file", st.st.ID+":"+file)
	text := d.text()
	if strings.HasPrefix(other, "unused") {
		text = d.file()
	} else if v := st.find(file); v != nil {
		d.set("size", sizeOfConfig(v.Size))
		text = d.text()
	}
	t.logf("update VM %d: -%s %s", target.ID, other, text)
	into := target.config().clone()
	into.main[other] = text
	target.write(into)
	return nil
}
