package sim

import (
	"cmp"
	"regexp"
	"strings"
)

// apply writes a change to the pending section and then makes of it what can be made at once
// (src: API2::Qemu update_vm_api, the worker).
func (c *call) apply(t *Task, vm *VM, ch *change) error {
	if c.w.VMs[vm.ID] != vm {
		return dief("Configuration file 'nodes/%s/qemu-server/%d.conf' does not exist", vm.Node, vm.ID)
	}
	modified := map[string]bool{}
	order, hasOrder := bootOrder(vm.config().main)
	for _, option := range ch.delete {
		var err error
		if order, err = c.applyDelete(t, vm, ch, option, order, hasOrder, modified); err != nil {
			return err
		}
	}
	for _, option := range ch.order {
		conf := vm.config().clone()
		modified[option] = true
		value := ch.set[option]
		if have, ok := conf.pending[option]; ok && have == value {
			continue
		}
		if err := c.applySet(t, vm, ch, conf, option, value); err != nil {
			return err
		}
		if hasOrder && isDrive(option) {
			d, err := c.parseDrive(option, value)
			if err == nil && d.isCDLike() && !contains(order, option) {
				order = append(order, option)
				conf.pending["boot"] = printBootOrder(order)
				modified["boot"] = true
			}
		}
		conf.dropPendingDelete(option)
		vm.write(conf)
	}
	conf := vm.config().clone()
	if conf.cleanupPending() {
		conf = vm.write(conf)
	}
	if len(conf.pending) == 0 {
		return nil
	}
	if vm.isRunning() {
		return c.hotplug(t, vm, modified)
	}
	return c.applyPending(t, vm)
}

// isCDLike tells whether PVE counts a written drive as a CD: a cloud-init drive does not.
func (d drive) isCDLike() bool { return d.isCD() && !d.isCloudinit() }

func (c *call) applyDelete(t *Task, vm *VM, ch *change, option string, order []string, hasOrder bool, modified map[string]bool) ([]string, error) {
	conf := vm.config().clone()
	value, ok := conf.main[option]
	if !ok {
		value, ok = conf.pending[option]
	}
	if !ok {
		t.logf("cannot delete '%s' - not set in current configuration!", option)
		return order, nil
	}
	modified[option] = true
	pendingValue, wasPending := conf.pending[option]
	delete(conf.pending, option)
	if hasOrder && contains(order, option) && !contains(ch.delete, "boot") {
		order = without(order, option)
		conf.pending["boot"] = printBootOrder(order)
		modified["boot"] = true
	}
	switch {
	case unusedSlot.MatchString(option):
		if err := c.notProtected(conf, "can't remove unused disk '%s'", driveFile(value)); err != nil {
			return order, err
		}
		if err := c.checkVM(vm.ID, "VM.Config.Disk"); err != nil {
			return order, err
		}
		if err := c.deallocate(t, vm, conf, option, driveFile(value)); err != nil {
			return order, err
		}
		delete(conf.main, option)
		vm.write(conf)
		return order, nil
	case isDrive(option):
		if err := c.notProtected(conf, "can't remove drive '%s'", option); err != nil {
			return order, err
		}
		if err := c.checkVM(vm.ID, "VM.Config.Disk"); err != nil {
			return order, err
		}
		if wasPending {
			c.registerUnused(vm.ID, conf, pendingValue)
		}
	case serialSlot.MatchString(option) && value != "socket" && !c.who.root():
		return order, dief("only root can delete '%s' config for real devices", option)
	case usbSlot.MatchString(option) && !strings.HasPrefix(value, "spice") && !strings.Contains(value, "mapping=") && !c.who.root():
		return order, dief("only root can delete '%s' config for real devices", option)
	case hostpciSlot.MatchString(option) && !strings.Contains(value, "mapping=") && !c.who.root():
		return order, dief("only root can set '%s' config for non-mapped devices", option)
	}
	if _, ok := conf.main[option]; ok {
		conf.addPendingDelete(option, ch.force)
	}
	vm.write(conf)
	return order, nil
}

