package zhost

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"
)

// devices are the nodes under dev and the links under dev/zvol: regular files that are hard links to the backing files, so
// that who has one open keeps it, and symbolic links as udev makes them.
type devices struct {
	host  *Host
	links map[string]node // by dataset or snapshot name
	late  time.Duration   // how long udev takes
	left  int             // for so many links; below 0: for all
	lost  bool            // udev makes no links any more
}

type node struct {
	minor  int
	file   string // backing file
	linked bool
}

func (v *devices) init(h *Host) { v.host, v.links = h, map[string]node{} }

// Device is the path of a zvol's or snapshot's device on this machine.
func (h *Host) Device(name string) string { return filepath.Join(h.dir, "dev/zvol", name) }

func (v *devices) nodePath(minor int) string {
	return filepath.Join(v.host.dir, "dev", "zd"+strconv.Itoa(minor))
}

// wanted is what has a device now: zvols whose volmode is not none, and with snapdev=visible their snapshots.
func (v *devices) wanted() map[string]string {
	want := map[string]string{}
	for _, p := range v.host.pools {
		for _, d := range p.sets {
			if !d.volume || d.inconsistent || d.native("volmode") == "none" && !d.stuck || d.key != nil && !d.key.loaded {
				continue
			}
			want[d.name] = d.live.file
			if d.native("snapdev") != "visible" {
				continue
			}
			for _, s := range d.snaps {
				want[s.full()] = s.content.file
			}
		}
	}
	return want
}

// settle makes the nodes and links what the datasets ask for. Links of new nodes come late when udev is slow.
func (v *devices) settle() {
	want := v.wanted()
	for name, have := range v.links {
		if want[name] != have.file {
			v.remove(name, have)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		file := want[name]
		if _, ok := v.links[name]; ok {
			continue
		}
		n := node{minor: v.free(), file: file}
		_ = os.Remove(v.nodePath(n.minor))
		if err := os.Link(file, v.nodePath(n.minor)); err != nil {
			continue // the next settle tries again
		}
		v.links[name] = n
		if v.late == 0 || v.left == 0 {
			v.link(name)
			continue
		}
		v.left--
		time.AfterFunc(v.late, func() {
			v.host.mu.Lock()
			defer v.host.mu.Unlock()
			if v.links[name].minor == n.minor && v.links[name].file == n.file && !v.host.closed {
				v.link(name)
			}
		})
	}
}

// free is the lowest minor that no device has.
func (v *devices) free() int {
	taken := map[int]bool{}
	for _, n := range v.links {
		taken[n.minor] = true
	}
	minor := 0
	for taken[minor] {
		minor += 16
	}
	return minor
}

// await waits until udev has made the links it is going to make.
func (v *devices) await() {
	for range 1000 {
		v.host.mu.Lock()
		missing := false
		for _, n := range v.links {
			missing = missing || !n.linked && !v.lost
		}
		v.host.mu.Unlock()
		if !missing {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (v *devices) link(name string) {
	n := v.links[name]
	if v.lost {
		return
	}
	path := v.host.Device(name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return
	}
	rel, err := filepath.Rel(filepath.Dir(path), v.nodePath(n.minor))
	if err != nil {
		return
	}
	_ = os.Remove(path)
	n.linked = os.Symlink(rel, path) == nil
	v.links[name] = n
}

func (v *devices) remove(name string, n node) {
	delete(v.links, name)
	path := v.host.Device(name)
	if n.linked {
		_ = os.Remove(path)
	}
	_ = os.Remove(v.nodePath(n.minor))
	for dir := filepath.Dir(path); dir != filepath.Join(v.host.dir, "dev/zvol"); dir = filepath.Dir(dir) {
		if os.Remove(dir) != nil {
			return // not empty
		}
	}
}
