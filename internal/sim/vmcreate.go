package sim

import (
	"fmt"
	"strings"
)

func init() {
	on("POST /nodes/{node}/qemu", createVM)
	on("DELETE /nodes/{node}/qemu/{vmid}", destroyVM)
}

var createOnly = map[string]bool{
	"archive": true, "bwlimit": true, "force": true, "live-restore": true, "pool": true, "start": true, "storage": true,
	"unique": true, "ha-managed": true, "import-working-storage": true, "node": true, "vmid": true,
}

// createVM answers POST /qemu: what the parameters tell is refused at once, the rest fails in the task.
func createVM(c *call) (any, error) {
	id := c.num("vmid")
	options := map[string]string{}
	for _, name := range c.order {
		if !createOnly[name] {
			options[name] = c.params[name]
		}
	}
	if value, ok := options["cdrom"]; ok {
		options["ide2"] = value
		delete(options, "cdrom")
	}
	if err := checkKeys(options["sshkeys"]); err != nil {
		return nil, err
	}
	clampUnits(options)
	if err := c.mayCreate(id, options); err != nil {
		return nil, err
	}
	if other := c.w.VMs[id]; other != nil {
		return nil, dief("unable to create VM %d - VM %d already exists on node '%s'", id, id, other.Node)
	}
	if c.has("archive") {
		return nil, notCovered("restoring from an archive")
	}
	vm := c.w.NewVM(id, c.node.Name, "lock: create\n")
	vm.seenLate = true
	undo := func() { delete(c.w.VMs, id) } // a failed create leaves the vmid free (FACTS §7)
	return c.fork(job{kind: "qmcreate", id: itoa(id), vm: vm, undo: undo, work: func(t *Task) error {
		if err := c.fillVM(t, vm, options); err != nil {
			undo()
			return dief("unable to create VM %d - %s", id, strings.TrimRight(taskText(err), "\n"))
		}
		c.joinPool(id)
		if c.flag("start") {
			return c.startVM(t, vm)
		}
		return nil
	}})
}

func (c *call) mayCreate(id int, options map[string]string) error {
	pool := c.str("pool")
	if pool != "" {
		if c.w.Access.Pools[pool] == nil {
			return deniedText(fmt.Sprintf("pool '%s' does not exist", pool))
		}
		if err := c.check("/pool/"+pool, []string{"Pool.Allocate"}, false); err != nil {
			return err
		}
	}
	if !c.may(vmPath(id), "VM.Allocate") && (pool == "" || !c.may("/pool/"+pool, "VM.Allocate")) {
		return deniedText("")
	}
	if err := c.normalise(options); err != nil {
		return err
	}
	drives := map[string]string{}
	for option, value := range options {
		if isDrive(option) {
			drives[option] = value
		}
	}
	if err := c.mayUseStorage(id, drives); err != nil {
		return err
	}
	if err := c.mayModify(id, sortedKeys(options)); err != nil {
		return err
	}
	return c.mayUseValues(id, options)
}

func (c *call) joinPool(id int) {
	if pool := c.w.Access.Pools[c.str("pool")]; pool != nil && !contains(pool.VMs, itoa(id)) {
		pool.VMs = append(pool.VMs, itoa(id))
	}
}

