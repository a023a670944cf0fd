package zhost

import (
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// content is the bytes of a zvol or snapshot: a sparse file, and for every block when it was born.
type content struct {
	file      string
	blocksize int64
	blocks    []block
	looked    time.Time // when the file was last compared with blocks
	modified  time.Time // mtime of the file then
	size      int64
}

// block is one block of volblocksize bytes.
type block struct {
	birth uint64 // transaction group it was written or freed in
	print uint64 // of its bytes; 0: a hole
	psize int32  // bytes after compression
}

func (b block) hole() bool { return b.print == 0 }

// sector is the unit in which zeros inside of a block are compressed away.
const sector = 4096

// tick of mtime on Linux: a write so soon after the last look may have left mtime as it was.
const mtimeTick = 50 * time.Millisecond

var printSeed = maphash.MakeSeed()

// newContent makes an empty content of a size.
func newContent(file string, size, blocksize int64) (*content, error) {
	f, err := os.OpenFile(file, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(f.Truncate(size), f.Close()); err != nil {
		return nil, err
	}
	return &content{file: file, blocksize: blocksize, blocks: make([]block, (size+blocksize-1)/blocksize), size: size}, nil
}

// copyTo makes another content with the same bytes and births.
func (c *content) copyTo(file string) (*content, error) {
	out, err := newContent(file, c.size, c.blocksize)
	if err != nil {
		return nil, err
	}
	copy(out.blocks, c.blocks)
	in, err := os.Open(c.file)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	err = extents(in, c.size, func(from, to int64) error {
		_, err := io.Copy(io.NewOffsetWriter(f, from), io.NewSectionReader(in, from, to-from))
		return err
	})
	return out, err
}

// extents calls f for the ranges of a file that are no holes.
func extents(in *os.File, size int64, f func(from, to int64) error) error {
	for off := int64(0); off < size; {
		from, err := unix.Seek(int(in.Fd()), off, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("look for data in %s: %w", in.Name(), err)
		}
		to, err := unix.Seek(int(in.Fd()), from, unix.SEEK_HOLE)
		if err != nil {
			return fmt.Errorf("look for holes in %s: %w", in.Name(), err)
		}
		if err := f(from, min(to, size)); err != nil {
			return err
		}
		off = to
	}
	return nil
}

// look compares the file with what is known of it, and gives every block that changed the birth txg. Whoever has the device
// open writes to the file without asking; this is where it shows. It tells how many blocks changed.
func (c *content) look(txg uint64, compressed bool) (int, error) {
	now := time.Now()
	st, err := os.Stat(c.file)
	if err != nil {
		return 0, err
	}
	if st.Size() != c.size { // a device has the size it has, whatever somebody did to the file
		if err := os.Truncate(c.file, c.size); err != nil {
			return 0, err
		}
		if st, err = os.Stat(c.file); err != nil {
			return 0, err
		}
	}
	if st.ModTime().Equal(c.modified) && c.looked.Sub(c.modified) > mtimeTick {
		return 0, nil
	}
	in, err := os.Open(c.file)
	if err != nil {
		return 0, err
	}
	defer in.Close()
	changed, next := 0, int64(0)
	set := func(i int64, b block) {
		if have := &c.blocks[i]; have.print != b.print {
			*have = block{birth: txg, print: b.print, psize: b.psize}
			changed++
		}
	}
	buffer := make([]byte, c.blocksize)
	err = extents(in, c.size, func(from, to int64) error {
		for i := max(from/c.blocksize, next); i*c.blocksize < to; i++ {
			for ; next < i; next++ {
				set(next, block{})
			}
			part := buffer[:min(c.blocksize, c.size-i*c.blocksize)]
			if _, err := in.ReadAt(part, i*c.blocksize); err != nil {
				return err
			}
			set(i, measure(part, compressed))
			next = i + 1
		}
		return nil
	})
	if err != nil {
		return changed, err
	}
	for ; next < int64(len(c.blocks)); next++ {
		set(next, block{})
	}
	c.looked, c.modified = now, st.ModTime()
	return changed, nil
}

// measure makes a block of bytes. Compression takes out sectors of zeros, and the whole block when it is all zeros.
func measure(part []byte, compressed bool) block {
	full := 0
	for off := 0; off < len(part); off += sector {
		if !zero(part[off:min(off+sector, len(part))]) {
			full++
		}
	}
	if full == 0 && compressed {
		return block{}
	}
	b := block{print: maphash.Bytes(printSeed, part) | 1, psize: int32(len(part))}
	if sectors := (len(part) + sector - 1) / sector; compressed && full+1 < sectors {
		b.psize = int32(full+1) * sector
	}
	return b
}

func zero(p []byte) bool {
	for _, b := range p {
		if b != 0 {
			return false
		}
	}
	return true
}

// resize gives the content another size.
func (c *content) resize(size int64) error {
	if err := os.Truncate(c.file, size); err != nil {
		return err
	}
	n := int((size + c.blocksize - 1) / c.blocksize)
	c.blocks = slices.Grow(c.blocks[:min(n, len(c.blocks))], max(0, n-len(c.blocks)))[:n]
	c.size, c.modified = size, time.Time{}
	return nil
}

// drop removes the file; who has it open keeps it.
func (c *content) drop() {
	if c != nil {
		_ = os.Remove(c.file) // gone is gone
	}
}

// sum adds up the blocks that a condition picks: how many, their bytes before compression, and as zfs shows them.
func (c *content) sum(p *pool, pick func(i int, b block) bool) (n, logical, shown int64) {
	for i, b := range c.blocks {
		if !b.hole() && pick(i, b) {
			n++
			logical += c.blocksize
			shown += p.blockShown(int64(b.psize))
		}
	}
	return n, logical, shown
}

// since counts the blocks written or freed after a transaction group.
func (c *content) since(txg uint64) int {
	n := 0
	for _, b := range c.blocks {
		if b.birth > txg {
			n++
		}
	}
	return n
}
