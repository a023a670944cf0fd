package source

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/ustclug/pve-reconcile/internal/config"
)

// follow checks what each transport has to do: a first fetch, nothing new, a
// push, a forced push, and the commit that was pushed away is still readable.
func follow(t *testing.T, r *repo, s *Source) {
	t.Helper()
	first := r.git("rev-parse", "HEAD")
	mustFetch(t, s, first)
	mustFetch(t, s, first)
	second := r.commit("second", "pve/vms/a.yaml", "name: second\n")
	r.push("main")
	mustFetch(t, s, second)
	if have := readFile(t, s, second, "vms/a.yaml"); have != "name: second\n" {
		t.Errorf("have %q", have)
	}
	r.git("reset", "-q", "--hard", first)
	third := r.commit("rewritten", "pve/vms/a.yaml", "name: third\n")
	r.push("--force", "main")
	mustFetch(t, s, third)
	if have := readFile(t, s, third, "vms/a.yaml"); have != "name: third\n" {
		t.Errorf("have %q", have)
	}
	for _, test := range []struct {
		old, new string
		want     bool
	}{{first, third, true}, {second, third, false}} {
		if have, err := s.IsAncestor(background(t), test.old, test.new); err != nil || have != test.want {
			t.Errorf("%s before %s: have %v, %v", test.old, test.new, have, err)
		}
	}
	if have := readFile(t, s, second, "vms/a.yaml"); have != "name: second\n" {
		t.Errorf("have %q of the commit that was pushed away", have)
	}
}

func TestGitDaemon(t *testing.T) {
	r := newRepo(t)
	bare := r.bare()
	addr := gitDaemon(t, filepath.Dir(bare))
	follow(t, r, daemonSource(t, addr, "infra.git", t.TempDir(), config.Source{Path: "pve"}))
	_, err := daemonSource(t, addr, "nothing.git", t.TempDir(), config.Source{}).Fetch(background(t))
	wantError(t, err, NotFound, "no such repository")
}

