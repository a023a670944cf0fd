package schema

import (
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
)

// checkSlots: the keys of a family must be slots PVE has.
func (v VM) checkSlots(f *faults) {
	root := reflect.ValueOf(v.Spec)
	for _, r := range Rows() {
		if !r.Family() {
			continue
		}
		m, ok := at(root, r.index)
		if !ok {
			continue
		}
		for _, k := range slices.SortedFunc(maps.Keys(mapOf(m)), CompareKeys) {
			if !r.Has(k) {
				var names []string
				for _, s := range r.Slots {
					names = append(names, s.Prefix+"0 to "+s.Prefix+itoa(s.Max))
				}
				f.add("spec."+r.Path+"."+k, "%q is not a slot: %s", k, strings.Join(names, ", "))
			}
		}
	}
}

// busOptions lists the options that only some buses know (PVE's drive formats).
var busOptions = map[string][]string{
	"ssd": {"scsi", "sata", "ide"}, "iothread": {"scsi", "virtio"}, "ro": {"scsi", "virtio"}, "queues": {"scsi"}, "scsiblock": {"scsi"},
	"wwn": {"scsi", "sata", "ide"}, "vendor": {"scsi"}, "product": {"scsi"}, "model": {"ide"},
}

// ownedBy reads the guest out of the name of a volume, which is where PVE keeps it (FACTS §5).
var ownedBy = regexp.MustCompile(`[:/](?:vm|base)-(\d+)-`)

// checkOwners: PVE attaches a volume of another guest without a word, and then two guests write to one disk.
func checkOwners(f *faults, settings map[string]Setting, vmid int) {
	for _, key := range slices.SortedFunc(maps.Keys(settings), CompareKeys) {
		s := settings[key]
		if s.Source == nil || s.Source.Volume == "" || vmid == 0 {
			continue
		}
		if m := ownedBy.FindAllStringSubmatch(s.Source.Volume, -1); len(m) > 0 && m[len(m)-1][1] != itoa(vmid) {
			f.add(s.Path+".volume", "%s belongs to guest %s: two guests on one disk destroy it. Give it to this guest first with `qm disk move`, or rename it", s.Source.Volume, m[len(m)-1][1])
		}
	}
}

func checkDrives(f *faults, settings map[string]Setting) {
	for _, key := range slices.SortedFunc(maps.Keys(settings), CompareKeys) {
		s := settings[key]
		if s.Source == nil {
			continue
		}
		bus, _ := cutNumber(key)
		for _, prop := range slices.Sorted(maps.Keys(s.Props)) {
			if on := busOptions[prop]; on != nil && !slices.Contains(on, bus) && s.Row.Family() {
				f.add(s.Path+"."+s.Row.leaf(prop).Name, "%s disks do not have this option, only %s", bus, strings.Join(on, ", "))
			}
		}
		checkSource(f, s)
	}
	checkCloudInitDrive(f, settings)
	volumes := map[string]string{}
	for _, key := range slices.SortedFunc(maps.Keys(settings), CompareKeys) {
		if s := settings[key]; s.Source != nil && s.Source.Volume != "" {
			if other, twice := volumes[s.Source.Volume]; twice {
				f.add(s.Path+".volume", "%s is in %s already", s.Source.Volume, other)
			}
			volumes[s.Source.Volume] = key
		}
	}
}

// checkCloudInitDrive: PVE attaches one to a guest.
func checkCloudInitDrive(f *faults, settings map[string]Setting) {
	first := ""
	for _, key := range slices.SortedFunc(maps.Keys(settings), CompareKeys) {
		switch s := settings[key]; {
		case s.Source == nil || !s.Source.CloudInit:
		case first == "":
			first = key
		default:
			f.add(s.Path+".cloudInit", "the cloud-init drive is in %s already; a guest has one", first)
		}
	}
}

func checkSource(f *faults, s Setting) {
	src := s.Source
	disk := s.Row.Family()
	forms := 0
	for _, set := range []bool{src.Storage != "", src.Volume != "", src.CDROM != ""} {
		if set {
			forms++
		}
	}
	switch {
	case forms == 0 && disk:
		f.add(s.Path, "says not what it holds: storage and size for a new disk, volume for an existing one, cdrom for a CD drive")
	case forms == 0:
		f.add(s.Path, "says not what it holds: storage for a new disk, volume for an existing one")
	case forms > 1:
		f.add(s.Path, "storage, volume and cdrom exclude each other")
	case src.CloudInit && (src.Storage == "" || src.Size.Bytes > 0 || src.ImportFrom != ""):
		f.add(s.Path+".cloudInit", "the cloud-init drive takes a storage and no size: {cloudInit: true, storage: local-zfs}")
	case disk && src.Storage != "" && src.Size == (Size{}) && !src.CloudInit && src.ImportFrom == "":
		f.add(s.Path+".size", "required with storage")
	case src.Storage == "" && (src.Size.Bytes > 0 || src.ImportFrom != ""):
		f.add(s.Path, "size and importFrom go with storage")
	}
	if src.Size.Text != "" && src.Size.Bytes == 0 && !src.CloudInit {
		f.add(s.Path+".size", "%q is no size for a disk", src.Size.Text)
	} else if src.Size.Bare {
		f.add(s.Path+".size", "%q has no unit: write %sGi (or Mi, Ti)", src.Size.Text, src.Size.Text)
	}
}

