package zhost

import (
	"slices"
	"strings"
)

// destroy destroys datasets, snapshots and bookmarks, and refuses what zfs refuses.
func (c *call) destroy(o options, args []string) int {
	if len(args) != 1 {
		return c.misused(verbs()["destroy"], "missing argument")
	}
	name := args[0]
	if strings.Contains(name, "@") {
		return c.destroySnapshots(o, name)
	}
	obj, ok := c.host.object(name)
	if !ok {
		return c.fail("cannot open '%s': dataset does not exist", name)
	}
	d := obj.d
	if obj.b != nil {
		d.marks = slices.DeleteFunc(d.marks, func(b *bookmark) bool { return b == obj.b })
		return 0
	}
	if code, refused := c.refuseDestroy(d, o); refused {
		return code
	}
	if o.has('n') || o.has('v') {
		for _, at := range d.below() {
			for _, s := range at.snaps {
				c.told(o, s.full())
			}
			c.told(o, at.name)
		}
	}
	if o.has('n') {
		return 0
	}
	doomed := d.below()
	slices.Reverse(doomed)
	for _, at := range doomed {
		for _, s := range at.snaps {
			if s.mayGo() != "" {
				return c.fail("%s", s.mayGo())
			}
		}
	}
	for _, at := range doomed {
		for len(at.snaps) > 0 {
			at.snaps[0].remove()
		}
		if at.partial != nil && at.partial.running || at.busy() {
			return c.fail("cannot destroy '%s': dataset is busy", at.name)
		}
		at.remove()
	}
	return 0
}

// told is one line of destroy -v.
func (c *call) told(o options, name string) {
	switch {
	case o.has('p'):
		c.say("destroy\t%s\n", name)
	case o.has('n'):
		c.say("would destroy %s\n", name)
	default:
		c.say("will destroy %s\n", name)
	}
}

// refuseDestroy lists what stands in the way.
func (c *call) refuseDestroy(d *dataset, o options) (int, bool) {
	var kids, clones []string
	for _, at := range d.below() {
		for _, s := range at.snaps {
			for _, clone := range s.clones() {
				if clone != d && !strings.HasPrefix(clone.name, d.name+"/") {
					clones = append(clones, clone.name)
				}
			}
			kids = append(kids, s.full())
		}
		if at != d {
			kids = append(kids, at.name)
		}
	}
	switch {
	case len(kids) > 0 && !o.has('r') && !o.has('R'):
		return c.fail("cannot destroy '%s': %s has children\nuse '-r' to destroy the following datasets:\n%s", d.name, kindNames[d.kind()], strings.Join(kids, "\n")), true
	case len(clones) > 0 && !o.has('R'):
		return c.fail("cannot destroy '%s': %s has dependent clones\nuse '-R' to destroy the following datasets:\n%s", d.name, kindNames[d.kind()], strings.Join(clones, "\n")), true
	}
	for _, name := range clones {
		if clone := c.host.find(name); clone != nil {
			clone.remove()
		}
	}
	return 0, false
}

func (c *call) destroySnapshots(o options, full string) int {
	base, list, _ := strings.Cut(full, "@")
	d := c.host.find(base)
	if d == nil {
		return c.fail("cannot open '%s': dataset does not exist", base)
	}
	var doomed []*snapshot
	for name := range strings.SplitSeq(list, ",") {
		doomed = append(doomed, d.span(name)...)
	}
	if len(doomed) == 0 {
		return c.fail("could not find any snapshots to destroy; check snapshot names.")
	}
	for _, s := range doomed {
		if o.has('n') || o.has('v') {
			c.told(o, s.full())
		}
	}
	if o.has('n') || o.has('v') {
		c.reclaim(o, doomed)
	}
	if o.has('n') {
		return 0
	}
	for _, s := range doomed {
		if s.of.partial != nil && !s.of.inconsistent && s.of.partial.from == s.guid {
			return c.fail("cannot destroy '%s': snapshot has dependent clones\nuse '-R' to destroy the following datasets:\n%s/%%recv", s.full(), s.of.name)
		}
		if clones := s.clones(); len(clones) > 0 {
			if !o.has('R') {
				return c.fail("cannot destroy '%s': snapshot has dependent clones\nuse '-R' to destroy the following datasets:\n%s", s.full(), clones[0].name)
			}
			for _, clone := range clones {
				clone.remove()
			}
		}
		if len(s.holds) > 0 && o.has('d') {
			s.defers = true
			continue
		}
		if why := s.mayGo(); why != "" {
			return c.fail("%s", why)
		}
	}
	for _, s := range doomed {
		if !s.defers {
			s.remove()
		}
	}
	return 0
}

func (c *call) reclaim(o options, doomed []*snapshot) {
	var sum int64
	for _, s := range doomed {
		sum += s.of.usedBySnapshot(s)
	}
	switch {
	case o.has('p'):
		c.say("reclaim\t%d\n", sum)
	case o.has('n'):
		c.say("would reclaim %s\n", human(sum))
	default:
		c.say("will reclaim %s\n", human(sum))
	}
}

// span is one snapshot, or those from A%B.
func (d *dataset) span(name string) []*snapshot {
	first, last, isRange := strings.Cut(name, "%")
	if !isRange {
		if s := d.snapshot(name); s != nil {
			return []*snapshot{s}
		}
		return nil
	}
	var found []*snapshot
	inside := first == ""
	for _, s := range d.snaps {
		inside = inside || s.name == first
		if inside {
			found = append(found, s)
		}
		if s.name == last {
			break
		}
	}
	return found
}

// mayGo says why a snapshot cannot be destroyed, "" when it can.
func (s *snapshot) mayGo() string {
	if len(s.holds) > 0 || s.sending > 0 {
		return "cannot destroy snapshot " + s.full() + ": dataset is busy"
	}
	return ""
}

func (s *snapshot) remove() {
	s.of.snaps = slices.DeleteFunc(s.of.snaps, func(have *snapshot) bool { return have == s })
	s.content.drop()
	s.of.pool.tick()
}

func (d *dataset) remove() {
	if d.partial != nil && d.partial.into != d.live {
		d.partial.into.drop()
	}
	d.live.drop()
	delete(d.pool.sets, d.name)
	d.pool.tick()
}
