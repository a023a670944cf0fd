package blockcopy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// rawFile makes a sparse file of a size, painted at random.
func rawFile(t *testing.T, name string, size int64, seed uint64) string {
	t.Helper()
	path := blankFile(t, name, size)
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r := rand.New(rand.NewPCG(seed, 1))
	buf := make([]byte, 256<<10)
	for off := int64(0); off < size; {
		n := min(int64(512*(1+r.IntN(512))), size-off)
		switch r.IntN(3) {
		case 0:
			fillRandom(r, buf[:n])
			_, err = f.WriteAt(buf[:n], off)
		case 1:
			_, err = f.WriteAt(make([]byte, n), off)
		}
		if err != nil {
			t.Fatal(err)
		}
		off += n
	}
	return path
}

func blankFile(t *testing.T, name string, size int64) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := errors.Join(os.WriteFile(path, nil, 0o600), os.Truncate(path, size)); err != nil {
		t.Fatal(err)
	}
	return path
}

func command(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// loop attaches a file to a loop device, or skips the test and says why.
func loop(t *testing.T, file string, args ...string) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("loop devices need root")
	}
	if _, err := exec.LookPath("losetup"); err != nil {
		t.Skip("losetup is not installed")
	}
	if _, err := os.Stat("/dev/loop-control"); err != nil {
		t.Skipf("no loop devices on this machine: %v", err)
	}
	device := command(t, "losetup", append(args, "--find", "--show", file)...)
	t.Cleanup(func() { command(t, "losetup", "--detach", device) })
	return device
}

// wantEqual compares n bytes of two files or devices, past this process's knowledge of either.
func wantEqual(t *testing.T, a, b string, n int64) {
	t.Helper()
	if n > 0 {
		command(t, "cmp", "-n", fmt.Sprint(n), a, b)
	}
}

func mustCopyPaths(t *testing.T, job Job) Result {
	t.Helper()
	result, err := Copy(t.Context(), job)
	if err != nil {
		t.Fatal(err)
	}
	wantEqual(t, job.Source, job.Target, result.Size)
	return result
}

func TestFiles(t *testing.T) {
	for i, size := range []int64{0, 1, 511, 4095, 4096, 4097, segment, segment + 1, 9*segment + 12345} {
		src := rawFile(t, "src", size, uint64(i))
		for _, buffered := range []bool{false, true} {
			fresh := mustCopyPaths(t, Job{Source: src, Target: blankFile(t, "fresh", size), Buffered: buffered})
			if fresh.Discarded != 0 {
				t.Errorf("size %d: a file that is one hole was discarded", size)
			}
			dirty := rawFile(t, "dirty", size+777, uint64(i)+100)
			tail := command(t, "sh", "-c", fmt.Sprintf("tail -c 777 %s | sha256sum", dirty))
			job := Job{Source: src, Target: dirty, Ours: true, Buffered: buffered}
			first := mustCopyPaths(t, job)
			job.Delta = true
			second := mustCopyPaths(t, job)
			if second.Written+second.Discarded != 0 || first.Hash != second.Hash || first.Hash != fresh.Hash {
				t.Errorf("size %d: delta wrote %d, discarded %d; hashes %s %s %s", size, second.Written, second.Discarded,
					fresh.Hash, first.Hash, second.Hash)
			}
			if have := command(t, "sh", "-c", fmt.Sprintf("tail -c 777 %s | sha256sum", dirty)); have != tail {
				t.Errorf("size %d: bytes behind the source's end were changed", size)
			}
		}
	}
}

// The copy of a sparse file takes no more room than the source has data.
func TestFileStaysSparse(t *testing.T) {
	src, dst := rawFile(t, "src", 8*segment, 5), blankFile(t, "dst", 8*segment)
	result := mustCopyPaths(t, Job{Source: src, Target: dst})
	var st unix.Stat_t
	if err := unix.Stat(dst, &st); err != nil {
		t.Fatal(err)
	}
	if have := st.Blocks * 512; have > result.Written+64<<10 || result.Written >= 5*segment {
		t.Errorf("target occupies %d bytes, written %d", have, result.Written)
	}
}

