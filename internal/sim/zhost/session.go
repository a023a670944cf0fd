package zhost

import (
	"context"
	"errors"
	"io"
	"net"
	"path/filepath"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"
)

// session runs the one command of a session channel.
func (d *door) session(ctx context.Context, ask ssh.NewChannel) {
	ch, requests, err := ask.Accept()
	if err != nil {
		return
	}
	defer ch.Close()
	var env []string
	for r := range requests {
		switch r.Type {
		case "env":
			var kv struct{ Name, Value string }
			if ssh.Unmarshal(r.Payload, &kv) == nil {
				env = append(env, kv.Name+"="+kv.Value)
			}
			reply(r, true)
		case "exec":
			var line struct{ Text string }
			if ssh.Unmarshal(r.Payload, &line) != nil {
				reply(r, false)
				continue
			}
			reply(r, true)
			go ssh.DiscardRequests(requests)
			d.run(ctx, ch, line.Text, env)
			return
		default:
			reply(r, false)
		}
	}
}

func reply(r *ssh.Request, ok bool) {
	if r.WantReply {
		_ = r.Reply(ok, nil) // who has gone needs none
	}
}

// run runs a command for a channel. When the connection ends, the command's streams end, as with a real sshd; the command
// itself goes on until it notices.
func (d *door) run(ctx context.Context, ch ssh.Channel, line string, env []string) {
	if f := d.host.pick(line, "cut-at", "fail", "kill", "slow"); f != nil {
		switch f.Kind {
		case "slow":
			time.Sleep(f.Delay)
		case "cut-at":
			time.AfterFunc(f.Delay, d.cutAll)
		default:
			_, _ = io.WriteString(ch.Stderr(), f.Text+"\n")
			finish(ch, max(f.Code, 1), "")
			return
		}
	}
	d.host.mu.Lock()
	d.host.log = append(d.host.log, "$ "+line)
	closed := d.host.closed
	d.host.mu.Unlock()
	if closed {
		return
	}
	alive, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	j := &job{name: "sh", cancel: cancel}
	d.host.mu.Lock()
	d.host.running[j] = true
	d.host.mu.Unlock()
	defer func() {
		d.host.mu.Lock()
		delete(d.host.running, j)
		d.host.mu.Unlock()
	}()
	sh, stdin, err := d.host.piped(alive, line, env, ch, ch.Stderr())
	if err != nil {
		finish(ch, 255, "")
		return
	}
	go func() {
		_, _ = io.Copy(stdin, ch) // a command that does not read it any more is fine
		_ = stdin.Close()
	}()
	code, signal := exit(sh.cmd.Wait())
	finish(ch, code, signal)
}

// piped begins a command whose standard input is a pipe that we write.
func (h *Host) piped(ctx context.Context, line string, env []string, stdout, stderr io.Writer) (*shell, io.WriteCloser, error) {
	r, w, err := pipe()
	if err != nil {
		return nil, nil, err
	}
	sh, err := h.begin(ctx, line, env, r, stdout, stderr)
	_ = r.Close() // the child has its own
	if err != nil {
		_ = w.Close()
		return nil, nil, err
	}
	return sh, w, nil
}

// finish tells how a command ended.
func finish(ch ssh.Channel, code int, signal string) {
	if signal != "" {
		_, _ = ch.SendRequest("exit-signal", false, ssh.Marshal(struct {
			Signal  string
			Core    bool
			Message string
			Lang    string
		}{Signal: signal}))
		return
	}
	_, _ = ch.SendRequest("exit-status", false, ssh.Marshal(struct{ Code uint32 }{uint32(code)}))
}

// forward connects to a unix socket of the host.
func (d *door) forward(ask ssh.NewChannel) {
	var to struct {
		Path     string
		Reserved string
		Port     uint32
	}
	if err := ssh.Unmarshal(ask.ExtraData(), &to); err != nil {
		_ = ask.Reject(ssh.ConnectionFailed, "bad request")
		return
	}
	conn, err := net.Dial("unix", filepath.Join(d.host.dir, to.Path))
	if err != nil {
		_ = ask.Reject(ssh.ConnectionFailed, "open failed")
		return
	}
	defer conn.Close()
	ch, requests, err := ask.Accept()
	if err != nil {
		return
	}
	defer ch.Close()
	go ssh.DiscardRequests(requests)
	done := make(chan struct{}, 2)
	go func() {
		_, _ = io.Copy(conn, ch) // either end may go first
		done <- struct{}{}
	}()
	go func() {
		_, _ = io.Copy(ch, conn)
		done <- struct{}{}
	}()
	<-done
}

// weather is the connection as faults make it: cut, or standing still, after a number of bytes.
func (d *door) weather(conn net.Conn) net.Conn {
	return &weather{Conn: conn, host: d.host}
}

type weather struct {
	net.Conn
	host   *Host
	passed atomic.Int64
	frozen atomic.Bool
}

var errCut = errors.New("connection cut by the simulator")

func (w *weather) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	if bad := w.pass(n); bad != nil {
		return 0, bad
	}
	return n, err
}

func (w *weather) Write(p []byte) (int, error) {
	if bad := w.pass(len(p)); bad != nil {
		return 0, bad
	}
	return w.Conn.Write(p)
}

// pass counts, and strikes when enough has passed.
func (w *weather) pass(n int) error {
	total := w.passed.Add(int64(n))
	w.host.mu.Lock()
	var strikes *Fault
	for _, f := range w.host.faults {
		if (f.Kind == "cut" || f.Kind == "freeze") && total >= f.Bytes && (f.struck == 0 || f.Times < 0 || f.struck < f.Times) {
			f.struck++
			strikes = f
			break
		}
	}
	w.host.mu.Unlock()
	if strikes != nil && strikes.Kind == "freeze" {
		w.frozen.Store(true)
	}
	for w.frozen.Load() {
		time.Sleep(20 * time.Millisecond)
		w.host.mu.Lock()
		over := w.host.closed || w.host.door == nil || !w.host.door.has(w.Conn)
		w.host.mu.Unlock()
		if over {
			return errCut
		}
	}
	if strikes != nil {
		if tcp, ok := w.Conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // a reset, no farewell
		}
		_ = w.Conn.Close()
		return errCut
	}
	return nil
}

func (d *door) has(conn net.Conn) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.conns[conn]
}
