package blockcopy

import (
	"context"
	"errors"
	"sync"
)

// discardSize bounds one discard, so that a cancellation need not wait long.
const discardSize = 64 << 20

// zeros is a segment of them, made for the first run that writes any.
var zeros = sync.OnceValue(func() []byte { return alignedBuffer(segment) })

// clear makes a range of the target read as zeros that is a hole in the source.
func (w *worker) clear(ctx context.Context, off, n int64) error {
	if w.dst == nil {
		return ctx.Err()
	}
	if w.freshAt(off) {
		return ctx.Err()
	}
	if !w.delta {
		return w.zero(ctx, off, n)
	}
	there := holes{d: w.dst}
	for end := off + n; off < end; off += segment {
		part := min(segment, end-off)
		data, err := there.within(off, off+part)
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if len(data) == 0 {
			w.meter.same.Add(part)
			continue
		}
		if err := w.read(w.dst, w.other[:part], off); err != nil {
			return err
		}
		if err := w.zeroWhere(ctx, off, int(part), &w.meter.same); err != nil {
			return err
		}
	}
	return nil
}

// zeroWhere zeros the granules of other, as read from the target at off, that are not zeros, and counts those that are.
func (w *worker) zeroWhere(ctx context.Context, off int64, n int, same *counter) error {
	var bits bitmap
	bits.scan(w.other, 0, n)
	return runs(n, w.granule, func(from, to int) bool { return bits.any(from/page, pagesOf(to)) },
		func(full bool, from, to int) error {
			if full {
				return w.zero(ctx, off+int64(from), int64(to-from))
			}
			same.Add(int64(to - from))
			return nil
		})
}

// zero makes a range of the target read as zeros, whatever it holds: the interior that covers whole discard units is
// discarded, and the edges, which a zvol would silently leave as they are, are written.
func (w *worker) zero(ctx context.Context, off, n int64) error {
	shape := w.dst.Shape()
	for end := off + n; off < end; {
		to := min(end, (off/discardSize+1)*discardSize)
		from, until := inward(off, to, shape)
		if shape.Discard == 0 || from >= until || w.keepsData.Load() {
			from, until = to, to
		}
		if err := w.writeZeros(ctx, off, from-off); err != nil {
			return err
		}
		if err := w.discard(ctx, from, until-from); err != nil {
			return err
		}
		if err := w.writeZeros(ctx, until, to-until); err != nil {
			return err
		}
		off = to
	}
	return nil
}

// inward is the part of [from, to) that covers whole discard units.
func inward(from, to int64, shape Shape) (int64, int64) {
	unit := max(shape.Discard, page)
	shift := shape.DiscardOffset % unit
	return (from-shift+unit-1)/unit*unit + shift, (to-shift)/unit*unit + shift
}

// discard drops an aligned range and, unless the device promises zeros, looks whether it reads as zeros now. A device
// that refuses, or keeps the old bytes, is written from then on.
func (w *worker) discard(ctx context.Context, off, n int64) error {
	if n <= 0 {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := w.dst.Discard(off, n); err != nil {
		// Whatever the reason, writing either works or says it better.
		if errors.Is(err, errUnsupported) {
			w.keepsData.Store(true)
		}
		return w.writeZeros(ctx, off, n)
	}
	w.meter.discarded.Add(n)
	if w.dst.Shape().Punches {
		return nil
	}
	if w.check == nil {
		w.check = alignedBuffer(segment)
	}
	for end := off + n; off < end; off += segment {
		part := min(segment, end-off)
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := w.read(w.dst, w.check[:part], off); err != nil {
			return err
		}
		var bits bitmap
		if bits.scan(w.check, 0, int(part)); bits == (bitmap{}) {
			continue
		}
		w.keepsData.Store(true)
		if err := w.writeZeros(ctx, off, part); err != nil {
			return err
		}
	}
	return nil
}

func (w *worker) writeZeros(ctx context.Context, off, n int64) error {
	for end := off + n; off < end; {
		part := min(segment, end-off)
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := writeFull(w.dst, zeros()[:part], off); err != nil {
			return err
		}
		w.meter.written.Add(part)
		off += part
	}
	return nil
}
