package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// agent answers what a guest agent is asked; the file system on the device is the guest's root.
func agent(command string) error {
	if pid() == 0 {
		return errors.New("no agent: the guest does not run")
	}
	var result any = map[string]any{}
	switch command {
	case "fstrim":
		n, err := trim()
		if err != nil {
			return err
		}
		result = map[string]any{"paths": []any{map[string]any{"path": "/", "trimmed": n, "minimum": 0}}}
	case "get-fsinfo":
		var s unix.Statfs_t
		if err := unix.Statfs(mountDir, &s); err != nil {
			return err
		}
		result = []any{map[string]any{
			"name": "sda", "mountpoint": "/", "type": "ext4", "disk": []any{},
			"total-bytes": s.Blocks * uint64(s.Bsize), "used-bytes": (s.Blocks - s.Bfree) * uint64(s.Bsize),
		}}
	case "fsfreeze-status":
		result = "thawed"
	case "network-get-interfaces", "get-users":
		result = []any{}
	case "shutdown":
		if err := end(unix.SIGTERM); err != nil {
			return err
		}
	case "ping", "info", "get-osinfo", "get-host-name":
	default:
		return fmt.Errorf("the agent has no command %q", command)
	}
	return json.NewEncoder(os.Stdout).Encode(result)
}

// fitrim is linux/fs.h's request to discard what a file system does not use.
const fitrim = 0xc0185879

func trim() (uint64, error) {
	dir, err := os.Open(mountDir)
	if err != nil {
		return 0, err
	}
	defer dir.Close()
	area := struct{ start, length, least uint64 }{length: ^uint64(0)}
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, dir.Fd(), fitrim, uintptr(unsafe.Pointer(&area))); errno != 0 {
		return 0, fmt.Errorf("trim %s: %w", mountDir, errno)
	}
	return area.length, nil
}