// Offsets past 4 GiB, to the last unaligned byte.
func TestPastFourGiB(t *testing.T) {
	const size = 5<<30 + 12345
	src, dst := blankFile(t, "src", size), blankFile(t, "dst", size)
	f, err := os.OpenFile(src, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, off := range []int64{0, 1<<31 - 3, 1<<32 - 3, 1<<32 + segment - 1, size - 9} {
		if _, err := f.WriteAt([]byte("landmark"), off); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	result, err := Copy(t.Context(), Job{Source: src, Target: dst, Verify: VerifyInline})
	if err != nil {
		t.Fatal(err)
	}
	if result.Read > 64<<10 || result.Written > 64<<10 {
		t.Errorf("read %d and wrote %d bytes of a nearly empty file", result.Read, result.Written)
	}
	have := make([]byte, 8)
	out, err := os.Open(dst)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	for _, off := range []int64{0, 1<<31 - 3, 1<<32 - 3, 1<<32 + segment - 1, size - 9} {
		if _, err := out.ReadAt(have, off); err != nil || string(have) != "landmark" {
			t.Errorf("at %d: %q, %v", off, have, err)
		}
	}
}

func TestLoopDevices(t *testing.T) {
	for _, sectors := range [][2]string{{"512", "512"}, {"512", "4096"}, {"4096", "512"}, {"4096", "4096"}} {
		t.Run(sectors[0]+" to "+sectors[1], func(t *testing.T) {
			size := int64(20*segment + 8192)
			if sectors[0] == "512" {
				size += 3 * 512 // ends inside a page, and inside a sector of 4096
			}
			src := loop(t, rawFile(t, "src", size, 3), "--sector-size", sectors[0])
			dst := loop(t, rawFile(t, "dst", size/4096*4096+8192, 4), "--sector-size", sectors[1])
			first := mustCopyPaths(t, Job{Source: src, Target: dst, Ours: true})
			if first.Discarded == 0 {
				t.Error("a loop device discards, but nothing was discarded")
			}
			again := mustCopyPaths(t, Job{Source: src, Target: dst, Ours: true, Delta: true})
			if again.Written+again.Discarded != 0 || again.Hash != first.Hash {
				t.Errorf("delta wrote %d, discarded %d; hashes %s, %s", again.Written, again.Discarded, first.Hash, again.Hash)
			}
			fresh := loop(t, blankFile(t, "fresh", size/4096*4096+4096), "--sector-size", sectors[1])
			made := mustCopyPaths(t, Job{Source: src, Target: fresh, FreshTarget: true})
			if made.Discarded != 0 || made.Written > first.Written {
				t.Errorf("fresh: written %d, discarded %d", made.Written, made.Discarded)
			}
		})
	}
}

// A full file system, for real.
func TestNoSpaceOnDisk(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("mounting a small file system needs root")
	}
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=4m"); err != nil {
		t.Skipf("no tmpfs here: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, 0) })
	dst := filepath.Join(dir, "dst")
	if err := errors.Join(os.WriteFile(dst, nil, 0o600), os.Truncate(dst, 16*segment)); err != nil {
		t.Fatal(err)
	}
	points := CheckpointFile(filepath.Join(t.TempDir(), "point"))
	job := Job{Source: rawFile(t, "src", 16*segment, 9), Target: dst, Checkpoint: points, Interval: segment}
	if _, err := Copy(t.Context(), job); !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("want ENOSPC, have %v", err)
	}
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT, "size=64m"); err != nil {
		t.Fatal(err)
	}
	if r := mustCopyPaths(t, job); r.Resumed == 0 {
		t.Error("began again after ENOSPC")
	}
	if c, err := points.Load(t.Context()); c != nil || err != nil {
		t.Errorf("a finished copy left its checkpoint: %v, %v", c, err)
	}
}

