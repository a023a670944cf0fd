package host

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/skeema/knownhosts"
	"golang.org/x/crypto/ssh"

	"github.com/ustclug/pve-reconcile/internal/config"
)

// server is an SSH server that runs commands with sh. Like sshd, it leaves a command alone when the connection is lost.
type server struct {
	addr    string
	conf    *ssh.ServerConfig
	known   string
	key     string
	most    int // sessions a connection may have, 0: any number
	logins  atomic.Int64
	started atomic.Int64 // commands
	mu      sync.Mutex
	conns   []net.Conn
	through func(net.Conn) net.Conn // what connections pass through
}

func newSigner(t testing.TB) (ssh.Signer, []byte) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "test")
	if err != nil {
		t.Fatal(err)
	}
	return signer, pem.EncodeToMemory(block)
}

func newServer(t testing.TB) *server {
	t.Helper()
	client, private := newSigner(t)
	hostKey, _ := newSigner(t)
	dir := t.TempDir()
	s := &server{known: filepath.Join(dir, "known_hosts"), key: filepath.Join(dir, "key")}
	s.conf = &ssh.ServerConfig{PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
		if string(key.Marshal()) != string(client.PublicKey().Marshal()) {
			return nil, errors.New("not this key")
		}
		return nil, nil
	}}
	s.conf.AddHostKey(hostKey)
	if err := os.WriteFile(s.key, private, 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close(); s.cut() })
	s.addr = l.Addr().String()
	s.trust(t, hostKey.PublicKey())
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns = append(s.conns, c)
			through := s.through
			s.mu.Unlock()
			if through != nil {
				c = through(c)
			}
			go s.serve(c)
		}
	}()
	return s
}

func (s *server) trust(t testing.TB, key ssh.PublicKey) {
	t.Helper()
	if err := os.WriteFile(s.known, []byte("# first line\n"+knownhosts.Line([]string{s.addr}, key)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (s *server) host(t testing.TB) *Host {
	t.Helper()
	h := Remote("mirrors2", config.Host{Address: s.addr, User: "root", KeyFile: s.key, KnownHostsFile: s.known}, func(file string) (config.Secret, error) {
		text, err := os.ReadFile(file)
		return config.Secret(text), err
	})
	t.Cleanup(func() { _ = h.Close() })
	return h
}

func (s *server) passThrough(f func(net.Conn) net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.through = f
}

// cut ends all connections without a word.
func (s *server) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		_ = c.Close()
	}
	s.conns = nil
}

func (s *server) serve(c net.Conn) {
	conn, channels, requests, err := ssh.NewServerConn(c, s.conf)
	if err != nil {
		_ = c.Close()
		return
	}
	s.logins.Add(1)
	go ssh.DiscardRequests(requests)
	sessions := atomic.Int64{}
	for n := range channels {
		switch {
		case n.ChannelType() == "direct-streamlocal@openssh.com":
			var to struct{ Path, Reserved string }
			var port struct {
				Path, Reserved string
				Port           uint32
			}
			if err := ssh.Unmarshal(n.ExtraData(), &port); err == nil {
				to.Path = port.Path
			}
			go forward(n, to.Path)
		case n.ChannelType() != "session":
			_ = n.Reject(ssh.UnknownChannelType, "")
		case s.most > 0 && sessions.Load() >= int64(s.most):
			_ = n.Reject(ssh.Prohibited, "open failed")
		default:
			channel, requests, err := n.Accept()
			if err != nil {
				continue
			}
			sessions.Add(1)
			go func() {
				serveSession(channel, requests, &s.started)
				sessions.Add(-1)
			}()
		}
	}
	_ = conn.Wait()
}

func forward(n ssh.NewChannel, path string) {
	to, err := net.Dial("unix", path)
	if err != nil {
		_ = n.Reject(ssh.ConnectionFailed, err.Error())
		return
	}
	channel, requests, err := n.Accept()
	if err != nil {
		return
	}
	go ssh.DiscardRequests(requests)
	go func() { _, _ = io.Copy(to, channel); _ = to.(*net.UnixConn).CloseWrite() }()
	_, _ = io.Copy(channel, to)
	_ = channel.Close()
}

func serveSession(channel ssh.Channel, requests <-chan *ssh.Request, started *atomic.Int64) {
	for r := range requests {
		var p struct{ Command string }
		if r.Type != "exec" || ssh.Unmarshal(r.Payload, &p) != nil {
			_ = r.Reply(false, nil)
			continue
		}
		_ = r.Reply(true, nil)
		go ssh.DiscardRequests(requests)
		cmd := exec.Command("/bin/sh", "-c", p.Command)
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		cmd.Stdout, cmd.Stderr = channel, channel.Stderr()
		stdin, err := cmd.StdinPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			_ = channel.Close()
			return
		}
		started.Add(1)
		go func() { _, _ = io.Copy(stdin, channel); _ = stdin.Close() }()
		code := 0
		if err := cmd.Wait(); err != nil {
			code = max(cmd.ProcessState.ExitCode(), 1)
		}
		_, _ = channel.SendRequest("exit-status", false, ssh.Marshal(struct{ Code uint32 }{uint32(code)}))
		_ = channel.Close()
		return
	}
}

// both runs a test on this machine and over SSH.
func both(t *testing.T, test func(t *testing.T, h *Host)) {
	t.Helper()
	t.Run("local", func(t *testing.T) { t.Parallel(); test(t, Local("here")) })
	t.Run("ssh", func(t *testing.T) { t.Parallel(); test(t, newServer(t).host(t)) })
}

// eventually waits for something that takes a moment; a test that fails here would fail with any deadline.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if is() {
			return
		}
	}
	t.Fatalf("not within a minute: %s", what)
}

// slow lets so many bytes a second through.
type slow struct {
	net.Conn
	rate int
}

func (s slow) Write(p []byte) (n int, err error) {
	for len(p) > 0 && err == nil {
		part := p[:min(len(p), s.rate/20)]
		var m int
		m, err = s.Conn.Write(part)
		n, p = n+m, p[m:]
		time.Sleep(time.Duration(float64(m) / float64(s.rate) * float64(time.Second)))
	}
	return n, err
}

func pidAlive(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !containsZombie(string(text))
}

func containsZombie(stat string) bool {
	for i := len(stat) - 1; i >= 0; i-- {
		if stat[i] == ')' {
			return len(stat) > i+2 && stat[i+2] == 'Z'
		}
	}
	return false
}
