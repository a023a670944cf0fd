package vm

import (
	"maps"
	"slices"
	"strings"

	"github.com/ustclug/pve-reconcile/reconciler/step"
	"github.com/ustclug/pve-reconcile/schema"
)

// change collects what one write of the config is to hold.
type change struct {
	*planner
	set            map[string]string
	remove, revert []string
	resizes        []step.Step
	stay           map[string]bool // disks that are not detached, since a blank one would take their place
}

// setting compares one key that is not a drive.
func (c *change) setting(s schema.Setting) {
	live, ok := c.desired[s.Key]
	base := c.base(s.Key)
	if s.Same(live, ok, base, c.have.Facts) {
		c.waiting(s.Key, func(running string, there bool) bool { return s.Same(running, there, base, c.have.Facts) })
		return
	}
	running, there := c.have.Running[s.Key]
	if _, pending := c.have.Pending[s.Key]; pending && s.Same(running, there, base, c.have.Facts) {
		c.revert = append(c.revert, s.Key)
		return
	}
	c.write(s, s.Merge(live, base, c.have.Facts))
}

func (c *change) write(s schema.Setting, text string) {
	if c.mayWrite(s.Row, s.Key, text) {
		c.set[s.Key] = text
	}
}

// waiting notes a key whose wanted value is written but not yet what the guest runs with.
func (c *change) waiting(key string, same func(running string, there bool) bool) {
	if _, pending := c.have.Pending[key]; !pending {
		return
	}
	running, there := c.have.Running[key]
	if !same(running, there) {
		c.Restart = append(c.Restart, key)
		row, _ := schema.RowOf(key)
		c.differ(row, step.Diff{Key: key, Cause: step.Pending, Have: running, Want: c.desired[key]})
	}
}

// drive compares a disk or CD drive. A drive that holds another volume than the one meant is never replaced.
func (c *change) drive(s schema.Setting) {
	live, ok := c.desired[s.Key]
	if !ok {
		if _, pending := c.have.Pending[s.Key]; pending {
			c.revert = append(c.revert, s.Key) // its removal waits for a restart: keep it instead
			return
		}
		if volume := c.detached(s); volume != "" {
			c.wait(step.Refused, "%s: the disk that git gave was detached by hand, and %s may hold its data: a blank one is not put in its place. Attach it with `%s`, or delete it in PVE, or take %s out of the manifest for one run to have a new disk",
				s.Key, volume, step.SetConfig{ID: c.id, Set: map[string]string{s.Key: volume}}, s.Key)
			return
		}
		if c.moves(s) {
			return
		}
		c.write(s, s.Fresh())
		return
	}
	if why := s.Mismatch(live); why != "" {
		c.wait(step.Refused, "%s", strings.ReplaceAll(why, "VMID", vmid(c.id)))
		return
	}
	base := c.base(s.Key)
	f := c.have.Facts
	if c.madeFor(s, live, s.Merge(live, base, f)) {
		return
	}
	switch {
	case !s.SameImage(live):
		props := s.Row.Parse(s.Merge(live, base, f))
		props["file"], props["media"] = s.Source.CDROM, "cdrom"
		c.set[s.Key] = s.Row.Print(props)
	case len(s.Differs(live, f))+len(s.Dropped(live, base, f)) > 0:
		c.write(s, s.Merge(live, base, f))
	default:
		c.waiting(s.Key, func(running string, there bool) bool {
			return there && s.SameImage(running) && len(s.Differs(running, f))+len(s.Dropped(running, base, f)) == 0
		})
	}
	c.grow(s, live)
}

// detached is a volume on the disk's storage that was detached from the guest, when an applied revision had the disk.
func (c *change) detached(s schema.Setting) string {
	base := c.base(s.Key)
	if base == nil || base.Source == nil || !base.Source.Allocates() || base.Source.CloudInit || s.Source.Storage != base.Source.Storage {
		return ""
	}
	for _, key := range slices.SortedFunc(maps.Keys(c.desired), schema.CompareKeys) {
		if volume := c.desired[key]; strings.HasPrefix(key, "unused") && strings.HasPrefix(volume, s.Source.Storage+":") {
			return volume
		}
	}
	return ""
}