// A device of the kernel that fails in the middle: a loop device whose file was cut short.
func TestUnreadableLoopDevice(t *testing.T) {
	file := rawFile(t, "src", 8*segment, 2)
	src, dst := loop(t, file), blankFile(t, "dst", 8*segment)
	if err := os.Truncate(file, 5*segment+8*page); err != nil {
		t.Fatal(err)
	}
	_, err := Copy(t.Context(), Job{Source: src, Target: dst, Scan: true})
	var bad *Unreadable
	if !errors.As(err, &bad) || !errors.Is(err, ErrRefused) || len(bad.Ranges) != 1 || bad.Ranges[0] != (Range{5*segment + 8*page, 8 * segment}) {
		t.Fatalf("have %v", err)
	}
	points := CheckpointFile(filepath.Join(t.TempDir(), "point"))
	job := Job{Source: src, Target: dst, Checkpoint: points, Interval: segment, Workers: 1}
	if _, err = Copy(t.Context(), job); !errors.As(err, &bad) || bad.Ranges[0].From != 5*segment+8*page {
		t.Fatalf("have %v", err)
	}
	if err := os.Truncate(file, 8*segment); err != nil {
		t.Fatal(err)
	}
	if r := mustCopyPaths(t, job); r.Resumed != 5*segment {
		t.Errorf("repaired, but continued at %d", r.Resumed)
	}
}

func TestSourceChangesAreNoted(t *testing.T) {
	src, dst := rawFile(t, "src", 4*segment, 1), blankFile(t, "dst", 4*segment)
	job := Job{Source: src, Target: dst, Rate: 64 * segment, ProgressEvery: 1}
	changed := false
	job.OnProgress = func(p Progress) {
		if p.Phase == PhaseCopy && !changed {
			changed = true
			if err := os.Chtimes(src, p0, p0); err != nil {
				t.Error(err)
			}
		}
	}
	result, err := Copy(t.Context(), job)
	if err != nil || len(result.Notes) != 1 || !strings.Contains(result.Notes[0], "written to during") {
		t.Errorf("notes %q, %v", result.Notes, err)
	}
}

// A device of 16 TiB needs no more memory than a small one: leaves grow with it.
func TestMemoryIsBounded(t *testing.T) {
	for _, size := range []int64{0, 1, segment, 300 << 30, 16 << 40, 1 << 60} {
		leaf := leafSize(size, 16<<10)
		if (size+leaf-1)/leaf > maxLeaves || leaf%segment != 0 {
			t.Errorf("size %d: leaves of %d", size, leaf)
		}
	}
	src, dst := newFake("source", 16<<40).file(), newFake("target", 16<<40)
	src.put(16<<40-1, []byte{1})
	var peak uint64
	_, err := copyFakes(t.Context(), t, src, dst, Job{
		FreshTarget: true, Verify: VerifyInline, ProgressEvery: 5e6,
		OnProgress: func(Progress) { peak = max(peak, heapInUse()) },
	})
	if err != nil {
		t.Fatal(err)
	}
	if peak > 64<<20+4*3*segment {
		t.Errorf("%d MiB of memory in use", peak>>20)
	}
	if have := dst.pages[16<<40/page-1]; have == nil || have[page-1] != 1 {
		t.Error("the last byte is missing")
	}
}

func TestHotReadsEqualCold(t *testing.T) {
	src := rawFile(t, "src", 4*segment+99, 8) // just written: all in the page cache
	d, err := openSource(context.Background(), thisMachine(), src, false)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if d.direct == nil {
		t.Skip("no direct I/O in the directory of temporary files")
	}
	hot, cold := alignedBuffer(segment), alignedBuffer(segment)
	if err := readFull(d, hot, segment); err != nil {
		t.Fatal(err)
	}
	d.warm.Store(false)
	if err := readFull(d, cold, segment); err != nil || !bytes.Equal(hot, cold) {
		t.Errorf("differs, or %v", err)
	}
}

// Buffers are what direct I/O accepts, do not overlap, and are gone after free.
func TestBuffers(t *testing.T) {
	b := newBuffers()
	for _, part := range [][]byte{b.buf, b.other} {
		if len(part) != segment || cap(part) != segment || uintptr(unsafe.Pointer(&part[0]))%page != 0 {
			t.Errorf("a buffer of %d (capacity %d) at %p", len(part), cap(part), part)
		}
	}
	b.buf[segment-1], b.other[0] = 1, 2
	if b.buf[segment-1] != 1 {
		t.Error("the buffers overlap")
	}
	if b.mapped == nil {
		t.Error("nothing was mapped")
	}
	b.free()
	if b.buf != nil || b.mapped != nil {
		t.Error("buffers are left after free")
	}
	b.free()
}
