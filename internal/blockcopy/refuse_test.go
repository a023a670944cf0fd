package blockcopy

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// wantRefused runs a job that must be refused with these words, and must not change a byte of the target.
func wantRefused(t *testing.T, job Job, words ...string) {
	t.Helper()
	before := sum(t, job.Target)
	_, err := Copy(t.Context(), job)
	if !errors.Is(err, ErrRefused) {
		t.Fatalf("not refused: %v", err)
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("want %q in: %v", word, err)
		}
	}
	if sum(t, job.Target) != before {
		t.Error("refused, but the target was changed")
	}
}

func sum(t *testing.T, path string) [32]byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, unix.EISDIR) {
		t.Fatal(err)
	}
	return sha256.Sum256(data)
}

func TestRefusesPaths(t *testing.T) {
	src, dst := rawFile(t, "src", 2*segment, 1), rawFile(t, "dst", 2*segment, 2)
	small := rawFile(t, "small", 2*segment-1, 3)
	dir := t.TempDir()
	link, hard, missing := filepath.Join(dir, "link"), filepath.Join(filepath.Dir(src), "hard"), filepath.Join(dir, "missing")
	if err := errors.Join(os.Symlink(src, link), os.Link(src, hard)); err != nil {
		t.Fatal(err)
	}
	wantRefused(t, Job{Source: src, Target: small}, "1 fewer than")
	for _, same := range []string{src, link, hard, filepath.Dir(src) + "/../" + filepath.Base(filepath.Dir(src)) + "/src"} {
		wantRefused(t, Job{Source: src, Target: same, Ours: true}, "same storage")
	}
	wantRefused(t, Job{Source: src, Target: missing}, "does not exist", "creates nothing")
	if _, err := os.Stat(missing); err == nil {
		t.Error("a missing target was created")
	}
	wantRefused(t, Job{Source: missing, Target: dst}, "does not exist")
	wantRefused(t, Job{Source: src, Target: dir}, "neither a block device nor a regular file")
	wantRefused(t, Job{Source: "/dev/zero", Target: dst}, "neither a block device nor a regular file")
	wantRefused(t, Job{Source: src, Target: "/dev/null"}, "neither a block device nor a regular file") // which every program has open
	wantRefused(t, Job{Source: src, Target: dst, SourceSize: 4096}, "not the 4096 it should have")
	wantRefused(t, Job{Source: src, Target: dst, TargetSize: 4096}, "not the 4096 it should have")
	wantRefused(t, Job{Source: src, Target: dst, Verify: "maybe"}, "maybe")
	wantRefused(t, Job{Source: src, Target: dst, Rate: -1}, "rate -1")
	wantRefused(t, Job{Source: src, Target: dst, Ours: true, FreshTarget: true, Checkpoint: CheckpointFile(src)}, "cannot be read")
}

