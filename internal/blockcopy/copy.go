package blockcopy

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Verify says how much proof a copy owes.
type Verify string

// The ways to verify.
const (
	VerifyNone   Verify = "none"   // no hash
	VerifyInline Verify = "inline" // hash the source as it is read; the result can be compared later
	VerifyFull   Verify = "full"   // and then read the target back past the page cache and compare
)

// Job is one copy.
type Job struct {
	// Source and Target are block devices or raw files. A path below /dev/zvol is taken as a dataset name, and the
	// kernel is asked for the device (BLKZNAME).
	Source, Target string
	// SourceID and TargetID identify the two in checkpoints, a dataset guid for example; empty: what the machine knows.
	SourceID, TargetID string
	// SourceSize and TargetSize, if not 0, are the bytes the two must have exactly, to catch a device that is not the one meant.
	SourceSize, TargetSize int64

	Delta       bool // read the target too, and write only what differs
	FreshTarget bool // the target is known to read as zeros
	Ours        bool // the target may hold a file system or partition table
	Scan        bool // read all of the source first, and refuse when a part cannot be read
	Buffered    bool // no direct I/O
	IgnoreHoles bool // read holes too: do not trust the source's map

	Verify  Verify // default VerifyFull
	Rate    int64  // bytes a second read from the source, and read back when verifying; 0: no limit
	Workers int    // default 4

	Checkpoint Checkpoints   // nil: none
	Restart    bool          // with Delta: a checkpoint that cannot be continued is dropped, instead of refused
	Interval   int64         // bytes between checkpoints; default 256 MiB
	Every      time.Duration // longest time between checkpoints; default 10 s

	OnProgress    func(Progress) // called from one goroutine; nil: nobody asks
	ProgressEvery time.Duration  // default 500 ms
}

// MaxWorkers bounds the memory: each has buffers of 2 MiB, and 1 MiB once it has discarded on a device.
const MaxWorkers = 64

// prepared fills in what was left out and refuses what cannot be meant.
func (j Job) prepared() (Job, error) {
	if j.Verify == "" {
		j.Verify = VerifyFull
	}
	if j.Verify != VerifyNone && j.Verify != VerifyInline && j.Verify != VerifyFull {
		return j, refuse("verify %q is not none, inline or full", j.Verify)
	}
	if j.Rate < 0 || j.Workers < 0 || j.Workers > MaxWorkers || j.Interval < 0 || j.Every < 0 {
		return j, refuse("rate %d, workers %d (at most %d), interval %d and %v between checkpoints may not be negative or larger",
			j.Rate, j.Workers, MaxWorkers, j.Interval, j.Every)
	}
	if j.Workers == 0 {
		j.Workers = 4
	}
	if j.Interval == 0 {
		j.Interval = 256 << 20
	}
	if j.Every == 0 {
		j.Every = 10 * time.Second
	}
	if j.ProgressEvery <= 0 {
		j.ProgressEvery = 500 * time.Millisecond
	}
	return j, nil
}

// Result is a finished copy.
type Result struct {
	Source string `json:"source"` // the devices opened, which a zvol's link may not have pointed at
	Target string `json:"target"`
	Size   int64  `json:"size"`
	Counts
	Resumed int64    `json:"resumed,omitempty"` // offset at which an earlier run was continued
	Verify  Verify   `json:"verify"`
	Leaf    int64    `json:"leaf,omitempty"` // bytes hashed at a time, part of what Hash means
	Hash    string   `json:"hash,omitempty"` // of the source as read, and with VerifyFull of the target (see digest.go)
	Notes   []string `json:"notes,omitempty"`

	CopySeconds   float64 `json:"copySeconds"`
	VerifySeconds float64 `json:"verifySeconds,omitempty"`
	Seconds       float64 `json:"seconds"`
}

// Copy makes the target's first bytes those of the source. Errors: ErrRefused (nothing was written), *Unreadable,
// *Mismatch, the context's; any other is a failed write or flush. It returns with every goroutine ended.
func Copy(ctx context.Context, job Job) (Result, error) {
	return copyOn(ctx, thisMachine(), job)
}

func copyOn(ctx context.Context, m machine, job Job) (_ Result, err error) {
	if job, err = job.prepared(); err != nil {
		return Result{}, err
	}
	ends, err := open(ctx, m, job)
	if err != nil {
		return Result{}, err
	}
	defer func() { err = errors.Join(err, ends.src.Close(), ends.dst.Close()) }()
	return copyBetween(ctx, ends, job)
}

// ends are the two devices of a copy and what is known of them.
type ends struct {
	src, dst device
	source   Identity
	target   Identity
	modified func() (int64, error) // when the source was last written; constant for devices
}

// open opens both ends and refuses whatever can be refused without reading their contents.
func open(ctx context.Context, m machine, job Job) (_ ends, err error) {
	src, err := openSource(ctx, m, job.Source, job.Buffered)
	if err != nil {
		return ends{}, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, src.Close())
		}
	}()
	at, err := m.locate(ctx, job.Target)
	if err != nil {
		return ends{}, err
	}
	if shared, err := m.overlap(src.name, at); err == nil && shared != "" {
		return ends{}, refuse("source %s and target %s are the same storage (%s)", job.Source, job.Target, shared)
	}
	dst, err := openTarget(ctx, m, at, job.Buffered)
	if err != nil {
		return ends{}, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, dst.Close())
		}
	}()
	if err := errors.Join(m.confirm(src, job.Source), m.confirm(dst, job.Target)); err != nil {
		return ends{}, err
	}
	e := ends{src: src, dst: dst, modified: src.modified}
	if e.source, err = name(m, src, job.SourceID, job.SourceSize); err != nil {
		return ends{}, err
	}
	e.target, err = name(m, dst, job.TargetID, job.TargetSize)
	return e, err
}

func name(m machine, d *disk, id string, size int64) (Identity, error) {
	if size != 0 && size != d.shape.Size {
		return Identity{}, refuse("%s has %d bytes, not the %d it should have: it is not the device that was meant", d.name, d.shape.Size, size)
	}
	if id == "" {
		var err error
		if id, err = m.identify(d); err != nil {
			return Identity{}, fmt.Errorf("identify %s: %w", d.name, err)
		}
	}
	return Identity{ID: id, Size: d.shape.Size}, nil
}
