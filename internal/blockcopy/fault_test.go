package blockcopy

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

func seeded() *rand.Rand { return rand.New(rand.NewPCG(7, 7)) }

func full(name string, size int64) *fake {
	f := newFake(name, size)
	data := make([]byte, size)
	fillRandom(seeded(), data)
	f.put(0, data)
	return f
}

func TestUnreadableRanges(t *testing.T) {
	want := []Range{{segment + 2*page, segment + 4*page}, {segment + 9*page, segment + 10*page}}
	bad := []Range{{segment + 2*page + 100, segment + 3*page + 1}, {segment + 9*page, segment + 9*page + 1}}
	for _, scan := range []bool{false, true} {
		src, dst := full("source", 4*segment), newFake("target", 4*segment)
		src.bad = bad
		_, err := copyFakes(t.Context(), t, src, dst, Job{Scan: scan, Workers: 1})
		var have *Unreadable
		if !errors.As(err, &have) || !slices.Equal(have.Ranges, want) || !errors.Is(err, unix.EIO) {
			t.Errorf("scan %v: want ranges %v, have %v", scan, want, err)
		}
		if scan != errors.Is(err, ErrRefused) || scan && len(dst.writes) > 0 {
			t.Errorf("scan %v: refused %v after %d writes", scan, errors.Is(err, ErrRefused), len(dst.writes))
		}
		for _, w := range dst.writes {
			if w.To > segment && w.From < 2*segment {
				t.Errorf("the segment with the bad range was written: %v", w)
			}
		}
	}
}

// The whole source is scanned, not only as far as the first bad range.
func TestScanNamesEveryRange(t *testing.T) {
	src, dst := full("source", 8*segment), newFake("target", 8*segment)
	src.bad = []Range{{0, 1}, {3 * segment, 3*segment + 1}, {8*segment - 1, 8 * segment}}
	_, err := copyFakes(t.Context(), t, src, dst, Job{Scan: true})
	var have *Unreadable
	want := []Range{{0, page}, {3 * segment, 3*segment + page}, {8*segment - page, 8 * segment}}
	if !errors.As(err, &have) || !slices.Equal(have.Ranges, want) {
		t.Errorf("want %v, have %v", want, err)
	}
	src.bad = nil
	mustCopy(t, src, dst, Job{Scan: true})
}

// A target that cannot be read back is not a good copy.
func TestUnreadableTarget(t *testing.T) {
	src, dst := full("source", 2*segment), newFake("target", 2*segment)
	dst.onIO = func(op string, _ int64, _ []byte) error {
		if op == "write" {
			dst.mu.Lock()
			dst.bad = []Range{{segment + 5, segment + 6}}
			dst.mu.Unlock()
		}
		return nil
	}
	_, err := copyFakes(t.Context(), t, src, dst, Job{})
	var have *Unreadable
	if !errors.As(err, &have) || have.Device != "target" || !slices.Equal(have.Ranges, []Range{{segment, segment + page}}) {
		t.Errorf("have %v", err)
	}
}

func TestMismatchNamesFirstOffset(t *testing.T) {
	for _, at := range []int64{0, 1, segment - 1, 2*segment + 77, 4*segment + 99} {
		src, dst := full("source", 4*segment+100), newFake("target", 4*segment+100)
		points := &memory{}
		dst.rot = map[int64]byte{at: 1, 4*segment + 99: 1}
		_, err := copyFakes(t.Context(), t, src, dst, Job{Checkpoint: points})
		var have *Mismatch
		if !errors.As(err, &have) || have.Offset != at || have.Length != 0 {
			t.Errorf("want offset %d, have %v", at, err)
		}
		if points.text != nil {
			t.Error("the checkpoint of a bad copy was kept: the next run would find it done")
		}
	}
}