func TestHTTPS(t *testing.T) {
	r := newRepo(t)
	server := newHTTPS(t, filepath.Dir(r.bare()), "hunter2-token")
	settings := config.Source{URL: server.URL + "/infra.git", Branch: "main", Path: "pve", CAFile: server.ca, TokenFile: write(t, "hunter2-token\n")}
	cache := t.TempDir()
	follow(t, r, remoteSource(t, cache, settings))
	for _, secret := range []string{"hunter2-token", "Z2l0Omh1bnRlcjItdG9rZW4"} {
		if found := grep(t, cache, secret); found != "" {
			t.Errorf("the token is in %s", found)
		}
	}
	// A new token is picked up without a restart.
	s := remoteSource(t, t.TempDir(), settings)
	server.token.Store("second-token")
	_, err := s.Fetch(background(t))
	wantError(t, err, Unauthorized, "refused the token of "+settings.TokenFile, "[redacted]")
	if err := os.WriteFile(settings.TokenFile, []byte("second-token\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	mustFetch(t, s, r.git("rev-parse", "HEAD"))
}

func grep(t *testing.T, dir, text string) (found string) {
	t.Helper()
	err := filepath.Walk(dir, func(name string, info os.FileInfo, err error) error {
		if err != nil || info.IsDir() {
			return err
		}
		b, err := os.ReadFile(name)
		if strings.Contains(string(b), text) {
			found = name
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestHTTPSProblems(t *testing.T) {
	r := newRepo(t)
	server := newHTTPS(t, filepath.Dir(r.bare()), "hunter2-token")
	good := config.Source{URL: server.URL + "/infra.git", CAFile: server.ca, TokenFile: write(t, "hunter2-token\n")}
	with := func(change func(*config.Source)) config.Source {
		s := good
		change(&s)
		return s
	}
	answer := func(code int, body string) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, _ *http.Request) bool { http.Error(w, body, code); return true }
	}
	elsewhere := newHTTPS(t, t.TempDir(), "")
	var stolen string
	elsewhere.answer.Store(func(_ http.ResponseWriter, r *http.Request) bool {
		stolen += r.Header.Get("Authorization")
		return false
	})
	redirect := func(w http.ResponseWriter, r *http.Request) bool {
		http.Redirect(w, r, elsewhere.URL+r.URL.String(), http.StatusFound)
		return true
	}
	plain := listen(t, func(conn net.Conn) {
		_, _ = conn.Write([]byte("220 mail ready\r\n"))
		time.Sleep(50 * time.Millisecond)
	})
	for _, test := range []struct {
		name     string
		settings config.Source
		answer   func(http.ResponseWriter, *http.Request) bool
		reason   Reason
		texts    []string
	}{
		{"no token", with(func(s *config.Source) { s.TokenFile = "" }), nil, Unauthorized, []string{"wants a token", "source.tokenFile"}},
		{"token file missing", with(func(s *config.Source) { s.TokenFile = "/nonexistent/token" }), nil, Unreadable, []string{"tokenFile: open /nonexistent/token"}},
		{"unknown authority", with(func(s *config.Source) { s.CAFile = "" }), nil, UntrustedServer, []string{"certificate of 127.0.0.1", "set source.caFile"}},
		{"CA file missing", with(func(s *config.Source) { s.CAFile = "/nonexistent/ca.pem" }), nil, Unreadable, []string{"caFile: open /nonexistent/ca.pem"}},
		{"CA file is something else", with(func(s *config.Source) { s.CAFile = s.TokenFile }), nil, Unreadable, []string{"holds no PEM certificate"}},
		{"other name", with(func(s *config.Source) { s.URL = strings.Replace(s.URL, "127.0.0.1", "localhost", 1) }), nil, UntrustedServer, []string{"certificate of localhost", "use the name"}},
		{"no such repository", with(func(s *config.Source) { s.URL = server.URL + "/other.git" }), nil, NotFound, []string{"no such repository", "check source.url"}},
		{"nobody listens", with(func(s *config.Source) { s.URL = "https://127.0.0.1:1/infra.git" }), nil, Unreachable, []string{"127.0.0.1 port 1 refuses connections"}},
		{"unknown name", with(func(s *config.Source) { s.URL = "https://git.invalid/infra.git" }), nil, Unreachable, []string{"git.invalid"}},
		{"not TLS", with(func(s *config.Source) { s.URL = "https://" + plain + "/infra.git" }), nil, Unreachable, []string{"does not speak TLS"}},
		{"forbidden", good, answer(403, "quota hunter2-token"), Unauthorized, []string{"forbids it (403) (quota [redacted])"}},
		{"broken", good, answer(502, "<html>bad gateway</html>"), Unreachable, []string{"the server answers 502 Bad Gateway"}},
		{"not git", good, answer(200, "<html>welcome</html>"), Unreachable, []string{"unexpected answer"}},
		{"redirected elsewhere", good, redirect, Unreachable, []string{"redirects to " + elsewhere.URL, "set source.url"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.answer != nil {
				server.answer.Store(test.answer)
				defer server.answer.Store(func(http.ResponseWriter, *http.Request) bool { return false })
			}
			_, err := remoteSource(t, t.TempDir(), test.settings).Fetch(background(t))
			wantError(t, err, test.reason, test.texts...)
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the token is in %q", err)
			}
		})
	}
	if stolen != "" {
		t.Errorf("a redirect took the token to another server: %q", stolen)
	}
}

func TestSSH(t *testing.T) {
	r := newRepo(t)
	bare := r.bare()
	server := newSSH(t)
	settings := config.Source{URL: "ssh://git@" + server.addr + bare, Branch: "main", Path: "pve", KeyFile: server.key, KnownHostsFile: server.known}
	follow(t, r, remoteSource(t, t.TempDir(), settings))
}

func TestSSHProblems(t *testing.T) {
	r := newRepo(t)
	bare := r.bare()
	server := newSSH(t)
	other, otherPEM := newKey(t)
	shown := ssh.FingerprintSHA256(server.hostKey.PublicKey())
	good := config.Source{URL: "ssh://git@" + server.addr + bare, KeyFile: server.key, KnownHostsFile: server.known}
	with := func(change func(*config.Source)) config.Source {
		s := good
		change(&s)
		return s
	}
	changed := newSSH(t)
	changed.addr = server.addr
	changed.trust(t, other.PublicKey())
	locked := filepath.Join(t.TempDir(), "locked")
	block, err := ssh.MarshalPrivateKeyWithPassphrase(mustRawKey(t), "x", []byte("passphrase"))
	if err != nil {
		t.Fatal(err)
	}
	writePEM(t, locked, block)
	for _, test := range []struct {
		name     string
		settings config.Source
		reason   Reason
		texts    []string
	}{
		{
			"host key changed", with(func(s *config.Source) { s.KnownHostsFile = changed.known }), UntrustedServer,
			[]string{"shows the key ssh-ed25519 " + shown, "has ssh-ed25519 " + ssh.FingerprintSHA256(other.PublicKey()) + " (line 1)"},
		},
		{
			"host unknown", with(func(s *config.Source) { s.KnownHostsFile = write(t, "") }), UntrustedServer,
			[]string{"is not in ", "shows the key ssh-ed25519 " + shown, "ssh-keyscan -p "},
		},
		{"no known_hosts", with(func(s *config.Source) { s.KnownHostsFile = "/nonexistent/known_hosts" }), Unreadable, []string{"knownHostsFile", "/nonexistent/known_hosts"}},
		{"bad known_hosts", with(func(s *config.Source) { s.KnownHostsFile = write(t, "host ssh-ed25519 AAAA\n") }), Unreadable, []string{"knownHostsFile", "each line is"}},
		{
			"key not registered", with(func(s *config.Source) { s.KeyFile = write(t, string(otherPEM)) }), Unauthorized,
			[]string{"accepts neither the key", ssh.FingerprintSHA256(other.PublicKey()), "deploy key"},
		},
		{"key missing", with(func(s *config.Source) { s.KeyFile = "/nonexistent/key" }), Unreadable, []string{"keyFile", "/nonexistent/key"}},
		{"key is something else", with(func(s *config.Source) { s.KeyFile = write(t, "hunter2") }), Unreadable, []string{"no usable private key"}},
		{"key with passphrase", with(func(s *config.Source) { s.KeyFile = locked }), Unreadable, []string{"protected by a passphrase", "ssh-keygen"}},
		{"no such repository", with(func(s *config.Source) { s.URL += "x" }), NotFound, []string{"no such repository"}},
		{"nobody listens", with(func(s *config.Source) { s.URL = "ssh://git@127.0.0.1:1/x" }), Unreachable, []string{"127.0.0.1 port 1 refuses connections"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := remoteSource(t, t.TempDir(), test.settings).Fetch(background(t))
			wantError(t, err, test.reason, test.texts...)
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the key is in %q", err)
			}
		})
	}
}

// A server that accepts and then says nothing must not hold a fetch for ever,
// nor beyond its context.
func TestStallEnds(t *testing.T) {
	r := newRepo(t)
	bare := r.bare()
	f := &fault{}
	f.stall.Store(true)
	addr := proxied(t, "127.0.0.1:1", f)
	server := newSSH(t)
	for name, settings := range map[string]config.Source{
		"https": {URL: "https://" + addr + "/infra.git"},
		"ssh":   {URL: "ssh://git@" + addr + bare, KeyFile: server.key, KnownHostsFile: server.known},
	} {
		t.Run(name+" idle", func(t *testing.T) {
			s := remoteSource(t, t.TempDir(), settings)
			s.options.Idle, s.remote.options.Idle = 100*time.Millisecond, 100*time.Millisecond
			_, err := s.Fetch(context.Background())
			wantError(t, err, Unreachable, "went silent for 100ms")
		})
		t.Run(name+" cancelled", func(t *testing.T) {
			ctx, cancel := context.WithCancel(context.Background())
			time.AfterFunc(100*time.Millisecond, cancel)
			_, err := remoteSource(t, t.TempDir(), settings).Fetch(ctx)
			if !errors.Is(err, context.Canceled) {
				t.Errorf("have %v, want the context's error", err)
			}
		})
	}
}
