package blockcopy

import (
	"context"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// copier is a copy under way: what all workers share.
type copier struct {
	ends       // without a target where something is only hashed
	job        Job
	base       context.Context // of the caller, for what must outlast the failure of one worker
	ledger     *ledger
	meter      *meter
	limit      *limit
	unreadable unreadable
	delta      bool
	granule    int         // the target is written and kept in these units
	fresh      bool        // the target read as zeros when the first run began
	freshFrom  int64       // but an earlier run may have written before this offset
	keepsData  atomic.Bool // the target does not honour discards: write zeros
	resumed    *Checkpoint
}

func copyBetween(ctx context.Context, e ends, job Job) (Result, error) {
	c := &copier{
		ends: e, job: job, base: ctx, delta: job.Delta, granule: granule(e.dst.Shape()),
		meter: &meter{began: time.Now()}, limit: &limit{rate: job.Rate},
	}
	if err := c.admit(ctx); err != nil {
		return Result{}, err
	}
	watched := c.watch(ctx)
	result, err := c.run(ctx)
	watched()
	return result, err
}

// watch reports the progress until what it returns is called.
func (c *copier) watch(ctx context.Context) (end func()) {
	if c.job.OnProgress == nil {
		return func() {}
	}
	watching, stop := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		c.meter.watch(watching, c.source.Size, c.job.ProgressEvery, c.job.OnProgress)
	}()
	return func() {
		stop()
		<-ended
	}
}

// granule is the unit of allocation of the target: leaving out less than that saves nothing there.
func granule(s Shape) int {
	if s.Block > page && s.Block <= segment && s.Block&(s.Block-1) == 0 {
		return int(s.Block)
	}
	return page
}

// freshAt says whether the target is known to read as zeros in the segment or run of holes at off.
func (c *copier) freshAt(off int64) bool { return c.fresh && off >= c.freshFrom }

func (c *copier) run(ctx context.Context) (Result, error) {
	if c.job.Scan {
		if err := c.scan(ctx); err != nil {
			return Result{}, err
		}
	}
	before, err := c.modified()
	if err != nil {
		return Result{}, err
	}
	began := time.Now()
	if err := c.copyAll(ctx, before); err != nil {
		return Result{}, c.explain(ctx, err)
	}
	_, chain, _ := c.ledger.progress()
	r := Result{
		Source: c.src.Name(), Target: c.dst.Name(), Size: c.source.Size, Verify: c.job.Verify,
		CopySeconds: time.Since(began).Seconds(), Resumed: c.meter.resumed.Load(),
	}
	if c.ledger.hashed {
		r.Hash, r.Leaf = chain.String(), c.ledger.leaf
	}
	if c.job.Verify == VerifyFull {
		began = time.Now()
		if err := c.verify(ctx); err != nil {
			return Result{}, c.explain(ctx, err)
		}
		r.VerifySeconds = time.Since(began).Seconds()
	}
	if c.job.Checkpoint != nil {
		if err := c.job.Checkpoint.Clear(ctx); err != nil {
			return Result{}, err
		}
	}
	if after, err := c.modified(); err == nil && after != before {
		r.Notes = append(r.Notes, "the source was written to during the copy: the target is a mixture of its states; copy once more with --delta --ours")
	}
	r.Counts, r.Seconds = c.meter.counts(), time.Since(c.meter.began).Seconds()
	return r, nil
}

// explain puts the ranges that could not be read, or the cancellation, in the place of what followed from them.
func (c *copier) explain(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if bad := c.unreadable.report(); bad != nil {
		return bad
	}
	return err
}

// copyAll copies every leaf that no earlier run has copied, and flushes the target.
func (c *copier) copyAll(ctx context.Context, modified int64) error {
	from, _, _ := c.ledger.progress()
	c.meter.resumed.Store(from)
	c.meter.start(PhaseCopy, from)
	if err := c.save(ctx, modified); err != nil {
		return err
	}
	group, gctx := errgroup.WithContext(ctx)
	working, idle := context.WithCancel(gctx)
	defer idle()
	tasks := make(chan task)
	group.Go(func() error {
		defer close(tasks)
		return c.dispatch(gctx, tasks)
	})
	busy := atomic.Int64{}
	busy.Store(int64(c.job.Workers))
	for range c.job.Workers {
		group.Go(func() error {
			defer func() {
				if busy.Add(-1) == 0 {
					idle()
				}
			}()
			return c.work(gctx, tasks)
		})
	}
	group.Go(func() error { return c.keep(gctx, working, modified) })
	if err := group.Wait(); err != nil {
		if ctx.Err() == nil {
			// What was copied before the failure need not be copied again. If this fails too, the last checkpoint stands.
			_ = c.save(ctx, modified)
		}
		return err
	}
	if c.job.Checkpoint != nil {
		return c.save(ctx, modified)
	}
	return c.dst.Sync()
}

func (c *copier) work(ctx context.Context, tasks <-chan task) error {
	w := c.newWorker()
	defer w.free()
	for {
		select {
		case t, more := <-tasks:
			if !more {
				return ctx.Err()
			}
			if err := w.do(ctx, t); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// dispatch hands out the leaves in order: one at a time where there is data, many where there is a hole.
func (c *copier) dispatch(ctx context.Context, tasks chan<- task) error {
	source := holes{d: c.src, blind: c.job.IgnoreHoles}
	for i := c.ledger.first; i < c.ledger.leaves(); {
		free, err := c.ledger.reserve(ctx, i)
		if err != nil {
			return err
		}
		off := i * c.ledger.leaf
		data, err := source.within(off, off+c.ledger.length(i))
		if err != nil {
			return err
		}
		t := task{first: i, count: 1, extents: data}
		if len(data) == 0 {
			t.count = min(max(1, (source.beyond()-off)/c.ledger.leaf), 64, free, c.ledger.leaves()-i)
			if source.beyond() >= c.source.Size {
				t.count = min(64, free, c.ledger.leaves()-i)
			}
			if off < c.freshFrom {
				t.count = min(t.count, max(1, (c.freshFrom-off)/c.ledger.leaf)) // all of it fresh, or none
			}
		}
		select {
		case tasks <- t:
			i += t.count
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
