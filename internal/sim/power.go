package sim

import (
	"strings"
	"time"
)

func init() {
	base := "POST /nodes/{node}/qemu/{vmid}/status/"
	on(base+"start", powerTask("qmstart", false, func(c *call, t *Task, vm *VM) error { return c.startVM(t, vm) }))
	on(base+"stop", powerTask("qmstop", false, func(c *call, t *Task, vm *VM) error {
		if err := c.s.halt(vm, false); err != nil {
			return dief("VM quit/powerdown failed: %v", err)
		}
		c.stopVM(vm)
		return nil
	}))
	on(base+"shutdown", powerTask("qmshutdown", false, func(c *call, t *Task, vm *VM) error { return c.shutdown(t, vm, false) }))
	on(base+"reboot", powerTask("qmreboot", true, func(c *call, t *Task, vm *VM) error { return c.shutdown(t, vm, true) }))
	on(base+"reset", powerTask("qmreset", true, func(c *call, t *Task, vm *VM) error { return nil }))
	on(base+"suspend", powerTask("qmpause", true, func(c *call, t *Task, vm *VM) error {
		vm.State = "paused"
		return nil
	}))
	on(base+"resume", powerTask("qmresume", true, func(c *call, t *Task, vm *VM) error {
		vm.State = "running"
		return nil
	}))
}

// powerTask makes an operation that forks; some calls ask for a running VM at once (FACTS §7).
func powerTask(kind string, mustRun bool, work func(*call, *Task, *VM) error) operation {
	return func(c *call) (any, error) {
		vm, err := c.vm()
		if err != nil {
			return nil, err
		}
		for _, option := range []string{"skiplock", "keepActive", "migratedfrom"} {
			if c.has(option) && c.str(option) != "0" && !c.who.root() {
				return nil, badParam(option, "Only root may use this option.")
			}
		}
		if vm.State == "paused" && (kind == "qmreboot" || kind == "qmshutdown" && !c.flag("forceStop")) {
			return nil, dief("VM is paused - cannot shutdown")
		}
		if mustRun && !vm.isRunning() {
			return nil, dief("VM %d not running", vm.ID)
		}
		if kind == "qmpause" && c.flag("todisk") {
			return nil, notCovered("suspend to disk")
		}
		id := vm.ID
		return c.fork(job{kind: kind, id: itoa(id), vm: vm, time: c.powerTime(kind, vm), work: func(t *Task) error {
			vm := c.w.VMs[id]
			if vm == nil {
				return dief("Configuration file 'nodes/%s/qemu-server/%d.conf' does not exist", c.node.Name, id)
			}
			if kind != "qmstop" || vm.isRunning() {
				if err := c.notLocked(vm.config().main); err != nil {
					return err
				}
			}
			return work(c, t, vm)
		}})
	}
}

// powerTime is the wait for a guest that does not react.
func (c *call) powerTime(kind string, vm *VM) time.Duration {
	if !vm.Deaf || !vm.isRunning() || kind != "qmshutdown" && kind != "qmreboot" || c.s.w.Settings.TaskTime[kind] == 0 {
		return 0
	}
	return time.Duration(c.shutdownTimeout(vm)) * time.Second
}

func (c *call) shutdownTimeout(vm *VM) int {
	if c.has("timeout") {
		return c.num("timeout")
	}
	if down := parsePlain(vm.config().main["startup"], "order")["down"]; down != "" {
		return atoi(down)
	}
	return 60
}

// startVM boots a guest with its config; what the config asks for must be there.
func (c *call) startVM(t *Task, vm *VM) error {
	if vm.isRunning() {
		return dief("VM %d already running", vm.ID)
	}
	if vm.config().main["template"] == "1" {
		return dief("you can't start a vm if it's a template")
	}
	if err := c.applyPending(t, vm); err != nil {
		return err
	}
	conf := vm.config().main
	if err := c.startable(t, vm, conf); err != nil {
		return err
	}
	if err := c.s.boot(vm); err != nil {
		return err
	}
	c.s.pid++
	vm.State, vm.PID, vm.Started, vm.Plugged = "running", c.s.pid, c.s.clock.Now(), nil
	return nil
}

func (c *call) startable(t *Task, vm *VM, conf settings) error {
	for _, slot := range driveOrder(conf) {
		d, err := c.parseDrive(slot, conf[slot])
		if err != nil {
			return err
		}
		if !d.hasVolume() {
			continue
		}
		st, name, err := c.volume(d.file())
		if err != nil {
			return err
		}
		if st.find(name.name) == nil {
			return missingVolume(st, name, d.file())
		}
		if d.isCloudinit() {
			t.logf("generating cloud-init ISO")
		}
		if d.propertyString["iothread"] == "1" && strings.HasPrefix(slot, "scsi") && conf["scsihw"] != "virtio-scsi-single" {
			t.logf("WARN: iothread is only valid with virtio disk or virtio-scsi-single controller, ignoring")
		}
	}
	if conf.number("vcpus", 0) > conf.number("sockets", 1)*conf.number("cores", 1) {
		return dief("MAX %d vcpus allowed per VM on this node", conf.number("sockets", 1)*conf.number("cores", 1))
	}
	if most := conf.number("sockets", 1) * conf.number("cores", 1); most > int64(c.node.CPUs) {
		return dief("MAX %d vcpus allowed per VM on this node", c.node.CPUs)
	}
	for _, key := range sortedKeys(conf) {
		if bridge := parseNet(conf[key])["bridge"]; netSlot.MatchString(key) && bridge != "" && !c.node.hasBridge(bridge) {
			return dief("bridge '%s' does not exist", bridge)
		}
	}
	return nil
}

func missingVolume(st *store, name *volumeName, volid string) error {
	if st.st.Type == "zfspool" {
		return dief("timeout: no zvol device link for '%s' found after 300 sec.", name.file)
	}
	return dief("volume '%s' does not exist", volid)
}

// stopVM ends the guest's process and applies what was pending (src: QemuServer::vm_stop_cleanup).
func (c *call) stopVM(vm *VM) {
	if !vm.isRunning() {
		return
	}
	vm.State, vm.PID, vm.Started, vm.Plugged = "stopped", 0, time.Time{}, nil
	// The cleanup has no one to report to; a change that cannot be applied stays pending.
	if err := c.applyPending(&Task{}, vm); err == nil && c.w.Settings.HoldAfterStop > 0 {
		vm.LockedUntil = c.s.clock.Now().Add(c.w.Settings.HoldAfterStop)
	}
}

func (c *call) shutdown(t *Task, vm *VM, again bool) error {
	if !vm.isRunning() {
		return nil
	}
	if agentOn(vm.config().main["agent"]) && !vm.AgentUp {
		t.logf("QEMU Guest Agent is not running - VM %d qga command 'guest-ping' failed - got timeout", vm.ID)
	}
	if err := c.s.halt(vm, true); err != nil || vm.Deaf {
		if !c.flag("forceStop") {
			return dief("VM quit/powerdown failed - got timeout")
		}
		t.logf("VM still running - terminating now with SIGTERM")
		if err := c.s.halt(vm, false); err != nil {
			return dief("VM quit/powerdown failed: %v", err)
		}
	}
	c.stopVM(vm)
	if again {
		vm.LockedUntil = time.Time{}
		return c.startVM(t, vm)
	}
	return nil
}
