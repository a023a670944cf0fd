package sim

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
)

var (
	driveSlot   = regexp.MustCompile(`^(?:(?:ide|sata|scsi|virtio)\d+|efidisk0|tpmstate0)$`)
	unusedSlot  = regexp.MustCompile(`^unused\d+$`)
	netSlot     = regexp.MustCompile(`^net\d+$`)
	newDisk     = regexp.MustCompile(`^([a-zA-Z][a-zA-Z0-9\-_.]*[a-zA-Z0-9]):(\d+(?:\.\d+)?)$`)
	cloudinitIs = regexp.MustCompile(`[:/](?:vm-\d+-)?cloudinit(?:\.(?:raw|qcow2|qed|vmdk|qcow))?$`)
)

func isDrive(slot string) bool { return driveSlot.MatchString(slot) }

// drive is a parsed drive option.
type drive struct {
	slot string
	propertyString
}

func (d drive) file() string       { return d.propertyString["file"] }
func (d drive) isCD() bool         { return d.propertyString["media"] == "cdrom" }
func (d drive) isCloudinit() bool  { return cloudinitIs.MatchString(d.file()) }
func (d drive) text() string       { return d.print("file") }
func (d drive) hasVolume() bool    { return volumeID.MatchString(d.file()) }
func (d drive) set(k, v string)    { d.propertyString[k] = v }
func driveFile(text string) string { return parsePlain(text, "file")["file"] }

func (d drive) clone() drive {
	n := drive{slot: d.slot, propertyString: propertyString{}}
	for key, value := range d.propertyString {
		n.propertyString[key] = value
	}
	return n
}

// parsePlain splits a property string without a table.
func parsePlain(text, bare string) propertyString {
	found := propertyString{}
	for _, part := range strings.Split(text, ",") {
		if key, value, ok := strings.Cut(part, "="); ok {
			found[key] = value
		} else if part != "" {
			found[bare] = part
		}
	}
	return found
}

// parseDrive reads a drive option and completes it: "none" is a CD drive.
func (c *call) parseDrive(slot, text string) (drive, error) {
	check := &checker{schema: c.s.schema, nine: c.w.nine()}
	format := "@" + trimIndex(slot) + "[n]"
	if slot == "efidisk0" || slot == "tpmstate0" {
		format = "@" + slot
	}
	if strings.HasPrefix(slot, "unused") {
		return drive{slot: slot, propertyString: parsePlain(text, "file")}, nil
	}
	name := strings.TrimPrefix(format, "@")
	props, err := check.splitProperties(c.s.schema.formats[name], c.s.schema.defaultOf(name), text)
	if err != nil {
		return drive{}, badParam(slot, "unable to parse drive options")
	}
	d := drive{slot: slot, propertyString: props}
	if d.file() == "none" || d.file() == "cdrom" {
		d.set("media", "cdrom")
	}
	return d, nil
}

func (s *schema) defaultOf(format string) *property {
	if p := s.defaults[format]; p != nil {
		return p
	}
	return s.defaults[format+"#2"]
}

func trimIndex(slot string) string { return strings.TrimRight(slot, "0123456789") }

// ownedBy tells whether the volume's name says that it belongs to the VM.
func (c *call) ownedBy(volid string, vmid int) bool {
	st, v, err := c.volume(volid)
	return err == nil && st != nil && v.vmid == vmid && v.content == "images"
}

// sizeOfConfig is the text of size=: the largest unit that divides, 0 is "0T" (src: format_size).
func sizeOfConfig(bytes int64) string {
	if bytes == 0 {
		return "0T"
	}
	for _, unit := range []string{"T", "G", "M", "K"} {
		if u := unitBytes(unit); bytes%u == 0 {
			return fmt.Sprintf("%d%s", bytes/u, unit)
		}
	}
	return strconv.FormatInt(bytes, 10)
}

// createDisks makes the volumes that new drives ask for and completes the options with the real sizes
// (src: API2::Qemu create_disks). Volumes made so far are named in made, also when it fails.
func (c *call) createDisks(t *Task, vmid int, conf *config, drives map[string]string) (done map[string]string, made []string, err error) {
	done = map[string]string{}
	for _, slot := range sortedKeys(drives) {
		d, err := c.parseDrive(slot, drives[slot])
		if err != nil {
			return done, made, err
		}
		volid, err := c.createDisk(t, vmid, conf, d)
		if volid != "" {
			made = append(made, volid)
		}
		if err != nil {
			return done, made, err
		}
		done[slot] = d.text()
	}
	return done, made, nil
}

// createDisk makes or checks one drive's volume and writes file= and size= into d.
func (c *call) createDisk(t *Task, vmid int, conf *config, d drive) (string, error) {
	switch {
	case d.file() == "none" || d.file() == "cdrom":
		delete(d.propertyString, "size")
		return "", nil
	case strings.HasSuffix(d.file(), ":cloudinit"):
		return c.createCloudinit(t, vmid, conf, d)
	}
	if m := newDisk.FindStringSubmatch(d.file()); m != nil && !d.isCD() {
		return c.createNewDisk(t, vmid, conf, d, m[1], m[2])
	}
	st, name, err := c.volume(d.file())
	if err != nil {
		return "", err
	}
	if v := st.find(name.name); v != nil {
		d.set("size", sizeOfConfig(v.Size))
		return "", nil
	}
	if st.st.Type == "zfspool" {
		c.s.mu.Unlock()
		c.s.clock.Sleep(lockWait)
		c.s.mu.Lock()
		return "", dief("timeout: no zvol device link for '%s' found after 10 sec.", name.file)
	}
	return "", dief("volume '%s' does not exist", d.file())
}

