package blockcopy

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// machine is where the kernel says what its devices are and who uses them; tests point it at a made-up tree.
type machine struct {
	sys, proc, dev string
	zvolName       func(path string) (string, error)
	wait           time.Duration // for a device that is still to appear
}

func thisMachine() machine {
	return machine{sys: "/sys", proc: "/proc", dev: "/dev", zvolName: zvolName, wait: 10 * time.Second}
}

// node is the directory of a block device in sysfs.
func (m machine) node(rdev uint64) string {
	return filepath.Join(m.sys, "dev/block", fmt.Sprintf("%d:%d", unix.Major(rdev), unix.Minor(rdev)))
}

// read is the trimmed text of a file of sysfs or procfs, empty when it is not there.
func read(parts ...string) string {
	text, err := os.ReadFile(filepath.Join(parts...))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

func number(parts ...string) int64 {
	n, err := strconv.ParseInt(read(parts...), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// discard is the granularity and alignment of discards in bytes (Linux: Documentation/ABI/stable/sysfs-block).
// Granularity 0 says that the device has none. A partition has no queue of its own.
func (m machine) discard(rdev uint64) (granularity, offset int64) {
	node := m.node(rdev)
	disk := node
	if read(node, "partition") != "" {
		if real, err := filepath.EvalSymlinks(node); err == nil {
			disk = filepath.Dir(real)
		}
	}
	if number(disk, "queue/discard_max_bytes") == 0 {
		return 0, 0
	}
	return max(number(disk, "queue/discard_granularity"), 512), number(node, "discard_alignment")
}

// span is a range of one storage: a file (by inode) or a device (by number).
type span struct {
	storage  string
	from, to int64
}

// footprint is every storage a path's bytes lie in: the device or file itself, the disk of a partition, the file
// behind a loop device, the devices below a device-mapper one.
func (m machine) footprint(path string) ([]span, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return nil, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFBLK {
		return []span{{storage: inode(st), to: 1<<63 - 1}}, nil
	}
	return m.deviceFootprint(st.Rdev, 0, 1<<63-1), nil
}

func inode(st unix.Stat_t) string { return fmt.Sprintf("inode %d:%d", st.Dev, st.Ino) }

func (m machine) deviceFootprint(rdev uint64, from, to int64) []span {
	node := m.node(rdev)
	spans := []span{{fmt.Sprintf("device %d:%d", unix.Major(rdev), unix.Minor(rdev)), from, to}}
	if read(node, "partition") != "" {
		start, size := 512*number(node, "start"), 512*number(node, "size")
		if real, err := filepath.EvalSymlinks(node); err == nil {
			if disk, ok := parseDev(read(filepath.Dir(real), "dev")); ok {
				spans = append(spans, m.deviceFootprint(disk, start+from, start+min(to, size))...)
			}
		}
	}
	if file := read(node, "loop/backing_file"); file != "" {
		var st unix.Stat_t
		if unix.Stat(file, &st) == nil {
			start, limit := number(node, "loop/offset"), number(node, "loop/sizelimit")
			end := int64(1<<63 - 1)
			if limit > 0 {
				end = start + limit
			}
			spans = append(spans, span{inode(st), start, end})
		}
	}
	below, _ := filepath.Glob(filepath.Join(node, "slaves", "*"))
	for _, slave := range below {
		if lower, ok := parseDev(read(slave, "dev")); ok {
			spans = append(spans, m.deviceFootprint(lower, 0, 1<<63-1)...) // where inside is not known: anywhere
		}
	}
	return spans
}

func parseDev(text string) (uint64, bool) {
	var major, minor uint32
	if _, err := fmt.Sscanf(text, "%d:%d", &major, &minor); err != nil {
		return 0, false
	}
	return unix.Mkdev(major, minor), true
}

// overlap is the storage two paths share, empty when they share none.
func (m machine) overlap(a, b string) (string, error) {
	left, err := m.footprint(a)
	if err != nil {
		return "", err
	}
	right, err := m.footprint(b)
	if err != nil {
		return "", err
	}
	for _, l := range left {
		for _, r := range right {
			if l.storage == r.storage && l.from < r.to && r.from < l.to {
				return l.storage, nil
			}
		}
	}
	return "", nil
}
