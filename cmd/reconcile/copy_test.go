package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ustclug/pve-reconcile/internal/blockcopy"
)

// disks makes a source of random bytes with a hole, and an empty target, of a few MiB.
func disks(t *testing.T) (src, dst string, data []byte) {
	t.Helper()
	dir := t.TempDir()
	src, dst = filepath.Join(dir, "src"), filepath.Join(dir, "dst")
	data = make([]byte, 3<<20+5)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(data[:1<<20])
	data[len(data)-1] = 1
	if err := errors.Join(os.WriteFile(src, data, 0o600), os.WriteFile(dst, nil, 0o600), os.Truncate(dst, int64(len(data)))); err != nil {
		t.Fatal(err)
	}
	return src, dst, data
}

func runCopyArgs(ctx context.Context, args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = runCopy(ctx, args, &out, &errs)
	return code, out.String(), errs.String()
}

func TestCopyVerb(t *testing.T) {
	src, dst, data := disks(t)
	code, out, errs := runCopyArgs(t.Context(), "--progress", "json", src, "--verify=full", dst, "-o", "json")
	if have, _ := os.ReadFile(dst); code != 0 || !bytes.Equal(have, data) {
		t.Fatalf("exit %d, equal %v: %s", code, bytes.Equal(have, data), errs)
	}
	var result blockcopy.Result
	if err := json.Unmarshal([]byte(out), &result); err != nil || result.Size != int64(len(data)) || len(result.Hash) != 64 {
		t.Errorf("%+v, %v from %q", result, err, out)
	}
	lines := strings.Split(strings.TrimSpace(errs), "\n")
	var last struct {
		blockcopy.Progress
		ElapsedSeconds *float64 `json:"elapsedSeconds"`
	}
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil || !last.Final || last.Done != last.Size || last.ElapsedSeconds == nil {
		t.Errorf("%+v, %v from %q", last, err, errs)
	}

	code, out, errs = runCopyArgs(t.Context(), src, dst, "--delta", "--ours")
	if code != 0 || !strings.Contains(out, "written 0 B") || !strings.Contains(out, "verified") || errs != "" {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
}

func TestCopyVerbRefuses(t *testing.T) {
	src, _, _ := disks(t)
	code, out, errs := runCopyArgs(t.Context(), src, src)
	if code != 1 || out != "" || !strings.HasPrefix(errs, "reconcile copy: refused, nothing was written") {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
}

func TestCopyVerbUsage(t *testing.T) {
	for _, args := range [][]string{
		{},
		{"a"},
		{"a", "b", "c"},
		{"a", "b", "--rate", "fast"},
		{"a", "b", "--rate=0"},
		{"a", "b", "--rate=-1"},
		{"a", "b", "--verify=some"},
		{"a", "b", "-o", "yaml"},
		{"a", "b", "--progress=loud"},
		{"a", "b", "--workers=-1"},
		{"a", "b", "--workers=65"},
		{"a", "b", "--nonsense"},
	} {
		if code, out, errs := runCopyArgs(t.Context(), args...); code != exitError || out != "" || !strings.HasPrefix(errs, "reconcile copy: ") {
			t.Errorf("%q: exit %d: %s%s", args, code, out, errs)
		}
	}
	code, out, errs := runCopyArgs(t.Context(), "--help")
	if code != 0 || errs != "" || !strings.Contains(out, "usage: reconcile copy SRC DST") || !strings.Contains(out, "-checkpoint") {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
}

func TestCopyVerbInterrupted(t *testing.T) {
	src, dst, data := disks(t)
	point := filepath.Join(filepath.Dir(src), "point")
	ctx, cancel := context.WithCancel(t.Context())
	args := []string{src, dst, "--checkpoint", point, "--progress=none", "--rate=1MiB"}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			if _, err := os.Stat(point); err == nil {
				cancel()
			}
		}
	}()
	code, _, errs := runCopyArgs(ctx, args...)
	<-done
	if code != 1 || !strings.Contains(errs, "interrupted") || !strings.Contains(errs, "run the same command again") {
		t.Fatalf("exit %d: %s", code, errs)
	}
	if code, _, errs = runCopyArgs(t.Context(), args[:len(args)-1]...); code != 0 {
		t.Fatalf("exit %d: %s", code, errs)
	}
	if have, _ := os.ReadFile(dst); !bytes.Equal(have, data) {
		t.Error("not equal")
	}
}

func TestCopyFlags(t *testing.T) {
	f, err := parseCopy([]string{
		"SRC", "--delta", "--fresh", "--ours", "--scan", "--rate", "200MiB/s", "--workers=7", "--buffered",
		"--checkpoint-every=1.5G", "--source-id", "1", "--target-id=2", "--source-size=4096", "--ignore-holes", "--", "-DST",
	}, io.Discard)
	want := blockcopy.Job{
		Source: "SRC", Target: "-DST", Delta: true, FreshTarget: true, Ours: true, Scan: true, Rate: 200 << 20, Workers: 7,
		Buffered: true, Interval: 3 << 29, SourceID: "1", TargetID: "2", SourceSize: 4096, IgnoreHoles: true, Verify: blockcopy.VerifyFull,
	}
	have := f.job
	// Functions cannot be compared, and are not set yet.
	if err != nil || have.OnProgress != nil || jobText(t, have) != jobText(t, want) {
		t.Errorf("%v\nwant %s\nhave %s", err, jobText(t, want), jobText(t, have))
	}
}

func jobText(t *testing.T, j blockcopy.Job) string {
	t.Helper()
	j.OnProgress = nil
	text, err := json.Marshal(struct {
		blockcopy.Job
		OnProgress any
	}{Job: j})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestByteSizes(t *testing.T) {
	for text, want := range map[string]int64{
		"1": 1, "512B": 512, "4K": 4096, "4KiB": 4096, "4KB": 4000, "200MiB/s": 200 << 20, "1.5g": 3 << 29, "2 TiB": 2 << 40, "1MB/s": 1e6,
	} {
		var have byteSize
		if err := have.Set(text); err != nil || int64(have) != want {
			t.Errorf("%s: want %d, have %d, %v", text, want, have, err)
		}
	}
	for _, text := range []string{"", "0", "-1", "x", "1X", "1KiKi", "1e99", "NaN", "Inf", "0.1", "9999999T", "MiB"} {
		if err := new(byteSize).Set(text); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}

func TestBar(t *testing.T) {
	var out bytes.Buffer
	bar, _ := progressPrinter("bar", &out)
	bar(blockcopy.Progress{Phase: blockcopy.PhaseCopy, Size: 100, Done: 50})
	bar(blockcopy.Progress{Phase: blockcopy.PhaseVerify, Size: 100, Done: 100, Final: true})
	if have := out.String(); strings.Count(have, "\r\x1b[K") != 2 || !strings.Contains(have, " 50%") || !strings.HasSuffix(have, "\n") {
		t.Errorf("%q", have)
	}
	if call, _ := progressPrinter("none", &out); call != nil {
		t.Error("none prints")
	}
}
