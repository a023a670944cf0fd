package sim

import "strings"

func init() {
	on("POST /nodes/{node}/qemu/{vmid}/clone", cloneVM)
	on("POST /nodes/{node}/qemu/{vmid}/template", makeTemplate)
}

// cloneVM copies a VM with new disks, MACs and ids; a linked clone of a template stands on its volumes.
func cloneVM(c *call) (any, error) {
	id, newID := c.num("vmid"), c.num("newid")
	if err := c.checkVM(id, "VM.Clone"); err != nil {
		return nil, err
	}
	if err := c.checkVM(newID, "VM.Allocate"); err != nil {
		return nil, err
	}
	vm, err := c.vm()
	if err != nil {
		return nil, err
	}
	if err := c.notLocked(vm.config().main); err != nil {
		return nil, err
	}
	source := vm.config().main
	if snap := c.str("snapname"); snap != "" {
		if source = vm.config().snaps[snap]; source == nil {
			return nil, dief("snapshot '%s' does not exist", snap)
		}
	}
	if c.w.VMs[newID] != nil {
		return nil, dief("unable to create VM %d: config file already exists", newID)
	}
	full := source["template"] != "1"
	if c.has("full") {
		full = c.flag("full")
	}
	if !full && c.has("storage") {
		return nil, badParam("storage", "Linked clones can not be moved to another storage.")
	}
	clone := c.w.NewVM(newID, c.node.Name, "lock: clone\n")
	clone.seenLate = true
	source = source.clone()
	return c.fork(job{kind: "qmclone", id: itoa(id), vm: vm, work: func(t *Task) error {
		t.logf("creating a clone of VM %d with ID %d", id, newID)
		if err := c.fillClone(t, id, clone, source, full); err != nil {
			delete(c.w.VMs, newID)
			return dief("clone failed: %s", err)
		}
		c.joinPool(newID)
		return nil
	}})
}

var notCloned = map[string]bool{"template": true, "parent": true, "lock": true, "snaptime": true, "vmstate": true, "runningmachine": true, "runningcpu": true}

func (c *call) fillClone(t *Task, id int, clone *VM, source settings, full bool) error {
	conf := &config{main: settings{}, pending: settings{}, snaps: map[string]settings{}}
	for _, key := range sortedKeys(source) {
		value := source[key]
		switch {
		case notCloned[key] || unusedSlot.MatchString(key):
		case netSlot.MatchString(key):
			net := parseNet(value)
			net["macaddr"] = c.s.newMAC()
			conf.main[key] = printNet(net)
		case isDrive(key):
			text, err := c.cloneDrive(t, clone.ID, key, value, full)
			if err != nil {
				return err
			}
			conf.main[key] = text
		default:
			conf.main[key] = value
		}
	}
	if _, ok := conf.main["smbios1"]; ok {
		bios := parsePlain(conf.main["smbios1"], "")
		bios["uuid"] = c.s.newUUID()
		conf.main["smbios1"] = bios.print("")
	}
	if _, ok := conf.main["vmgenid"]; ok {
		conf.main["vmgenid"] = c.s.newUUID()
	}
	name := c.str("name")
	if name == "" {
		old := source["name"]
		if old == "" {
			old = itoa(id)
		}
		name = "Copy-of-VM-" + old
	}
	conf.main["name"] = name
	if c.has("description") {
		conf.main["description"] = c.str("description")
	}
	clone.write(conf)
	return nil
}

func (c *call) cloneDrive(t *Task, id int, slot, text string, full bool) (string, error) {
	d, err := c.parseDrive(slot, text)
	if err != nil || !d.hasVolume() || d.isCD() && !d.isCloudinit() {
		return text, err
	}
	st, name, err := c.volume(d.file())
	if err != nil {
		return "", err
	}
	if d.isCloudinit() {
		d.set("file", st.st.ID+":cloudinit")
		_, err := c.createCloudinit(&Task{}, id, &config{main: settings{}}, d)
		return d.text(), err
	}
	v := st.find(name.name)
	if v == nil {
		return "", dief("volume '%s' does not exist", d.file())
	}
	if !full {
		t.logf("create linked clone of drive %s (%s)", slot, d.file())
		file, err := st.link(t, v, name, id)
		if err != nil {
			return "", err
		}
		d.set("file", st.st.ID+":"+file)
		return d.text(), nil
	}
	to := st
	if target := c.str("storage"); target != "" {
		if to, err = c.storage(target); err != nil {
			return "", err
		}
	}
	t.logf("create full clone of drive %s (%s)", slot, d.file())
	volid, err := c.copyVolume(t, v, name.format, to, id, c.str("format"))
	if err != nil {
		return "", err
	}
	d.set("file", volid)
	_, file, _ := strings.Cut(volid, ":")
	d.set("size", sizeOfConfig(to.find(file).Size))
	return d.text(), nil
}

