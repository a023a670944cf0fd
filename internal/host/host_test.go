package host

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ustclug/pve-reconcile/reconciler/step"
)

func TestTextAndCodes(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, h *Host) {
		out, err := h.Text(t.Context(), `printf '%s|' "$LC_ALL" "it's" 'a"b' '$x'; case ":$PATH:" in *:/sbin:*) echo sbin;; esac`)
		if err != nil || out != `C|it's|a"b|$x|sbin`+"\n" {
			t.Errorf("have %q, %v", out, err)
		}
		_, err = h.Text(t.Context(), "# what it is for\nzfs_no() { echo 'cannot open: no such pool' >&2; exit 3; }; zfs_no")
		var e *Error
		if !errors.As(err, &e) || e.Code != 3 || !strings.HasSuffix(err.Error(), ": what it is for: exit 3: cannot open: no such pool") || strings.Contains(err.Error(), "reconcile-run") {
			t.Errorf("have %v", err)
		}
		if errors.Is(err, step.ErrUnreachable) {
			t.Errorf("a command that ended is no lost host: %v", err)
		}
		if _, err = h.Text(t.Context(), "kill -9 $$"); !errors.As(err, &e) || e.Code != 137 {
			t.Errorf("have %v", err)
		}
		if _, err = h.Text(t.Context(), "nosuchcommand"); !errors.As(err, &e) || e.Code != 127 {
			t.Errorf("have %v", err)
		}
	})
}

func TestStdinIsStreamedToItsEnd(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, h *Host) {
		var out bytes.Buffer
		err := h.Run(t.Context(), Command{Script: "wc -c; cat >/dev/null; echo end", Stdin: io.LimitReader(zeros{}, 3<<20+1), Stdout: &out})
		if err != nil || strings.Join(strings.Fields(out.String()), " ") != "3145729 end" {
			t.Errorf("have %q, %v", out.String(), err)
		}
		// A command that does not read all of it ends all the same.
		err = h.Run(t.Context(), Command{Script: "head -c 10 >/dev/null", Stdin: zeros{}})
		if err != nil {
			t.Error(err)
		}
	})
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestCancelKillsTheCommand(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, h *Host) {
		for _, script := range []string{
			"echo $$; sleep 1000",
			"echo $$; sleep 1000 & sleep 1000 | cat; wait", // its children too
			"trap '' TERM; echo $$; while :; do sleep 1; done",
		} {
			ctx, cancel := context.WithCancelCause(t.Context())
			out := &watched{found: make(chan int, 1)}
			why := errors.New("told to stop")
			go func() { out.pid = <-out.found; cancel(why) }()
			err := h.Run(ctx, Command{Script: script, Stdout: out})
			if !errors.Is(err, why) {
				t.Errorf("have %v", err)
			}
			eventually(t, script+" is gone", func() bool { return !pidAlive(out.pid) })
		}
	})
}

// watched finds the number in what is written to it.
type watched struct {
	found chan int
	pid   int
	text  []byte
}

func (w *watched) Write(p []byte) (int, error) {
	w.text = append(w.text, p...)
	if line, _, ok := bytes.Cut(w.text, []byte("\n")); ok && w.text != nil {
		pid, _ := strconv.Atoi(string(line))
		select {
		case w.found <- pid:
		default:
		}
	}
	return len(p), nil
}

func TestALostConnectionKillsTheCommand(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	h := s.host(t)
	out := &watched{found: make(chan int, 1)}
	done := make(chan error, 1)
	go func() { done <- h.Run(t.Context(), Command{Script: "echo $$; sleep 1000", Stdout: out}) }()
	pid := <-out.found
	eventually(t, "it is on the leash", func() bool { return s.started.Load() == 2 })
	s.cut()
	if err := <-done; !errors.Is(err, step.ErrUnreachable) || !strings.Contains(err.Error(), "mirrors2") {
		t.Errorf("have %v", err)
	}
	eventually(t, "the command is gone", func() bool { return !pidAlive(pid) })
	if out, err := h.Text(t.Context(), "echo again"); err != nil || out != "again\n" {
		t.Errorf("after the loss: %q, %v", out, err)
	}
}

func TestALongCommandIsNotKilledAtItsEnd(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, h *Host) {
		out, err := h.Text(t.Context(), "sleep 2; echo done")
		if err != nil || out != "done\n" {
			t.Errorf("have %q, %v", out, err)
		}
	})
}

func TestConnectionIsReused(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	h := s.host(t)
	for range 3 {
		if _, err := h.Text(t.Context(), ":"); err != nil {
			t.Fatal(err)
		}
	}
	if n := s.logins.Load(); n != 1 {
		t.Errorf("%d logins", n)
	}
	if err := h.Run(t.Context(), Command{Script: ":", Bulk: true}); err != nil || s.logins.Load() != 2 {
		t.Errorf("bulk shares a connection: %d, %v", s.logins.Load(), err)
	}
}

