package sim

import (
	"errors"
	"strings"
)

// errLater means: cannot be changed in the running guest, stays pending.
var errLater = errors.New("skip")

// fastPlug are options that do not touch the guest: they apply at once (src: QemuServer $fast_plug_option).
var fastPlug = map[string]bool{
	"description": true, "hookscript": true, "lock": true, "migrate_downtime": true, "migrate_speed": true, "name": true,
	"onboot": true, "protection": true, "shares": true, "startup": true, "tags": true, "vmstatestorage": true,
	"cicustom": true, "cipassword": true, "citype": true, "ciuser": true, "ciupgrade": true, "nameserver": true,
	"searchdomain": true, "sshkeys": true,
}

func isFastPlug(option string) bool { return fastPlug[option] || ipconfigSlot.MatchString(option) }

// hotplugFeatures reads the hotplug option (src: QemuServer::parse_hotplug_features).
func hotplugFeatures(s settings) map[string]bool {
	text, ok := s["hotplug"]
	if !ok || text == "1" {
		text = "network,disk,usb"
	}
	found := map[string]bool{}
	for _, feature := range splitList(text) {
		found[feature] = feature != "0"
	}
	return found
}

// guest is what a change can do to the running guest.
type guest struct {
	c        *call
	t        *Task
	vm       *VM
	conf     *config
	features map[string]bool
}

// hotplug makes the pending changes that a running guest can take (src: QemuServer::vmconfig_hotplug_pending).
// A device that the guest does not let go is a 400, and its change stays pending.
func (c *call) hotplug(t *Task, vm *VM, modified map[string]bool) error {
	conf := vm.config().clone()
	failed := map[string]string{}
	for _, option := range sortedKeys(conf.pending) {
		if isFastPlug(option) {
			conf.main[option] = conf.pending[option]
			delete(conf.pending, option)
		}
	}
	conf = vm.write(conf)
	g := &guest{c: c, t: t, vm: vm, conf: conf, features: hotplugFeatures(conf.main)}
	note := func(option string, err error) {
		if err != nil && !errors.Is(err, errLater) {
			failed[option] = "hotplug problem - " + err.Error() + "\n"
		}
	}
	deletes := conf.pendingDeletes()
	for _, option := range sortedKeys(deletes) {
		if !modified[option] {
			continue
		}
		if err := g.remove(option, deletes[option]); err != nil {
			note(option, err)
			continue
		}
		delete(conf.main, option)
		conf.dropPendingDelete(option)
	}
	for _, option := range sortedKeys(conf.pending) {
		if option == "delete" || !modified[option] {
			continue
		}
		value := conf.pending[option]
		if err := g.set(option, value); err != nil {
			note(option, err)
			continue
		}
		conf.main[option] = value
		delete(conf.pending, option)
	}
	vm.write(conf)
	if len(failed) > 0 {
		return badParams(failed)
	}
	return nil
}

func (g *guest) needs(feature string) error {
	if g.features[feature] {
		return nil
	}
	return errLater
}

// needsUSB: ports are plugged for Linux and for Windows from 8 on only.
func (g *guest) needsUSB() error {
	if !contains([]string{"l26", "win8", "win10", "win11"}, g.conf.main["ostype"]) {
		return errLater
	}
	return g.needs("usb")
}

// unplug takes a device from the guest. PCI devices need the guest's help; SCSI disks do not. A disk that it boots from
// and one on a bus without hotplug stay (src: QemuServer::vm_deviceunplug).
func (g *guest) unplug(option string) error {
	switch {
	case contains(g.conf.main.bootDisks(), option):
		return dief("can't unplug bootdisk '%s'", option)
	case isDrive(option) && !hotDrive(option):
		return dief("can't unplug device '%s'", option)
	}
	if g.vm.Deaf && !strings.HasPrefix(option, "scsi") && !contains(g.vm.Plugged, option) {
		return dief("error on hot-unplugging device '%s' - still busy in guest?", option)
	}
	g.vm.Plugged = without(g.vm.Plugged, option)
	return nil
}

// plug adds a device to the guest, if its kind can be plugged.
func (g *guest) plug(option, feature string) error {
	if err := g.needs(feature); err != nil {
		return err
	}
	g.vm.Plugged = append(without(g.vm.Plugged, option), option)
	return nil
}

func (g *guest) remove(option string, force bool) error {
	switch {
	case isFastPlug(option), option == "cpuunits", option == "cpulimit":
		return nil
	case option == "hotplug":
		if strings.Contains(g.conf.main["hotplug"], "cpu") || strings.Contains(g.conf.main["hotplug"], "memory") {
			return errLater
		}
		return nil
	case option == "tablet":
		return g.needs("usb")
	case usbSlot.MatchString(option):
		return g.needsUSB()
	case option == "vcpus":
		return g.setVCPUs("")
	case option == "balloon":
		if g.conf.main["balloon"] == "0" {
			return errLater
		}
		return nil
	case netSlot.MatchString(option):
		if err := g.needs("network"); err != nil {
			return err
		}
		return g.unplug(option)
	case isDrive(option):
		if !g.features["disk"] || !hotDrive(option) {
			return errLater
		}
		if err := g.unplug(option); err != nil {
			return err
		}
		return g.c.deleteOrDetach(g.t, g.vm, g.conf, option, force)
	case option == "memory":
		return g.needs("memory")
	}
	return errLater
}

// hotDrive tells whether a slot can be plugged at all.
func hotDrive(slot string) bool {
	return strings.HasPrefix(slot, "scsi") || strings.HasPrefix(slot, "virtio")
}

