package main

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"

	"golang.org/x/sys/unix"
)

// layout says what comes next on a source: data, zeros written as data, or a hole.
type layout func(r *rand.Rand) byte

func mixed(r *rand.Rand) byte {
	switch n := r.IntN(100); {
	case n < 45:
		return 'd'
	case n < 65:
		return 'z'
	}
	return 'h'
}

func allZero(*rand.Rand) byte { return 'z' }
func allData(*rand.Rand) byte { return 'd' }

// paint makes a file of runs of 64 KiB to 4 MiB.
func paint(path string, size int64, next layout) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := f.Truncate(size); err != nil {
		return errors.Join(err, f.Close())
	}
	r, data := rand.New(rand.NewPCG(1, 2)), rand.NewChaCha8([32]byte{3})
	buf, zeros := make([]byte, 4<<20), make([]byte, 4<<20)
	for off := int64(0); off < size && err == nil; {
		n := min(int64(64<<10)<<r.IntN(7), size-off)
		switch next(r) {
		case 'd':
			_, _ = data.Read(buf[:n])
			_, err = f.WriteAt(buf[:n], off)
		case 'z':
			_, err = f.WriteAt(zeros[:n], off)
		}
		off += n
	}
	return errors.Join(err, f.Sync(), f.Close())
}

// blank makes a target that reads as zeros.
func blank(path string, size int64) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return errors.Join(os.WriteFile(path, nil, 0o600), os.Truncate(path, size))
}

// heat reads a file into the page cache, cool takes it out.
func heat(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	_, err = io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{f}, make([]byte, 1<<20))
	return errors.Join(err, f.Close())
}

func cool(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED), f.Close())
}

// flush makes a file or device durable.
func flush(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func attach(path string) (string, error) {
	out, err := exec.Command("losetup", "--find", "--show", path).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("losetup %s: %w: %s", path, err, out)
	}
	return strings.TrimSpace(string(out)), nil
}

func detach(device string) error {
	out, err := exec.Command("losetup", "--detach", device).CombinedOutput()
	if err != nil {
		return fmt.Errorf("losetup --detach %s: %w: %s", device, err, out)
	}
	return nil
}

// occupied is how many bytes of the medium a file takes.
func occupied(path string) int64 {
	var st unix.Stat_t
	if unix.Stat(path, &st) != nil {
		return 0
	}
	return st.Blocks * 512
}
