package blockcopy

import (
	"fmt"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Identity says which device a checkpoint belongs to. ID is the caller's (a dataset guid) or, when the caller has
// none, the most lasting name the machine knows.
type Identity struct {
	ID   string `json:"id"`
	Size int64  `json:"size"` // bytes
}

func (i Identity) String() string { return fmt.Sprintf("%s (%d bytes)", i.ID, i.Size) }

// identify names a device so that the same one is recognised after a reboot, and another one is not: device numbers
// and file system numbers change, an inode together with its birth does not.
func (m machine) identify(d *disk) (string, error) {
	fd := int(d.cached.Fd())
	if !d.block {
		return birth(fd, "")
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return "", err
	}
	node, part := m.node(st.Rdev), ""
	if read(node, "partition") != "" {
		part = fmt.Sprintf(":%s+%s", read(node, "start"), read(node, "size"))
		if real, err := filepath.EvalSymlinks(node); err == nil {
			node = filepath.Dir(real)
		}
	}
	if name, err := m.zvolName(d.name); err == nil && name != "" {
		return "zvol:" + name + part, nil
	}
	if file := read(node, "loop/backing_file"); file != "" {
		// The file may be deleted, or lie where we cannot see it; then the path has to do.
		if id, err := birth(unix.AT_FDCWD, file); err == nil {
			return fmt.Sprintf("loop+%d:%s%s", number(node, "loop/offset"), id, part), nil
		}
	}
	for _, file := range []string{"wwid", "device/wwid", "dm/uuid", "device/serial", "serial"} {
		if id := read(node, file); id != "" {
			return filepath.Base(file) + ":" + id + part, nil
		}
	}
	path, err := filepath.EvalSymlinks(d.name)
	return "path:" + path, err
}

func birth(fd int, path string) (string, error) {
	var x unix.Statx_t
	flags := 0
	if path == "" {
		flags = unix.AT_EMPTY_PATH
	}
	if err := unix.Statx(fd, path, flags, unix.STATX_INO|unix.STATX_BTIME, &x); err != nil {
		return "", err
	}
	return fmt.Sprintf("file:%d:%d.%09d", x.Ino, x.Btime.Sec, x.Btime.Nsec), nil
}

// modified is when a regular file was last written; zero for block devices, which do not say.
func (d *disk) modified() (int64, error) {
	if d.block {
		return 0, nil
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(d.cached.Fd()), &st); err != nil {
		return 0, err
	}
	return st.Mtim.Nano(), nil
}
