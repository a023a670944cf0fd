package zhost

import (
	"fmt"
	"os"
	"strings"
)

// takeSnapshots takes all of them in one transaction group, or none.
func (c *call) takeSnapshots(o options, args []string) int {
	if len(args) == 0 {
		return c.misused(verbs()["snapshot"], "missing snapshot argument")
	}
	var sets []*dataset
	var names []string
	for _, full := range args {
		base, name, ok := strings.Cut(full, "@")
		if !ok || name == "" {
			return c.misused(verbs()["snapshot"], "cannot create snapshot '%s': missing '@' delimiter in snapshot name", full)
		}
		d := c.host.find(base)
		if d == nil {
			c.warn("cannot open '%s': dataset does not exist", base)
			return c.misused(verbs()["snapshot"], "")
		}
		each := []*dataset{d}
		if o.has('r') {
			each = d.below()
		}
		for _, d := range each {
			sets, names = append(sets, d), append(names, name)
		}
	}
	for i, d := range sets {
		if err := d.maySnapshot(names[i]); err != nil {
			c.warn("cannot create snapshot '%s@%s': %v", d.name, names[i], err)
			if len(sets) > 1 {
				c.warn("no snapshots were created")
			}
			return 1
		}
	}
	props := map[string]string{}
	for _, opt := range o {
		if opt.name == 'o' {
			name, value, _ := strings.Cut(opt.value, "=")
			if _, err := setting(nil, name, value); err != nil || nativeOf(name) != nil {
				return c.fail("cannot create snapshots : invalid property '%s'", name)
			}
			props[name] = value
		}
	}
	txg := sets[0].pool.tick()
	for i, d := range sets {
		s, err := d.take(names[i], txg)
		if err != nil {
			return c.fail("cannot create snapshot '%s@%s': %v", d.name, names[i], err)
		}
		for k, v := range props {
			s.local[k] = v
		}
	}
	return 0
}

func (d *dataset) maySnapshot(name string) error {
	switch {
	case d.inconsistent:
		return fmt.Errorf("dataset is busy")
	case d.snapshot(name) != nil:
		return fmt.Errorf("dataset already exists")
	case d.number("refreservation") > 0 && d.written(d.lastTxg()) > d.available()-d.usedByReservation():
		return fmt.Errorf("out of space")
	}
	return nil
}

func (d *dataset) lastTxg() uint64 {
	if s := d.last(); s != nil {
		return s.txg
	}
	return 0
}

// take keeps the state as it is. A state that the last snapshot has too shares its file.
func (d *dataset) take(name string, txg uint64) (*snapshot, error) {
	s := &snapshot{of: d, name: name, guid: d.pool.host.guid(), txg: txg, created: d.pool.host.now(), local: map[string]string{}, volsize: d.volsize}
	if d.volume {
		file := d.pool.newFile()
		if last := d.last(); last != nil && d.live.since(last.txg) == 0 && last.volsize == d.volsize && os.Link(last.content.file, file) == nil {
			shared := *last.content
			shared.file = file
			s.content = &shared
		} else {
			kept, err := d.live.copyTo(file)
			if err != nil {
				return nil, err
			}
			s.content = kept
		}
	}
	d.snaps = append(d.snaps, s)
	d.pool.tick()
	return s, nil
}

func (c *call) rollback(o options, args []string) int {
	if len(args) != 1 {
		return c.misused(verbs()["rollback"], "missing dataset argument")
	}
	s := c.host.findSnapshot(args[0])
	if s == nil {
		return c.fail("cannot open '%s': dataset does not exist", args[0])
	}
	d := s.of
	if d.last() != s && !o.has('r') {
		c.warn("cannot rollback to '%s': more recent snapshots or bookmarks exist\nuse '-r' to force deletion of the following snapshots and bookmarks:", args[0])
		for _, newer := range d.snaps {
			if newer.txg > s.txg {
				c.warn("%s", newer.full())
			}
		}
		return 1
	}
	for d.last() != s {
		if err := d.last().mayGo(); err != "" {
			return c.fail("%s", err)
		}
		d.last().remove()
	}
	if err := d.revert(s); err != nil {
		return c.fail("cannot rollback '%s': %v", d.name, err)
	}
	return 0
}