// Another process, for real: it holds the target as QEMU does.
func TestRefusesOpenTarget(t *testing.T) {
	src, dst := rawFile(t, "src", segment, 1), blankFile(t, "dst", segment)
	holder := exec.Command("sleep", "60")
	held, err := os.OpenFile(dst, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	holder.ExtraFiles = []*os.File{held}
	if err := errors.Join(holder.Start(), held.Close()); err != nil {
		t.Fatal(err)
	}
	wantRefused(t, Job{Source: src, Target: dst}, "open for writing by pid", "(sleep)")
	if err := holder.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = holder.Wait() // says that it was killed
	mustCopyPaths(t, Job{Source: src, Target: dst})
}

func TestRefusesLockedTarget(t *testing.T) {
	src, dst := rawFile(t, "src", segment, 1), blankFile(t, "dst", segment)
	locked, err := os.Open(dst)
	if err != nil {
		t.Fatal(err)
	}
	defer locked.Close()
	part := unix.Flock_t{Type: unix.F_RDLCK, Start: 100, Len: 1} // what QEMU does to an image
	if err := unix.FcntlFlock(locked.Fd(), unix.F_OFD_SETLK, &part); err != nil {
		t.Skipf("no open file description locks here: %v", err)
	}
	wantRefused(t, Job{Source: src, Target: dst}, "locked by another program")
}

func TestRefusesDevicesInUse(t *testing.T) {
	file := blankFile(t, "fs", 16*segment)
	device := loop(t, file)
	src := rawFile(t, "src", segment, 1)

	wantRefused(t, Job{Source: src, Target: file}, "the file behind "+device)
	wantRefused(t, Job{Source: file, Target: device, Ours: true}, "same storage")
	other := loop(t, file)
	wantRefused(t, Job{Source: device, Target: other, Ours: true}, "same storage")

	fd, err := unix.Open(device, unix.O_RDONLY|unix.O_EXCL|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	wantRefused(t, Job{Source: src, Target: device}, "held exclusively")
	if err := unix.Close(fd); err != nil {
		t.Fatal(err)
	}

	if _, err := exec.LookPath("mkfs.ext4"); err != nil {
		t.Skip("mkfs.ext4 is not installed: mounted targets and real signatures are not tried")
	}
	command(t, "mkfs.ext4", "-q", device)
	wantRefused(t, Job{Source: src, Target: device}, "ext4", "--ours")
	wantRefused(t, Job{Source: src, Target: device, FreshTarget: true, Ours: true}, "said to be fresh")
	dir := t.TempDir()
	if err := unix.Mount(device, dir, "ext4", 0, ""); err != nil {
		t.Skipf("cannot mount here: %v", err)
	}
	wantRefused(t, Job{Source: src, Target: device, Ours: true}, "is mounted", dir)
	if err := unix.Unmount(dir, 0); err != nil {
		t.Fatal(err)
	}
	mustCopyPaths(t, Job{Source: src, Target: device, Ours: true})
}

func TestRefusesSignatures(t *testing.T) {
	plant := func(name string, off int64, magic string) {
		t.Run(name, func(t *testing.T) {
			src, dst := newFake("source", 4*segment), newFake("target", 4*segment)
			src.put(4*segment-1, []byte{1})
			dst.put(off, []byte(magic))
			before := dst.image()
			_, err := copyFakes(t.Context(), t, src, dst, Job{Delta: true})
			if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "--ours") || len(dst.writes) > 0 || !bytes.Equal(before, dst.image()) {
				t.Errorf("%d writes, %v", len(dst.writes), err)
			}
			mustCopy(t, src, dst, Job{Delta: true, Ours: true})
		})
	}
	for _, s := range signatures {
		plant(s.name, s.off, s.magic)
	}
	plant("backup GPT", 4*segment-512, "EFI PART")
	plant("RAID 1.0", 4*segment-8192, "\xfc\x4e\x2b\xa9")
	plant("RAID 0.90", 4*segment-65536, "\xfc\x4e\x2b\xa9")
	for i, label := range []int64{0, zfsLabel, 4*segment - 2*zfsLabel, 4*segment - zfsLabel} {
		plant("ZFS", label+zfsUber+int64(i)*1024, string(binary.LittleEndian.AppendUint64(nil, zfsMagic)))
	}
	plant("ZFS of the other byte order", zfsUber, string(binary.BigEndian.AppendUint64(nil, zfsMagic)))
}

// A refusal is a sentence.
func TestRefusalNamesWhatIsThere(t *testing.T) {
	src, dst := full("source", segment), newFake("target", segment)
	dst.put(0x438, []byte("\x53\xef"))
	_, err := copyFakes(t.Context(), t, src, dst, Job{})
	if want := "target target holds an ext2/ext3/ext4 file system (at offset 1080); "; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v does not say %q", err, want)
	}
}

