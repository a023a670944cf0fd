package blockcopy

import (
	"errors"
	"fmt"
	"io"

	"golang.org/x/sys/unix"
)

// device is one end of a copy. The real one is disk; tests put devices behind it that behave like a zvol, fail,
// fill up or answer short.
type device interface {
	// ReadAt and WriteAt may move fewer bytes than asked without an error; readFull and writeFull go on.
	io.ReaderAt
	io.WriterAt
	// Discard drops a range. errUnsupported says the device cannot; nil says only that it was asked: what the
	// range reads as afterwards is the device's affair unless Shape().Punches.
	Discard(off, n int64) error
	// Next is the next range at or after off that may hold something other than zeros; start is the size of the
	// device when there is none. errUnsupported: the device has no map of its holes.
	Next(off int64) (start, end int64, err error)
	// Sync makes everything written durable.
	Sync() error
	// Drop forgets cached pages, so that reads that follow come from the medium.
	Drop() error
	Shape() Shape
	Name() string
	Close() error
}

// Shape is what a device says about itself, in bytes.
type Shape struct {
	Size          int64
	Sector        int64 // smallest unit of I/O (logical block size)
	Block         int64 // unit of allocation: physical block size, volblocksize of a zvol
	Discard       int64 // discard granularity; 0: cannot discard
	DiscardOffset int64 // offset of the first discard unit
	Punches       bool  // a discarded range is promised to read as zeros (hole punching in a file)
}

// errUnsupported is the answer of a device that has no such operation at all.
var errUnsupported = errors.New("not supported by the device")

// page is the unit below which nothing is looked at: zero detection, hashing and direct I/O all use multiples of it.
const page = 4096

// readFull fills p from off. A device that ends early is an error: the range was promised by its size.
func readFull(d device, p []byte, off int64) error {
	for done := 0; done < len(p); {
		n, err := d.ReadAt(p[done:], off+int64(done))
		done += n
		switch {
		case err != nil && !errors.Is(err, io.EOF):
			return &readError{device: d.Name(), off: off + int64(done), n: int64(len(p) - done), err: err}
		case n == 0:
			return fmt.Errorf("%s ends at offset %d, before its size of %d: it shrank while it was read",
				d.Name(), off+int64(done), d.Shape().Size)
		}
	}
	return nil
}

// writeFull writes all of p at off.
func writeFull(d device, p []byte, off int64) error {
	for done := 0; done < len(p); {
		n, err := d.WriteAt(p[done:], off+int64(done))
		done += n
		if err == nil && n == 0 {
			err = io.ErrShortWrite
		}
		if err != nil {
			return writeError(d, off+int64(done), err)
		}
	}
	return nil
}

// writeError says what to do about the write errors an operator can do something about.
func writeError(d device, off int64, err error) error {
	hint := ""
	switch {
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		hint = "; free space for the target and run the copy again"
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EROFS):
		hint = "; the target became read-only (zfs readonly=on?)"
	}
	return fmt.Errorf("write %s at offset %d: %w%s", d.Name(), off, err, hint)
}

// readError is a failed read before it has been narrowed down to the sectors that cannot be read.
type readError struct {
	device string
	off, n int64
	err    error
}

func (e *readError) Error() string {
	return fmt.Sprintf("read %s at offset %d, %d bytes: %v", e.device, e.off, e.n, e.err)
}

func (e *readError) Unwrap() error { return e.err }