// revert gives the dataset the state of a snapshot again. Who has the device open keeps it, and sees the old bytes come back.
func (d *dataset) revert(s *snapshot) error {
	if !d.volume {
		return nil
	}
	back, err := s.content.copyTo(d.pool.newFile())
	if err != nil {
		return err
	}
	d.live.drop()
	d.live, d.volsize = back, s.volsize
	d.guard()
	d.pool.tick()
	return nil
}

func (c *call) clone(o options, args []string) int {
	if len(args) != 2 {
		return c.misused(verbs()["clone"], "missing source dataset argument")
	}
	s, p := c.host.findSnapshot(args[0]), c.host.poolOf(args[1])
	if s == nil {
		return c.fail("cannot open '%s': dataset does not exist", args[0])
	}
	i := strings.LastIndex(args[1], "/")
	if p != s.of.pool || i < 0 {
		return c.fail("cannot create '%s': source and target pools differ", args[1])
	}
	if o.has('p') && p.sets[args[1][:i]] == nil {
		p.makeParents(args[1][:i])
	}
	switch {
	case p.sets[args[1][:i]] == nil:
		return c.fail("cannot create '%s': parent does not exist", args[1])
	case p.sets[args[1]] != nil:
		return c.fail("cannot create '%s': dataset already exists", args[1])
	}
	d := p.add(args[1], s.of.volume)
	d.origin, d.volsize, d.blocksize, d.key = s, s.volsize, s.of.blocksize, s.of.key
	if s.of.volume {
		live, err := s.content.copyTo(p.newFile())
		if err != nil {
			delete(p.sets, d.name)
			return c.fail("cannot create '%s': %v", args[1], err)
		}
		d.live = live
	}
	var pairs []string
	for _, opt := range o {
		if opt.name == 'o' {
			pairs = append(pairs, opt.value)
		}
	}
	if err := (object{d: d}).assign(pairs); err != nil {
		d.live.drop()
		delete(p.sets, d.name)
		return c.fail("cannot create '%s': %v", args[1], err)
	}
	return 0
}

func (c *call) rename(_ options, args []string) int {
	if len(args) != 2 {
		return c.misused(verbs()["rename"], "missing target dataset argument")
	}
	from, to := args[0], args[1]
	if s := c.host.findSnapshot(from); s != nil {
		_, name, ok := strings.Cut(to, "@")
		if !ok || s.of.snapshot(name) != nil {
			return c.fail("cannot rename to '%s': dataset already exists", to)
		}
		s.name = name
		return 0
	}
	d := c.host.find(from)
	if d == nil {
		return c.fail("cannot open '%s': dataset does not exist", from)
	}
	i := strings.LastIndex(to, "/")
	switch {
	case c.host.poolOf(to) != d.pool || i < 0:
		return c.fail("cannot rename to '%s': datasets must be within same pool", to)
	case d.pool.sets[to] != nil:
		return c.fail("cannot rename '%s': dataset already exists", from)
	case d.pool.sets[to[:i]] == nil:
		return c.fail("cannot rename '%s': parent does not exist", from)
	}
	for _, each := range d.below() {
		delete(d.pool.sets, each.name)
		each.name = to + strings.TrimPrefix(each.name, from)
		d.pool.sets[each.name] = each
	}
	return 0
}

func (c *call) bookmark(_ options, args []string) int {
	if len(args) != 2 {
		return c.misused(verbs()["bookmark"], "missing bookmark argument")
	}
	o, ok := c.host.object(args[0])
	_, name, marked := strings.Cut(args[1], "#")
	if !ok || o.s == nil && o.b == nil {
		return c.fail("cannot create bookmark '%s': dataset does not exist", args[1])
	}
	if _, there := c.host.object(o.d.name + "#" + name); there || !marked {
		return c.fail("cannot create bookmark '%s': bookmark exists", args[1])
	}
	b := &bookmark{name: name}
	if o.s != nil {
		b.guid, b.txg, b.created = o.s.guid, o.s.txg, o.s.created
	} else {
		b.guid, b.txg, b.created = o.b.guid, o.b.txg, o.b.created
	}
	o.d.marks = append(o.d.marks, b)
	return 0
}
