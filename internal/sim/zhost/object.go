package zhost

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// object is what zfs get and zfs list show in one line: a dataset, one of its snapshots or bookmarks.
type object struct {
	d *dataset
	s *snapshot
	b *bookmark
}

func (o object) name() string {
	switch {
	case o.s != nil:
		return o.s.full()
	case o.b != nil:
		return o.d.name + "#" + o.b.name
	}
	return o.d.name
}

func (o object) kind() string {
	switch {
	case o.s != nil:
		return "s"
	case o.b != nil:
		return "b"
	}
	return o.d.kind()
}

var kindNames = map[string]string{"f": "filesystem", "v": "volume", "s": "snapshot", "b": "bookmark"}

// value is a property as zfs get -p shows it, and its source. A property that the object does not have is "-".
func (o object) value(name string) (value, source string) {
	if base, after, ok := strings.Cut(name, "@"); ok && base == "written" {
		return o.writtenSince(after), "-"
	}
	n := nativeOf(name)
	if n == nil {
		return o.user(name)
	}
	if !strings.Contains(n.kinds, o.kind()) {
		return "-", "-"
	}
	if value, source, ok := o.stored(n); ok {
		return value, source
	}
	if o.b != nil {
		return o.bookmarkValue(n.name), "-"
	}
	if o.s != nil {
		return o.snapshotValue(n.name), "-"
	}
	return o.d.computed(n.name), "-"
}

// stored answers for the properties that somebody can set.
func (o object) stored(n *native) (value, source string, ok bool) {
	switch {
	case n.name == "volsize":
		size := o.d.volsize
		if o.s != nil {
			size = o.s.volsize
		}
		if o.d.inconsistent {
			return "0", "default", true
		}
		return strconv.FormatInt(size, 10), "local", true
	case n.name == "volblocksize" && o.d.inconsistent:
		return strconv.FormatInt(o.d.pool.host.defaultBlock(), 10), "default", true
	case n.name == "volblocksize":
		if o.d.blocksize == o.d.pool.host.defaultBlock() {
			return strconv.FormatInt(o.d.blocksize, 10), "default", true
		}
		return strconv.FormatInt(o.d.blocksize, 10), "-", true
	case n.name == "encryption", n.name == "keyformat", n.name == "keylocation":
		if o.d.key == nil {
			return n.def, "default", true
		}
		if n.name == "keylocation" && o.d.key.root != o.d {
			return n.def, "default", true
		}
		if n.name == "keylocation" {
			return o.d.key.location, "local", true
		}
		return map[string]string{"encryption": o.d.key.cipher, "keyformat": o.d.key.format}[n.name], "-", true
	case n.name == "mountpoint":
		value, source := o.d.lookup("mountpoint")
		if value == "" {
			return "/" + o.d.name, "default", true
		}
		return value, source, true
	case n.def == "":
		return "", "", false
	}
	value, source = o.d.lookup(n.name)
	return value, source, true
}

// user is a user property; snapshots inherit those of their dataset.
func (o object) user(name string) (value, source string) {
	if o.b != nil {
		return "-", "-"
	}
	if o.s == nil {
		return o.d.lookup(name)
	}
	if value, ok := o.s.local[name]; ok {
		return value, "local"
	}
	if value, ok := o.s.of.receivedOf(o.s, name); ok {
		return value, "received"
	}
	value, source = o.d.lookup(name)
	if source == "local" || source == "received" {
		source = "inherited from " + o.d.name
	}
	return value, source
}

// receivedOf is a user property that a stream brought for a snapshot.
func (d *dataset) receivedOf(s *snapshot, name string) (string, bool) {
	value, ok := d.received["@"+s.name+"@"+name]
	return value, ok
}

func (o object) writtenSince(after string) string {
	_, after, _ = strings.Cut("@"+after, "@")
	if i := strings.LastIndex(after, "@"); i >= 0 {
		after = after[i+1:]
	}
	base := o.d.snapshot(after)
	if base == nil {
		return "-"
	}
	if o.s != nil {
		return strconv.FormatInt(written(o.d.pool, o.s.content, base.txg), 10)
	}
	return strconv.FormatInt(o.d.written(base.txg), 10)
}

