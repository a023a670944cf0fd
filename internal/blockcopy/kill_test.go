package blockcopy

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

var p0 = time.Unix(1, 0)

func heapInUse() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse
}

// TestMain lets a test run this very binary as a process that copies, so that it can be killed for real.
func TestMain(m *testing.M) {
	if args := os.Getenv("BLOCKCOPY_TEST_COPY"); args != "" {
		a := strings.Split(args, "|")
		result, err := Copy(context.Background(), Job{
			Source: a[0], Target: a[1], Checkpoint: CheckpointFile(a[2]), Verify: Verify(a[3]), Delta: a[4] == "delta",
			FreshTarget: a[4] == "fresh", Interval: segment, Rate: 48 << 20, Workers: 3,
		})
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Printf("%d %s\n", result.Resumed, result.Hash)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// TestKill kills a copying process with SIGKILL again and again, at moments nobody chose, until one run ends.
func TestKill(t *testing.T) {
	for i, mode := range []string{"fresh", "dirty", "delta"} {
		for _, verify := range []Verify{VerifyNone, VerifyFull} {
			t.Run(mode+" "+string(verify), func(t *testing.T) {
				const size = 24*segment + 1234
				src, dst := rawFile(t, "src", size, uint64(i)), blankFile(t, "dst", size)
				if mode != "fresh" {
					dst = rawFile(t, "dst", size, uint64(i)+50)
				}
				killUntilDone(t, src, dst, verify, mode)
			})
		}
	}
}

func TestKillOnLoopDevices(t *testing.T) {
	const size = 24*segment + 8192 + 512
	src := loop(t, rawFile(t, "src", size, 11))
	dst := loop(t, rawFile(t, "dst", size, 12))
	killUntilDone(t, src, dst, VerifyFull, "dirty")
}

func killUntilDone(t *testing.T, src, dst string, verify Verify, mode string) {
	t.Helper()
	point := CheckpointFile(filepath.Join(t.TempDir(), "point"))
	r := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0)) // any moment will do; the result may not depend on it
	var done int64
	for kills := 0; ; kills++ {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), fmt.Sprintf("BLOCKCOPY_TEST_COPY=%s|%s|%s|%s|%s", src, dst, point, verify, mode))
		var out, errs bytes.Buffer
		child.Stdout, child.Stderr = &out, &errs
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		if kills < 6 {
			time.Sleep(time.Duration(5+r.IntN(200)) * time.Millisecond)
			if err := child.Process.Kill(); err != nil && child.ProcessState == nil {
				t.Logf("already gone: %v", err)
			}
		}
		err := child.Wait()
		if err == nil {
			var resumed int64
			var hash string
			_, _ = fmt.Sscan(out.String(), &resumed, &hash)
			if resumed < done {
				t.Errorf("continued at %d behind a checkpoint of %d", resumed, done)
			}
			t.Logf("%d kills, last continued at %d", kills, resumed)
			break
		}
		if child.ProcessState.Exited() {
			t.Fatalf("after %d kills: %v: %s", kills, err, errs.String())
		}
		now, err := point.Load(t.Context())
		if err != nil {
			t.Fatalf("after %d kills: %v", kills, err)
		}
		if now != nil {
			if now.Done < done {
				t.Fatalf("the checkpoint went back from %d to %d", done, now.Done)
			}
			done = now.Done
		} else {
			done = 0 // not begun, or killed after the end: a finished copy has no checkpoint
		}
	}
	d, err := os.Stat(src)
	if err != nil {
		t.Fatal(err)
	}
	size := d.Size()
	if size == 0 { // a device
		size = 24*segment + 8192 + 512
	}
	wantEqual(t, src, dst, size)
}
