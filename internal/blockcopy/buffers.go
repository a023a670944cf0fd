package blockcopy

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

const hugePage = 2 << 20

// buffers are a worker's, in one huge page where the kernel has one to give. Direct I/O pins every page of a buffer and
// describes each to the device: a MiB in 256 scattered pages costs more processor time, and more than the 254 pieces of
// a virtio disk's request, so that each read becomes two. Measured: reading took 0.6 of the time.
type buffers struct {
	buf    []byte // of the source
	other  []byte // of the target, to compare
	mapped []byte
}

func newBuffers() buffers {
	// Twice the size, because only a page that starts at a multiple of its size can be huge. What is not touched is
	// only addresses.
	mapped, err := unix.Mmap(-1, 0, 2*hugePage, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return buffers{buf: alignedBuffer(segment), other: alignedBuffer(segment)}
	}
	skip := -int(uintptr(unsafe.Pointer(unsafe.SliceData(mapped)))) & (hugePage - 1)
	page := mapped[skip : skip+hugePage]
	_ = unix.Madvise(page, unix.MADV_HUGEPAGE) // only a wish
	return buffers{buf: page[:segment:segment], other: page[segment : 2*segment : 2*segment], mapped: mapped}
}

// free gives the memory back; the buffers must not be used again.
func (b *buffers) free() {
	if b.mapped != nil {
		_ = unix.Munmap(b.mapped) // fails only for what is not mapped
	}
	*b = buffers{}
}
