package zhost

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// Guest is a virtual machine on the host: a process that has its zvols open while it runs, and writes to them.
type Guest struct {
	Name    string
	Disks   []string // zvols
	Systemd string   // unit
	QMP     string   // socket
	Libvirt string   // domain
	VMID    int
	Deaf    bool          // does not react to being asked to shut down
	Slow    time.Duration // how long it takes to shut down
	Writes  int64         // bytes it writes each time
	Every   time.Duration
	NoStop  bool    // its unit has no ExecStop that asks the guest
	Trim    float64 // share of its disks that it no longer uses
	NoAgent bool
	Late    time.Duration // until its agent answers

	host   *Host
	up     atomic.Bool
	files  []*os.File
	last   atomic.Pointer[[]string] // backing files of its disks as it last had them; nil: it never ran
	cmd    *exec.Cmd
	stop   chan struct{}
	ended  chan struct{}
	random *rand.Rand
	starts int
	since  time.Time
	onboot bool
	lost   bool // it ran when the host lost power
	locked bool // PVE's protection
	socket io.Closer
}

// qemu is the name of a guest's process.
const qemu = "qemu-system-x86_64"

// Running tells whether the guest runs.
func (g *Guest) Running() bool { return g.up.Load() }

// Guest finds a guest by its name.
func (h *Host) Guest(name string) *Guest {
	for _, g := range h.guests {
		if g.Name == name {
			return g
		}
	}
	return nil
}

// has tells whether the guest runs on a zvol.
func (g *Guest) has(zvol string) bool {
	return g.up.Load() && contains(g.Disks, zvol)
}

// start boots the guest, or says why its QEMU does not start.
func (g *Guest) start() error {
	if g.up.Load() {
		return nil
	}
	var files []*os.File
	var names []string
	abandon := func(path, why string) error {
		for _, f := range files {
			_ = f.Close() // nothing was written
		}
		return fmt.Errorf("%s: -drive file=%s: Could not open '%s': %s", qemu, path, path, why)
	}
	for _, name := range g.Disks {
		path, d := "/dev/zvol/"+name, g.host.find(name)
		if d == nil || !g.host.devices.links[name].linked {
			return abandon(path, "No such file or directory")
		}
		if d.fenced() {
			return abandon(path, "Read-only file system")
		}
		f, err := os.OpenFile(g.host.Device(name), os.O_RDWR, 0)
		if err != nil {
			return abandon(path, err.Error())
		}
		files, names = append(files, f), append(names, d.live.file)
	}
	g.starts++
	if g.host.booted != nil {
		g.host.booted(g, names)
	}
	if err := g.launch(files); err != nil {
		return abandon(g.Name, err.Error())
	}
	g.last.Store(&names)
	g.files, g.stop, g.ended, g.since = files, make(chan struct{}), make(chan struct{}), time.Now()
	g.random = rand.New(rand.NewSource(seedOf(g.Name) + int64(g.starts)))
	g.up.Store(true)
	go g.live(g.cmd, g.stop, g.ended)
	return g.serveQMP()
}

// launch starts the process that has the disks open; what it is killed with kills the guest.
func (g *Guest) launch(files []*os.File) error {
	cmd := exec.Command(filepath.Join(g.host.dir, "bin", qemu), "-name", g.Name)
	cmd.Env = []string{socketVar + "=" + filepath.Join(g.host.dir, "stub")}
	cmd.ExtraFiles = files
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	g.cmd = cmd
	return nil
}

// live writes from time to time until the guest is stopped or its process ends.
func (g *Guest) live(cmd *exec.Cmd, stop, ended chan struct{}) {
	defer close(ended)
	died := make(chan struct{})
	go func() {
		_ = cmd.Wait() // how it ended is nobody's concern
		close(died)
	}()
	every := g.Every
	if g.Writes <= 0 || every <= 0 {
		every = time.Hour
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			<-died
			return
		case <-died:
			g.host.mu.Lock()
			g.halt(false)
			g.host.mu.Unlock()
			return
		case <-tick.C:
			g.host.mu.Lock()
			g.write()
			g.host.mu.Unlock()
		}
	}
}

// write writes once to a disk, somewhere in its first half. A fence that has taken hold refuses it.
func (g *Guest) write() {
	if !g.up.Load() || g.Writes <= 0 {
		return
	}
	i := g.random.Intn(len(g.files))
	d := g.host.find(g.Disks[i])
	if d == nil || d.ro || g.host.has("2.2") && d.native("readonly") == "on" {
		return
	}
	data := make([]byte, g.Writes)
	_, _ = g.random.Read(data) // never fails
	at := g.random.Int63n(max(1, (d.volsize/2-g.Writes)/sector)) * sector
	_, _ = g.files[i].WriteAt(data, at) // a guest that cannot write has its own troubles
}

