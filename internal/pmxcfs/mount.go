// Package pmxcfs reads a PVE cluster's own file system on one of its nodes: which guests' configs moved, what is in them,
// and who holds the lease to act. It never writes a config: writes go through the API, which checks digests and rights.
package pmxcfs

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ustclug/pve-reconcile/reconciler/vm"
)

// Mount is the file system where it is mounted: /etc/pve.
type Mount struct {
	dir   string
	reads atomic.Int64

	mu    sync.Mutex
	at    time.Time // of list
	list  vmlist
	cache map[int]cached
}

// cached is a config that was read, and the version it had.
type cached struct {
	entry entry
	have  vm.Observed
}

// vmlist is the file .vmlist.
type vmlist struct {
	Version int64            `json:"version"`
	IDs     map[string]entry `json:"ids"`
}

// entry is one guest in .vmlist.
type entry struct {
	Node    string `json:"node"`
	Type    string `json:"type"` // qemu or lxc
	Version int64  `json:"version"`
}

// versions is the file .version, as far as it matters here: counters by file.
type versions struct {
	Start      int64 `json:"starttime"`
	Storage    int64 `json:"storage.cfg"`
	Datacenter int64 `json:"datacenter.cfg"`
}

// At is the file system at a directory.
func At(dir string) *Mount { return &Mount{dir: dir, cache: map[int]cached{}} }

// Dir is where it is mounted.
func (m *Mount) Dir() string { return m.dir }

// Reads counts the files read so far.
func (m *Mount) Reads() int64 { return m.reads.Load() }

// Present tells whether a directory is such a file system.
func Present(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, ".vmlist"))
	return err == nil
}

// MayLock tells whether this process may take locks there, which is what root may.
func MayLock(dir string) bool {
	return unix.Access(filepath.Join(dir, "priv", "lock"), unix.W_OK) == nil
}

// Nodes lists the nodes that the file system knows.
func (m *Mount) Nodes() ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(m.dir, "nodes"))
	if err != nil {
		return nil, fmt.Errorf("pmxcfs: %w", err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out, nil
}

func (m *Mount) read(name string, into any) error {
	m.reads.Add(1)
	text, err := os.ReadFile(filepath.Join(m.dir, name))
	if err == nil {
		err = json.Unmarshal(text, into)
	}
	if err != nil {
		return fmt.Errorf("pmxcfs: %s: %w", filepath.Join(m.dir, name), err)
	}
	return nil
}

// guests is .vmlist, not older than a time.
func (m *Mount) guests(oldest time.Duration) (vmlist, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.at.IsZero() && time.Since(m.at) < oldest {
		return m.list, nil
	}
	began := time.Now()
	var l vmlist
	if err := m.read(".vmlist", &l); err != nil {
		return l, err
	}
	m.list, m.at = l, began
	return l, nil
}

// VM is a guest as its config file says; ok tells whether the files can say it. where is its row in the census: a run state
// is in no file, so that a guest that lives elsewhere than the census says has to be asked for.
func (m *Mount) VM(vmid int, where *vm.Guest) (o vm.Observed, ok bool) {
	list, err := m.guests(time.Second)
	if err != nil {
		return o, false
	}
	e, listed := list.IDs[strconv.Itoa(vmid)]
	switch {
	case !listed && where == nil:
		return vm.Observed{}, true
	case !listed || where == nil || where.Node != e.Node || where.Status != "running" && where.Status != "stopped":
		return o, false
	case e.Type != "qemu":
		return vm.Observed{Container: true, Node: e.Node}, true
	}
	m.mu.Lock()
	known, seen := m.cache[vmid]
	m.mu.Unlock()
	if !seen || known.entry != e {
		m.reads.Add(1)
		text, err := os.ReadFile(filepath.Join(m.dir, "nodes", e.Node, "qemu-server", strconv.Itoa(vmid)+".conf"))
		if err != nil {
			return o, false // on its way elsewhere
		}
		known = cached{e, Parse(text)}
		m.mu.Lock()
		m.cache[vmid] = known
		m.mu.Unlock()
	}
	o = known.have
	o.Running, o.Pending = maps.Clone(o.Running), maps.Clone(o.Pending)
	o.Node, o.Status = e.Node, where.Status
	return o, true
}

// Moves is what changed since somebody looked last.
type Moves struct {
	Guests      []int // vmids, in order
	Definitions bool  // storages or options of the datacenter
}

// Watcher tells what moves. The first look tells nothing.
type Watcher struct {
	m       *Mount
	version versions
	list    vmlist
	looked  bool
}

// Watch begins to watch.
func (m *Mount) Watch() *Watcher { return &Watcher{m: m} }

// Look reads the two lists of versions. When pmxcfs was started anew in between, everything counts as moved.
func (w *Watcher) Look() (Moves, error) {
	var v versions
	if err := w.m.read(".version", &v); err != nil {
		return Moves{}, err
	}
	list, err := w.m.guests(0)
	if err != nil {
		return Moves{}, err
	}
	var out Moves
	if anew := w.looked && v.Start != w.version.Start; anew {
		w.m.forget()
		w.list = vmlist{}
		out.Definitions = true
	}
	if w.looked {
		out.Definitions = out.Definitions || v.Storage != w.version.Storage || v.Datacenter != w.version.Datacenter
		out.Guests = moved(w.list.IDs, list.IDs)
	}
	w.version, w.list, w.looked = v, list, true
	w.m.prune(list)
	return out, nil
}

// moved lists the guests that came, went or changed.
func moved(before, now map[string]entry) []int {
	var out []int
	note := func(id string) {
		if vmid, err := strconv.Atoi(id); err == nil {
			out = append(out, vmid)
		}
	}
	for id, e := range now {
		if was, ok := before[id]; !ok || was != e {
			note(id)
		}
	}
	for id := range before {
		if _, ok := now[id]; !ok {
			note(id)
		}
	}
	slices.Sort(out)
	return out
}

// forget drops what was read: versions say nothing any more.
func (m *Mount) forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.cache)
}

// prune drops guests that are gone.
func (m *Mount) prune(l vmlist) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for vmid := range m.cache {
		if _, ok := l.IDs[strconv.Itoa(vmid)]; !ok {
			delete(m.cache, vmid)
		}
	}
}

// missing tells whether an error says that a file is not there.
func missing(err error) bool { return errors.Is(err, fs.ErrNotExist) }
