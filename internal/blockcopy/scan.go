package blockcopy

import (
	"context"
	"errors"

	"golang.org/x/sync/errgroup"
)

// scan reads all data of the source before anything is written, and refuses, naming every range that cannot be read.
func (c *copier) scan(ctx context.Context) error {
	c.meter.start(PhaseScan, 0)
	group, gctx := errgroup.WithContext(ctx)
	parts := make(chan extent)
	group.Go(func() error {
		defer close(parts)
		source := holes{d: c.src, blind: c.job.IgnoreHoles}
		for off := int64(0); off < c.source.Size; off += segment {
			end := min(off+segment, c.source.Size)
			data, err := source.within(off, end)
			if err != nil {
				return err
			}
			hole := end - off
			for _, part := range data {
				hole -= part.to - part.from
			}
			c.meter.done.Add(hole)
			for _, part := range data {
				select {
				case parts <- part:
				case <-gctx.Done():
					return gctx.Err()
				}
			}
		}
		return nil
	})
	for range c.job.Workers {
		group.Go(func() error {
			w := c.newWorker()
			defer w.free()
			for part := range parts {
				n := int(part.to - part.from)
				if err := c.limit.wait(gctx, n); err != nil {
					return err
				}
				// A bad range is collected, and the rest is read all the same.
				if err := w.read(c.src, w.buf[:n], part.from); err != nil && !errors.Is(err, errNarrowed) {
					return err
				}
				c.meter.done.Add(int64(n))
			}
			return gctx.Err()
		})
	}
	if err := group.Wait(); err != nil {
		return c.explain(ctx, err)
	}
	if bad := c.unreadable.report(); bad != nil {
		return refuse("%w", bad)
	}
	return nil
}
