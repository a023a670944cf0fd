package blockcopy

import (
	"context"
	"errors"
)

// admit refuses what must not be copied, before the first write, and prepares the ledger, behind an earlier run's
// checkpoint if there is one.
func (c *copier) admit(ctx context.Context) error {
	if c.target.Size < c.source.Size {
		return refuse("target %s has %d bytes, %d fewer than the %d of source %s",
			c.dst.Name(), c.target.Size, c.source.Size-c.target.Size, c.source.Size, c.src.Name())
	}
	interval := int64(0)
	if c.job.Checkpoint != nil {
		interval = c.job.Interval
		var err error
		if c.resumed, err = c.job.Checkpoint.Load(ctx); err != nil && !c.restarts(ctx) {
			return refuse("%w", err)
		}
	}
	hashed := c.job.Verify != VerifyNone
	if c.resumed != nil {
		c.ledger = newLedger(c.source.Size, c.resumed.Leaf, hashed, interval)
		if err := c.resume(*c.resumed); !errors.Is(err, ErrRefused) || !c.restarts(ctx) {
			return err
		}
		c.resumed, c.fresh, c.freshFrom = nil, false, 0
	}
	c.ledger = newLedger(c.source.Size, leafSize(c.source.Size, c.dst.Shape().Discard), hashed, interval)
	return c.inspect()
}

// restarts tells whether a checkpoint that cannot be continued may be dropped. Only where the target is read and compared is
// what an earlier run left in it of no consequence; that it is no longer fresh, is.
func (c *copier) restarts(ctx context.Context) bool {
	c.job.FreshTarget = false
	return c.job.Restart && c.job.Delta && ctx.Err() == nil
}

// inspect looks at what a target met for the first time holds.
func (c *copier) inspect() error {
	c.fresh = c.job.FreshTarget || readsAsZeros(c.dst)
	if c.job.Ours && !c.job.FreshTarget {
		return nil
	}
	found, err := signature(c.dst)
	if err != nil {
		return refuse("look at target: %w", err)
	}
	switch {
	case found != "" && c.job.FreshTarget:
		return refuse("target %s is said to be fresh but holds %s", c.dst.Name(), found)
	case found != "":
		return refuse("target %s holds %s; if it may be overwritten, say so with --ours", c.dst.Name(), found)
	}
	return nil
}

// resume continues an earlier run, if the checkpoint is of this pair and the target still holds what it claims.
func (c *copier) resume(point Checkpoint) error {
	const start = "; remove the checkpoint to copy from the start"
	if point.Source != c.source {
		return refuse("the checkpoint is of source %v, not of %s, %v%s", point.Source, c.src.Name(), c.source, start)
	}
	if point.Target != c.target {
		return refuse("the checkpoint is of target %v, not of %s, %v%s", point.Target, c.dst.Name(), c.target, start)
	}
	modified, err := c.modified()
	if err != nil {
		return err
	}
	if modified != point.SourceTime {
		return refuse("source %s was written to after the checkpoint was made%s (with --delta --ours it is quick)", c.src.Name(), start)
	}
	if c.ledger.hashed && !point.Hashed && point.Done > 0 {
		return refuse("the checkpoint was made with --verify=none and has no hash of the first %d bytes; continue with --verify=none%s", point.Done, start)
	}
	if point.Probe >= 0 {
		have, err := c.probe(point.Probe)
		if err != nil {
			return refuse("look at target: %w", err)
		}
		if have != point.ProbeDigest {
			return refuse("target %s does not hold what the checkpoint says was written at offset %d: it was rolled back or written to%s",
				c.dst.Name(), point.Probe, start)
		}
	}
	c.ledger.begin(point.Done, point.Chain)
	c.fresh, c.freshFrom = point.Fresh, min((point.Ahead+c.ledger.leaf-1)/c.ledger.leaf*c.ledger.leaf, c.source.Size)
	return nil
}