// link makes a volume that stands on a template's volume.
func (s *store) link(t *Task, v *Volume, name *volumeName, id int) (string, error) {
	if !name.isBase {
		return "", dief("Linked clone feature is not supported for drive '%s'", name.name)
	}
	now := s.s.clock.Now()
	if s.st.Type == "zfspool" {
		file := s.freeName(id, "raw")
		err := s.changeZvol(name.name, func(z ZFS, zvol string) error {
			return z.Clone(zvol+"@__base__", s.st.values["pool"]+"/"+file, now)
		})
		return name.file + "/" + file, err
	}
	if !s.isDir() {
		file := s.freeName(id, "raw")
		s.add(&Volume{Name: file, Size: v.Size, Format: "raw", Content: "images", Created: now})
		return file, nil
	}
	file := s.freeName(id, "qcow2")
	parent := "../" + name.name
	t.logf("clone %s: images, %s, %d to %s (base=%s)", name.name, file, id, file, parent)
	t.logf("Formatting '%s/images/%d/%s', fmt=qcow2 cluster_size=131072 extended_l2=on preallocation=off compression_type=zlib size=%d backing_file=%s backing_fmt=%s lazy_refcounts=off refcount_bits=16",
		s.st.values["path"], id, file, v.Size, parent, name.format)
	full := name.name + "/" + itoa(id) + "/" + file
	s.add(&Volume{Name: full, Size: v.Size, Used: 528384, Format: "qcow2", Content: "images", Parent: parent, Created: now})
	return full, nil
}

// makeTemplate renames the volumes to base-...; a template is not started any more.
func makeTemplate(c *call) (any, error) {
	vm, err := c.vm()
	if err != nil {
		return nil, err
	}
	conf := vm.config()
	switch {
	case len(conf.snaps) > 0:
		return nil, dief("unable to create template, because VM contains snapshots")
	case conf.main["template"] == "1" && !c.has("disk"):
		return nil, dief("you can't convert a template to a template")
	case vm.isRunning():
		return nil, dief("you can't convert a VM to template if VM is running")
	}
	if err := c.notLocked(conf.main); err != nil {
		return nil, err
	}
	id, only := vm.ID, c.str("disk")
	return c.fork(job{kind: "qmtemplate", id: itoa(id), vm: vm, work: func(t *Task) error {
		vm := c.w.VMs[id]
		if vm == nil {
			return dief("Configuration file 'nodes/%s/qemu-server/%d.conf' does not exist", c.node.Name, id)
		}
		conf := vm.config().clone()
		conf.main["template"] = "1"
		for _, slot := range driveOrder(conf.main) {
			d, err := c.parseDrive(slot, conf.main[slot])
			if err != nil || !d.hasVolume() || d.isCD() || only != "" && only != slot {
				continue
			}
			if err := c.makeBase(&d); err != nil {
				return err
			}
			conf.main[slot] = d.text()
		}
		vm.write(conf)
		return nil
	}})
}

func (c *call) makeBase(d *drive) error {
	st, name, err := c.volume(d.file())
	if err != nil || name.isBase {
		return err
	}
	if st.find(name.name) == nil {
		return dief("volume '%s' does not exist", d.file())
	}
	file, err := st.rename(name.name, strings.Replace(name.file, "vm-", "base-", 1), name.vmid)
	if err != nil {
		return err
	}
	if st.st.Type == "zfspool" {
		if err := st.takeSnapshot(file, "__base__"); err != nil {
			return err
		}
	}
	d.set("file", st.st.ID+":"+file)
	return nil
}