func (c *call) applySet(t *Task, vm *VM, ch *change, conf *config, option, value string) error {
	switch {
	case isDrive(option):
		if pending, ok := conf.pending[option]; ok {
			c.registerUnused(vm.ID, conf, pending)
		}
		if err := c.sameTPM(option, conf.main[option], value); err != nil {
			return err
		}
		done, _, err := c.createDisks(t, vm.ID, conf, map[string]string{option: value})
		if err != nil {
			return err
		}
		conf.pending[option] = done[option]
		c.attached(conf, driveFile(done[option]))
	case option == "tags":
		conf.pending[option] = c.w.Datacenter.uniqueTags(value)
	case option == "boot":
		if err := ch.checkBoot(conf, value); err != nil {
			return err
		}
		conf.pending[option] = value
		if order, ok := bootOrder(settings{"boot": value}); ok {
			conf.pending[option] = printBootOrder(order)
			if _, ok := conf.main["bootdisk"]; ok {
				conf.addPendingDelete("bootdisk", false)
			}
		}
	case option == "machine":
		if err := checkMachine(value); err != nil {
			return err
		}
		conf.pending[option] = value
	case option == "vga":
		if err := checkClipboard(value); err != nil {
			return err
		}
		conf.pending[option] = value
	default:
		conf.pending[option] = value
	}
	if option == "ostype" {
		c.pinMachine(t, conf, ch, value)
	}
	return nil
}

// sameTPM refuses another version for a TPM state that is kept (src: API2::Qemu prohibit_tpm_version_change).
func (c *call) sameTPM(slot, old, new string) error {
	if slot != "tpmstate0" || old == "" || driveFile(old) != driveFile(new) {
		return nil
	}
	version := func(text string) string { return cmp.Or(parsePlain(text, "file")["version"], "v1.2") }
	if version(old) != version(new) {
		return dief("cannot change TPM state version after creation")
	}
	return nil
}

// checkMachine refuses what the machine type cannot do (src: Machine::assert_valid_machine_property).
func checkMachine(value string) error {
	m := parsePlain(value, "type")
	bits := m["aw-bits"]
	switch {
	case m["viommu"] == "intel" && !strings.Contains(m["type"], "q35"):
		return dief("to use Intel vIOMMU please set the machine type to q35")
	case m["viommu"] == "intel" && bits != "" && bits != "39" && bits != "48":
		return dief("Intel vIOMMU supports only 39 or 48 bits as address width")
	case bits != "" && m["viommu"] == "":
		return dief("cannot set aw-bits if no vIOMMU is configured")
	}
	return nil
}

var vncClipboard = regexp.MustCompile(`^(?:std|cirrus|vmware|virtio|qxl)`)

// checkClipboard refuses a clipboard that the display cannot have (src: QemuServer::assert_clipboard_config).
func checkClipboard(value string) error {
	vga := parsePlain(value, "type")
	if vga["clipboard"] == "vnc" && vga["type"] != "" && !vncClipboard.MatchString(vga["type"]) {
		return dief("vga type %s is not compatible with VNC clipboard", vga["type"])
	}
	return nil
}

// pinMachine gives a Windows guest a versioned machine type, unless the call or an earlier one says something about it
// (src: Machine::check_and_pin_machine_string).
func (c *call) pinMachine(t *Task, conf *config, ch *change, ostype string) {
	_, set := ch.set["machine"]
	_, pending := conf.pending["machine"]
	if set || pending || contains(ch.delete, "machine") || !strings.HasPrefix(ostype, "w") {
		return
	}
	m := parsePlain(conf.main["machine"], "type")
	family := map[string]string{"": "pc-i440fx-", "pc": "pc-i440fx-", "q35": "pc-q35-", "virt": "virt-"}[m["type"]]
	if family == "" {
		return
	}
	m["type"] = family + "10.0"
	if !c.w.nine() {
		m["type"] = family + "9.2+pve1"
	}
	t.logf("pinning machine type to '%s' for Windows guest OS", m["type"])
	conf.pending["machine"] = m.print("type")
}

// checkBoot refuses an order that names a device which is not there.
func (ch *change) checkBoot(conf *config, value string) error {
	order, ok := bootOrder(settings{"boot": value})
	if !ok {
		return nil
	}
	for _, dev := range order {
		_, set := ch.set[dev]
		if conf.main[dev] == "" && conf.pending[dev] == "" && !set || contains(ch.delete, dev) {
			return dief("invalid bootorder: device '%s' does not exist'", dev)
		}
	}
	return nil
}

func (c *call) notProtected(conf *config, format string, args ...any) error {
	if conf.main["protection"] != "1" {
		return nil
	}
	return dief(format+" - protection mode enabled", args...)
}