// fillVM makes the disks and writes the config with what PVE adds by itself (FACTS §3).
func (c *call) fillVM(t *Task, vm *VM, options map[string]string) error {
	conf := &config{main: settings{}, pending: settings{}, snaps: map[string]settings{}}
	drives := map[string]string{}
	for option, value := range options {
		switch {
		case isDrive(option):
			drives[option] = value
		case option == "tags":
			conf.main[option] = c.w.Datacenter.uniqueTags(value)
		default:
			conf.main[option] = value
		}
	}
	ch := &change{set: options}
	if err := ch.checkBalloon(conf); err != nil {
		return err
	}
	done, made, err := c.createDisks(t, vm.ID, conf, drives)
	if err != nil {
		for _, volid := range made {
			if drop := c.dropVolume(&Task{}, volid); drop != nil {
				t.logf("%s", drop)
			}
		}
		return err
	}
	for slot, text := range done {
		conf.main[slot] = text
	}
	if _, ok := conf.main["boot"]; !ok {
		conf.main["boot"] = printBootOrder(defaultBootOrder(conf.main))
	} else if err := ch.checkBoot(conf, conf.main["boot"]); err != nil {
		return err
	}
	if _, ok := conf.main["smbios1"]; !ok {
		conf.main["smbios1"] = "uuid=" + c.s.newUUID()
	}
	if v := conf.main["vmgenid"]; v == "" || v == "1" {
		conf.main["vmgenid"] = c.s.newUUID()
	} else if v == "0" {
		delete(conf.main, "vmgenid")
	}
	conf.main["meta"] = fmt.Sprintf("creation-qemu=%s,ctime=%d", c.w.qemuVersion(), c.s.clock.Now().Unix())
	if ostype := conf.main["ostype"]; ostype != "" {
		c.pinMachine(t, conf, ch, ostype)
		if m, ok := conf.pending["machine"]; ok {
			conf.main["machine"] = m
			delete(conf.pending, "machine")
		}
	}
	vm.write(conf)
	return nil
}

func (w *World) qemuVersion() string {
	if v := w.Datacenter["x-qemu"]; v != "" {
		return v
	}
	if w.nine() {
		return "10.0.13"
	}
	return "9.2.0"
}

// destroyVM answers DELETE /qemu/ID.
func destroyVM(c *call) (any, error) {
	vm, err := c.vm()
	if err != nil {
		return nil, err
	}
	id := vm.ID
	if c.flag("skiplock") && !c.who.root() {
		return nil, badParam("skiplock", "Only root may use this option.")
	}
	conf := vm.config()
	if err := c.notProtected(conf, "can't remove VM %d", id); err != nil {
		return nil, err
	}
	if vm.isRunning() {
		return nil, dief("VM %d is running - destroy failed", id)
	}
	return c.fork(job{kind: "qmdestroy", id: itoa(id), vm: vm, work: func(t *Task) error {
		vm := c.w.VMs[id]
		if vm == nil {
			return dief("Configuration file 'nodes/%s/qemu-server/%d.conf' does not exist", c.node.Name, id)
		}
		if err := c.notLocked(vm.config().main); err != nil {
			return err
		}
		if vm.isRunning() {
			return dief("VM %d is running - destroy failed", id)
		}
		return c.destroy(t, vm)
	}})
}

func (c *call) destroy(t *Task, vm *VM) error {
	conf := vm.config()
	volids := map[string]bool{}
	sets := []settings{conf.main, conf.pending}
	for _, snap := range conf.snaps {
		sets = append(sets, snap)
	}
	for _, set := range sets {
		for key, value := range set {
			if volid := driveFile(value); (isDrive(key) || unusedSlot.MatchString(key)) && volumeID.MatchString(volid) && c.ownedBy(volid, vm.ID) {
				volids[volid] = true
			}
		}
	}
	for _, volid := range sortedKeys(volids) {
		st, name, err := c.volume(volid)
		if err == nil && name.isBase && st.hasClones(name) {
			return dief("base volume '%s' is still in use by linked cloned", volid)
		}
	}
	for _, volid := range sortedKeys(volids) {
		if err := c.dropVolume(&Task{}, volid); err != nil {
			t.logf("%s", err)
		}
	}
	if c.flag("destroy-unreferenced-disks") {
		c.dropStrays(t, vm.ID)
	}
	delete(c.w.VMs, vm.ID)
	if c.flag("purge") {
		t.logf("purging VM %d from related configurations..", vm.ID)
		for _, pool := range c.w.Access.Pools {
			pool.VMs = without(pool.VMs, itoa(vm.ID))
		}
	}
	return nil
}

// dropStrays destroys all volumes named for a VM, on every storage.
func (c *call) dropStrays(t *Task, id int) {
	for _, entry := range c.w.Storages.list {
		st, err := c.storage(entry.ID)
		if err != nil {
			continue
		}
		for _, v := range st.list() {
			name, err := st.parse(v.Name)
			if err != nil || name.vmid != id || name.content != "images" {
				continue
			}
			if err := st.free(&Task{}, v.Name); err != nil {
				t.logf("%s", err)
			}
		}
	}
}
