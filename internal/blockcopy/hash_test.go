package blockcopy

import (
	"errors"
	"os"
	"strings"
	"testing"
)

// A hash is the one a copy of the same bytes prints, holes or not.
func TestHashIsThatOfACopy(t *testing.T) {
	t.Parallel()
	for _, size := range []int64{0, 4096, 5<<20 + 13, 40 << 20} {
		src, dst := rawFile(t, "src", size, 7), blankFile(t, "dst", size)
		copied := mustCopyPaths(t, Job{Source: src, Target: dst})
		for _, r := range []Reading{{Path: src}, {Path: dst, Size: size}, {Path: src, IgnoreHoles: true, Workers: 1}, {Path: src, Buffered: true, Leaf: copied.Leaf}} {
			have, err := Hash(t.Context(), r)
			if err != nil || have.Hash != copied.Hash || have.Tree != Tree(copied.Leaf, copied.Hash) || have.Size != size {
				t.Errorf("%d bytes, %+v: want %s, have %+v, %v", size, r, copied.Hash, have, err)
			}
		}
		larger := blankFile(t, "larger", size+segment+512)
		mustCopyPaths(t, Job{Source: src, Target: larger})
		if size == 0 {
			continue
		}
		have, err := Hash(t.Context(), Reading{Path: larger, Size: size + segment + 512, First: size})
		if err != nil || have.Tree != Tree(copied.Leaf, copied.Hash) || have.Size != size {
			t.Errorf("the first %d bytes of a larger file: want %s, have %+v, %v", size, copied.Hash, have, err)
		}
		if f, err := os.OpenFile(src, os.O_RDWR, 0); err != nil {
			t.Fatal(err)
		} else if _, err = f.WriteAt([]byte{0xa5, 0x5a, 1}, size-3); errors.Join(err, f.Close()) != nil {
			t.Fatal(err)
		}
		if have, err := Hash(t.Context(), Reading{Path: src}); err != nil || have.Hash == copied.Hash {
			t.Errorf("%d bytes: another last byte, the same hash, %v", size, err)
		}
	}
}

func TestHashSkipsHoles(t *testing.T) {
	t.Parallel()
	const size = 64 << 20
	have, err := Hash(t.Context(), Reading{Path: blankFile(t, "hole", size)})
	if err != nil || have.Holes != size || have.Read != 0 {
		t.Errorf("have %+v, %v", have, err)
	}
}

func TestHashRefuses(t *testing.T) {
	t.Parallel()
	path := rawFile(t, "src", 8192, 1)
	for _, r := range []Reading{{Path: path, Size: 4096}, {Path: path, First: 8193}, {Path: path, First: -1}, {Path: path + ".no"}, {Path: path, Leaf: 5}, {Path: t.TempDir()}, {Path: path, Workers: -1}} {
		if _, err := Hash(t.Context(), r); !errors.Is(err, ErrRefused) {
			t.Errorf("%+v: have %v", r, err)
		}
	}
}

// A checkpoint that cannot be continued is dropped where the copy may start over, and what the earlier run left in the target
// does not stay.
func TestRestart(t *testing.T) {
	t.Parallel()
	src, dst := rawFile(t, "src", 9<<20, 3), blankFile(t, "dst", 9<<20)
	mustCopyPaths(t, Job{Source: rawFile(t, "old", 9<<20, 4), Target: dst})
	for _, text := range []string{
		`not a checkpoint`,
		`{"version":1,"source":{"id":"guid:1","size":9437184},"target":{"id":"guid:2","size":9437184},"leaf":1048576,"done":1048576,"ahead":2097152,"fresh":true,"hashed":true,` +
			`"chain":"` + strings.Repeat("0", 64) + `","probe":-1,"probeDigest":"` + strings.Repeat("0", 64) + `"}`,
	} {
		file := blankFile(t, "checkpoint", 0)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		job := Job{Source: src, Target: dst, Delta: true, Ours: true, Checkpoint: CheckpointFile(file)}
		if _, err := Copy(t.Context(), job); !errors.Is(err, ErrRefused) {
			t.Errorf("%.20s: have %v", text, err)
		}
		job.Restart, job.FreshTarget = true, true
		if r := mustCopyPaths(t, job); r.Resumed != 0 {
			t.Errorf("resumed at %d", r.Resumed)
		}
		wantEqual(t, src, dst, 9<<20)
	}
}