func (g *guest) set(option, value string) error {
	switch {
	case option == "cpuunits", option == "cpulimit":
		return nil
	case option == "hotplug":
		return g.setHotplug(value)
	case option == "tablet":
		return g.needs("usb")
	case usbSlot.MatchString(option):
		return g.needsUSB()
	case option == "vcpus":
		return g.setVCPUs(value)
	case option == "balloon":
		old, has := g.conf.main["balloon"]
		if (!has || old != "0") != (value != "0") {
			return errLater
		}
		return nil
	case netSlot.MatchString(option):
		return g.setNet(option, value)
	case isDrive(option):
		return g.setDrive(option, value)
	case option == "memory":
		return g.setMemory(value)
	case option == "agent":
		return g.setAgent(value)
	}
	return errLater
}

// setHotplug: what involves memory or CPU waits (src: vmconfig_hotplug_pending).
func (g *guest) setHotplug(value string) error {
	old := g.conf.main["hotplug"]
	for _, feature := range []string{"memory", "cpu"} {
		if strings.Contains(value, feature) || strings.Contains(old, feature) {
			return errLater
		}
	}
	return nil
}

func (g *guest) setVCPUs(value string) error {
	if err := g.needs("cpu"); err != nil {
		return err
	}
	most := g.conf.main.number("sockets", 1) * g.conf.main.number("cores", 1)
	n := settings{"vcpus": value}.number("vcpus", most)
	if n > most {
		return dief("you can't add more vcpus than maxcpus")
	}
	if now := g.conf.main.cpus(1 << 20); n < now && g.vm.Deaf {
		return dief("400 Parameter verification failed.\nvcpus: error unplugging cpu%d", now)
	}
	return nil
}

const dimmUnit = 512 // MiB, the first DIMM size (src: QemuServer::Memory)

func (g *guest) setMemory(value string) error {
	if err := g.needs("memory"); err != nil {
		return err
	}
	if g.conf.main["numa"] != "1" {
		return dief("NUMA needs to be enabled for memory hotplug")
	}
	want := settings{"memory": value}.number("memory", 512)
	have := g.conf.main.number("memory", 512)
	switch {
	case want > have && (want-1024)%dimmUnit != 0:
		return dief("memory size must be aligned to %d for hotplugging", dimmUnit)
	case want < have && g.vm.Deaf:
		return dief("error unplug dimm - guest does not release memory")
	}
	return nil
}

// setAgent: only fstrim_cloned_disks changes without the device (src: vmconfig_update_agent).
func (g *guest) setAgent(value string) error {
	kept := func(text string) string {
		if !agentOn(text) {
			return ""
		}
		agent := parsePlain(text, "enabled")
		for _, old := range []string{"freeze-fs-on-backup", "guest-fsfreeze"} {
			if v, ok := agent[old]; ok {
				agent["freeze-fs"] = plainBoolean(v)
				delete(agent, old)
			}
		}
		delete(agent, "enabled")
		delete(agent, "fstrim_cloned_disks")
		return "on," + agent.print("")
	}
	if have := g.conf.main["agent"]; have == "" || have == "0" || kept(have) != kept(value) {
		return errLater
	}
	return nil
}

// setNet: bridge, tag, firewall, rate and link change live; model, MAC, queues and mtu by unplug and plug
// (src: QemuServer::vmconfig_update_net).
func (g *guest) setNet(option, value string) error {
	old, plugged := g.conf.main[option]
	if plugged {
		a, b := parseNet(old), parseNet(value)
		replug := a["bridge"] == "" || b["bridge"] == ""
		for _, key := range []string{"model", "macaddr", "queues", "mtu"} {
			replug = replug || a[key] != b[key]
		}
		if !replug {
			return nil
		}
		if err := g.needs("network"); err != nil {
			return err
		}
		if err := g.unplug(option); err != nil {
			return err
		}
	}
	return g.plug(option, "network")
}

// coldDriveKeys are drive options that wait for a stop (src: QemuServer::vmconfig_update_disk).
var coldDriveKeys = []string{"aio", "cache", "discard", "iothread", "queues", "ssd", "ro", "product", "vendor"}

func (g *guest) setDrive(option, value string) error {
	if option == "efidisk0" || option == "tpmstate0" {
		return errLater
	}
	oldText, plugged := g.conf.main[option]
	if !plugged {
		if !hotDrive(option) {
			return errLater
		}
		return g.plug(option, "disk")
	}
	old, err := g.c.parseDrive(option, oldText)
	if err != nil {
		return err
	}
	now, err := g.c.parseDrive(option, value)
	if err != nil {
		return err
	}
	switch {
	case old.isCD() != now.isCD():
		return dief("unable to change media type")
	case old.isCD(): // a medium changes live
		if now.file() == "none" && old.isCloudinit() {
			g.c.registerUnused(g.vm.ID, g.conf, oldText)
		}
		return nil
	case old.file() != now.file():
		if err := g.needs("disk"); err != nil {
			return err
		}
		if err := g.unplug(option); err != nil {
			return err
		}
		if !g.conf.usedElsewhere(old.file(), option) {
			g.c.registerUnused(g.vm.ID, g.conf, oldText)
		}
		return g.plug(option, "disk")
	}
	for _, key := range coldDriveKeys { // texts: an absent key and its default are two
		a, hadIt := old.propertyString[key]
		b, hasIt := now.propertyString[key]
		if a != b || hadIt != hasIt {
			return errLater
		}
	}
	return nil
}
