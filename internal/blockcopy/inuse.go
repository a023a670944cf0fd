package blockcopy

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// unused refuses a target that something else may write to: a mounted device or partition, swap, the file behind a
// loop device, or anything another process has open for writing (QEMU opens its disks without claiming them).
func (m machine) unused(ctx context.Context, path string) error {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return nil // said better by the open that follows
	}
	if where := m.mounted(st); where != "" {
		return refuse("target %s is mounted: %s; unmount it first", path, where)
	}
	if m.swap(st) {
		return refuse("target %s is in use as swap", path)
	}
	if loop := m.loopOf(st); loop != "" {
		return refuse("target %s is the file behind %s; copy to the device, or detach it (losetup -d)", path, loop)
	}
	// udev opens a device for a moment after every change, so one look is not enough.
	for tries := 0; ; tries++ {
		who := m.writers(st)
		if len(who) == 0 {
			return nil
		}
		if tries == 10 {
			return refuse("target %s is open for writing by %s", path, strings.Join(who, ", "))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// mounted names the mount of a device, of one of its partitions or of a device stacked on it.
func (m machine) mounted(st unix.Stat_t) string {
	if st.Mode&unix.S_IFMT != unix.S_IFBLK {
		return ""
	}
	devices := m.stack(st.Rdev)
	for line := range strings.Lines(read(m.proc, "self/mountinfo") + "\n") {
		fields := strings.Fields(line)
		if len(fields) > 4 && slices.Contains(devices, fields[2]) {
			return fmt.Sprintf("%s on %s", fields[2], fields[4])
		}
	}
	return ""
}

// stack is a device, its partitions and everything held on top of any of them, as major:minor.
func (m machine) stack(rdev uint64) []string {
	node := m.node(rdev)
	devices := []string{fmt.Sprintf("%d:%d", unix.Major(rdev), unix.Minor(rdev))}
	parts, _ := filepath.Glob(filepath.Join(node, "*", "partition"))
	above, _ := filepath.Glob(filepath.Join(node, "holders", "*"))
	for _, part := range parts {
		above = append(above, filepath.Dir(part))
	}
	for _, dir := range above {
		if upper, ok := parseDev(read(dir, "dev")); ok {
			devices = append(devices, m.stack(upper)...)
		}
	}
	return devices
}

func (m machine) swap(st unix.Stat_t) bool {
	for line := range strings.Lines(read(m.proc, "swaps") + "\n") {
		fields := strings.Fields(line)
		if len(fields) > 0 && strings.HasPrefix(fields[0], "/") && same(fields[0], st) {
			return true
		}
	}
	return false
}

// loopOf is the loop device a regular file lies behind.
func (m machine) loopOf(st unix.Stat_t) string {
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return ""
	}
	files, _ := filepath.Glob(filepath.Join(m.sys, "block/loop*/loop/backing_file"))
	for _, file := range files {
		if same(read(file), st) {
			return "/dev/" + filepath.Base(filepath.Dir(filepath.Dir(file)))
		}
	}
	return ""
}

// same says whether a path is the object of st: the same device by number, or the same file by inode.
func same(path string, st unix.Stat_t) bool {
	var other unix.Stat_t
	if unix.Stat(path, &other) != nil || other.Mode&unix.S_IFMT != st.Mode&unix.S_IFMT {
		return false
	}
	if st.Mode&unix.S_IFMT == unix.S_IFBLK {
		return other.Rdev == st.Rdev
	}
	return other.Dev == st.Dev && other.Ino == st.Ino
}

// writers are the other processes that have the object open for writing, as far as we may look.
func (m machine) writers(st unix.Stat_t) []string {
	return m.openers(st, func(flags int64) bool { return flags&unix.O_ACCMODE != unix.O_RDONLY })
}

func (m machine) openers(st unix.Stat_t, wanted func(flags int64) bool) []string {
	var who []string
	self := strconv.Itoa(os.Getpid())
	fds, _ := filepath.Glob(filepath.Join(m.proc, "[0-9]*", "fd", "*"))
	for _, fd := range fds {
		process := filepath.Dir(filepath.Dir(fd))
		pid := filepath.Base(process)
		// Only links to paths can be it; stat of the others (sockets, pipes) is time lost.
		if link, err := os.Readlink(fd); pid == self || err != nil || !strings.HasPrefix(link, "/") || !same(fd, st) {
			continue
		}
		if !wanted(openFlags(filepath.Join(process, "fdinfo", filepath.Base(fd)))) {
			continue
		}
		if one := fmt.Sprintf("pid %s (%s)", pid, read(process, "comm")); !slices.Contains(who, one) {
			who = append(who, one)
		}
	}
	return who
}

func openFlags(fdinfo string) int64 {
	for line := range strings.Lines(read(fdinfo) + "\n") {
		if octal, ok := strings.CutPrefix(line, "flags:"); ok {
			flags, err := strconv.ParseInt(strings.TrimSpace(octal), 8, 64)
			if err == nil {
				return flags
			}
		}
	}
	return unix.O_RDWR // not told: assume the worst
}

// holders says who has a busy device, for the end of an error message.
func (m machine) holders(path string) string {
	var st unix.Stat_t
	if unix.Stat(path, &st) != nil {
		return ""
	}
	who := m.openers(st, func(int64) bool { return true })
	if st.Mode&unix.S_IFMT == unix.S_IFBLK {
		above, _ := filepath.Glob(filepath.Join(m.node(st.Rdev), "holders", "*"))
		for _, holder := range above {
			who = append(who, filepath.Base(holder))
		}
	}
	if len(who) == 0 {
		return ""
	}
	return ": " + strings.Join(who, ", ")
}