// extent is what storages round sizes up to: LVM's extents are the largest.
const extent = 4 * schema.MiB

// asLarge tells whether a volume is as large as asked.
func asLarge(asked schema.Size, size int64) bool {
	return asked.Bytes <= size && size < asked.Bytes+extent
}

// grow grows a disk. It never shrinks one, and never resizes one with a pending change: the pending text holds the old
// size and would win at the next stop (FACTS §5).
func (c *change) grow(s schema.Setting, live string) {
	src := s.Source
	if src.Size.Bytes == 0 || !src.Allocates() || src.CloudInit {
		return
	}
	props := s.Row.Parse(live)
	written, _ := schema.ParsePVESize(props["size"])
	size, known := c.size(props)
	_, pending := c.have.Pending[s.Key]
	switch {
	case !known:
		c.wait(step.Refused, "%s: PVE does not say how large %s is: run `qm disk rescan --vmid %d`", s.Key, props["file"], c.id.VMID)
	case asLarge(src.Size, size):
		if written > size || written < src.Size.Bytes {
			c.rescan(s, live, written, size)
		}
	case src.Size.Bytes < size:
		c.wait(step.Refused, "%s is %s, the manifest says %s: a disk is never shrunk. Correct the manifest, or move the data to a smaller disk by hand",
			s.Key, schema.Size{Bytes: size}.PVE(), src.Size)
	case src.Size.Bytes > size && pending:
		c.note("%s grows to %s once its pending change is settled by a restart", s.Key, src.Size)
		if !slices.Contains(c.Restart, s.Key) {
			c.Restart = append(c.Restart, s.Key)
		}
	case src.Size.Bytes > size:
		c.resizes = append(c.resizes, step.ResizeDisk{ID: c.id, Digest: c.have.Digest, Disk: s.Key, Size: src.Size})
	}
}

// rescan mends a size= that is not the volume's.
func (c *change) rescan(s schema.Setting, live string, written, size int64) {
	if c.have.IsRunning() {
		c.note("%s: the config says %s, the volume is %s: `qm disk rescan --vmid %d` mends it", s.Key,
			schema.Size{Bytes: written}.PVE(), schema.Size{Bytes: size}.PVE(), c.id.VMID)
	} else if _, ok := c.set[s.Key]; !ok { // writing the drive again makes PVE look at the volume
		c.set[s.Key] = s.Merge(live, nil, c.have.Facts)
	}
}

// removals takes away what an applied revision gave and the manifest no longer has (law 3).
func (c *change) removals() {
	for _, key := range keys(c.bases) {
		b := c.bases[key]
		if _, wanted := c.wants[key]; wanted {
			continue
		}
		live, ok := c.desired[key]
		if !b.Row.Scalar() && b.Source == nil && len(b.Props) == 0 {
			continue // all that it gave was left to others since
		}
		if !ok {
			c.waiting(key, func(_ string, there bool) bool { return !there })
			continue
		}
		d := step.Diff{Key: key, Cause: step.Git, Base: b.Print(), Have: live}
		switch rest := b.Undeclared(live); {
		case !b.Given(live, c.have.Facts):
			d.Cause = step.Undeclared
			c.differ(b.Row, d)
			c.note("%s: no longer in the manifest, but its value %s is not what git gave: left alone", key, shown(b.Row, live))
		case len(rest) > 0 && !b.Row.Family() && !b.Row.Drive():
			c.partly(b, live)
		case c.stay[key]:
			c.differ(b.Row, d)
		case b.Row.RootOnly(live):
			c.differ(b.Row, d)
			c.wait(step.RootOnly, "%s: PVE lets only root@pam itself remove this, no token: run on %s: qm set %d --delete %s", key, c.id.Node, c.id.VMID, key)
		default:
			c.differ(b.Row, d)
			c.remove = append(c.remove, key)
		}
		delete(c.desired, key) // noted or removed: not undeclared as well
	}
}

