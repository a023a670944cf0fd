package blockcopy

import (
	"bytes"
	"encoding/binary"
	"unsafe"
)

// segment is the size of one read or write: large enough for the medium to stream, small enough that a
// cancellation is noticed between two of them. A multiple of every granule.
const segment = 1 << 20

var zeroPage = make([]byte, page)

// alignedBuffer starts at a page boundary, as direct I/O wants it.
func alignedBuffer(n int) []byte {
	b := make([]byte, n+page)
	skip := -int(uintptr(unsafe.Pointer(unsafe.SliceData(b)))) & (page - 1)
	return b[skip : skip+n : skip+n]
}

// isZero says whether b, at most a page, is all zeros. Its ends decide almost every page that is not.
func isZero(b []byte) bool {
	if len(b) >= 8 && (binary.NativeEndian.Uint64(b) != 0 || binary.NativeEndian.Uint64(b[len(b)-8:]) != 0) {
		return false
	}
	return bytes.Equal(b, zeroPage[:len(b)])
}

// bitmap has one bit per page of a segment, set where the page holds anything but zeros.
type bitmap [segment / page / 8]byte

func (m *bitmap) has(i int) bool { return m[i/8]&(1<<(i%8)) != 0 }
func (m *bitmap) set(i int)      { m[i/8] |= 1 << (i % 8) }

// any says whether one of the pages [from, to) is set.
func (m *bitmap) any(from, to int) bool {
	for i := from; i < to; i++ {
		if m.has(i) {
			return true
		}
	}
	return false
}

// bytes is how many bytes of a segment of n the marked pages have.
func (m *bitmap) bytes(n int64) int64 {
	full := int64(0)
	for i := range pagesOf(int(n)) {
		if m.has(i) {
			full += min(page, n-int64(i)*page)
		}
	}
	return full
}

// scan marks the pages of b[from:to] that hold anything but zeros. from is a multiple of a page.
func (m *bitmap) scan(b []byte, from, to int) {
	for at := from; at < to; at += page {
		if !isZero(b[at:min(at+page, to)]) {
			m.set(at / page)
		}
	}
}

// runs calls do for each longest run of pages of a buffer of n bytes for which kind gives the same answer, in steps
// of granule bytes. The last run ends at n.
func runs[K comparable](n, granule int, kind func(from, to int) K, do func(k K, from, to int) error) error {
	for from := 0; from < n; {
		to := min(from+granule, n)
		k := kind(from, to)
		for to < n {
			next := min(to+granule, n)
			if kind(to, next) != k {
				break
			}
			to = next
		}
		if err := do(k, from, to); err != nil {
			return err
		}
		from = to
	}
	return nil
}

// pagesOf is the number of pages that n bytes touch.
func pagesOf(n int) int { return (n + page - 1) / page }