// A target too small for any signature is still looked at without reading past its end.
func TestSignatureOfTinyTargets(t *testing.T) {
	for _, size := range []int64{0, 1, 511, 512, 4096, 100_000, segment + 1} {
		if found, err := signature(full("target", size)); found != "" || err != nil {
			t.Errorf("size %d: %q, %v", size, found, err)
		}
	}
}

func TestRefusesForeignCheckpoints(t *testing.T) {
	stop := errors.New("stop")
	// One worker: with more, none of the first segments need be done when the sixth fails.
	begin := func(verify Verify) (*fake, *fake, *memory) {
		src, dst, points := full("source", 8*segment), newFake("target", 8*segment), &memory{}
		src.onIO = func(_ string, off int64, _ []byte) error {
			if off >= 5*segment {
				return stop
			}
			return nil
		}
		if _, err := copyFakes(t.Context(), t, src, dst, Job{Checkpoint: points, Interval: segment, Verify: verify, Workers: 1}); !errors.Is(err, stop) {
			t.Fatal(err)
		}
		src.onIO = nil
		return src, dst, points
	}
	refused := func(what string, src, dst *fake, job Job) {
		t.Helper()
		writes := len(dst.writes)
		_, err := copyFakes(t.Context(), t, src, dst, job)
		if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), what) || len(dst.writes) != writes {
			t.Errorf("want %q, have %v", what, err)
		}
	}
	src, dst, points := begin(VerifyFull)
	refused("of source", full("other", 8*segment), dst, Job{Checkpoint: points})
	refused("of source", full("source", 7*segment), dst, Job{Checkpoint: points})
	refused("of target", src, newFake("other", 8*segment), Job{Checkpoint: points})
	refused("of target", src, newFake("target", 9*segment), Job{Checkpoint: points})
	// Made anew under the same name and size, as a zvol can be.
	refused("rolled back or written to", src, newFake("target", 8*segment), Job{Checkpoint: points})
	if r := mustCopy(t, src, dst, Job{Checkpoint: points}); r.Resumed == 0 {
		t.Error("the right pair began again")
	}

	src, dst, points = begin(VerifyNone)
	refused("--verify=none", src, dst, Job{Checkpoint: points})
	mustCopy(t, src, dst, Job{Checkpoint: points, Verify: VerifyNone})

	_, _, points = begin(VerifyFull)
	points.text = bytes.Replace(points.text, []byte(`"version":1`), []byte(`"version":2`), 1)
	refused("version 2", src, dst, Job{Checkpoint: points})
	points.text = points.text[:len(points.text)/2]
	refused("not a checkpoint", src, dst, Job{Checkpoint: points})
}

// A source file that is written to between two runs cannot be continued: the first part would be of the old one.
func TestRefusesChangedSource(t *testing.T) {
	src, dst := rawFile(t, "src", 4*segment, 1), blankFile(t, "dst", 4*segment)
	points := &memory{err: errors.New("disk full")}
	points.after = nil
	job := Job{Source: src, Target: dst, Checkpoint: points, Interval: segment}
	points.err = nil
	points.after = func(c Checkpoint) {
		if c.Done >= segment {
			points.err = errors.New("disk full")
		}
	}
	if _, err := Copy(t.Context(), job); err == nil {
		t.Fatal("a checkpoint that cannot be saved is no failure")
	}
	points.err, points.after = nil, nil
	if err := os.Chtimes(src, p0, p0); err != nil {
		t.Fatal(err)
	}
	wantRefused(t, job, "written to after the checkpoint")
}

// A checkpoint store that cannot be written is found out before the target is.
func TestCheckpointIsTriedFirst(t *testing.T) {
	src, dst := full("source", segment), newFake("target", segment)
	broken := errors.New("read-only")
	if _, err := copyFakes(t.Context(), t, src, dst, Job{Checkpoint: &memory{err: broken}}); !errors.Is(err, broken) || len(dst.writes) > 0 {
		t.Errorf("%d writes, %v", len(dst.writes), err)
	}
}
