package blockcopy

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ErrRefused is wrapped by every refusal: nothing has been written.
var ErrRefused = errors.New("refused, nothing was written")

func refuse(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrRefused, fmt.Errorf(format, args...))
}

// openSource opens for reading only.
func openSource(ctx context.Context, m machine, path string, buffered bool) (*disk, error) {
	path, err := m.locate(ctx, path)
	if err != nil {
		return nil, err
	}
	return openDisk(m, path, os.O_RDONLY, buffered)
}

// openTarget opens for writing, claiming a block device exclusively: the kernel then refuses it to file systems,
// swap, LVM and every other claimant until it is closed, and refuses us when one of them has it.
func openTarget(ctx context.Context, m machine, path string, buffered bool) (*disk, error) {
	path, err := m.locate(ctx, path)
	if err != nil {
		return nil, err
	}
	if _, err := isBlock(path); err != nil {
		return nil, err
	}
	if err := m.unused(ctx, path); err != nil {
		return nil, err
	}
	d, err := openDisk(m, path, os.O_RDWR|os.O_EXCL, buffered)
	if errors.Is(err, unix.EBUSY) {
		return nil, refuse("target %s is held exclusively by someone else%s", path, m.holders(path))
	}
	if errors.Is(err, unix.EROFS) {
		return nil, refuse("target %s is read-only (zfs readonly=on?)", path)
	}
	if err != nil {
		return nil, err
	}
	if !d.block {
		if err := lockFile(d.cached); err != nil {
			return nil, errors.Join(refuse("target %s is locked by another program%s: %w", path, m.holders(path), err), d.Close())
		}
	}
	return d, nil
}

// isBlock tells a block device from a regular file, and refuses all else.
func isBlock(path string) (bool, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, refuse("%s does not exist, and copy creates nothing: a file made where a device was meant would fill /dev", path)
	}
	if err != nil {
		return false, refuse("%w", err)
	}
	block := info.Mode().Type() == fs.ModeDevice
	if !block && !info.Mode().IsRegular() {
		return false, refuse("%s is neither a block device nor a regular file", path)
	}
	return block, nil
}

func openDisk(m machine, path string, flags int, buffered bool) (_ *disk, err error) {
	block, err := isBlock(path)
	if err != nil {
		return nil, err
	}
	if !block {
		flags &^= os.O_EXCL // means something else for files; they are locked instead
	}
	d := &disk{name: path, block: block}
	if d.cached, err = os.OpenFile(path, flags|unix.O_CLOEXEC, 0); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.Close())
		}
	}()
	if !buffered {
		// Not every file system has direct I/O; those are copied through the page cache.
		d.direct, _ = os.OpenFile(path, flags&^os.O_EXCL|unix.O_DIRECT|unix.O_CLOEXEC, 0)
	}
	if err := d.measure(m); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	d.warm.Store(!block && d.direct != nil)
	return d, nil
}

// measure fills in the shape.
func (d *disk) measure(m machine) error {
	fd := int(d.cached.Fd())
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	d.align = page
	if !d.block {
		d.shape = Shape{Size: st.Size, Sector: 512, Block: page, Discard: page, Punches: true}
		var x unix.Statx_t
		if unix.Statx(fd, "", unix.AT_EMPTY_PATH, unix.STATX_DIOALIGN, &x) == nil && x.Mask&unix.STATX_DIOALIGN != 0 {
			d.align = max(d.align, int64(x.Dio_offset_align), int64(x.Dio_mem_align))
		}
		return nil
	}
	var size uint64
	if err := ioctlPointer(d.cached, unix.BLKGETSIZE64, &size); err != nil {
		return fmt.Errorf("size: %w", err)
	}
	var sector, physical uint32
	if err := ioctlPointer(d.cached, unix.BLKSSZGET, &sector); err != nil {
		return fmt.Errorf("sector size: %w", err)
	}
	if err := ioctlPointer(d.cached, unix.BLKPBSZGET, &physical); err != nil {
		return fmt.Errorf("physical block size: %w", err)
	}
	granularity, offset := m.discard(st.Rdev)
	if offset%page != 0 {
		granularity = 0 // its edges would cut pages in two; such devices are written instead
	}
	d.shape = Shape{
		Size: int64(size), Sector: int64(sector), Block: max(int64(physical), page),
		Discard: granularity, DiscardOffset: offset,
	}
	d.align = max(d.align, int64(sector))
	return nil
}

// lockFile takes the lock that QEMU takes on an image it writes, so that a running guest refuses us and we refuse it.
func lockFile(f *os.File) error {
	whole := unix.Flock_t{Type: unix.F_WRLCK}
	err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &whole)
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
		return err
	}
	return nil // a file system without locks
}

// ioctlPointer is the ioctl that golang.org/x/sys/unix offers for integers only.
func ioctlPointer[T any](f *os.File, request uint, value *T) error {
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), uintptr(request), uintptr(unsafe.Pointer(value)))
	if errno != 0 {
		return errno
	}
	return nil
}
