package zhost

import (
	"errors"
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Options say how a host runs.
type Options struct {
	Dir  string           // private directory; "" makes one, which Close removes
	Now  func() time.Time // its clock; nil: the machine's
	Seed int64            // makes guids and the guests' writes repeatable
	Stub string           // the program that stands for the host's commands; "": the one that runs (see IsStub)
}

// Host is one simulated machine. Its methods may be called from any goroutine.
type Host struct {
	Name    string
	Version string // of ZFS

	dir    string
	ours   bool // the directory goes with the host
	now    func() time.Time
	ahead  atomic.Int64 // nanoseconds by which somebody has set its clock forward
	random *rand.Rand

	mu      sync.Mutex
	pools   map[string]*pool
	guests  []*Guest
	booted  func(g *Guest, files []string) // told of every start
	units   map[string]bool                // masked systemd units
	devices devices
	faults  []*Fault
	running map[*job]bool
	log     []string          // command lines of zfs, zpool and the like, as they came
	lvm     map[string]string // lines that vgs, pvs and lvs print
	program string            // behind the commands
	machine string            // uname -m; "": the real one
	shell   string            // of the machine
	closed  bool
	off     bool
	door    *door
	stub    *stubServer
}

// New makes a host from its text (see the package comment) and its files.
func New(name, text string, o Options) (*Host, error) {
	h := &Host{
		Name: name, Version: "2.1.11-1+deb12u1", dir: o.Dir, now: o.Now, random: rand.New(rand.NewSource(o.Seed ^ seedOf(name))),
		pools: map[string]*pool{}, units: map[string]bool{}, running: map[*job]bool{}, lvm: map[string]string{}, shell: "/bin/sh", program: o.Stub,
	}
	right := h.now
	if right == nil {
		right = time.Now
	}
	h.now = func() time.Time { return right().Add(time.Duration(h.ahead.Load())) }
	if h.dir == "" {
		dir, err := os.MkdirTemp("", "zhost")
		if err != nil {
			return nil, err
		}
		h.dir, h.ours = dir, true
	}
	for _, sub := range []string{"objsets", "dev/zvol", "bin", "run/lock", "tmp", "root"} {
		if err := os.MkdirAll(filepath.Join(h.dir, sub), 0o700); err != nil {
			return nil, err
		}
	}
	h.devices.init(h)
	if err := h.serveStubs(); err != nil {
		return nil, err
	}
	h.mu.Lock()
	err := h.read(text)
	h.devices.settle()
	h.mu.Unlock()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("host %s: %w", name, err), h.Close())
	}
	return h, nil
}

func seedOf(name string) int64 {
	n := int64(1469598103934665603)
	for _, b := range []byte(name) {
		n = (n ^ int64(b)) * 1099511628211
	}
	return n
}

// Close ends everything that runs and removes the host's files.
func (h *Host) Close() error {
	h.mu.Lock()
	h.closed = true
	h.mu.Unlock()
	h.Off()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.stub != nil {
		h.stub.close()
	}
	if h.ours {
		return os.RemoveAll(h.dir)
	}
	return nil
}

// SetClock sets the host's clock forward, or back, against the one it began with.
func (h *Host) SetClock(ahead time.Duration) { h.ahead.Store(int64(ahead)) }

// Dir is the host's private directory.
func (h *Host) Dir() string { return h.dir }

// guid makes up a guid.
func (h *Host) guid() uint64 { return h.random.Uint64()>>1 | 1<<62 }

// pool finds the pool that a name begins with.
func (h *Host) poolOf(name string) *pool {
	first, _, _ := strings.Cut(name, "/")
	first, _, _ = strings.Cut(first, "@")
	first, _, _ = strings.Cut(first, "#")
	return h.pools[first]
}

func (h *Host) find(name string) *dataset {
	p := h.poolOf(name)
	if p == nil {
		return nil
	}
	return p.sets[name]
}

func (h *Host) findSnapshot(name string) *snapshot {
	base, snap, ok := strings.Cut(name, "@")
	if !ok {
		return nil
	}
	if d := h.find(base); d != nil {
		return d.snapshot(snap)
	}
	return nil
}

// object finds what a name means.
func (h *Host) object(name string) (object, bool) {
	if s := h.findSnapshot(name); s != nil {
		return object{d: s.of, s: s}, true
	}
	if base, mark, ok := strings.Cut(name, "#"); ok {
		if d := h.find(base); d != nil {
			for _, b := range d.marks {
				if b.name == mark {
					return object{d: d, b: b}, true
				}
			}
		}
		return object{}, false
	}
	d := h.find(name)
	return object{d: d}, d != nil
}

func (h *Host) poolNames() []string {
	var names []string
	for name := range h.pools {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

// newFile is the path of a new backing file.
func (p *pool) newFile() string {
	p.objset++
	return filepath.Join(p.host.dir, "objsets", fmt.Sprintf("%s-%d", p.name, p.objset))
}

// add puts a new dataset into the pool.
func (p *pool) add(name string, volume bool) *dataset {
	p.objset++
	d := &dataset{
		pool: p, name: name, volume: volume, guid: p.host.guid(), txg: p.tick(), created: p.host.now(), objset: 100 + p.objset,
		local: map[string]string{}, received: map[string]string{}, excluded: map[string]bool{},
	}
	p.sets[name] = d
	if up := d.parent(); up != nil {
		d.key = up.key
	}
	return d
}

// defaultBlock is the volblocksize that counts as the default one.
func (h *Host) defaultBlock() int64 {
	if strings.HasPrefix(h.Version, "0.") || strings.HasPrefix(h.Version, "2.0") || strings.HasPrefix(h.Version, "2.1") {
		return 8 << 10
	}
	return 16 << 10
}

// refresh looks at all zvols of the host.
func (h *Host) refresh() error {
	for _, p := range h.pools {
		for _, d := range p.sets {
			if err := d.refresh(); err != nil {
				return err
			}
		}
	}
	return nil
}
