package blockcopy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// blkzname asks a zvol for its dataset name: _IOR(0x12, 125, char[256]) (OpenZFS: include/sys/fs/zfs.h).
const blkzname = 0x8100127d

func zvolName(path string) (string, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", err
	}
	var name [256]byte
	err = errors.Join(ioctlPointer(f, blkzname, &name), f.Close())
	text, _, _ := bytes.Cut(name[:], []byte{0})
	return string(text), err
}

// locate turns a path into the device to open. Links under /dev/zvol come late and have pointed at the wrong
// device, so of such a path only the dataset name is believed, and the kernel is asked which device answers to it.
// Every other path is taken as it is.
func (m machine) locate(ctx context.Context, path string) (string, error) {
	name, ok := strings.CutPrefix(filepath.Clean(path), filepath.Join(m.dev, "zvol")+"/")
	if !ok {
		return path, nil
	}
	deadline := time.Now().Add(m.wait)
	for {
		device, answers := m.zvol(name)
		if device != "" {
			return device, nil
		}
		if time.Now().After(deadline) {
			return "", refuse("no zvol answers to the name %s (asked %d devices for %v); does it exist, is volmode=none, "+
				"or, for a snapshot, snapdev=hidden?", name, answers, m.wait)
		}
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (m machine) zvol(name string) (device string, answers int) {
	nodes, _ := filepath.Glob(filepath.Join(m.sys, "block/zd*"))
	for _, node := range nodes {
		path := filepath.Join(m.dev, filepath.Base(node))
		have, err := m.zvolName(path)
		if err != nil {
			continue // gone between the listing and the question, or not ours to open
		}
		answers++
		if have == name {
			return path, answers
		}
	}
	return "", answers
}

// confirm asks an opened device for its name again: the number may have passed to another zvol since locate.
func (m machine) confirm(d *disk, path string) error {
	name, ok := strings.CutPrefix(filepath.Clean(path), filepath.Join(m.dev, "zvol")+"/")
	if !ok {
		return nil
	}
	have, err := m.zvolName(d.name)
	if err != nil {
		return fmt.Errorf("ask %s for its zvol name: %w", d.name, err)
	}
	if have != name {
		return refuse("%s is now zvol %s, not %s", d.name, have, name)
	}
	return nil
}
