package blockcopy

import (
	"bytes"
	"context"
	"fmt"
	"sync"

	"golang.org/x/sync/errgroup"
)

// Mismatch is the error of a target that reads back differently from what was read of the source.
type Mismatch struct {
	Target string
	Offset int64 // of the first byte that differs, or of the range that does
	Length int64 // not 0: the source reads like the target now, so only a range of this many bytes is known
}

func (m *Mismatch) Error() string {
	if m.Length != 0 {
		return fmt.Sprintf("verify: target %s differs from the source as it was read, first in the %d bytes at offset %d; "+
			"the source reads differently now: something writes to it", m.Target, m.Length, m.Offset)
	}
	return fmt.Sprintf("verify: target %s differs from the source, first at offset %d; something else writes to it, or its "+
		"storage lies; look there, then copy again with --delta --ours", m.Target, m.Offset)
}

// verify reads the target back past the page cache and compares it with the digests of the source as read. What an
// earlier run copied is known by its chain only.
func (c *copier) verify(ctx context.Context) error {
	if err := c.dst.Drop(); err != nil {
		return err
	}
	c.meter.start(PhaseVerify, 0)
	bad, last := int64(-1), int64(0)
	if c.resumed != nil && c.resumed.Done > 0 {
		chain, err := c.rehash(ctx, 0, c.ledger.first, nil)
		if err != nil {
			return err
		}
		if chain != c.resumed.Chain {
			bad, last = 0, c.ledger.first
		}
	}
	if bad < 0 {
		var err error
		if bad, err = c.firstBad(ctx); err != nil {
			return err
		}
		last = bad + 1
	}
	if bad < 0 {
		return nil
	}
	// The checkpoint would lead the next run straight back here.
	if c.job.Checkpoint != nil {
		if err := c.job.Checkpoint.Clear(ctx); err != nil {
			return err
		}
	}
	return c.pinpoint(ctx, bad*c.ledger.leaf, min(last*c.ledger.leaf, c.source.Size))
}

// firstBad is the first leaf of this run whose digest is not that of the source, -1 if there is none.
func (c *copier) firstBad(ctx context.Context) (int64, error) {
	var mu sync.Mutex
	bad := int64(-1)
	_, err := c.rehash(ctx, c.ledger.first, c.ledger.leaves(), func(i int64, have Digest) bool {
		mu.Lock()
		defer mu.Unlock()
		if have != c.ledger.digests[i-c.ledger.first] && (bad < 0 || i < bad) {
			bad = i
		}
		return bad < 0
	})
	return bad, err
}

// rehash reads the leaves [from, to) of the target and returns the chain over them from its beginning. each, if not
// nil, sees every digest, in any order; when it returns false no further leaf is begun, and all before are finished.
func (c *copier) rehash(ctx context.Context, from, to int64, each func(int64, Digest) bool) (Digest, error) {
	book := newLedger(c.source.Size, c.ledger.leaf, true, 0)
	book.begin(from*book.leaf, Digest{})
	group, gctx := errgroup.WithContext(ctx)
	leaves := make(chan int64)
	enough := make(chan struct{})
	var once sync.Once
	group.Go(func() error {
		defer close(leaves)
		for i := from; i < to; i++ {
			select {
			case <-enough:
				return nil
			default:
			}
			select {
			case leaves <- i:
			case <-enough:
				return nil
			case <-gctx.Done():
				return gctx.Err()
			}
		}
		return nil
	})
	for range c.job.Workers {
		group.Go(func() error {
			w := c.newWorker()
			defer w.free()
			for i := range leaves {
				digest, err := w.rehashLeaf(gctx, i)
				if err != nil {
					return err
				}
				book.finish(i, digest, false)
				if each != nil && !each(i, digest) {
					once.Do(func() { close(enough) })
				}
			}
			return gctx.Err()
		})
	}
	err := group.Wait()
	_, chain, _ := book.progress()
	return chain, err
}

func (w *worker) rehashLeaf(ctx context.Context, i int64) (Digest, error) {
	off := i * w.ledger.leaf
	for end := off + w.ledger.length(i); off < end; off += segment {
		n := min(segment, end-off)
		if err := w.limit.wait(ctx, int(n)); err != nil {
			return Digest{}, err
		}
		if err := w.read(w.dst, w.other[:n], off); err != nil {
			return Digest{}, err
		}
		var bits bitmap
		bits.scan(w.other, 0, int(n))
		w.hash.add(w.other[:n], &bits)
		w.meter.hashed.Add(n)
		w.meter.verified.Add(n)
		w.meter.done.Add(n)
	}
	return w.hash.sum(), nil
}

// pinpoint compares source and target byte by byte in a range known to differ, to name the first offset that does.
func (c *copier) pinpoint(ctx context.Context, from, to int64) error {
	w := c.newWorker()
	defer w.free()
	for at := from; at < to; at += segment {
		n := min(segment, to-at)
		if err := c.limit.wait(ctx, int(n)); err != nil {
			return err
		}
		if err := w.read(c.src, w.buf[:n], at); err != nil {
			return err
		}
		if err := w.read(c.dst, w.other[:n], at); err != nil {
			return err
		}
		if bytes.Equal(w.buf[:n], w.other[:n]) {
			continue
		}
		for b := range n {
			if w.buf[b] != w.other[b] {
				return &Mismatch{Target: c.dst.Name(), Offset: at + b}
			}
		}
	}
	return &Mismatch{Target: c.dst.Name(), Offset: from, Length: to - from}
}