// halt ends the guest, after a last write as file systems make when they are unmounted.
func (g *Guest) halt(graceful bool) {
	if !g.up.Load() {
		return
	}
	if graceful {
		g.write()
	}
	g.up.Store(false)
	close(g.stop)
	_ = g.cmd.Process.Kill() // it may have ended by itself
	for _, f := range g.files {
		_ = f.Close() // what it wrote is in the page cache
	}
	g.files = nil
	if g.socket != nil {
		_ = g.socket.Close() // goes with the guest
		g.socket = nil
	}
}

// errDeaf is that a guest did not react.
var errDeaf = errors.New("the guest does not react")

// powerdown asks the guest to shut down; it does so in its own time, or never.
func (g *Guest) powerdown() error {
	if g.Deaf {
		return errDeaf
	}
	if g.Slow == 0 {
		g.halt(true)
		return nil
	}
	time.AfterFunc(g.Slow, func() {
		g.host.mu.Lock()
		defer g.host.mu.Unlock()
		g.halt(true)
	})
	return nil
}

// wait waits until the guest has ended, or not longer than a time. The host is not locked.
func (g *Guest) wait(long time.Duration) bool {
	g.host.mu.Lock()
	ended := g.ended
	g.host.mu.Unlock()
	if ended == nil {
		return true
	}
	select {
	case <-ended:
		return true
	case <-time.After(long):
		return false
	}
}

// readGuest reads the words of a guest line.
func (h *Host) readGuest(words []string) error {
	g := &Guest{Name: words[0], host: h, Every: 100 * time.Millisecond, onboot: true}
	runs := false
	texts := map[string]*string{"systemd": &g.Systemd, "qmp": &g.QMP, "libvirt": &g.Libvirt}
	spans := map[string]*time.Duration{"slow": &g.Slow, "every": &g.Every, "agent-after": &g.Late}
	flags := map[string]*bool{"running": &runs, "deaf": &g.Deaf, "hard": &g.NoStop, "no-agent": &g.NoAgent, "protected": &g.locked}
	for _, word := range words[1:] {
		key, value, valued := strings.Cut(word, "=")
		var err error
		switch {
		case texts[key] != nil:
			*texts[key] = value
		case spans[key] != nil:
			*spans[key], err = time.ParseDuration(value)
		case flags[key] != nil && !valued:
			*flags[key] = true
		case key == "disks":
			g.Disks = strings.Split(value, ",")
		case word == "no-onboot":
			g.onboot = false
		case key == "vmid":
			g.VMID, err = strconv.Atoi(value)
		case key == "writes":
			g.Writes, err = parseSize(value)
		case key == "trim":
			g.Trim, err = strconv.ParseFloat(strings.TrimSuffix(value, "%"), 64)
			g.Trim /= 100
		default:
			err = errors.New("unknown word; known are disks=, systemd=, qmp=, libvirt=, vmid=, running, deaf, hard, no-agent, no-onboot, protected, slow=, every=, agent-after=, writes=, trim=")
		}
		if err != nil {
			return fmt.Errorf("guest %s: %s: %w", g.Name, word, err)
		}
	}
	for _, name := range g.Disks {
		if h.find(name) == nil {
			return fmt.Errorf("guest %s: there is no zvol %s", g.Name, name)
		}
	}
	h.guests = append(h.guests, g)
	if !runs {
		return nil
	}
	h.devices.settle()
	return g.start()
}

// samePrefix tells whether a file begins with all the bytes of another one.
func samePrefix(short, long string) (bool, error) {
	a, err := os.Open(short)
	if err != nil {
		return false, err
	}
	defer a.Close()
	b, err := os.Open(long)
	if err != nil {
		return false, err
	}
	defer b.Close()
	one, two := make([]byte, 1<<20), make([]byte, 1<<20)
	for {
		n, err := io.ReadFull(a, one)
		if errors.Is(err, io.EOF) {
			return true, nil
		}
		if m, _ := io.ReadFull(b, two[:n]); m < n || !bytes.Equal(one[:n], two[:n]) {
			return false, nil
		}
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return true, nil
		}
		if err != nil {
			return false, err
		}
	}
}