func epoch(t time.Time) string { return strconv.FormatInt(t.Unix(), 10) }

func (o object) bookmarkValue(name string) string {
	switch name {
	case "type":
		return "bookmark"
	case "creation":
		return epoch(o.b.created)
	case "createtxg":
		return strconv.FormatUint(o.b.txg, 10)
	case "guid":
		return strconv.FormatUint(o.b.guid, 10)
	}
	return "-"
}

func (o object) snapshotValue(name string) string {
	s, p := o.s, o.d.pool
	switch name {
	case "type":
		return "snapshot"
	case "creation":
		return epoch(s.created)
	case "createtxg":
		return strconv.FormatUint(s.txg, 10)
	case "guid":
		return strconv.FormatUint(s.guid, 10)
	case "used":
		return strconv.FormatInt(o.d.usedBySnapshot(s), 10)
	case "written":
		before := uint64(0)
		for _, have := range o.d.snaps {
			if have != s && have.txg < s.txg {
				before = have.txg
			}
		}
		if s.content == nil {
			return "0"
		}
		return strconv.FormatInt(written(p, s.content, before), 10)
	case "defer_destroy":
		return map[bool]string{true: "on", false: "off"}[s.defers]
	case "userrefs":
		return strconv.Itoa(len(s.holds))
	case "clones":
		var names []string
		for _, c := range s.clones() {
			names = append(names, c.name)
		}
		return orDash(strings.Join(names, ","))
	case "objsetid":
		return strconv.Itoa(o.d.objset + 1)
	}
	if s.content == nil {
		return o.d.computed(name)
	}
	switch name {
	case "referenced":
		return strconv.FormatInt(referenced(p, s.content), 10)
	case "logicalreferenced":
		return strconv.FormatInt(logical(p, s.content), 10)
	}
	return o.d.computed(name)
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

// computed answers for the properties that nobody can set.
func (d *dataset) computed(name string) string {
	number := func(n int64) string { return strconv.FormatInt(n, 10) }
	switch name {
	case "type":
		return kindNames[d.kind()]
	case "creation":
		return epoch(d.created)
	case "used":
		return number(d.used())
	case "available":
		return number(d.available())
	case "referenced", "usedbydataset":
		if name == "usedbydataset" {
			return number(d.own())
		}
		return number(d.referenced())
	case "compressratio", "refcompressratio":
		return fmt.Sprintf("%.2f", d.ratio())
	case "mounted":
		return "no"
	case "origin":
		if d.origin == nil {
			return "-"
		}
		return d.origin.full()
	case "createtxg":
		return strconv.FormatUint(d.txg, 10)
	case "guid":
		return strconv.FormatUint(d.guid, 10)
	case "usedbysnapshots":
		return number(d.usedBySnapshots())
	case "usedbychildren":
		return number(d.usedByChildren())
	case "usedbyrefreservation":
		return number(d.usedByReservation())
	case "objsetid":
		return strconv.Itoa(d.objset)
	case "written":
		if s := d.last(); s != nil {
			return number(d.written(s.txg))
		}
		return number(d.referenced())
	case "logicalused":
		return number(d.logicalUsed())
	case "logicalreferenced":
		return number(d.logical())
	}
	return d.state(name)
}

// state answers for what a receive or a key made of the dataset.
func (d *dataset) state(name string) string {
	switch name {
	case "encryptionroot":
		if d.key != nil {
			return d.key.root.name
		}
	case "keystatus":
		if d.key != nil {
			return map[bool]string{true: "available", false: "unavailable"}[d.key.loaded]
		}
	case "receive_resume_token":
		if d.partial != nil && d.partial.resumable {
			return d.partial.token()
		}
	case "inconsistent":
		if d.inconsistent {
			return "1"
		}
	}
	return "-"
}

// ratio is how much compression saves.
func (d *dataset) ratio() float64 {
	if d.live == nil {
		return 1
	}
	var bytes, stored int64
	for _, b := range d.live.blocks {
		if !b.hole() {
			bytes += d.live.blocksize
			stored += int64(b.psize)
		}
	}
	if stored == 0 {
		return 1
	}
	return float64(bytes) / float64(stored)
}
