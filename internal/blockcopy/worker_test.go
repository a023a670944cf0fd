package blockcopy

import "testing"

// Data with holes in between is read at once, and what lies in the holes counts as zeros all the same.
func TestSegmentIsOneRead(t *testing.T) {
	src, dst := newFake("source", 2*segment).file(), newFake("target", 2*segment)
	for _, off := range []int64{8 * page, 20 * page, 100 * page} {
		src.put(off, []byte{1})
	}
	var reads []int
	src.onIO = func(op string, _ int64, p []byte) error {
		if op == "read" {
			reads = append(reads, len(p))
		}
		return nil
	}
	r := mustCopy(t, src, dst, Job{FreshTarget: true, Verify: VerifyNone, Workers: 1})
	if want := 93 * page; len(reads) != 1 || reads[0] != want {
		t.Errorf("want one read of %d bytes, have %v", want, reads)
	}
	if r.Read != 3*page || r.Holes != 2*segment-3*page || r.Written != 3*page {
		t.Errorf("read %d, holes %d, written %d of three pages", r.Read, r.Holes, r.Written)
	}
}
