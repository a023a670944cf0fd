package blockcopy

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
)

// Reading is one device or raw file to be hashed.
type Reading struct {
	Path string // a path below /dev/zvol is taken as a dataset name, as in Job
	Size int64  // if not 0, the bytes it must have exactly
	// First is how many bytes from the start on are hashed, 0: all. A copy may lie on a larger device.
	First int64
	// Leaf is the number of bytes hashed at a time, part of what the hash means; 0: what a copy of a device of this size
	// takes.
	Leaf        int64
	Rate        int64 // bytes a second; 0: no limit
	Workers     int   // default 4
	Buffered    bool  // no direct I/O
	IgnoreHoles bool  // read holes too

	OnProgress    func(Progress)
	ProgressEvery time.Duration // default 500 ms
}

// Hashed is what came of a reading.
type Hashed struct {
	Device  string   `json:"device"` // that was opened
	Size    int64    `json:"size"`   // bytes hashed
	Leaf    int64    `json:"leaf"`
	Hash    string   `json:"hash"` // equal to a copy's of the same bytes with the same leaf
	Tree    string   `json:"tree"` // both in one word: "blake3-tree:LEAF:HASH"
	Read    int64    `json:"read"`
	Holes   int64    `json:"holes"` // not read: they are zeros
	Notes   []string `json:"notes,omitempty"`
	Seconds float64  `json:"seconds"`
}

// Tree is a hash with what it means, in one word.
func Tree(leaf int64, hash string) string { return fmt.Sprintf("blake3-tree:%d:%s", leaf, hash) }

// Hash reads a device and hashes it as a copy does. Errors: ErrRefused, *Unreadable, the context's.
func Hash(ctx context.Context, r Reading) (Hashed, error) { return hashOn(ctx, thisMachine(), r) }

func hashOn(ctx context.Context, m machine, r Reading) (_ Hashed, err error) {
	if r.Leaf < 0 || r.Leaf%segment != 0 {
		return Hashed{}, refuse("a leaf of %d bytes is no multiple of %d", r.Leaf, segment)
	}
	job, err := Job{Rate: r.Rate, Workers: r.Workers, IgnoreHoles: r.IgnoreHoles, Verify: VerifyInline, OnProgress: r.OnProgress, ProgressEvery: r.ProgressEvery}.prepared()
	if err != nil {
		return Hashed{}, err
	}
	src, err := openSource(ctx, m, r.Path, r.Buffered)
	if err != nil {
		return Hashed{}, err
	}
	defer func() { err = errors.Join(err, src.Close()) }()
	if err := m.confirm(src, r.Path); err != nil {
		return Hashed{}, err
	}
	source, err := name(m, src, r.Path, r.Size)
	if err != nil {
		return Hashed{}, err
	}
	switch {
	case r.First < 0 || r.First > source.Size:
		return Hashed{}, refuse("%s has %d bytes: there are no first %d to hash", src.Name(), source.Size, r.First)
	case r.First > 0:
		source.Size = r.First
	}
	leaf := r.Leaf
	if leaf == 0 {
		leaf = leafSize(source.Size, 0)
	}
	c := &copier{
		ends: ends{src: src, source: source, modified: src.modified}, job: job, base: ctx,
		ledger: newLedger(source.Size, leaf, true, 0), meter: &meter{began: time.Now()}, limit: &limit{rate: job.Rate},
	}
	return c.hash(ctx)
}

// hash reads every leaf; the copier has no target.
func (c *copier) hash(ctx context.Context) (Hashed, error) {
	before, err := c.modified()
	if err != nil {
		return Hashed{}, err
	}
	watched := c.watch(ctx)
	c.meter.start(PhaseHash, 0)
	group, gctx := errgroup.WithContext(ctx)
	tasks := make(chan task)
	group.Go(func() error {
		defer close(tasks)
		return c.dispatch(gctx, tasks)
	})
	for range c.job.Workers {
		group.Go(func() error { return c.work(gctx, tasks) })
	}
	err = group.Wait()
	watched()
	if err != nil {
		return Hashed{}, c.explain(ctx, err)
	}
	_, chain, _ := c.ledger.progress()
	h := Hashed{
		Device: c.src.Name(), Size: c.source.Size, Leaf: c.ledger.leaf, Hash: chain.String(), Tree: Tree(c.ledger.leaf, chain.String()),
		Read: c.meter.read.Load(), Holes: c.meter.holes.Load(), Seconds: time.Since(c.meter.began).Seconds(),
	}
	if after, err := c.modified(); err == nil && after != before {
		h.Notes = append(h.Notes, "the file was written to meanwhile: the hash is of a mixture of its states")
	}
	return h, nil
}