// After a resume the part copied by the earlier run is known by its chain only; it is verified all the same.
func TestMismatchBeforeCheckpoint(t *testing.T) {
	src, dst := full("source", 8*segment), newFake("target", 8*segment)
	points := &memory{}
	stop := errors.New("stop")
	src.onIO = func(_ string, off int64, _ []byte) error {
		if off >= 6*segment {
			return stop
		}
		return nil
	}
	job := Job{Checkpoint: points, Interval: segment, Workers: 1}
	if _, err := copyFakes(t.Context(), t, src, dst, job); !errors.Is(err, stop) {
		t.Fatal(err)
	}
	src.onIO = nil
	point, _ := points.Load(t.Context())
	if point.Done < 2*segment {
		t.Fatalf("checkpoint at %d only", point.Done)
	}
	dst.rot = map[int64]byte{segment/2 + 3: 4}
	_, err := copyFakes(t.Context(), t, src, dst, job)
	var have *Mismatch
	if !errors.As(err, &have) || have.Offset != segment/2+3 {
		t.Errorf("have %v", err)
	}
}

// A source that changes after it was read is no reason to call the target wrong, but a target that is wrong is, even
// when the source now reads like it.
func TestMismatchWithChangedSource(t *testing.T) {
	src, dst := full("source", 3*segment), newFake("target", 3*segment)
	dst.rot = map[int64]byte{segment + 9: 1}
	changed := []byte{src.image()[segment+9] ^ 1}
	dst.onIO = func(op string, _ int64, _ []byte) error {
		if op == "read" { // the verification has begun
			src.put(segment+9, changed)
		}
		return nil
	}
	_, err := copyFakes(t.Context(), t, src, dst, Job{Ours: true})
	var have *Mismatch
	if !errors.As(err, &have) || have.Offset != segment || have.Length != segment {
		t.Errorf("have %v", err)
	}
}

func TestNoSpace(t *testing.T) {
	src, dst := full("source", 6*segment), newFake("target", 6*segment)
	points := &memory{}
	dst.room = 4 * segment / page
	job := Job{Checkpoint: points, Interval: segment, Workers: 2}
	_, err := copyFakes(t.Context(), t, src, dst, job)
	if !errors.Is(err, unix.ENOSPC) || !strings.Contains(err.Error(), "free space") {
		t.Fatalf("have %v", err)
	}
	dst.room = -1
	if r := mustCopy(t, src, dst, job); r.Resumed == 0 {
		t.Error("began again after ENOSPC")
	}
}

func TestDeltaSourceChangesUnderIt(t *testing.T) {
	src, dst := full("source", 4*segment), newFake("target", 4*segment)
	mustCopy(t, src, dst, Job{})
	var mu sync.Mutex
	r := seeded()
	src.onIO = func(string, int64, []byte) error {
		mu.Lock()
		defer mu.Unlock()
		src.put(r.Int64N(4*segment), []byte{byte(r.Uint32())})
		return nil
	}
	// The copy is of the source as it was read, and says so by verifying.
	if _, err := copyFakes(t.Context(), t, src, dst, Job{Delta: true, Ours: true}); err != nil {
		t.Fatal(err)
	}
	src.onIO = nil
	result := mustCopy(t, src, dst, Job{Delta: true, Ours: true})
	if result.Written > 8*page {
		t.Errorf("the last delta wrote %d bytes for a handful of changed ones", result.Written)
	}
}

func TestDeltaOverIdenticalWritesNothing(t *testing.T) {
	src := newFake("source", 5*segment+100).paint(seeded())
	for _, dst := range []*fake{newFake("plain", 5*segment+100), newFake("file", 5*segment+100).file(), newFake("zvol", 5*segment+100).zvol(16 << 10)} {
		dst.put(0, src.image())
		result := mustCopy(t, src, dst, Job{Delta: true, Ours: true})
		if len(dst.writes)+len(dst.drops) > 0 || result.Same != src.shape.Size || result.Skipped != src.shape.Size {
			t.Errorf("%s: %d writes, %d discards, same %d, skipped %d", dst.name, len(dst.writes), len(dst.drops), result.Same, result.Skipped)
		}
	}
}