// registerUnused keeps a volume that leaves its slot as unusedN, if it belongs to this VM and no slot has it.
func (c *call) registerUnused(id int, conf *config, text string) {
	volid := driveFile(text)
	if !volumeID.MatchString(volid) || !c.ownedBy(volid, id) {
		return
	}
	if cloudinitIs.MatchString(volid) {
		c.dropVolume(&Task{}, volid)
		return
	}
	c.addUnused(conf, volid)
}

func (c *call) addUnused(conf *config, volid string) string {
	for key, value := range conf.main {
		if unusedSlot.MatchString(key) && driveFile(value) == volid {
			return key
		}
	}
	for n := 0; n < limitOf("unused"); n++ {
		key := "unused" + itoa(n)
		if _, ok := conf.main[key]; !ok {
			conf.main[key] = volid
			return key
		}
	}
	return ""
}

// attached drops the unusedN of a volume that got a slot.
func (c *call) attached(conf *config, volid string) {
	for key, value := range conf.main {
		if unusedSlot.MatchString(key) && driveFile(value) == volid {
			delete(conf.main, key)
		}
	}
}

// dropVolume destroys a volume as far as it goes.
func (c *call) dropVolume(t *Task, volid string) error {
	st, name, err := c.volume(volid)
	if err != nil {
		return err
	}
	if st.isDir() && st.find(name.name) == nil {
		return nil
	}
	return st.free(t, name.name)
}

// inSnapshot tells whether a snapshot still names a volume.
func (conf *config) inSnapshot(volid string) bool {
	for _, snap := range conf.snaps {
		for key, value := range snap {
			if isDrive(key) && driveFile(value) == volid {
				return true
			}
		}
	}
	return false
}

// usedElsewhere tells whether another slot has the volume.
func (conf *config) usedElsewhere(volid, except string) bool {
	for _, set := range []settings{conf.main, conf.pending} {
		for key, value := range set {
			if key != except && isDrive(key) && driveFile(value) == volid {
				return true
			}
		}
	}
	return false
}

// deallocate destroys a volume of this VM (src: API2::Qemu try_deallocate_drive).
func (c *call) deallocate(t *Task, vm *VM, conf *config, slot, volid string) error {
	if !c.ownedBy(volid, vm.ID) {
		return nil
	}
	if conf.inSnapshot(volid) || conf.usedElsewhere(volid, slot) {
		return dief("unable to delete '%s' - volume is still in use (snapshot?)", volid)
	}
	storage, _, _ := strings.Cut(volid, ":")
	if err := c.check("/storage/"+storage, []string{"Datastore.AllocateSpace"}, false); err != nil {
		return err
	}
	return c.dropVolume(t, volid)
}

// deleteOrDetach takes a drive out of the running part of a config (src: vmconfig_delete_or_detach_drive).
func (c *call) deleteOrDetach(t *Task, vm *VM, conf *config, slot string, force bool) error {
	volid := driveFile(conf.main[slot])
	if force {
		return c.deallocate(t, vm, conf, slot, volid)
	}
	if !conf.usedElsewhere(volid, slot) {
		c.registerUnused(vm.ID, conf, conf.main[slot])
	}
	return nil
}

// applyPending makes all pending changes of a stopped VM (src: QemuServer::vmconfig_apply_pending).
func (c *call) applyPending(t *Task, vm *VM) error {
	conf := vm.config().clone()
	deletes := conf.pendingDeletes()
	for _, option := range sortedKeys(deletes) {
		if isDrive(option) && conf.main[option] != "" {
			if err := c.deleteOrDetach(t, vm, conf, option, deletes[option]); err != nil {
				return badParam(option, "unable to apply pending change %s : %s", option, err)
			}
		}
		delete(conf.main, option)
	}
	delete(conf.pending, "delete")
	conf = vm.write(conf)
	conf.cleanupPending()
	for _, option := range sortedKeys(conf.pending) {
		if isDrive(option) {
			if old, ok := conf.main[option]; ok && driveFile(old) != driveFile(conf.pending[option]) && !conf.usedElsewhere(driveFile(old), option) {
				c.registerUnused(vm.ID, conf, old)
			}
		}
		conf.main[option] = conf.pending[option]
		delete(conf.pending, option)
	}
	vm.write(conf)
	return nil
}
