package blockcopy

import (
	"bytes"
	"context"
	"errors"
)

// task is a run of leaves for one worker. Without extents they are all hole; with extents it is one leaf.
type task struct {
	first, count int64
	extents      []extent
}

// worker copies one task after the other with its own buffers, which are to be freed at the end.
type worker struct {
	*copier
	buffers
	check []byte // of the target, after a discard; nil until there was one
	hash  *leafHash
}

func (c *copier) newWorker() *worker {
	return &worker{copier: c, buffers: newBuffers(), hash: newLeafHash()}
}

func (w *worker) do(ctx context.Context, t task) error {
	off := t.first * w.ledger.leaf
	end := min(off+t.count*w.ledger.leaf, w.ledger.size)
	if len(t.extents) == 0 {
		if err := w.clear(ctx, off, end-off); err != nil {
			return err
		}
		for i := t.first; i < t.first+t.count; i++ {
			w.ledger.finish(i, w.emptyLeaf(i), false)
		}
		w.meter.holes.Add(end - off)
		w.meter.done.Add(end - off)
		return nil
	}
	wrote, err := w.leaf(ctx, off, end, t.extents)
	if err != nil {
		return err
	}
	w.ledger.finish(t.first, w.digest(), wrote)
	return nil
}

// digest is of the leaf that was just added to the hash, if there is one.
func (w *worker) digest() Digest {
	if !w.ledger.hashed {
		return Digest{}
	}
	return w.hash.sum()
}

func (w *worker) emptyLeaf(i int64) Digest {
	if !w.ledger.hashed {
		return Digest{}
	}
	w.hash.skip(w.ledger.length(i))
	return w.hash.sum()
}

// leaf copies one leaf, segment by segment. wrote says that some of it is not zeros.
func (w *worker) leaf(ctx context.Context, off, end int64, data []extent) (wrote bool, err error) {
	for ; off < end; off += segment {
		n := min(segment, end-off)
		for len(data) > 0 && data[0].to <= off {
			data = data[1:]
		}
		if len(data) == 0 || data[0].from >= off+n {
			if err := w.clear(ctx, off, n); err != nil {
				return wrote, err
			}
			if w.ledger.hashed {
				w.hash.skip(n)
			}
			w.meter.holes.Add(n)
			w.meter.done.Add(n)
			continue
		}
		bits, err := w.fill(ctx, off, n, data)
		if err != nil {
			return wrote, err
		}
		if w.ledger.hashed {
			w.hash.add(w.buf[:n], &bits)
			w.meter.hashed.Add(n)
		}
		if err := w.put(ctx, off, int(n), &bits); err != nil {
			return wrote, err
		}
		wrote = wrote || bits != bitmap{}
		w.meter.done.Add(n)
	}
	return wrote, nil
}

// fill reads the data of a segment into buf, with zeros for the holes. It is one read from the first data to the last:
// what a hole in between costs to read as zeros is less than what it costs to ask the medium once more.
func (w *worker) fill(ctx context.Context, off, n int64, data []extent) (bits bitmap, err error) {
	data = clipped(data, off, off+n)
	first, last, length := data[0].from, data[len(data)-1].to, int64(0)
	for _, d := range data {
		length += d.to - d.from
	}
	if err := w.limit.wait(ctx, int(length)); err != nil {
		return bits, err
	}
	if err := w.read(w.src, w.buf[first-off:last-off], first); err != nil {
		return bits, err
	}
	at := off
	for _, d := range data {
		clear(w.buf[at-off : d.from-off])
		bits.scan(w.buf, int(d.from-off), int(d.to-off))
		at = d.to
	}
	clear(w.buf[at-off : n])
	w.meter.read.Add(length)
	w.meter.holes.Add(n - length)
	w.meter.zeros.Add(length - bits.bytes(n))
	return bits, nil
}

// kind is what has to happen to a run of granules.
type kind int

const (
	write kind = iota
	zero
	keep
)

// put brings buf into the target at off.
func (w *worker) put(ctx context.Context, off int64, n int, bits *bitmap) error {
	if w.dst == nil {
		return ctx.Err()
	}
	fresh := w.freshAt(off)
	if w.delta && !fresh {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := w.read(w.dst, w.other[:n], off); err != nil {
			return err
		}
	}
	return runs(n, w.granule, func(from, to int) kind {
		switch empty := !bits.any(from/page, pagesOf(to)); {
		case empty && fresh:
			return keep
		case w.delta && !fresh && bytes.Equal(w.buf[from:to], w.other[from:to]):
			w.meter.same.Add(int64(to - from))
			return keep
		case empty:
			return zero
		}
		return write
	}, func(k kind, from, to int) error {
		switch k {
		case zero:
			return w.zero(ctx, off+int64(from), int64(to-from))
		case write:
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := writeFull(w.dst, w.buf[from:to], off+int64(from)); err != nil {
				return err
			}
			w.meter.written.Add(int64(to - from))
			w.meter.content.Add(int64(to - from))
		case keep: // the target holds it already
		}
		return nil
	})
}

// read reads from one end of the copy; ranges that cannot be read are narrowed down and collected.
func (w *worker) read(d device, p []byte, off int64) error {
	err := readFull(d, p, off)
	var bad *readError
	if !errors.As(err, &bad) {
		return err
	}
	// Not under the context of the group: another worker that failed must not hide this one's ranges.
	return w.unreadable.narrow(w.base, d, p, off, bad)
}