// The fake zvol does what the real one was seen to do, so that the tests above mean something: a discard that covers
// one and a half blocks leaves the half.
func TestFakeZvolLeavesEdges(t *testing.T) {
	f := full("zvol", 64<<10).zvol(16 << 10)
	if err := f.Discard(8<<10, 24<<10); err != nil {
		t.Fatal(err)
	}
	image := f.image()
	if empty(image[8<<10:16<<10]) || !empty(image[16<<10:32<<10]) {
		t.Error("the edge was discarded, or the interior was not")
	}
}

// Zeros on a zvol: the interior is discarded, the edges are written.
func TestZvolEdgesAreWritten(t *testing.T) {
	src, dst := newFake("source", 4*segment+8<<10).file(), full("target", 8*segment).zvol(16<<10)
	result := mustCopy(t, src, dst, Job{Ours: true})
	if result.Discarded != 4*segment || result.Written != 8<<10 {
		t.Errorf("want 4 MiB discarded and 8 KiB written, have %d and %d", result.Discarded, result.Written)
	}
	if empty(dst.image()[4*segment+8<<10 : 4*segment+16<<10]) {
		t.Error("the rest of the last volblock, behind the source's end, was zeroed")
	}
}

// A device that refuses or ignores discards is not asked for ever.
func TestDiscardIsGivenUp(t *testing.T) {
	for _, lies := range []bool{false, true} {
		src, dst := newFake("source", 16*segment), full("target", 16*segment).zvol(4096)
		dst.refuses, dst.lies = !lies, lies
		result := mustCopy(t, src, dst, Job{Ours: true, Workers: 1})
		if result.Written != 16*segment || len(dst.drops) > 1 {
			t.Errorf("lies %v: %d discards, %d bytes written", lies, len(dst.drops), result.Written)
		}
	}
}

// What a killed run may have written behind its last checkpoint is not taken for fresh, even if the source has zeros
// there now.
func TestResumedFreshTarget(t *testing.T) {
	src, dst := full("source", 12*segment), newFake("target", 12*segment)
	points, stop := &memory{}, errors.New("stop")
	points.after = func(c Checkpoint) {
		if c.Done > 0 {
			points.err = stop // and so this one, at least a segment on, is the last
		}
	}
	job := Job{FreshTarget: true, Checkpoint: points, Interval: segment, Workers: 3}
	if _, err := copyFakes(t.Context(), t, src, dst, job); !errors.Is(err, stop) {
		t.Fatal(err)
	}
	points.err, points.after = nil, nil
	point, _ := points.Load(t.Context())
	behind := int64(0)
	for i := range dst.pages {
		behind = max(behind, i*page-point.Done)
	}
	if behind <= 0 {
		t.Fatal("nothing was written behind the checkpoint: this tries nothing")
	}
	for i := range src.pages {
		if i*page >= point.Done {
			delete(src.pages, i)
		}
	}
	mustCopy(t, src, dst, job)
}

// A cancelled copy begins no further I/O but what each worker had begun, and leaves nobody behind.
func TestCancel(t *testing.T) {
	for _, phase := range []string{"scan", "copy", "verify", "rate"} {
		t.Run(phase, func(t *testing.T) {
			src, dst := full("source", 32*segment), newFake("target", 32*segment)
			ctx, cancel := context.WithCancel(t.Context())
			const workers = 3
			var ops, late counter
			hook := func(op string) func(string, int64, []byte) error {
				return func(have string, _ int64, _ []byte) error {
					if ctx.Err() != nil {
						late.Add(1)
					}
					if have == op && ops.Add(1) == 5 {
						cancel()
					}
					return nil
				}
			}
			job := Job{Workers: workers, Scan: phase == "scan", Delta: true, Checkpoint: &memory{}, Interval: segment}
			switch phase {
			case "verify":
				job.FreshTarget = true
				dst.onIO = hook("read")
			case "rate":
				job.Rate = 1 // the second segment is due in twelve days
				src.onIO = func(string, int64, []byte) error { cancel(); return nil }
			default:
				src.onIO = hook("read")
			}
			_, err := copyFakes(ctx, t, src, dst, job)
			if !errors.Is(err, context.Canceled) {
				t.Fatalf("have %v", err)
			}
			// Of the I/O under way each worker may still write what it has read: at most one read, one compare, one write.
			if late.Load() > 2*workers {
				t.Errorf("%d operations were begun after the cancellation", late.Load())
			}
			wantNobody(t)
		})
	}
}

