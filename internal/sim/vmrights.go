package sim

import (
	"regexp"
	"strings"
)

// optionRight names the privilege an option needs (src: API2::Qemu, check_vm_modify_config_perm).
var optionRight = map[string]string{}

func init() {
	for privilege, options := range map[string]string{
		"VM.Config.CPU":       "cores cpu cpulimit cpuunits numa smp sockets vcpus",
		"VM.Config.Memory":    "memory balloon shares allow-ksm",
		"VM.Config.HWType":    "acpi hotplug kvm machine scsihw smbios1 tablet vga watchdog audio0 rng0",
		"VM.Config.Options":   "agent autostart bios description keyboard localtime migrate_downtime migrate_speed name onboot ostype protection reboot startdate startup tdf template",
		"VM.PowerMgmt":        "freeze",
		"VM.Config.Disk":      "boot bootdisk vmstatestorage",
		"VM.Config.Cloudinit": "cicustom cipassword citype ciuser ciupgrade nameserver searchdomain sshkeys",
	} {
		for _, option := range strings.Fields(options) {
			optionRight[option] = privilege
		}
	}
}

var (
	numaSlot     = regexp.MustCompile(`^numa\d+$`)
	ipconfigSlot = regexp.MustCompile(`^ipconfig\d+$`)
	serialSlot   = regexp.MustCompile(`^serial\d+$`)
	usbSlot      = regexp.MustCompile(`^usb\d+$`)
	hostpciSlot  = regexp.MustCompile(`^hostpci\d+$`)
	virtiofsSlot = regexp.MustCompile(`^virtiofs\d+$`)
)

// mayModify checks the right for each option that is set or deleted.
func (c *call) mayModify(id int, options []string) error {
	if c.who.root() {
		return nil
	}
	for _, option := range options {
		if err := c.mayModifyOption(id, option); err != nil {
			return err
		}
	}
	return nil
}

func (c *call) mayModifyOption(id int, option string) error {
	switch {
	case isDrive(option), option == "cdrom", option == "tags", unusedSlot.MatchString(option), serialSlot.MatchString(option),
		usbSlot.MatchString(option), hostpciSlot.MatchString(option), virtiofsSlot.MatchString(option):
		return nil // depends on the value
	case numaSlot.MatchString(option):
		return c.checkVM(id, "VM.Config.CPU")
	case netSlot.MatchString(option):
		return c.checkVM(id, "VM.Config.Network")
	case ipconfigSlot.MatchString(option):
		return c.check(vmPath(id), []string{"VM.Config.Cloudinit", "VM.Config.Network"}, true)
	}
	privilege, ok := optionRight[option]
	if !ok {
		return dief("only root can set '%s' config", option)
	}
	if privilege == "VM.Config.Cloudinit" {
		return c.check(vmPath(id), []string{privilege, "VM.Config.Network"}, true)
	}
	if err := c.checkVM(id, privilege); err != nil {
		return err
	}
	if option == "startup" {
		return c.check("/", []string{"Sys.Modify"}, false)
	}
	return nil
}

