package zhost

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// programs are the commands that a host answers itself; everything else is the machine's.
var programs map[string]func(*call) int

func init() {
	programs = map[string]func(*call) int{
		"zfs": (*call).zfs, "zpool": (*call).zpool, "zvol_wait": (*call).zvolWait,
		"systemctl": (*call).systemctl, "virsh": (*call).virsh, "qm": (*call).qm,
		"blockdev": (*call).blockdev, "blkdiscard": (*call).blkdiscard, "fuser": (*call).fuser,
		"udevadm": (*call).udevadm, "uname": (*call).uname, "hostname": (*call).hostname,
		"date": (*call).date, "stat": (*call).stat, "find": (*call).find, "zvol_id": (*call).zvolID,
		"vgs": (*call).vgs, "pvs": (*call).vgs, "lvs": (*call).vgs, "guest": (*call).guest, qemu: (*call).qemuProgram,
	}
}

// vgs prints the lines of the text for volume groups, physical volumes or thin pools.
func (c *call) vgs() int {
	c.say("%s", c.host.lvm[map[string]string{"vgs": "vg", "pvs": "pv", "lvs": "thin"}[c.name]])
	return 0
}

func (c *call) udevadm() int {
	if len(c.args) > 0 && c.args[0] == "settle" {
		c.host.devices.await()
	}
	return 0
}

func (c *call) zvolWait() int {
	c.host.devices.await()
	c.host.mu.Lock()
	defer c.host.mu.Unlock()
	n := len(c.host.devices.links)
	if n == 0 {
		c.say("No zvols found, nothing to do.\n")
		return 0
	}
	c.say("Testing %d zvol links\nAll zvol links are now present.\n", n)
	return 0
}

func (c *call) uname() int {
	machine := c.host.machine
	if machine == "" {
		machine = map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[arch]
	}
	words := map[string]string{"-m": machine, "-s": "Linux", "-r": "6.1.0-13-amd64", "-n": c.host.Name, "": "Linux"}
	flag := strings.Join(c.args, "")
	if flag == "-a" {
		c.say("Linux %s %s #1 SMP %s GNU/Linux\n", c.host.Name, words["-r"], machine)
		return 0
	}
	c.say("%s\n", words[flag])
	return 0
}

func (c *call) hostname() int {
	c.say("%s\n", c.host.Name)
	return 0
}

// date knows the host's clock, and the formats that are of use to programs.
func (c *call) date() int {
	now := c.host.now()
	format := ""
	for _, arg := range c.args {
		if arg == "-u" || arg == "--utc" {
			now = now.UTC()
		}
		if f, ok := strings.CutPrefix(arg, "+"); ok {
			format = f
		}
	}
	if format == "" {
		c.say("%s\n", now.Format("Mon Jan _2 15:04:05 MST 2006"))
		return 0
	}
	r := strings.NewReplacer("%s", strconv.FormatInt(now.Unix(), 10), "%N", fmt.Sprintf("%09d", now.Nanosecond()), "%Y", now.Format("2006"), "%m", now.Format("01"),
		"%d", now.Format("02"), "%H", now.Format("15"), "%M", now.Format("04"), "%S", now.Format("05"), "%F", now.Format("2006-01-02"), "%T", now.Format("15:04:05"), "%z", now.Format("-0700"))
	c.say("%s\n", r.Replace(format))
	return 0
}

// backing is the file behind a device path, as scripts see it or as it is.
func (c *call) backing(path string) (string, error) {
	if rest, ok := strings.CutPrefix(path, "/dev/"); ok {
		path = filepath.Join(c.host.dir, "dev", rest)
	}
	return filepath.EvalSymlinks(path)
}

// blockdev tells the size of a device.
func (c *call) blockdev() int {
	if len(c.args) < 2 {
		return c.fail("blockdev: missing arguments")
	}
	code := 0
	for _, path := range c.args[1:] {
		file, err := c.backing(path)
		st, serr := os.Stat(file)
		if err != nil || serr != nil {
			code = c.fail("blockdev: cannot open %s: No such file or directory", path)
			continue
		}
		switch c.args[0] {
		case "--getsize64":
			c.say("%d\n", st.Size())
		case "--getro":
			c.say("%d\n", bit(c.host.readOnly(file)))
		case "--getss":
			c.say("512\n")
		case "--flushbufs":
		default:
			return c.fail("blockdev: Unknown command: %s", c.args[0])
		}
	}
	return code
}

// readOnly tells whether the kernel would refuse to open a device for writing.
func (h *Host) readOnly(file string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	st, err := os.Stat(file)
	if err != nil {
		return false
	}
	for _, p := range h.pools {
		for _, d := range p.sets {
			for _, s := range d.snaps {
				if have, err := os.Stat(orEmpty(s.content)); err == nil && os.SameFile(st, have) {
					return true
				}
			}
			if have, err := os.Stat(orEmpty(d.live)); err == nil && os.SameFile(st, have) {
				return d.fenced()
			}
		}
	}
	return false
}

func orEmpty(c *content) string {
	if c == nil {
		return ""
	}
	return c.file
}

// blkdiscard frees a device or a part of it.
func (c *call) blkdiscard() int {
	o, args, err := parse(c.args, "fvzso:l:p:")
	if err != nil || len(args) != 1 {
		return c.fail("blkdiscard: no device specified")
	}
	file, err := c.backing(args[0])
	if err != nil {
		return c.fail("blkdiscard: cannot open %s: No such file or directory", args[0])
	}
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		return c.fail("blkdiscard: cannot open %s: %v", args[0], err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return c.fail("blkdiscard: %s: %v", args[0], err)
	}
	off, n := int64(0), st.Size()
	if o.has('o') {
		off, err = parseSize(o.last('o'))
	}
	n -= off
	if o.has('l') && err == nil {
		n, err = parseSize(o.last('l'))
	}
	if err != nil {
		return c.fail("blkdiscard: %v", err)
	}
	if err := punch(f, off, min(n, st.Size()-off)); err != nil {
		return c.fail("blkdiscard: %s: BLKDISCARD ioctl failed: %v", args[0], err)
	}
	return 0
}

// fuser lists who has a device open.
func (c *call) fuser() int {
	code := 1
	for _, path := range c.args {
		if strings.HasPrefix(path, "-") {
			continue
		}
		file, err := c.backing(path)
		if err != nil {
			c.warn("Specified filename %s does not exist.", path)
			continue
		}
		for _, pid := range c.host.openers(file) {
			c.say(" %d", pid)
			code = 0
		}
	}
	return code
}