func TestMoreSessionsThanAConnectionMayHave(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.most = 2
	h := s.host(t)
	dir := t.TempDir()
	var group sync.WaitGroup
	for i := range 12 {
		group.Go(func() {
			// Each waits for all others, so that all have to run at the same time.
			_, err := h.Text(t.Context(), "cd "+dir+"; touch "+strconv.Itoa(i)+"; n=0; while [ $(ls | wc -l) -lt 12 ]; do n=$((n + 1)); [ $n -lt 1200 ] || exit 1; sleep 0.05; done")
			if err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
}

// Commands that come at the same time wait for one connection: sshd turns away many that are made at once.
func TestOneConnectionForMany(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	h := s.host(t)
	var group sync.WaitGroup
	for range sessionsMost {
		group.Go(func() {
			if _, err := h.Text(t.Context(), "sleep 0.5"); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if n := s.logins.Load(); n > 2 {
		t.Errorf("%d logins", n)
	}
}

func TestUnknownAndChangedKeys(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	other, _ := newSigner(t)
	s.trust(t, other.PublicKey())
	_, err := s.host(t).Text(t.Context(), ":")
	for _, want := range []string{"host mirrors2", "ssh-ed25519 SHA256:", "known_hosts has ssh-ed25519 SHA256:", "(line 2)", "ask the server's administrator"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q in %v", want, err)
		}
	}
	if !errors.Is(err, step.ErrForbidden) || errors.Is(err, step.ErrUnreachable) {
		t.Errorf("a changed key is for a person: %v", err)
	}
	if err := os.WriteFile(s.known, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err = s.host(t).Text(t.Context(), ":"); err == nil || !strings.Contains(err.Error(), "is not in "+s.known) || !strings.Contains(err.Error(), "ssh-keyscan -p") {
		t.Errorf("have %v", err)
	}
	if s.logins.Load() != 0 {
		t.Error("logged in all the same")
	}
}

func TestKeyThatIsNotLetIn(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	_, private := newSigner(t)
	if err := os.WriteFile(s.key, private, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := s.host(t).Text(t.Context(), ":")
	if !errors.Is(err, step.ErrForbidden) || !strings.Contains(err.Error(), "authorized_keys") || !strings.Contains(err.Error(), "SHA256:") {
		t.Errorf("have %v", err)
	}
}

func TestNobodyAnswers(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s := newServer(t)
	s.addr = l.Addr().String() // accepts, and says nothing
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := s.host(t).Text(ctx, ":"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a silent handshake outlasts its context: %v", err)
	}
	_ = l.Close()
	if _, err := s.host(t).Text(t.Context(), ":"); !errors.Is(err, step.ErrUnreachable) {
		t.Errorf("have %v", err)
	}
}

// TestMuchThroughASlowReader moves 100 MB, and the memory does not grow with it: who reads slowly slows the command down.
func TestMuchThroughASlowReader(t *testing.T) {
	const size = 100 << 20
	for _, h := range []*Host{Local("here"), newServer(t).host(t)} {
		sum, most, n := sha256.New(), uint64(0), 0
		runtime.GC()
		var before runtime.MemStats
		runtime.ReadMemStats(&before)
		out := writer(func(p []byte) (int, error) {
			if n += len(p); n%(16<<20) < len(p) {
				var now runtime.MemStats
				runtime.ReadMemStats(&now)
				most = max(most, now.HeapInuse)
				time.Sleep(20 * time.Millisecond)
			}
			return sum.Write(p)
		})
		err := h.Run(t.Context(), Command{Script: "head -c 104857600 /dev/zero", Stdout: out, Bulk: true})
		if err != nil || n != size {
			t.Fatalf("%d bytes, %v", n, err)
		}
		want := sha256.New()
		_, _ = io.CopyN(want, zeros{}, size)
		if hex.EncodeToString(sum.Sum(nil)) != hex.EncodeToString(want.Sum(nil)) {
			t.Error("other bytes came out than went in")
		}
		if most > before.HeapInuse+48<<20 {
			t.Errorf("the heap grew from %d to %d MiB", before.HeapInuse>>20, most>>20)
		}
	}
}

type writer func([]byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }

func TestCutInTheMiddleOfAStream(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.passThrough(func(c net.Conn) net.Conn { return slow{c, 4 << 20} })
	h := s.host(t)
	n := 0
	err := h.Run(t.Context(), Command{Script: "cat /dev/zero", Bulk: true, Stdout: writer(func(p []byte) (int, error) {
		if n += len(p); n > 1<<20 {
			go s.cut()
		}
		return len(p), nil
	})})
	if !errors.Is(err, step.ErrUnreachable) {
		t.Errorf("have %v", err)
	}
}

func TestReaderThatGivesUpEndsTheCommand(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, h *Host) {
		err := h.Run(t.Context(), Command{Script: "exec cat /dev/zero", Stdout: writer(func([]byte) (int, error) { return 0, errors.New("enough") })})
		if err == nil {
			t.Error("a stream nobody took ended well")
		}
	})
}

func TestUnixSocket(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "qmp.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(c, c); _ = c.Close() }()
		}
	}()
	both(t, func(t *testing.T, h *Host) {
		c, err := h.Dial(t.Context(), socket)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		answer := make([]byte, 4)
		if _, err := c.Write([]byte("ping")); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, answer); err != nil || string(answer) != "ping" {
			t.Errorf("%q, %v", answer, err)
		}
		if _, err := h.Dial(t.Context(), socket+".no"); !errors.Is(err, ErrNobodyListens) || errors.Is(err, step.ErrUnreachable) {
			t.Errorf("have %v", err)
		}
	})
}