// mayUseValues checks rights that depend on the value: devices of the host, bridges.
func (c *call) mayUseValues(id int, params map[string]string) error {
	for _, option := range sortedKeys(params) {
		value := params[option]
		var err error
		switch {
		case serialSlot.MatchString(option):
			err = c.mayUseSerial(id, option, value)
		case usbSlot.MatchString(option):
			err = c.mayUseUSB(id, option, value)
		case hostpciSlot.MatchString(option):
			err = c.mayUsePCI(id, option, value)
		case virtiofsSlot.MatchString(option):
			if err = c.checkVM(id, "VM.Config.Disk"); err == nil {
				err = c.mayUseMapping("dir/" + parsePlain(value, "dirid")["dirid"])
			}
		case option == "rng0":
			if err = c.checkVM(id, "VM.Config.HWType"); err == nil && parsePlain(value, "source")["source"] == "/dev/hwrng" {
				err = c.mayUseMapping("hwrng")
			}
		case netSlot.MatchString(option):
			bridge := parseNet(value)["bridge"]
			if bridge == "" && !c.w.nine() && !c.who.root() {
				return dief("no sdn vnet ID specified")
			}
			if bridge != "" && !c.who.root() {
				err = c.check("/sdn/zones/localnetwork/"+bridge, []string{"SDN.Use"}, false)
			}
		case option == "tags":
			err = c.checkVM(id, "VM.Config.Options")
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// mayUseSerial allows a socket; the host's own ports are root@pam's. PVE has two words for that.
func (c *call) mayUseSerial(id int, option, value string) error {
	if value == "socket" {
		return c.checkVM(id, "VM.Config.HWType")
	}
	if c.who.root() {
		return nil
	}
	verb := "modify"
	if strings.HasSuffix(c.path, "/qemu") { // a create
		verb = "set"
	}
	return dief("only root can %s '%s' config for real devices", verb, option)
}

func (c *call) mayUseUSB(id int, option, value string) error {
	if c.who.root() {
		return nil
	}
	if err := c.checkVM(id, "VM.Config.HWType"); err != nil {
		return err
	}
	device := parsePlain(value, "host")
	switch {
	case strings.EqualFold(device["host"], "spice"):
		return nil
	case device["host"] != "":
		return dief("only root can set '%s' config for real devices", option)
	case device["mapping"] != "":
		return c.mayUseMapping("usb/" + device["mapping"])
	}
	return dief("either 'host' or 'mapping' must be set.")
}

func (c *call) mayUsePCI(id int, option, value string) error {
	if c.who.root() {
		return nil
	}
	device := parsePlain(value, "host")
	switch {
	case device["host"] != "":
		return dief("only root can set '%s' config for non-mapped devices", option)
	case device["mapping"] == "":
		return dief("either 'host' or 'mapping' must be set.")
	}
	if err := c.mayUseMapping("pci/" + device["mapping"]); err != nil {
		return err
	}
	if err := c.checkVM(id, "VM.Config.HWType"); err != nil {
		return err
	}
	if device["romfile"] != "" {
		return badParam(option, "only root@pam can set 'romfile' option")
	}
	return nil
}

func (c *call) mayUseMapping(of string) error {
	if c.who.root() {
		return nil
	}
	return c.check("/mapping/"+of, []string{"Mapping.Use"}, false)
}

// mayUseStorage checks the storages that new and changed drives name (src: API2::Qemu check_storage_access).
func (c *call) mayUseStorage(id int, drives map[string]string) error {
	for _, slot := range sortedKeys(drives) {
		d, err := c.parseDrive(slot, drives[slot])
		if err != nil {
			return err
		}
		if err := c.mayUseDrive(id, d); err != nil {
			return err
		}
	}
	return nil
}

func (c *call) mayUseDrive(id int, d drive) error {
	privilege := "VM.Config.Disk"
	if d.isCD() {
		privilege = "VM.Config.CDROM"
	}
	if err := c.checkVM(id, privilege); err != nil {
		return err
	}
	if source := d.propertyString["import-from"]; source != "" {
		if m := newDisk.FindStringSubmatch(d.file()); m == nil || strings.Trim(m[2], "0.") != "" {
			return badParam(d.slot, "'import-from' requires special syntax - use <storage ID>:0,import-from=<source>")
		}
		if err := c.mayReadVolume(source); err != nil {
			return err
		}
	}
	if d.file() == "none" || d.file() == "cdrom" {
		return nil
	}
	if strings.HasSuffix(d.file(), ":cloudinit") {
		if _, err := c.storage(strings.TrimSuffix(d.file(), ":cloudinit")); err != nil {
			return err
		}
		return nil
	}
	if m := newDisk.FindStringSubmatch(d.file()); m != nil && !d.isCD() {
		if err := c.check("/storage/"+m[1], []string{"Datastore.AllocateSpace"}, false); err != nil {
			return err
		}
		st, err := c.storage(m[1])
		if err != nil {
			return err
		}
		if !st.st.has("images") {
			return badParam("storage", "storage '%s' does not support vm images", m[1])
		}
		return nil
	}
	return c.mayReadVolume(d.file())
}

// mayReadVolume checks access to a volume by its owner and content (src: Storage::check_volume_access).
func (c *call) mayReadVolume(volid string) error {
	if strings.HasPrefix(volid, "/") {
		if !c.who.root() {
			return dief("Only root can pass arbitrary filesystem paths. at /usr/share/perl5/PVE/Storage.pm line 651.")
		}
		return nil
	}
	st, name, err := c.volume(volid)
	if err != nil {
		return err
	}
	path := "/storage/" + st.st.ID
	switch {
	case name.content == "iso" || name.content == "vztmpl" || name.content == "import":
		return c.check(path, []string{"Datastore.AllocateSpace", "Datastore.Audit"}, true)
	case name.vmid != 0:
		if c.may(vmPath(name.vmid), "VM.Config.Disk") {
			return nil
		}
	}
	return c.check(path, []string{"Datastore.Allocate"}, false)
}
