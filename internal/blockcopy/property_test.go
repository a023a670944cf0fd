package blockcopy

import (
	"errors"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

// drawSize is 0 to a few MiB, often not a multiple of a page, sometimes not of a sector.
func drawSize(t *rapid.T) int64 {
	unit := rapid.SampledFrom([]int64{1, 512, 512, page, segment}).Draw(t, "unit")
	return rapid.Int64Range(0, 3<<20/unit).Draw(t, "size") * unit
}

// drawFake is a device of any kind.
func drawFake(t *rapid.T, name string, size int64) *fake {
	f := newFake(name, size)
	switch kind := rapid.SampledFrom([]string{"file", "zvol8k", "zvol16k", "zvol128k", "plain", "refuses", "lies", "4096"}).Draw(t, name); kind {
	case "file":
		f.file()
	case "zvol8k":
		f.zvol(8 << 10)
	case "zvol16k":
		f.zvol(16 << 10)
	case "zvol128k":
		f.zvol(128 << 10)
	case "refuses":
		f.zvol(4096).refuses = true
	case "lies":
		f.zvol(4096).lies = true
	case "4096":
		f.zvol(4096).shape.Sector = 4096
	}
	return f
}

func drawRand(t *rapid.T) *rand.Rand {
	return rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
}

// TestAnyLayout: whatever lies on either device and whatever the target is, the copy is the source, nothing behind
// the source's end is touched, and nothing is written in vain.
func TestAnyLayout(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := drawRand(t)
		src := drawFake(t, "source", drawSize(t)).paint(r)
		dst := drawFake(t, "target", src.shape.Size+rapid.SampledFrom([]int64{0, 0, 512, 3 * page, segment}).Draw(t, "longer"))
		job := Job{
			Ours: true, Workers: rapid.IntRange(1, 4).Draw(t, "workers"),
			Verify:      rapid.SampledFrom([]Verify{VerifyNone, VerifyInline, VerifyFull}).Draw(t, "verify"),
			Delta:       rapid.Bool().Draw(t, "delta"),
			FreshTarget: rapid.Bool().Draw(t, "fresh"),
			IgnoreHoles: rapid.Bool().Draw(t, "ignoreHoles"),
		}
		if !job.FreshTarget {
			dst.paint(r)
			if rapid.Bool().Draw(t, "nearlySame") {
				dst.pages = map[int64][]byte{}
				dst.put(0, src.image())
				for range 5 {
					if src.shape.Size > 0 {
						dst.put(r.Int64N(src.shape.Size), []byte{byte(r.Uint32())})
					}
				}
			}
		}
		if rapid.Bool().Draw(t, "short") {
			src.short, dst.short = rand.New(rand.NewPCG(1, r.Uint64())), rand.New(rand.NewPCG(2, r.Uint64()))
		}
		before := dst.image()
		result, err := copyFakes(t.Context(), t, src, dst, job)
		if err != nil {
			t.Fatal(err)
		}
		wantSame(t, src, dst)
		wantEconomy(t, src, dst, before, job, result)
	})
}

// wantEconomy checks the counts, and that no write was needless.
func wantEconomy(t *rapid.T, src, dst *fake, before []byte, job Job, r Result) {
	size := src.shape.Size
	if string(dst.image()[size:]) != string(before[size:]) {
		t.Fatalf("bytes behind the source's end at %d were changed", size)
	}
	if r.Read+r.Holes != size {
		t.Fatalf("read %d and holes %d are not the size %d", r.Read, r.Holes, size)
	}
	want, unit := src.image(), int64(granule(dst.shape))
	for _, w := range dst.writes {
		if src.short != nil || w.From == w.To {
			break // short writes end anywhere
		}
		for at := w.From / unit * unit; at < w.To; at += unit {
			end := min(at+unit, size)
			if job.FreshTarget && empty(want[at:end]) {
				t.Fatalf("a fresh target was written with zeros at %d", at)
			}
			if job.Delta && string(want[at:end]) == string(before[at:end]) && !dst.lies {
				t.Fatalf("delta wrote the same bytes at %d", at)
			}
		}
	}
	if job.FreshTarget && len(dst.drops) > 0 {
		t.Fatalf("a fresh target was discarded at %v", dst.drops)
	}
}

func empty(b []byte) bool {
	for _, x := range b {
		if x != 0 {
			return false
		}
	}
	return true
}

// wantBounded fails a write behind what the last checkpoint allowed for: the next run would take that part for fresh.
func wantBounded(t *rapid.T, dst *fake, points *memory) {
	before := dst.onIO
	dst.onIO = func(op string, off int64, p []byte) error {
		point, err := points.Load(t.Context())
		if op == "write" && (err != nil || point == nil || off+int64(len(p)) > point.Ahead) {
			t.Errorf("write of %d at %d behind the checkpoint %+v, %v", len(p), off, point, err)
		}
		return before(op, off, p)
	}
}

// TestPowerCut: a machine that loses power at any write, any number of times, keeps some sectors written since the
// last flush and loses others; the next run continues behind the last checkpoint and ends identical.
func TestPowerCut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := drawRand(t)
		src := drawFake(t, "source", 2*segment+drawSize(t)).paint(r)
		dst := drawFake(t, "target", src.shape.Size)
		points := &memory{}
		job := Job{
			Checkpoint: points, Interval: segment, Workers: rapid.IntRange(1, 3).Draw(t, "workers"),
			Verify:      rapid.SampledFrom([]Verify{VerifyNone, VerifyInline, VerifyFull}).Draw(t, "verify"),
			Delta:       rapid.Bool().Draw(t, "delta"),
			FreshTarget: rapid.Bool().Draw(t, "fresh"),
		}
		if !job.FreshTarget {
			job.Ours = true
			dst.paint(r)
		}
		errCut := errors.New("power cut")
		var hash string
		for cuts := 0; ; cuts++ {
			var left counter
			left.Store(int64(1 + r.IntN(40)))
			dst.onIO = func(op string, _ int64, _ []byte) error {
				if op == "write" && cuts < 5 && left.Add(-1) <= 0 {
					return errCut
				}
				return nil
			}
			wantBounded(t, dst, points)
			before, _ := points.Load(t.Context())
			src.reads = nil
			result, err := copyFakes(t.Context(), t, src, dst, job)
			if before != nil {
				for _, read := range src.reads {
					if read.From < before.Done {
						t.Fatalf("resumed at %d and read again at %d", before.Done, read.From)
					}
				}
			}
			if err == nil {
				hash = result.Hash
				break
			}
			if !errors.Is(err, errCut) {
				t.Fatal(err)
			}
			dst.powerCut(r)
		}
		wantSame(t, src, dst)
		whole, err := copyFakes(t.Context(), t, src, newFake("other", src.shape.Size), Job{Verify: job.Verify, FreshTarget: true})
		if err != nil {
			t.Fatal(err)
		}
		if hash != whole.Hash && src.shape.Size > 0 && dst.shape.Discard <= segment {
			t.Fatalf("hash after crashes %s, without %s", hash, whole.Hash)
		}
	})
}