// wantNobody fails if a goroutine of a copy is still there. Copy waits for all of its own, so there is nothing to
// wait for here.
func wantNobody(t *testing.T) {
	t.Helper()
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	for _, one := range strings.Split(string(stacks), "\n\n") {
		if strings.Contains(one, "blockcopy.(*") {
			t.Errorf("left behind:\n%s", one)
		}
	}
}

// A failing worker ends the others and the dispatcher, even when those wait for a checkpoint that never comes.
func TestFailureEndsEverything(t *testing.T) {
	for _, end := range []string{"source", "target", "checkpoint"} {
		src, dst := full("source", 32*segment), newFake("target", 32*segment)
		points := &memory{}
		broken := errors.New("broken")
		fail := func(op string, off int64, _ []byte) error {
			if op == "write" && off >= 3*segment || op == "read" && off == 3*segment {
				return broken
			}
			return nil
		}
		switch end {
		case "source":
			src.onIO = fail
		case "target":
			dst.onIO = fail
		case "checkpoint":
			points.after = func(c Checkpoint) {
				if c.Done > 0 {
					points.err = broken
				}
			}
		}
		_, err := copyFakes(t.Context(), t, src, dst, Job{Checkpoint: points, Interval: segment, Workers: 2})
		if !errors.Is(err, broken) {
			t.Errorf("%s: have %v", end, err)
		}
		wantNobody(t)
	}
}

func TestRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src, dst := full("source", 21*segment), newFake("target", 21*segment)
		began := time.Now()
		mustCopy(t, src, dst, Job{Rate: segment, Workers: 4, Verify: VerifyNone})
		// Time stands still in here unless everybody waits, so this is exact: the first segment is free.
		if have := time.Since(began); have != 20*time.Second {
			t.Errorf("21 MiB at 1 MiB/s took %v", have)
		}
	})
}

func TestProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src, dst := full("source", 10*segment), newFake("target", 10*segment)
		var seen []Progress
		mustCopy(t, src, dst, Job{
			Rate: segment, Workers: 1, ProgressEvery: time.Second,
			OnProgress: func(p Progress) { seen = append(seen, p) },
		})
		last := seen[len(seen)-1]
		if !last.Final || last.Phase != PhaseVerify || last.Done != last.Size || last.Verified != last.Size || last.Hashed != 2*last.Size {
			t.Errorf("last: %+v", last)
		}
		if len(seen) < 15 {
			t.Errorf("%d reports in 19 seconds", len(seen))
		}
		for i, p := range seen[:len(seen)-1] {
			if p.Final || i > 0 && (p.Read < seen[i-1].Read || p.Written < seen[i-1].Written) {
				t.Errorf("report %d: %+v", i, p)
			}
		}
		p := seen[5]
		left := time.Duration(float64(p.Size-p.Done) / float64(p.Rate) * float64(time.Second))
		if p.Rate <= 0 || p.ETA != left {
			t.Errorf("rate %d, ETA %v at %d", p.Rate, p.ETA, p.Done)
		}
	})
}

// The rate follows a change within a few reports, and begins anew with a phase.
func TestPace(t *testing.T) {
	var p pace
	at, done := time.Unix(0, 0), int64(0)
	step := func(phase Phase, bytes int64) int64 {
		at, done = at.Add(time.Second), done+bytes
		return p.add(phase, done, at)
	}
	if have := step(PhaseCopy, 5000); have != 0 {
		t.Errorf("a rate of %d from one look", have)
	}
	if have := step(PhaseCopy, 1000); have != 1000 {
		t.Errorf("want 1000, have %d", have)
	}
	for range 20 {
		step(PhaseCopy, 200)
	}
	if have := step(PhaseCopy, 200); have < 200 || have > 205 {
		t.Errorf("want 200, have %d", have)
	}
	if done = 0; step(PhaseVerify, 0) != 0 || step(PhaseVerify, 700) != 700 {
		t.Error("the rate of a phase is that of the one before")
	}
}
