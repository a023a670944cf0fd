package webhook

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ustclug/pve-reconcile/internal/config"
)

const secret = "correct horse battery"

func sign(body string) string {
	m := hmac.New(sha256.New, []byte(secret))
	m.Write([]byte(body))
	return hex.EncodeToString(m.Sum(nil))
}

// desk is a receiver with what it said.
type desk struct {
	*Receiver
	mu    sync.Mutex
	notes []string
}

func newDesk(branch string) *desk {
	d := &desk{}
	d.Receiver = New("/push", branch, func() (config.Secret, error) { return secret, nil }, func(text string) {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.notes = append(d.notes, text)
	})
	return d
}

func (d *desk) call(method, path, body string, headers ...string) *httptest.ResponseRecorder {
	q := httptest.NewRequest(method, path, strings.NewReader(body))
	for i := 0; i < len(headers); i += 2 {
		q.Header.Add(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	d.ServeHTTP(w, q)
	return w
}

// rang tells whether a hint waits, and takes it.
func (d *desk) rang() bool {
	select {
	case <-d.Changed():
		return true
	default:
		return false
	}
}

func TestCalls(t *testing.T) {
	body := `{"zen":"x","ref":"refs/heads/main","after":"1"}`
	good, other := sign(body), sign("another body")
	for name, c := range map[string]struct {
		headers []string
		code    int
		note    string
	}{
		"github":            {[]string{"X-Hub-Signature-256", "sha256=" + good, "X-Hub-Signature", "sha1=bad"}, 204, ""},
		"gitlab":            {[]string{"X-Gitlab-Token", secret}, 204, ""},
		"gitea":             {[]string{"X-Gitea-Signature", good, "X-Hub-Signature-256", "sha256=" + good}, 204, ""},
		"forgejo":           {[]string{"X-Forgejo-Signature", good, "X-Gitea-Signature", good}, 204, ""},
		"plain":             {[]string{"X-Reconcile-Signature", "sha256=" + good}, 204, ""},
		"upper case":        {[]string{"X-Gitea-Signature", strings.ToUpper(good)}, 204, ""},
		"none":              {nil, 404, "there is no signature: set the secret of the webhook on the git server"},
		"only sha1":         {[]string{"X-Hub-Signature", "sha1=" + good[:40]}, 404, "there is no signature"},
		"another body":      {[]string{"X-Hub-Signature-256", "sha256=" + other}, 404, "X-Hub-Signature-256 does not match: the git server has another secret than webhook.secretFile"},
		"one of two is bad": {[]string{"X-Forgejo-Signature", good, "X-Gitea-Signature", other}, 404, "X-Gitea-Signature does not match"},
		"twice":             {[]string{"X-Gitea-Signature", good, "X-Gitea-Signature", other}, 404, "X-Gitea-Signature does not match"},
		"no prefix":         {[]string{"X-Hub-Signature-256", good}, 404, "X-Hub-Signature-256 is not sha256= and 64 hexadecimal digits"},
		"short":             {[]string{"X-Gitea-Signature", good[:62]}, 404, "X-Gitea-Signature is not 64 hexadecimal digits"},
		"empty":             {[]string{"X-Hub-Signature-256", ""}, 404, "X-Hub-Signature-256 is not sha256="},
		"wrong token":       {[]string{"X-Gitlab-Token", secret + "x"}, 404, "X-Gitlab-Token is not the secret in webhook.secretFile"},
		"empty token":       {[]string{"X-Gitlab-Token", ""}, 404, "X-Gitlab-Token is not the secret in webhook.secretFile"},
	} {
		d := newDesk("main")
		w := d.call("POST", "/push", body, c.headers...)
		if w.Code != c.code || w.Body.Len() > 0 || d.rang() != (c.code == 204) {
			t.Errorf("%s: have %d %q", name, w.Code, w.Body)
		}
		have := strings.Join(d.notes, "\n")
		if !strings.Contains(have, c.note) || (c.note == "") != (have == "") || strings.Contains(have, secret) {
			t.Errorf("%s: have notes %q, want %q", name, have, c.note)
		}
	}
}

func TestStrangersLearnNothing(t *testing.T) {
	d := newDesk("main")
	for _, c := range [][2]string{{"GET", "/push"}, {"POST", "/"}, {"POST", "/push/"}, {"GET", "/"}, {"PUT", "/push"}, {"POST", "/push"}} {
		if w := d.call(c[0], c[1], "x", "X-Gitlab-Token", "guess"); w.Code != 404 || w.Body.Len() > 0 || len(w.Header()) > 0 {
			t.Errorf("%s: have %d %q %v", c, w.Code, w.Body, w.Header())
		}
	}
	if d.rang() {
		t.Error("a stranger was heard")
	}
	if have := strings.Join(d.notes, "\n"); have != "webhook: a call from 192.0.2.1 was refused: X-Gitlab-Token is not the secret in webhook.secretFile" {
		t.Errorf("have %q, want one line about the call that came near", have)
	}
}

func TestRefusedCallsAreToldOnceAMinute(t *testing.T) {
	d := newDesk("main")
	for range 5 {
		d.call("POST", "/push", "x")
	}
	d.told = d.told.Add(-quiet)
	d.call("POST", "/push", "x")
	if len(d.notes) != 2 || !strings.HasSuffix(d.notes[1], "(and 4 before it)") {
		t.Errorf("have %q", d.notes)
	}
}

func TestOtherBranchesAreIgnored(t *testing.T) {
	for _, c := range []struct {
		body, branch string
		rings        bool
	}{
		{`{"ref":"refs/heads/main"}`, "main", true},
		{`{"ref":"refs/heads/main"}`, "", true},
		{`{"ref":"refs/heads/other"}`, "main", false},
		{`{"ref":"refs/heads/other"}`, "", true},
		{`{"ref":"refs/heads/a/b"}`, "a/b", true},
		{`{"ref":"refs/tags/v1"}`, "main", false},
		{`{"ref":"refs/tags/v1"}`, "", false},
		{`{"ref":"main"}`, "other", true},
		{`{"ref":1}`, "main", true},
		{`{"x":{"ref":"refs/heads/other"}}`, "main", true},
		{`{"x":[{"ref":"refs/heads/other"}],"ref":"refs/heads/main"}`, "main", true},
		{`{"x":"` + strings.Repeat("x", keep) + `","ref":"refs/heads/other"}`, "main", true},
		{`payload=%7B%22ref%22`, "main", true},
		{`["ref","refs/heads/other"]`, "main", true},
		{``, "main", true},
	} {
		d := newDesk(c.branch)
		if w := d.call("POST", "/push", c.body, "X-Gitea-Signature", sign(c.body)); w.Code != 204 || d.rang() != c.rings {
			t.Errorf("%.60s on %q: have %d, want a hint %v", c.body, c.branch, w.Code, c.rings)
		}
	}
}

// A call that is repeated, or that comes in crowds, gives a hint now and one later, and none is lost.
func TestRepeatedCalls(t *testing.T) {
	d := newDesk("main")
	d.every = 50 * time.Millisecond
	for range 20 {
		d.call("POST", "/push", "x", "X-Gitlab-Token", secret)
	}
	if !d.rang() {
		t.Fatal("no hint at once")
	}
	select {
	case <-d.Changed():
	case <-time.After(30 * time.Second):
		t.Fatal("the calls after the first were lost")
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.notes) > 0 {
		t.Errorf("have %q", d.notes)
	}
}

// Within the time since the hint before, only one more is put off.
func TestHintsAreBounded(t *testing.T) {
	d := newDesk("main")
	d.every = time.Hour
	for range 20 {
		d.call("POST", "/push", "x", "X-Gitlab-Token", secret)
	}
	if !d.rang() || d.rang() || d.pending == nil {
		t.Error("want one hint, and one put off")
	}
	d.pending.Stop()
}

func TestSecretIsReadAgain(t *testing.T) {
	now := config.Secret("the first secret")
	var fail error
	var notes []string
	r := New("/push", "", func() (config.Secret, error) { return now, fail }, func(text string) { notes = append(notes, text) })
	d := &desk{Receiver: r}
	call := func(token string) int { return d.call("POST", "/push", "x", "X-Gitlab-Token", token).Code }
	if call("the first secret") != 204 {
		t.Error("the first secret is refused")
	}
	now = "the second secret"
	if call("the first secret") != 404 || call("the second secret") != 204 {
		t.Error("the secret was not read again")
	}
	now, r.told = "short", time.Time{}
	if call("short") != 404 || !strings.Contains(notes[len(notes)-1], "shorter than 16 characters") {
		t.Errorf("a short secret: %q", notes)
	}
	fail, r.told = errors.New("/etc/x: there is no such file"), time.Time{}
	if call("short") != 404 || !strings.Contains(notes[len(notes)-1], "there is no such file") {
		t.Errorf("no secret: %q", notes)
	}
}

// zeros is a body of that many bytes that nobody holds in memory.
type zeros struct{ io.Reader }

func (zeros) Close() error { return nil }

type zero struct{}

func (zero) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestLongBodies(t *testing.T) {
	for size, code := range map[int64]int{MaxBody: 204, MaxBody + 1: 404} {
		for _, known := range []bool{true, false} {
			d := newDesk("main")
			q := httptest.NewRequest("POST", "/push", http.NoBody)
			q.Body, q.ContentLength = zeros{io.LimitReader(zero{}, size)}, -1
			if known {
				q.ContentLength = size
			}
			m := hmac.New(sha256.New, []byte(secret))
			_, _ = io.Copy(m, io.LimitReader(zero{}, size))
			q.Header.Set("X-Gitea-Signature", hex.EncodeToString(m.Sum(nil)))
			w := httptest.NewRecorder()
			d.ServeHTTP(w, q)
			if w.Code != code {
				t.Errorf("%d bytes, length known %v: have %d, want %d", size, known, w.Code, code)
			}
		}
	}
}

func TestCrowdIsTurnedAway(t *testing.T) {
	d := newDesk("main")
	for range inFlight {
		d.seats <- struct{}{}
	}
	if w := d.call("POST", "/push", "x", "X-Gitlab-Token", secret); w.Code != 503 || w.Body.Len() > 0 {
		t.Errorf("have %d", w.Code)
	}
}

// Over a real connection, with and without TLS.
func TestServe(t *testing.T) {
	cert, key, pool := certificate(t)
	for name, c := range map[string]config.Webhook{
		"http":  {Listen: "127.0.0.1:0"},
		"https": {Listen: "127.0.0.1:0", CertFile: cert, KeyFile: key},
	} {
		d := newDesk("main")
		ctx, cancel := context.WithCancel(context.Background())
		l, err := Listen(c)
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- d.Serve(ctx, l, c) }()
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: pool}}
		q, err := http.NewRequestWithContext(ctx, http.MethodPost, fmt.Sprintf("%s://%s/push", name, l.Addr()), bytes.NewReader([]byte("x")))
		if err != nil {
			t.Fatal(err)
		}
		q.Header.Set("X-Gitlab-Token", secret)
		res, err := client.Do(q)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		_ = res.Body.Close()
		if res.StatusCode != 204 || !d.rang() {
			t.Errorf("%s: have %s", name, res.Status)
		}
		client.CloseIdleConnections()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := Listen(config.Webhook{Listen: l.Addr().String()}); err == nil || !strings.HasPrefix(err.Error(), "webhook.listen: ") {
		t.Errorf("a taken address: have %v", err)
	}
	if err := newDesk("").Serve(context.Background(), l, config.Webhook{CertFile: "/none", KeyFile: "/none"}); err == nil || !strings.HasPrefix(err.Error(), "webhook.certFile: ") {
		t.Errorf("no certificate: have %v", err)
	}
}