func (c *call) createCloudinit(t *Task, vmid int, conf *config, d drive) (string, error) {
	storage := strings.TrimSuffix(d.file(), ":cloudinit")
	for slot, value := range conf.desired() {
		if isDrive(slot) && slot != d.slot && cloudinitIs.MatchString(driveFile(value)) {
			return "", dief("%s - cloud-init drive is already attached at '%s'", d.slot, slot)
		}
	}
	st, err := c.storage(storage)
	if err != nil {
		return "", err
	}
	file, format := fmt.Sprintf("vm-%d-cloudinit", vmid), "raw"
	if st.isDir() {
		format = "qcow2"
		if f := d.propertyString["format"]; f != "" {
			format = f
		}
		file += "." + format
	}
	name, err := st.alloc(t, vmid, format, file, 4096)
	if err != nil {
		return "", err
	}
	d.set("file", storage+":"+name)
	d.set("media", "cdrom")
	delete(d.propertyString, "format")
	delete(d.propertyString, "size")
	t.logf("%s: successfully created disk '%s'", d.slot, d.text())
	return d.file(), nil
}

func (c *call) createNewDisk(t *Task, vmid int, conf *config, d drive, storage, gib string) (string, error) {
	st, err := c.storage(storage)
	if err != nil {
		return "", err
	}
	size, err := strconv.ParseFloat(gib, 64)
	if err != nil {
		return "", dief("unable to parse size '%s'", gib)
	}
	kib := int64(math.Ceil(size * (1 << 20)))
	format := d.propertyString["format"]
	source := d.propertyString["import-from"]
	delete(d.propertyString, "format")
	delete(d.propertyString, "import-from")
	delete(d.propertyString, "size")
	if source != "" {
		return c.importDisk(t, vmid, d, st, source, format)
	}
	if format == "" {
		format = "raw"
	}
	switch d.slot {
	case "efidisk0":
		kib = 528
	case "tpmstate0":
		kib, format = 4096, "raw"
	}
	name, err := st.alloc(t, vmid, format, "", kib)
	if err != nil {
		return "", err
	}
	d.set("file", storage+":"+name)
	shown := kib << 10
	if d.slot == "efidisk0" || d.slot == "tpmstate0" {
		shown = st.find(name).Size
	}
	if d.slot == "efidisk0" {
		copyProgress(t, kib<<10, st, format)
		if d.propertyString["pre-enrolled-keys"] == "1" {
			t.logf("INFO: reading raw edk2 varstore from /usr/share/pve-edk2-firmware//OVMF_VARS_4M.ms.fd")
			t.logf("INFO: var store range: 0x64 -> 0x40000")
		}
	}
	d.set("size", sizeOfConfig(shown))
	t.logf("%s: successfully created disk '%s'", d.slot, d.text())
	return d.file(), nil
}

// importDisk copies another volume into a new one.
func (c *call) importDisk(t *Task, vmid int, d drive, st *store, source, format string) (string, error) {
	from, name, err := c.volume(source)
	if err != nil {
		return "", err
	}
	v := from.find(name.name)
	if v == nil {
		return "", dief("volume '%s' does not exist", source)
	}
	what := ""
	if name.content == "images" && name.vmid != 0 {
		if owner := c.w.VMs[name.vmid]; owner != nil {
			for slot, value := range owner.config().main {
				if isDrive(slot) && driveFile(value) == source {
					what = slot + " "
				}
			}
		}
	}
	t.logf("create full clone of drive %s(%s)", what, source)
	volid, err := c.copyVolume(t, v, name.format, st, vmid, format)
	if err != nil {
		return volid, err
	}
	d.set("file", volid)
	copied, _, err := c.volume(volid)
	if err != nil {
		return volid, err
	}
	_, copiedName, _ := strings.Cut(volid, ":")
	d.set("size", sizeOfConfig(copied.find(copiedName).Size))
	t.logf("%s: successfully created disk '%s'", d.slot, d.text())
	return volid, nil
}

// copyVolume allocates a volume as large as v and copies it; a storage that cannot keep the format gets raw.
func (c *call) copyVolume(t *Task, v *Volume, sourceFormat string, st *store, vmid int, format string) (string, error) {
	if format == "" {
		format = sourceFormat
	}
	if !st.isDir() || format != "raw" && format != "qcow2" && format != "vmdk" {
		format = "raw"
	}
	size := v.Size
	if v.Content == "import" {
		size = importedSize(v)
	}
	name, err := st.alloc(t, vmid, format, "", (size+1023)/1024)
	if err != nil {
		return "", err
	}
	volid := st.st.ID + ":" + name
	t.logf("allocated target volume '%s'", volid)
	copyProgress(t, size, st, format)
	if copied := st.find(name); copied != nil && st.isDir() {
		copied.Used = 0
	}
	return volid, nil
}

// importedSize is what an image of the import content holds.
func importedSize(v *Volume) int64 {
	if v.Virtual != 0 {
		return v.Virtual
	}
	return v.Size
}

// copyProgress prints what qemu-img convert reports for a copy that takes no time.
func copyProgress(t *Task, size int64, st *store, format string) {
	whole := humanBytes(size)
	t.logf("transferred 0.0 B of %s (0.00%%)", whole)
	t.logf("transferred %s of %s (100.00%%)", whole, whole)
	if st.isDir() && format == "raw" {
		t.logf("transferred %s of %s (100.00%%)", whole, whole)
	}
}

func humanBytes(n int64) string {
	f, unit := float64(n), "B"
	for _, next := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if f < 1024 {
			break
		}
		f, unit = f/1024, next
	}
	return fmt.Sprintf("%.1f %s", f, unit)
}
