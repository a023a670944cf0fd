package source

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/skeema/knownhosts"
	"golang.org/x/crypto/ssh"

	"github.com/ustclug/pve-reconcile/internal/config"
)

// fault says what a server does to its connections.
type fault struct {
	cut   atomic.Int64 // bytes after which a connection is closed; 0 = never
	stall atomic.Bool  // accept and say nothing
}

// listen accepts connections on loopback until the test ends.
func listen(t testing.TB, serve func(net.Conn)) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(func() { cancel(); _ = l.Close(); wg.Wait() })
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
				defer conn.Close()
				serve(conn)
			})
		}
	})
	return l.Addr().String()
}

// proxied puts a proxy with faults before a server.
func proxied(t testing.TB, addr string, f *fault) string {
	t.Helper()
	return listen(t, func(conn net.Conn) {
		if f.stall.Load() {
			_, _ = io.Copy(io.Discard, conn)
			return
		}
		up, err := net.Dial("tcp", addr)
		if err != nil {
			return
		}
		defer up.Close()
		go func() { _, _ = io.Copy(up, conn); _ = up.(*net.TCPConn).CloseWrite() }()
		if n := f.cut.Load(); n > 0 {
			_, _ = io.CopyN(conn, up, n)
			return
		}
		_, _ = io.Copy(conn, up)
	})
}

// gitDaemon serves the bare repositories of base over git://.
func gitDaemon(t testing.TB, base string) (addr string) {
	return listen(t, func(conn net.Conn) {
		cmd := exec.Command("git", "daemon", "--inetd", "--export-all", "--base-path="+base, base)
		cmd.Env, cmd.Stdin, cmd.Stdout = gitEnv(), conn, conn
		_ = cmd.Run()
	})
}

func daemonSource(t testing.TB, addr, name, cache string, settings config.Source) *Source {
	t.Helper()
	at, err := config.ParseLocation("https://" + addr + "/" + name) // git:// is none that can be configured
	if err != nil {
		t.Fatal(err)
	}
	at.Transport = "git"
	s, err := open(at, settings, Options{Cache: cache, Idle: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	s.remote.url = "git://" + addr + "/" + name
	return s
}

// https serves the bare repositories of base with git http-backend.
type https struct {
	*httptest.Server
	ca     string // file
	token  atomic.Value
	answer atomic.Value // func(http.ResponseWriter, *http.Request) bool
}

func newHTTPS(t testing.TB, base, token string) *https {
	t.Helper()
	path, err := exec.Command("git", "--exec-path").Output()
	if err != nil {
		t.Fatal(err)
	}
	backend := &cgi.Handler{
		Path: filepath.Join(strings.TrimSpace(string(path)), "git-http-backend"),
		Root: "/", Stderr: io.Discard,
		Env: append(gitEnv(), "GIT_PROJECT_ROOT="+base, "GIT_HTTP_EXPORT_ALL=1"),
	}
	h := &https{}
	h.token.Store(token)
	h.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if f, ok := h.answer.Load().(func(http.ResponseWriter, *http.Request) bool); ok && f(w, r) {
			return
		}
		if _, have, _ := r.BasicAuth(); have != h.token.Load() {
			w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
			http.Error(w, "bad credentials "+have, http.StatusUnauthorized)
			return
		}
		backend.ServeHTTP(w, r)
	}))
	h.Server.Config.ErrorLog = quiet()
	t.Cleanup(h.Close)
	h.ca = filepath.Join(t.TempDir(), "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: h.Certificate().Raw})
	if err := os.WriteFile(h.ca, block, 0o600); err != nil {
		t.Fatal(err)
	}
	return h
}

// sshServer runs git-upload-pack for one key, in process.
type sshServer struct {
	addr    string
	hostKey ssh.Signer
	known   string // known_hosts file
	key     string // file with the client's private key
}

func newKey(t testing.TB) (ssh.Signer, []byte) {
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

func newSSH(t testing.TB) *sshServer {
	t.Helper()
	client, private := newKey(t)
	host, _ := newKey(t)
	s := &sshServer{hostKey: host, known: filepath.Join(t.TempDir(), "known_hosts"), key: filepath.Join(t.TempDir(), "key")}
	conf := &ssh.ServerConfig{PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
		if string(key.Marshal()) != string(client.PublicKey().Marshal()) {
			return nil, fmt.Errorf("not this key")
		}
		return nil, nil
	}}
	conf.AddHostKey(host)
	s.addr = listen(t, func(conn net.Conn) { serveSSH(conn, conf) })
	s.trust(t, host.PublicKey())
	if err := os.WriteFile(s.key, private, 0o600); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *sshServer) trust(t testing.TB, key ssh.PublicKey) {
	t.Helper()
	if err := os.WriteFile(s.known, []byte(knownhosts.Line([]string{s.addr}, key)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

func serveSSH(conn net.Conn, conf *ssh.ServerConfig) {
	server, channels, requests, err := ssh.NewServerConn(conn, conf)
	if err != nil {
		return
	}
	defer server.Close()
	go ssh.DiscardRequests(requests)
	for next := range channels {
		channel, requests, err := next.Accept()
		if err != nil {
			return
		}
		for request := range requests {
			var command struct{ Line string }
			if request.Type != "exec" || ssh.Unmarshal(request.Payload, &command) != nil {
				_ = request.Reply(false, nil)
				continue
			}
			_ = request.Reply(true, nil)
			status := struct{ Code uint32 }{runUploadPack(channel, command.Line)}
			_, _ = channel.SendRequest("exit-status", false, ssh.Marshal(&status))
			_ = channel.Close()
		}
	}
}

// runUploadPack lets a shell split the words, as sshd does.
func runUploadPack(channel ssh.Channel, line string) uint32 {
	if !strings.HasPrefix(line, "git-upload-pack '") {
		return 128
	}
	cmd := exec.Command("sh", "-c", line)
	cmd.Env, cmd.Stdout, cmd.Stderr = gitEnv(), channel, channel.Stderr()
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return 128
	}
	go func() { _, _ = io.Copy(stdin, channel); _ = stdin.Close() }()
	if cmd.Run() != nil {
		return 128
	}
	return 0
}

// readSecret stands in for internal/secret.
func readSecret(file string) (config.Secret, error) {
	b, err := os.ReadFile(file)
	return config.Secret(strings.TrimSuffix(string(b), "\n")), err
}

func remoteSource(t testing.TB, cache string, settings config.Source) *Source {
	t.Helper()
	s, err := Open(settings, Options{Cache: cache, Token: readSecret, Key: readSecret, Idle: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func mustRawKey(t testing.TB) ed25519.PrivateKey {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return private
}

func writePEM(t testing.TB, name string, block *pem.Block) {
	t.Helper()
	if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
}
