package blockcopy

import (
	"errors"
	"io"
	"os"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// disk is a block device or raw file of this machine. Whole aligned pages go through a descriptor opened with
// O_DIRECT, because buffered copies of large devices throw everything else out of the page cache; an unaligned
// tail, and everything on file systems without direct I/O, goes through a buffered one.
type disk struct {
	name   string
	shape  Shape
	block  bool
	direct *os.File // nil: no direct I/O here
	cached *os.File
	align  int64       // of offsets and lengths of direct I/O; at least a page
	spoilt atomic.Bool // direct I/O was refused although the file could be opened for it
	warm   atomic.Bool // reads may be served from the page cache where it already holds them
}

func (d *disk) Name() string { return d.name }
func (d *disk) Shape() Shape { return d.shape }

func (d *disk) ReadAt(p []byte, off int64) (int, error) {
	f, p := d.route(p, off)
	if f == d.direct && d.warm.Load() && d.resident(off, int64(len(p))) {
		f = d.cached
	}
	n, err := retry(func() (int, error) { return unix.Pread(int(f.Fd()), p, off) })
	if f == d.direct && errors.Is(err, unix.EINVAL) {
		d.spoilt.Store(true)
		return d.ReadAt(p, off)
	}
	return n, err
}

func (d *disk) WriteAt(p []byte, off int64) (int, error) {
	f, p := d.route(p, off)
	n, err := retry(func() (int, error) { return unix.Pwrite(int(f.Fd()), p, off) })
	if f == d.direct && errors.Is(err, unix.EINVAL) {
		d.spoilt.Store(true)
		return d.WriteAt(p, off)
	}
	if err == nil && f == d.cached && n >= page {
		// Without direct I/O, start the writeback now, so that the flush at the end stays short. Only a wish.
		_ = unix.SyncFileRange(int(f.Fd()), off, int64(n), unix.SYNC_FILE_RANGE_WRITE)
	}
	return n, err
}

// route picks the descriptor for an access and cuts the access to what that descriptor can do. The page that
// holds the end of the device is only ever touched through the buffered one: mixing both in one page lets the
// writeback of an old page undo a direct write.
func (d *disk) route(p []byte, off int64) (*os.File, []byte) {
	whole := int64(len(p)) / d.align * d.align
	if d.direct == nil || d.spoilt.Load() || off%d.align != 0 || whole == 0 {
		return d.cached, p
	}
	return d.direct, p[:whole]
}

// resident says whether the page cache holds all of the range. Reading it from there is then several times
// faster than asking the medium, and puts nothing new into the cache. Regular files only: the cache of a block
// device is not told when a receive or rollback changes the device underneath.
func (d *disk) resident(off, n int64) bool {
	var have unix.Cachestat_t
	span := unix.CachestatRange{Off: uint64(off), Len: uint64(n)}
	if err := unix.Cachestat(uint(d.cached.Fd()), &span, &have, 0); err != nil {
		d.warm.Store(false) // kernels before 6.5
		return false
	}
	return have.Cache*uint64(os.Getpagesize()) >= uint64(n)
}

func (d *disk) Discard(off, n int64) error {
	if d.block {
		span := [2]uint64{uint64(off), uint64(n)}
		return unsupported(ioctlPointer(d.cached, unix.BLKDISCARD, &span))
	}
	_, err := retry(func() (int, error) {
		return 0, unix.Fallocate(int(d.cached.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, off, n)
	})
	return unsupported(err)
}

// unsupported folds the many ways of saying "no such operation" into one.
func unsupported(err error) error {
	for _, no := range []error{unix.EOPNOTSUPP, unix.EINVAL, unix.ENOTTY, unix.ENOSYS} {
		if errors.Is(err, no) {
			return errUnsupported
		}
	}
	return err
}

func (d *disk) Next(off int64) (int64, int64, error) {
	if d.block {
		return 0, 0, errUnsupported // lseek(SEEK_DATA) on block devices, zvols too: EINVAL
	}
	start, err := unix.Seek(int(d.cached.Fd()), off, unix.SEEK_DATA)
	if errors.Is(err, unix.ENXIO) {
		return d.shape.Size, d.shape.Size, nil
	}
	if err != nil {
		return 0, 0, unsupported(err)
	}
	end, err := unix.Seek(int(d.cached.Fd()), start, unix.SEEK_HOLE)
	if err != nil {
		return 0, 0, unsupported(err)
	}
	return start, end, nil
}

func (d *disk) Sync() error { return d.cached.Sync() }

func (d *disk) Drop() error {
	d.warm.Store(false)
	if d.block {
		// Needs CAP_SYS_ADMIN; direct reads do not depend on it.
		_ = unix.IoctlSetInt(int(d.cached.Fd()), unix.BLKFLSBUF, 0)
	}
	return unix.Fadvise(int(d.cached.Fd()), 0, 0, unix.FADV_DONTNEED)
}

func (d *disk) Close() error {
	err := d.cached.Close()
	if d.direct != nil {
		err = errors.Join(err, d.direct.Close())
	}
	return err
}

// retry repeats what a signal interrupted, and turns the kernel's end of file into io.EOF.
func retry(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if !errors.Is(err, unix.EINTR) {
			return max(n, 0), err
		}
	}
}

var _ io.ReaderAt = (*disk)(nil)
