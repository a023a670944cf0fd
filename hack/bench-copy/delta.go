package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ustclug/pve-reconcile/internal/blockcopy"
)

// delta copies over a target that already holds the same, and compares that with reading both ends in the same way:
// 1 MiB at a time, four at once, direct I/O, and flushing the target, which a copy owes even when it wrote nothing: what
// it found equal may be in a cache only. On a busy file system that flush waits for the journal of everybody else, so it
// belongs to both sides. Cold, because hot it measures memory. A third row reads both and compares them with one
// bytes.Equal per MiB, and nothing else: what finding out that two devices are equal costs at the very least.
func (b *bench) delta(ctx context.Context, on, source string, loop bool) (err error) {
	info, err := os.Stat(source)
	if err != nil {
		return err
	}
	target := filepath.Join(b.dir, "target")
	if err := blank(target, info.Size()); err != nil {
		return err
	}
	job := blockcopy.Job{Source: source, Target: target, Verify: blockcopy.VerifyNone, Ours: true}
	if _, err := blockcopy.Copy(ctx, job); err != nil {
		return err
	}
	if loop {
		if job.Source, err = attach(source); err != nil {
			return err
		}
		b.loops = append(b.loops, job.Source)
		if job.Target, err = attach(target); err != nil {
			return err
		}
		b.loops = append(b.loops, job.Target)
		defer func() { err = errors.Join(err, b.close()) }()
	}
	job.Delta = true
	var delta, both, equal []sample
	for range b.rounds {
		if err := errors.Join(cool(source), cool(target)); err != nil {
			return err
		}
		began := time.Now()
		result, err := blockcopy.Copy(ctx, job)
		if err != nil {
			return err
		}
		delta = append(delta, sample{seconds: time.Since(began).Seconds()})
		if result.Written != 0 {
			return fmt.Errorf("delta over an identical target wrote %d bytes", result.Written)
		}
		for _, other := range []struct {
			compare bool
			samples *[]sample
		}{{false, &both}, {true, &equal}} {
			if err := errors.Join(cool(source), cool(target)); err != nil {
				return err
			}
			began = time.Now()
			err := errors.Join(readBoth(ctx, job.Source, job.Target, info.Size(), other.compare), flush(job.Target))
			if err != nil {
				return err
			}
			*other.samples = append(*other.samples, sample{seconds: time.Since(began).Seconds()})
		}
	}
	d, r, e := median(delta).seconds, median(both).seconds, median(equal).seconds
	fmt.Printf("\n%s, cache cold, delta over an identical target, %.1f GiB each\n", on, float64(info.Size())/(1<<30))
	fmt.Printf("  %-20s %8.2f s\n  %-20s %8.2f s\n  %-20s %8.2f s\n", "reconcile --delta", d, "reading both, flush", r, "and comparing them", e)
	fmt.Printf("  %s: delta is %.2f of reading both (goal 1.00, within the noise of 1.10), %.2f of reading and comparing\n",
		verdict(d <= 1.1*r), d/r, d/e)
	return nil
}

// readBoth reads two devices from beginning to end and forgets what it read, or compares it first.
func readBoth(ctx context.Context, a, b string, size int64, compare bool) error {
	var files [2]*os.File
	for i, path := range []string{a, b} {
		f, err := os.OpenFile(path, os.O_RDONLY|unix.O_DIRECT, 0)
		if err != nil {
			return err
		}
		defer f.Close()
		files[i] = f
	}
	const part = 1 << 20
	offsets := make(chan int64)
	errs := make([]error, 4)
	var wait sync.WaitGroup
	for i := range errs {
		wait.Go(func() {
			buf, err := unix.Mmap(-1, 0, 2*part, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
			if err != nil {
				errs[i] = err
			}
			for off := range offsets {
				n := min(part, size-off)
				for side, f := range files {
					if errs[i] == nil {
						_, errs[i] = f.ReadAt(buf[side*part:][:n], off)
					}
				}
				if compare && errs[i] == nil && !bytes.Equal(buf[:n], buf[part:][:n]) {
					errs[i] = fmt.Errorf("they differ in the MiB at offset %d", off)
				}
			}
			errs[i] = errors.Join(errs[i], unix.Munmap(buf))
		})
	}
	for off := int64(0); off < size && ctx.Err() == nil; off += part {
		offsets <- off
	}
	close(offsets)
	wait.Wait()
	return errors.Join(append(errs, ctx.Err())...)
}

// linear shows that twice the device takes twice the time.
func (b *bench) linear(ctx context.Context, most int64) error {
	fmt.Printf("\nfiles, cache cold, same mixture: cost by size\n  %8s %10s %12s %10s %12s\n", "GiB", "none s", "none s/GiB", "full s", "full s/GiB")
	source := filepath.Join(b.dir, "linear")
	for size := int64(1 << 30); size <= most; size *= 2 {
		if err := paint(source, size, mixed); err != nil {
			return err
		}
		gib := float64(size) / (1 << 30)
		var seconds [2]float64
		for i, t := range []tool{b.tools[0], b.tools[2]} {
			var all []sample
			for range b.rounds {
				s, err := b.once(ctx, t, source, size, false, false, len(all) == 0)
				if err = errors.Join(err, s.wrong); err != nil {
					return err
				}
				all = append(all, s)
			}
			seconds[i] = median(all).seconds
		}
		fmt.Printf("  %8.0f %10.2f %12.3f %10.2f %12.3f\n", gib, seconds[0], seconds[0]/gib, seconds[1], seconds[1]/gib)
	}
	return os.Remove(source)
}
