package blockcopy

import (
	"context"
	"time"

	"github.com/zeebo/blake3"
)

// keep saves a checkpoint whenever the ledger says that one is due or the time is up, until the workers are done.
func (c *copier) keep(ctx, working context.Context, modified int64) error {
	if c.job.Checkpoint == nil {
		return nil
	}
	ticker := time.NewTicker(c.job.Every)
	defer ticker.Stop()
	for {
		select {
		case <-working.Done():
			return nil
		case <-c.ledger.moved:
			if !c.ledger.due() {
				continue // told while the last one was being saved
			}
		case <-ticker.C:
		}
		if err := c.save(ctx, modified); err != nil {
			return err
		}
	}
}

// save flushes the target and then saves how far it is. The order is the point: a checkpoint never claims what a
// power cut could take back.
func (c *copier) save(ctx context.Context, modified int64) error {
	if c.job.Checkpoint == nil {
		return nil
	}
	done, chain, proof := c.ledger.progress()
	if err := c.dst.Sync(); err != nil {
		return writeError(c.dst, done, err)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	point := Checkpoint{
		Version: checkpointVersion, Source: c.source, Target: c.target, SourceTime: modified,
		Leaf: c.ledger.leaf, Done: done, Ahead: min(done+c.window(), c.source.Size), Fresh: c.fresh,
		Hashed: c.ledger.hashed, Chain: chain, Probe: proof,
	}
	if c.resumed != nil {
		point.Ahead = max(point.Ahead, min(c.resumed.Ahead, c.source.Size))
	}
	if proof >= 0 {
		var err error
		if point.ProbeDigest, err = c.probe(proof); err != nil {
			return err
		}
	}
	if err := c.job.Checkpoint.Save(ctx, point); err != nil {
		return err
	}
	c.ledger.commit(done, point.Ahead)
	return nil
}

// window is how far writing may run ahead of the last checkpoint: two intervals, so that it need not wait for the
// flush of one.
func (c *copier) window() int64 {
	return 2*max(c.job.Interval, c.ledger.leaf) + int64(c.job.Workers+1)*c.ledger.leaf
}

// probe is a plain hash of what the target holds in the leaf at off.
func (c *copier) probe(off int64) (sum Digest, err error) {
	hasher, buf := blake3.New(), alignedBuffer(segment)
	for end := min(off+c.ledger.leaf, c.source.Size); off < end; off += segment {
		part := buf[:min(segment, end-off)]
		if err := readFull(c.dst, part, off); err != nil {
			return sum, err
		}
		_, _ = hasher.Write(part)
	}
	hasher.Sum(sum[:0])
	return sum, nil
}