func (v VM) checkNetworks(f *faults) {
	macs := map[string]string{}
	for _, key := range slices.SortedFunc(maps.Keys(v.Spec.Networks), CompareKeys) {
		n := v.Spec.Networks[key]
		if n == nil {
			continue
		}
		if n.MAC == "" {
			continue
		}
		mac := strings.ToUpper(n.MAC)
		if other, twice := macs[mac]; twice {
			f.add("spec.networks."+key+".mac", "%s is the MAC of %s already", n.MAC, other)
		}
		macs[mac] = key
	}
}

// checkSense: values that are fine by themselves but not together.
func (v VM) checkSense(f *faults, settings map[string]Setting) {
	s := v.Spec
	row, _ := RowOf("boot")
	for i, d := range s.Boot {
		if _, here := settings[d]; !here && row.Leaves[0].Pattern.MatchString(d) {
			f.add("spec.boot["+itoa(i)+"]", "%s is not among the declared devices", d)
		}
	}
	switch m := s.Memory; {
	case m == nil:
	case m.MiB() < 16:
		f.add("spec.memory", "%s is less than the 16Mi that PVE needs; a number without unit counts MiB", m)
	case m.Bare && m.MiB() < 128: // no system of today starts with that
		f.add("spec.memory", "%s counts MiB: write %sGi, or %sMi if so little is meant", m, m, m)
	}
	if s.Memory != nil && s.Balloon != nil && s.Balloon.Bytes > s.Memory.Bytes {
		f.add("spec.balloon", "%s is more than the memory, %s", s.Balloon, s.Memory)
	}
	if c := s.CPU; c != nil && c.VCPUs != nil && *c.VCPUs > or(c.Sockets, 1)*or(c.Cores, 1) {
		f.add("spec.cpu.vcpus", "%d is more than sockets times cores, %d", *c.VCPUs, or(c.Sockets, 1)*or(c.Cores, 1))
	}
	s.Machine.check(f)
	if g := s.VGA; g != nil && g.Clipboard == "vnc" && (g.Type == "none" || strings.HasPrefix(g.Type, "serial")) {
		f.add("spec.vga.clipboard", "vnc needs a card with a screen, not %s", g.Type)
	}
	for i, h := range s.Hotplug {
		if len(s.Hotplug) > 1 && (h == "0" || h == "1") {
			f.add("spec.hotplug["+itoa(i)+"]", "%q stands alone: 0 is nothing, 1 is network, disk and usb", h)
		}
	}
	for key, u := range s.USB {
		if u != nil && (u.Host == "") == (u.Mapping == "") {
			f.add("spec.usb."+key, "takes host or mapping, one of them")
		}
	}
	for key, p := range s.HostPCI {
		if p != nil && (p.Host == "") == (p.Mapping == "") {
			f.add("spec.hostpci."+key, "takes host or mapping, one of them")
		}
	}
	if s.Init == nil {
		return
	}
	for key, ip := range s.Init.IPConfig {
		if ip != nil && (ip.GW != "" && !strings.Contains(ip.IP, "/") || ip.GW6 != "" && !strings.Contains(ip.IP6, "/")) {
			f.add("spec.cloudInit.ipconfig."+key, "a gateway needs an address of the same family (ip: 10.0.0.2/24)")
		}
	}
}

// check refuses what PVE refuses of a virtual IOMMU (src: Machine::assert_valid_machine_property).
func (m *Machine) check(f *faults) {
	switch {
	case m == nil:
	case m.VIOMMU == "intel" && !strings.Contains(m.Type, "q35"):
		f.add("spec.machine.viommu", "intel needs machine type q35")
	case m.AWBits != nil && m.VIOMMU == "":
		f.add("spec.machine.awBits", "goes with viommu")
	case m.AWBits != nil && m.VIOMMU == "intel" && *m.AWBits != 39 && *m.AWBits != 48:
		f.add("spec.machine.awBits", "%d is neither 39 nor 48, which viommu intel can have", *m.AWBits)
	}
}

func or(p *int, otherwise int) int {
	if p == nil {
		return otherwise
	}
	return *p
}
