package sim

import (
	"fmt"
	"regexp"
	"strings"
	"time"
)

const (
	rawLimit   = 16<<40 - 4096 // bytes of one file on ext4
	zvolUnit   = 1 << 20       // PVE rounds zvols up to it
	extentSize = 4 << 20       // of LVM
	newZvol    = 57344         // bytes that an empty sparse zvol takes
)

var diskNumber = regexp.MustCompile(`(?:^|/)(?:vm|base|subvol|basevol)-(\d+)-disk-(\d+)(?:\.[a-z0-9]+)?$`)

// freeName is the first free vm-ID-disk-N.
func (s *store) freeName(vmid int, format string) string {
	used := map[int]bool{}
	for _, v := range s.list() {
		if m := diskNumber.FindStringSubmatch(v.Name); m != nil && atoi(m[1]) == vmid {
			used[atoi(m[2])] = true
		}
	}
	n := 0
	for used[n] {
		n++
	}
	name := fmt.Sprintf("vm-%d-disk-%d", vmid, n)
	if s.isDir() {
		name += "." + format
	}
	return name
}

// alloc makes a volume of so many KiB and returns its name; what the tools print goes to the log.
func (s *store) alloc(t *Task, vmid int, format, file string, kib int64) (string, error) {
	if !s.exists() {
		return "", dief("could not activate storage '%s', zfs error: cannot import '%s': no such pool available", s.st.ID, s.st.values["pool"])
	}
	if s.isDir() {
		return s.allocFile(t, vmid, format, file, kib)
	}
	plugin := map[string]string{"zfspool": "ZFSPoolPlugin.pm line 292", "lvmthin": "LvmThinPlugin.pm line 95", "lvm": "LVMPlugin.pm line 480"}[s.st.Type]
	if format != "raw" {
		return "", dief("unsupported format '%s' at /usr/share/perl5/PVE/Storage/%s.", format, plugin)
	}
	if file != "" && !strings.HasPrefix(file, fmt.Sprintf("vm-%d-", vmid)) {
		return "", dief("illegal name '%s' - should be 'vm-%d-*'", file, vmid)
	}
	if file == "" {
		file = s.freeName(vmid, format)
	}
	now := s.s.clock.Now()
	if s.st.Type == "zfspool" {
		return s.allocZvol(file, kib, now)
	}
	if s.find(file) != nil {
		return "", dief("lvcreate '%s/%s' error:   Logical Volume \"%s\" already exists in volume group \"%s\"", s.st.values["vgname"], file, file, s.st.values["vgname"])
	}
	if s.s.full(s.st.ID) {
		return "", dief("lvcreate '%s/%s' error:   Cannot create new thin volume, free space in thin pool %s/%s reached threshold.", s.st.values["vgname"], file, s.st.values["vgname"], s.st.values["thinpool"])
	}
	t.logf("  Logical volume \"%s\" created.", file)
	s.add(&Volume{Name: file, Size: roundUp(kib<<10, extentSize), Format: "raw", Content: "images", Created: now})
	return file, nil
}

func (s *store) allocFile(t *Task, vmid int, format, file string, kib int64) (string, error) {
	if file == "" {
		file = s.freeName(vmid, format)
	}
	name := fmt.Sprintf("%d/%s", vmid, file)
	parsed, err := s.parse(name)
	if err != nil {
		return "", dief("illegal name '%s' - should be '*.%s'", file, format)
	}
	if format == "subvol" {
		return "", dief("storage does not support subvol quotas")
	}
	format = parsed.format
	path := s.path(name)
	if s.find(name) != nil {
		return "", dief("disk image '%s' already exists", path)
	}
	size := kib << 10
	switch format {
	case "qcow2":
		t.logf("Formatting '%s', fmt=qcow2 cluster_size=65536 extended_l2=off preallocation=metadata compression_type=zlib size=%d lazy_refcounts=off refcount_bits=16", path, size)
	case "vmdk":
		t.logf("Formatting '%s', fmt=vmdk size=%d compat6=off hwversion=undefined", path, size)
	default:
		t.logf("Formatting '%s', fmt=raw size=%d preallocation=off", path, size)
	}
	if size > rawLimit {
		return "", dief("unable to create image: qemu-img: %s: The image size is too large for file format '%s'", path, format)
	}
	if s.s.full(s.st.ID) {
		return "", dief("unable to create image: qemu-img: %s: Could not create file: No space left on device", path)
	}
	used := int64(4096)
	if format != "raw" {
		used = 331776
	}
	s.add(&Volume{Name: name, Size: size, Used: min(used, max(size, 196624)), Format: format, Content: "images", Created: s.s.clock.Now()})
	return name, nil
}

