package blockcopy

import (
	"bytes"
	"context"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// fake is a device in memory that behaves like the real ones, on request like the worst of them.
type fake struct {
	name  string
	shape Shape

	holes   bool // knows its holes, like a file
	refuses bool // discard: EOPNOTSUPP
	lies    bool // discard: says yes, keeps everything (an SSD is allowed to)

	mu     sync.Mutex
	pages  map[int64][]byte // only those ever written
	old    map[int64][]byte // what the pages written since the last sync held before
	short  *rand.Rand       // answers short
	bad    []Range          // reads touching these fail with EIO
	room   int64            // bytes of pages that may still be allocated; negative: any
	rot    map[int64]byte   // after Drop, bytes that read back wrong
	reads  []Range
	writes []Range
	drops  []Range
	onIO   func(op string, off int64, p []byte) error // before each read or write is done, unlocked
}

const sectorSize = 512

func newFake(name string, size int64) *fake {
	return &fake{
		name: name, shape: Shape{Size: size, Sector: sectorSize, Block: page},
		pages: map[int64][]byte{}, old: map[int64][]byte{}, room: -1,
	}
}

// file behaves like a sparse file: knows its holes, and discards are holes punched.
func (f *fake) file() *fake {
	f.holes, f.shape.Punches, f.shape.Discard = true, true, page
	return f
}

// zvol behaves like a zvol of this volblocksize: no map of holes, and a discard leaves what does not cover whole blocks.
func (f *fake) zvol(volblock int64) *fake {
	f.shape.Block, f.shape.Discard = volblock, volblock
	return f
}

func (f *fake) Name() string { return f.name }
func (f *fake) Shape() Shape { return f.shape }
func (f *fake) Close() error { return nil }

func (f *fake) load(p []byte, off int64) {
	for at := 0; at < len(p); {
		i, in := (off+int64(at))/page, (off+int64(at))%page
		n := min(len(p)-at, int(page-in))
		if have, ok := f.pages[i]; ok {
			copy(p[at:at+n], have[in:])
		} else {
			clear(p[at : at+n])
		}
		at += n
	}
}

// touch is the page i to change, remembered as it was at the last sync.
func (f *fake) touch(i int64) []byte {
	have, ok := f.pages[i]
	if _, known := f.old[i]; !known {
		f.old[i] = slices.Clone(have)
	}
	if !ok {
		have = make([]byte, page)
		f.pages[i] = have
	}
	return have
}

func (f *fake) ReadAt(p []byte, off int64) (int, error) {
	if f.onIO != nil {
		if err := f.onIO("read", off, p); err != nil {
			return 0, err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	p = f.cut(p)
	if off+int64(len(p)) > f.shape.Size {
		p = p[:max(0, f.shape.Size-off)]
	}
	for _, b := range f.bad {
		if off < b.To && b.From < off+int64(len(p)) {
			return 0, unix.EIO
		}
	}
	f.load(p, off)
	for at, x := range f.rot {
		if at >= off && at < off+int64(len(p)) {
			p[at-off] ^= x
		}
	}
	f.reads = append(f.reads, Range{off, off + int64(len(p))})
	return len(p), nil
}

func (f *fake) WriteAt(p []byte, off int64) (int, error) {
	if f.onIO != nil {
		if err := f.onIO("write", off, p); err != nil {
			return 0, err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	p = f.cut(p)
	if off+int64(len(p)) > f.shape.Size {
		return 0, unix.ENOSPC
	}
	for at := 0; at < len(p); {
		i, in := (off+int64(at))/page, (off+int64(at))%page
		n := min(len(p)-at, int(page-in))
		if _, ok := f.pages[i]; !ok && f.room == 0 {
			f.writes = append(f.writes, Range{off, off + int64(at)})
			return at, unix.ENOSPC
		} else if !ok && f.room > 0 {
			f.room--
		}
		copy(f.touch(i)[in:], p[at:at+n])
		at += n
	}
	f.writes = append(f.writes, Range{off, off + int64(len(p))})
	return len(p), nil
}

// cut shortens an access, to whole sectors.
func (f *fake) cut(p []byte) []byte {
	if f.short == nil || len(p) <= sectorSize || f.short.IntN(2) == 0 {
		return p
	}
	return p[:sectorSize*(1+f.short.IntN((len(p)-1)/sectorSize))]
}

func (f *fake) Discard(off, n int64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.refuses || f.shape.Discard == 0 {
		return errUnsupported
	}
	f.drops = append(f.drops, Range{off, off + n})
	unit := f.shape.Discard
	from, to := (off+unit-1)/unit*unit, (off+n)/unit*unit
	if f.lies {
		return nil
	}
	for at := from; at < to; at += page {
		if _, ok := f.pages[at/page]; ok {
			f.touch(at / page)
			delete(f.pages, at/page)
		}
	}
	return nil
}

func (f *fake) Next(off int64) (int64, int64, error) {
	if !f.holes {
		return 0, 0, errUnsupported
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	last := (f.shape.Size + page - 1) / page
	i := off / page
	if _, ok := f.pages[i]; !ok {
		next := last
		for k := range f.pages {
			if k > i && k < next {
				next = k
			}
		}
		i = next
	}
	if i >= last {
		return f.shape.Size, f.shape.Size, nil
	}
	end := i
	for ; f.pages[end] != nil; end++ {
	}
	return max(off, i*page), min(end*page, f.shape.Size), nil
}

func (f *fake) Sync() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.old)
	return nil
}

func (f *fake) Drop() error { return nil }

// powerCut makes of everything written since the last sync a mixture of new and old, sector by sector.
func (f *fake) powerCut(r *rand.Rand) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, old := range f.old {
		now := make([]byte, page)
		copy(now, f.pages[i])
		if old == nil {
			old = make([]byte, page)
		}
		for at := 0; at < page; at += sectorSize {
			if r.IntN(2) == 0 {
				copy(now[at:at+sectorSize], old[at:])
			}
		}
		f.pages[i] = now
	}
	clear(f.old)
}

// image is all of the device's bytes.
func (f *fake) image() []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := make([]byte, f.shape.Size)
	f.load(all, 0)
	return all
}

// put writes without anybody noticing.
func (f *fake) put(off int64, p []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for at := range p {
		i := (off + int64(at)) / page
		if f.pages[i] == nil {
			f.pages[i] = make([]byte, page)
		}
		f.pages[i][(off+int64(at))%page] = p[at]
	}
}

// paint puts random runs of data, zeros and holes on a device.
func (f *fake) paint(r *rand.Rand) *fake {
	buf := make([]byte, 256<<10)
	for off := int64(0); off < f.shape.Size; {
		n := min(int64(sectorSize*(1+r.IntN(512))), f.shape.Size-off)
		if r.IntN(3) == 0 { // long and aligned
			n = min(int64(page*(1+r.IntN(600))), f.shape.Size-off)
		}
		switch r.IntN(3) {
		case 0:
			for done := int64(0); done < n; done += int64(len(buf)) {
				part := buf[:min(int64(len(buf)), n-done)]
				fillRandom(r, part)
				f.put(off+done, part)
			}
		case 1:
			f.put(off, make([]byte, n))
		}
		off += n
	}
	return f
}

// fillRandom fills b without a page of zeros.
func fillRandom(r *rand.Rand, b []byte) {
	for len(b) >= 8 {
		binary.LittleEndian.PutUint64(b, r.Uint64()|1)
		b = b[8:]
	}
	for i := range b {
		b[i] = byte(r.Uint32() | 1)
	}
}

func pair(src, dst *fake) ends {
	return ends{
		src: src, dst: dst,
		source:   Identity{ID: src.name, Size: src.shape.Size},
		target:   Identity{ID: dst.name, Size: dst.shape.Size},
		modified: func() (int64, error) { return 0, nil },
	}
}

// copyFakes runs a job between two fakes.
func copyFakes(ctx context.Context, t interface {
	Helper()
	Fatal(...any)
}, src, dst *fake, job Job,
) (Result, error) {
	t.Helper()
	job, err := job.prepared()
	if err != nil {
		t.Fatal(err)
	}
	return copyBetween(ctx, pair(src, dst), job)
}

func mustCopy(t *testing.T, src, dst *fake, job Job) Result {
	t.Helper()
	result, err := copyFakes(t.Context(), t, src, dst, job)
	if err != nil {
		t.Fatal(err)
	}
	wantSame(t, src, dst)
	return result
}

// wantSame fails at the first byte in which the target differs from the source.
func wantSame(t interface {
	Helper()
	Fatalf(string, ...any)
}, src, dst *fake,
) {
	t.Helper()
	want, have := src.image(), dst.image()[:src.shape.Size]
	if bytes.Equal(want, have) {
		return
	}
	for i := range want {
		if want[i] != have[i] {
			t.Fatalf("target differs at offset %d of %d: want %#x, have %#x", i, len(want), want[i], have[i])
		}
	}
}

// memory keeps a checkpoint in memory, as text, the way every real one does.
type memory struct {
	mu    sync.Mutex
	text  []byte
	saves int
	err   error
	after func(Checkpoint) // each save
}

func (m *memory) Load(context.Context) (*Checkpoint, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.text == nil {
		return nil, nil
	}
	c := new(Checkpoint)
	return c, c.UnmarshalText(m.text)
}

func (m *memory) Save(_ context.Context, c Checkpoint) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		return m.err
	}
	text, err := c.MarshalText()
	m.text, m.saves = text, m.saves+1
	if m.after != nil {
		m.after(c)
	}
	return err
}

func (m *memory) Clear(context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.text = nil
	return nil
}
