package zhost

import (
	"sort"
	"strings"
	"time"
)

// pool is one imported pool.
type pool struct {
	host     *Host
	name     string
	guid     uint64
	vdevs    []vdev
	disk     int64 // bytes of one disk
	ashift   uint
	health   string
	features map[string]string
	txg      uint64
	sets     map[string]*dataset // by full name
	full     bool                // a fault: nothing is left
	objset   int
}

// tick begins another transaction group and returns its number.
func (p *pool) tick() uint64 {
	p.txg++
	return p.txg
}

// raw is the size of the pool's disks as zpool shows it.
func (p *pool) raw() int64 {
	var n int64
	for _, v := range p.vdevs {
		n += v.size(p.disk)
	}
	return n
}

// room is what the datasets of the pool may hold altogether: all but the slop space.
func (p *pool) room() int64 {
	n := p.shown(p.raw())
	return n - min(max(n/32, 128<<20), 128<<30)
}

// allocated is what is taken from the disks, as zpool shows it.
func (p *pool) allocated() int64 {
	v := p.vdevs[0]
	return int64(float64(p.sets[p.name].used()) * float64(v.asize(1<<17, p.ashift)) / float64(1<<17))
}

// inOrder lists datasets by name.
func (p *pool) inOrder() []*dataset {
	all := make([]*dataset, 0, len(p.sets))
	for _, d := range p.sets {
		all = append(all, d)
	}
	sort.Slice(all, func(i, j int) bool { return nameLess(all[i].name, all[j].name) })
	return all
}

// nameLess orders names so that children follow their parent at once.
func nameLess(a, b string) bool {
	return strings.ReplaceAll(a, "/", "\x00") < strings.ReplaceAll(b, "/", "\x00")
}

// dataset is a file system or a zvol.
type dataset struct {
	pool         *pool
	name         string
	volume       bool
	guid         uint64
	txg          uint64 // createtxg
	created      time.Time
	objset       int
	local        map[string]string // set here
	received     map[string]string // brought by a stream with properties
	excluded     map[string]bool   // received, but inherited instead
	blocksize    int64             // volblocksize
	volsize      int64
	live         *content
	ro           bool        // readonly=on has taken hold of the device
	stuck        bool        // volmode=none was set while somebody had it open: the device stays until it is set again
	stirred      uint64      // transaction group in which the device was made anew and udev looked at it
	held         int64       // what a file system refers to besides its metadata
	snaps        []*snapshot // oldest first
	marks        []*bookmark
	origin       *snapshot
	partial      *partial // a receive that runs or was interrupted
	inconsistent bool     // a first receive is not complete
	key          *key     // nil: not encrypted
}

// snapshot is one snapshot of a dataset.
type snapshot struct {
	of      *dataset
	name    string
	guid    uint64
	txg     uint64
	created time.Time
	local   map[string]string
	volsize int64
	holds   []hold
	defers  bool // destroyed with -d: goes with its last hold
	content *content
	sending int // zfs send that run
}

type hold struct {
	tag string
	at  time.Time
}

// bookmark remembers when a snapshot was.
type bookmark struct {
	name    string
	guid    uint64
	txg     uint64
	created time.Time
}

// key is the encryption of a dataset, which those below it share that have none of their own.
type key struct {
	root     *dataset // the dataset that has it of its own
	cipher   string
	format   string
	location string
	loaded   bool
}

func (s *snapshot) full() string { return s.of.name + "@" + s.name }

func (d *dataset) parent() *dataset {
	i := strings.LastIndex(d.name, "/")
	if i < 0 {
		return nil
	}
	return d.pool.sets[d.name[:i]]
}

func (d *dataset) children() []*dataset {
	var all []*dataset
	for _, c := range d.pool.inOrder() {
		if rest, ok := strings.CutPrefix(c.name, d.name+"/"); ok && !strings.Contains(rest, "/") {
			all = append(all, c)
		}
	}
	return all
}

// below lists the dataset and everything under it, parents first.
func (d *dataset) below() []*dataset {
	all := []*dataset{d}
	for _, c := range d.children() {
		all = append(all, c.below()...)
	}
	return all
}

func (d *dataset) snapshot(name string) *snapshot {
	for _, s := range d.snaps {
		if s.name == name {
			return s
		}
	}
	return nil
}

func (d *dataset) last() *snapshot {
	if len(d.snaps) == 0 {
		return nil
	}
	return d.snaps[len(d.snaps)-1]
}

// clones lists the datasets that stand on a snapshot.
func (s *snapshot) clones() []*dataset {
	var all []*dataset
	for _, d := range s.of.pool.inOrder() {
		if d.origin == s {
			all = append(all, d)
		}
	}
	return all
}