func (s *store) add(v *Volume) {
	s.node.Volumes[s.st.ID] = append(s.node.Volumes[s.st.ID], v)
}

func roundUp(n, unit int64) int64 { return (n + unit - 1) / unit * unit }

// free destroys a volume. An absent file is only noted (FACTS §5).
func (s *store) free(t *Task, name string) error {
	v, err := s.parse(name)
	if err != nil {
		return err
	}
	if v.isBase && s.hasClones(v) {
		return dief("base volume '%s:%s' is still in use by linked cloned", s.st.ID, name)
	}
	if s.st.Type == "zfspool" {
		d := s.zvol(name)
		if d == nil {
			return dief("zfs error: cannot open '%s/%s': dataset does not exist", s.st.values["pool"], v.file)
		}
		if s.busy(name) {
			return dief("zfs error: cannot destroy '%s': dataset is busy", d.Name)
		}
		return s.node.change(func(z ZFS) error { return z.Destroy(d.Name) })
	}
	list := s.node.Volumes[s.st.ID]
	for i, have := range list {
		if have.Name == name {
			s.node.Volumes[s.st.ID] = append(list[:i:i], list[i+1:]...)
			return nil
		}
	}
	if s.isDir() {
		t.logf("disk image '%s' does not exist", s.path(name))
		return nil
	}
	return dief("lvremove '%s/%s' error:   Failed to find logical volume \"%s/%s\"", s.st.values["vgname"], name, s.st.values["vgname"], name)
}

func (s *store) hasClones(v *volumeName) bool {
	for _, other := range s.list() {
		if parsed, err := s.parse(other.Name); err == nil && parsed.base == v.name && parsed.base != "" {
			return true
		}
	}
	return false
}

// busy tells whether a running VM has the volume open.
func (s *store) busy(name string) bool {
	volid := s.st.ID + ":" + name
	for _, vm := range s.s.w.VMs {
		if !vm.isRunning() || vm.Node != s.node.Name {
			continue
		}
		for slot, value := range vm.config().main {
			if isDrive(slot) && driveFile(value) == volid {
				return true
			}
		}
	}
	return false
}

// resize sets the size in bytes; zvols are rounded up to 1 MiB.
func (s *store) resize(name string, size int64) error {
	if s.st.Type == "zfspool" {
		return s.changeZvol(name, func(z ZFS, zvol string) error { return z.Resize(zvol, roundUp(size, zvolUnit)) })
	}
	if v := s.find(name); v != nil {
		v.Size, v.Created = size, s.s.clock.Now()
		if !s.isDir() {
			v.Size = roundUp(size, extentSize)
		}
	}
	return nil
}

// rename gives a volume another name, "vm-ID-disk-N" of another VM or "base-ID-disk-N".
func (s *store) rename(name, file string, vmid int) (string, error) {
	if s.st.Type == "zfspool" {
		prefix := ""
		if base, _, linked := strings.Cut(name, "/"); linked {
			prefix = base + "/"
		}
		err := s.changeZvol(name, func(z ZFS, zvol string) error { return z.Rename(zvol, s.st.values["pool"]+"/"+file) })
		return prefix + file, err
	}
	v := s.find(name)
	if s.isDir() {
		file = fmt.Sprintf("%d/%s", vmid, file)
		if i := strings.Index(name, "/"); strings.Count(name, "/") == 3 && i >= 0 {
			parts := strings.Split(name, "/")
			file = parts[0] + "/" + parts[1] + "/" + file
		}
	}
	v.Name = file
	return file, nil
}

// allocZvol makes a zvol of so many KiB, sparse if the storage says so.
func (s *store) allocZvol(file string, kib int64, now time.Time) (string, error) {
	full := s.st.values["pool"] + "/" + file
	if s.node.dataset(full) == nil && s.s.full(s.st.ID) {
		return "", dief("zfs error: cannot create '%s': out of space", full)
	}
	d := &Dataset{Name: full, Volsize: roundUp(kib<<10, zvolUnit), Blocksize: s.st.values["blocksize"], Created: now}
	if d.Blocksize == "" {
		d.Blocksize = "16k"
	}
	return file, s.node.change(func(z ZFS) error { return z.Create(d, s.st.values["sparse"] == "1") })
}

// changeZvol changes the zvol that a volume is.
func (s *store) changeZvol(name string, change func(z ZFS, zvol string) error) error {
	_, file, linked := strings.Cut(name, "/")
	if !linked {
		file = name
	}
	return s.node.change(func(z ZFS) error { return change(z, s.st.values["pool"]+"/"+file) })
}
