package zhost

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// assign sets "name=value" pairs, all of them or none.
func (o object) assign(pairs []string) error {
	values := map[string]string{}
	for _, pair := range pairs {
		name, value, _ := strings.Cut(pair, "=")
		if n := nativeOf(name); n != nil {
			name = n.name
			if o.s != nil {
				return fmt.Errorf("this property can not be modified for snapshots")
			}
		}
		value, err := setting(o.d, name, value)
		if err != nil {
			return err
		}
		values[name] = value
	}
	o.d.pool.tick()
	for name, value := range values {
		switch {
		case o.s != nil:
			o.s.local[name] = value
		case name == "volsize":
			bytes, err := strconv.ParseInt(value, 10, 64)
			if err != nil {
				return err
			}
			if err := o.d.resize(bytes); err != nil {
				return err
			}
		default:
			o.d.local[name] = value
			o.d.guard()
			if name == "volmode" {
				o.d.stuck = value == "none" && o.d.busy()
			}
		}
	}
	return nil
}

// guard keeps a read-only zvol's file from being opened for writing by whom file modes can keep from it.
func (d *dataset) guard() {
	for _, at := range d.below() {
		if at.live == nil {
			continue
		}
		mode := os.FileMode(0o600)
		at.fenced()
		if at.native("readonly") == "on" {
			mode = 0o400
		}
		_ = os.Chmod(at.live.file, mode) // root is not kept from it anyway
	}
}

func (d *dataset) resize(bytes int64) error {
	if grow := bytes - d.volsize; d.number("refreservation") > 0 && grow > d.available() {
		return fmt.Errorf("size is greater than available space")
	}
	if d.number("refreservation") > 0 {
		d.local["refreservation"] = strconv.FormatInt(d.pool.reservation(bytes, d.blocksize), 10)
	}
	d.volsize = bytes
	return d.live.resize(bytes)
}

const (
	warnSmall = "Warning: volblocksize (%d) is less than the default minimum block size (%d).\n" +
		"To reduce wasted space a volblocksize of 16384 is recommended."
	warnWaste = "Warning: volblocksize (%d) is much less than the minimum allocation\n" +
		"unit (16384), which wastes at least 50%% of space. To reduce wasted space,\n" +
		"use a larger volblocksize (16384 is recommended), fewer dRAID data disks\n" +
		"per group, or smaller sector size (ashift)."
)

// wish is what create is asked for.
type wish struct {
	name      string
	volsize   int64
	blocksize int64
	sparse    bool
	key       *key
	pairs     []string
}

func (c *call) wish(o options, name string) (w wish, err error) {
	w = wish{name: name, sparse: o.has('s'), blocksize: 16 << 10}
	block := o.last('b')
	for _, opt := range o {
		if opt.name != 'o' {
			continue
		}
		prop, value, ok := strings.Cut(opt.value, "=")
		switch {
		case !ok:
			return w, fmt.Errorf("missing '=' for property=value argument")
		case prop == "volblocksize":
			block = value
		case prop == "encryption" || prop == "keyformat" || prop == "keylocation":
			w.encrypt(prop, value)
		default:
			w.pairs = append(w.pairs, opt.value)
		}
	}
	if block != "" {
		w.blocksize, err = parseSize(block)
		if err != nil || w.blocksize < 512 || w.blocksize > 1<<20 || w.blocksize&(w.blocksize-1) != 0 {
			return w, fmt.Errorf("'volblocksize' must be power of 2 from 512B to 1M")
		}
	}
	if o.has('V') {
		if w.volsize, err = parseSize(o.last('V')); err != nil || w.volsize == 0 {
			return w, fmt.Errorf("bad volume size '%s': %s", o.last('V'), "not a size")
		}
		w.volsize = (w.volsize + w.blocksize - 1) / w.blocksize * w.blocksize
	}
	return w, nil
}

func (w *wish) encrypt(prop, value string) {
	if w.key == nil {
		w.key = &key{cipher: "aes-256-gcm", format: "none", location: "prompt", loaded: true}
	}
	switch {
	case prop == "keyformat":
		w.key.format = value
	case prop == "keylocation":
		w.key.location = value
	case value == "off":
		w.key = nil
	case value != "on":
		w.key.cipher = value
	}
}

func (c *call) create(o options, args []string) int {
	if len(args) != 1 {
		return c.misused(verbs()["create"], "missing %s argument", map[bool]string{true: "volume", false: "filesystem"}[o.has('V')])
	}
	w, err := c.wish(o, args[0])
	if err != nil {
		return c.fail("cannot create '%s': %v", args[0], err)
	}
	p := c.host.poolOf(w.name)
	if p == nil {
		return c.fail("cannot open '%s': no such pool", strings.Split(w.name, "/")[0])
	}
	if p.sets[w.name] != nil {
		if o.has('p') {
			return 0
		}
		return c.fail("cannot create '%s': dataset already exists", w.name)
	}
	up := w.name[:strings.LastIndex(w.name, "/")]
	if p.sets[up] == nil && o.has('p') {
		p.makeParents(up)
	}
	if p.sets[up] == nil {
		return c.fail("cannot create '%s': parent does not exist", w.name)
	}
	if p.sets[up].volume {
		return c.fail("cannot create '%s': parent is not a filesystem", w.name)
	}
	if w.volsize > 0 && p.vdevs[0].parity > 0 {
		least := c.host.defaultBlock()
		switch {
		case w.blocksize < least:
			c.warn(warnSmall, w.blocksize, least)
		case w.blocksize < 16<<10:
			c.warn(warnWaste, w.blocksize)
		}
	}
	if err := p.build(w); err != nil {
		return c.fail("cannot create '%s': %v", w.name, err)
	}
	return 0
}

func (p *pool) makeParents(name string) {
	parts := strings.Split(name, "/")
	for i := 1; i <= len(parts); i++ {
		if up := strings.Join(parts[:i], "/"); p.sets[up] == nil {
			p.add(up, false)
		}
	}
}

// build makes the dataset, or nothing.
func (p *pool) build(w wish) error {
	up := p.sets[w.name[:strings.LastIndex(w.name, "/")]]
	reserve := int64(0)
	if w.volsize > 0 && !w.sparse {
		reserve = p.reservation(w.volsize, w.blocksize)
	}
	if free := up.available(); reserve > free || free < p.unit()*7 {
		return fmt.Errorf("out of space")
	}
	d := p.add(w.name, w.volsize > 0)
	if w.key != nil {
		d.key, w.key.root = w.key, d
	}
	if w.volsize > 0 {
		d.volsize, d.blocksize = w.volsize, w.blocksize
		live, err := newContent(p.newFile(), w.volsize, w.blocksize)
		if err != nil {
			delete(p.sets, w.name)
			return err
		}
		d.live = live
		if reserve > 0 {
			d.local["refreservation"] = strconv.FormatInt(reserve, 10)
		}
	}
	if err := (object{d: d}).assign(w.pairs); err != nil {
		d.live.drop()
		delete(p.sets, w.name)
		return err
	}
	return nil
}
