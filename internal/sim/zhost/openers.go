package zhost

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// identity is a file as the kernel knows it.
type identity struct{ dev, ino uint64 }

func identify(st os.FileInfo) (identity, bool) {
	sys, ok := st.Sys().(*syscall.Stat_t)
	if !ok {
		return identity{}, false
	}
	return identity{sys.Dev, sys.Ino}, true //nolint:unconvert // the types differ by architecture
}

// opener is one descriptor of a process that has a file open.
type opener struct {
	pid int
	fd  string // its path in /proc
	of  identity
}

// opened lists which processes of the host have files open, from /proc. Only what was started in one of its shells can.
func (h *Host) opened(wanted func(identity) bool) []opener {
	mark := []byte(socketVar + "=" + filepath.Join(h.dir, "stub") + "\x00")
	all, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var found []opener
	for _, entry := range all {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		dir := filepath.Join("/proc", entry.Name())
		if env, err := os.ReadFile(filepath.Join(dir, "environ")); err != nil || !bytes.Contains(env, mark) {
			continue
		}
		fds, err := os.ReadDir(filepath.Join(dir, "fd"))
		if err != nil {
			continue
		}
		for _, fd := range fds {
			path := filepath.Join(dir, "fd", fd.Name())
			st, err := os.Stat(path)
			if err != nil || !st.Mode().IsRegular() {
				continue
			}
			if id, ok := identify(st); ok && wanted(id) {
				found = append(found, opener{pid, path, id})
			}
		}
	}
	return found
}

// openers are the processes that have a file open.
func (h *Host) openers(file string) []int {
	st, err := os.Stat(file)
	if err != nil {
		return nil
	}
	want, ok := identify(st)
	if !ok {
		return nil
	}
	var pids []int
	for _, o := range h.opened(func(id identity) bool { return id == want }) {
		if len(pids) == 0 || pids[len(pids)-1] != o.pid {
			pids = append(pids, o.pid)
		}
	}
	return pids
}

// busy tells whether somebody has the zvol open.
func (d *dataset) busy() bool {
	for _, g := range d.pool.host.guests {
		if g.has(d.name) {
			return true
		}
	}
	return d.live != nil && len(d.pool.host.openers(d.live.file)) > 0
}

// fenced tells whether the kernel refuses to open the zvol for writing. Up to ZFS 2.1 readonly=on takes hold only when nobody
// has the zvol open.
func (d *dataset) fenced() bool {
	on := d.native("readonly") == "on"
	d.ro = on && (d.ro || d.pool.host.has("2.2") || !d.busy())
	return d.ro
}

// major is the major number of zvols in hex.
const major = "e6"

// deviceNumber is "MAJOR:MINOR" of a device in hex, as stat prints it.
func (h *Host) deviceNumber(file string) (string, bool) {
	st, err := os.Stat(file)
	if err != nil {
		return "", false
	}
	want, ok := identify(st)
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, n := range h.devices.links {
		if have, err := os.Stat(n.file); err == nil && ok {
			if id, _ := identify(have); id == want {
				return fmt.Sprintf("%s:%x", major, n.minor), true
			}
		}
	}
	return "", false
}

// stat tells the numbers of devices, which are regular files here; everything else is asked of the machine.
func (c *call) stat() int {
	if strings.Join(c.args[:min(3, len(c.args))], " ") != "-L -c %n %t:%T" {
		return c.machineProgram("/usr/bin/stat")
	}
	code := 0
	for _, path := range c.args[3:] {
		name := strings.TrimPrefix(path, c.host.dir)
		file, err := c.backing(path)
		if err != nil {
			code = c.fail("stat: cannot statx '%s': No such file or directory", name)
			continue
		}
		number, ok := c.host.deviceNumber(file)
		if !ok {
			number = "0:0"
		}
		c.say("%s %s\n", name, number)
	}
	return code
}

// find lists the descriptors that have block devices open, with their numbers; nothing else is known to it.
func (c *call) find() int {
	line := strings.Join(c.args, " ")
	if !strings.Contains(line, "-type b -exec stat -L -c %n %t:%T {} +") {
		return c.machineProgram("/usr/bin/find")
	}
	c.host.mu.Lock()
	minors := map[identity]int{}
	for _, n := range c.host.devices.links {
		if st, err := os.Stat(n.file); err == nil {
			if id, ok := identify(st); ok {
				minors[id] = n.minor
			}
		}
	}
	c.host.mu.Unlock()
	for _, o := range c.host.opened(func(id identity) bool { _, ok := minors[id]; return ok }) {
		c.say("%s %s:%x\n", o.fd, major, minors[o.of])
	}
	return 0
}

// zvolID prints the name of the zvol behind a device.
func (c *call) zvolID() int {
	if len(c.args) != 1 {
		return c.fail("Usage: zvol_id /dev/dsk-device-node")
	}
	file, err := c.backing(c.args[0])
	if err != nil {
		return c.fail("Unable to open device file: %s", c.args[0])
	}
	number, _ := c.host.deviceNumber(file)
	c.host.mu.Lock()
	defer c.host.mu.Unlock()
	for name, n := range c.host.devices.links {
		if fmt.Sprintf("%s:%x", major, n.minor) == number {
			c.say("%s\n", name)
			return 0
		}
	}
	return c.fail("ioctl_get_msg failed: Inappropriate ioctl for device")
}