// partly takes only the sub-keys that git gave out of a property string that holds others.
func (c *change) partly(b schema.Setting, live string) {
	gone := schema.Setting{Row: b.Row, Key: b.Key, Props: map[string]string{}}
	c.compareProps(gone, live)
	others := slices.DeleteFunc(b.Undeclared(live), func(rest string) bool { return c.left[b.Key+"."+rest[:strings.Index(rest, "=")]] })
	for _, rest := range others {
		c.alone(b.Row, b.Key, rest)
	}
	if text := gone.Merge(live, &b, c.have.Facts); text != b.Row.Print(b.Row.Parse(live)) {
		c.write(gone, text)
		return
	}
	if len(others) > 0 {
		c.note("%s: no longer in the manifest, but %s was not given by git: left alone", b.Key, strings.Join(others, ","))
	}
}

// undeclared notes what is live and in no manifest. It stays as it is.
func (c *change) undeclared() {
	var alone, unused, pending []string
	for _, key := range slices.SortedFunc(maps.Keys(c.desired), schema.CompareKeys) {
		live := c.desired[key]
		if c.left[key] {
			continue
		}
		s, ok := c.wants[key]
		if row, known := schema.RowOf(key); !ok && known && c.partlyLeft(key) {
			s, ok = schema.Setting{Row: row, Key: key}, true // its other sub-keys are looked at one by one
		}
		if ok {
			dropped := s.Dropped(live, c.base(key), c.have.Facts)
			for _, rest := range s.Undeclared(live) {
				if name, _, _ := strings.Cut(rest, "="); !slices.Contains(dropped, name) && !c.left[key+"."+name] {
					alone = append(alone, key+"."+rest)
					c.alone(s.Row, key, rest)
				}
			}
			continue
		}
		row, known := schema.RowOf(key)
		if _, waits := c.have.Pending[key]; waits {
			pending = append(pending, key)
			c.differ(row, step.Diff{Key: key, Cause: step.Undeclared, Have: live})
			continue
		}
		switch {
		case schema.Bookkeeping(key), key == "smbios1", key == "boot": // a uuid and a boot order, PVE makes up
		case strings.HasPrefix(key, "unused"):
			unused = append(unused, key+" ("+live+")")
			c.differ(nil, step.Diff{Key: key, Cause: step.Undeclared, Have: live})
		case known && row.Default(live):
		default:
			alone = append(alone, key+" ("+shown(row, live)+")")
			c.differ(row, step.Diff{Key: key, Cause: step.Undeclared, Have: live})
		}
	}
	if len(alone) > 0 {
		c.note("not in the manifest, left alone: %s", strings.Join(alone, ", "))
	}
	if len(pending) > 0 {
		c.note("pending until a restart, not in the manifest: %s", strings.Join(pending, ", "))
	}
	if len(unused) > 0 {
		c.note("detached disks, kept: %s", strings.Join(unused, ", "))
	}
}

// partlyLeft tells whether sub-keys of a key are left to others.
func (c *change) partlyLeft(key string) bool {
	for k := range c.left {
		if strings.HasPrefix(k, key+".") {
			return true
		}
	}
	return false
}

// alone adds a sub-key that nobody declared, given as "key=value".
func (c *change) alone(row *schema.Row, key, rest string) {
	prop, value, _ := strings.Cut(rest, "=")
	c.differ(row, step.Diff{Key: key, Prop: prop, Cause: step.Undeclared, Have: value})
}

// shown is a live value fit for a line of text: secrets hidden, long ones cut.
func shown(row *schema.Row, live string) string {
	if row != nil && row.Secret() {
		return "***"
	}
	if row != nil && live != "" {
		if public := row.SSHKeys(live); public != nil {
			live = strings.Join(public, ", ")
		}
	}
	live = strings.Join(strings.Fields(live), " ")
	if r := []rune(live); len(r) > 60 {
		return string(r[:57]) + "..."
	}
	return live
}

func vmid(id schema.ID) string { return id.String()[strings.LastIndex(id.String(), "/")+1:] }
