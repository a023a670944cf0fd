package pve

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ustclug/pve-reconcile/reconciler/vm"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/ustclug/pve-reconcile/reconciler/step"
)

func TestReadIsRepeated(t *testing.T) {
	s := serve(t, map[string][]reply{pendingPath: {{status: "595 Connection refused"}, {}, ok(mixed)}})
	if have, err := s.cluster(t).VM(t.Context(), docker2, &vm.Guest{Node: "pve1", Status: "running"}); err != nil || !have.Exists {
		t.Errorf("%+v, %v", have, err)
	}
}

// PVE gave up before doing anything: the only write that is repeated.
func TestConfigLockIsWaitedFor(t *testing.T) {
	locked := refusal("can't lock file '/var/lock/qemu-server/lock-110.conf' - got timeout")
	s := serve(t, map[string][]reply{"PUT " + configPath: {locked, locked, ok("null")}})
	if _, err := s.cluster(t).Do(t.Context(), step.SetConfig{ID: docker2, Set: map[string]string{"memory": "512"}}); err != nil {
		t.Error(err)
	}
	if n := len(s.requests()); n != 3 {
		t.Errorf("%d requests", n)
	}
}

func TestDeadServer(t *testing.T) {
	s := serve(t, nil)
	c := s.cluster(t)
	s.Close()
	_, err := c.Do(t.Context(), step.StartVM{ID: docker2})
	if !errors.Is(err, step.ErrUnreachable) || strings.Contains(err.Error(), unknownOutcome) || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("a write that never left: %v", err)
	}
}

// slow is a server that answers GET /version, and nothing else.
func slow(t *testing.T) (s *script, asked chan string) {
	asked, release := make(chan string, 10), make(chan struct{})
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.Method
		if !strings.HasSuffix(r.URL.Path, "/version") {
			<-release
		}
		fmt.Fprint(w, `{"data":{}}`)
	}))
	t.Cleanup(server.Close)
	t.Cleanup(func() { close(release) })
	return &script{Server: server}, asked
}

func TestNoAnswerInTime(t *testing.T) {
	s, asked := slow(t)
	c := s.cluster(t)
	if _, err := c.Get(t.Context(), "/version", nil); err != nil { // so that there is a connection
		t.Fatal(err)
	}
	<-asked
	c.opts.WriteTimeout, c.opts.ReadTimeout = 100*time.Millisecond, time.Millisecond
	if _, err := c.Do(t.Context(), step.StartVM{ID: docker2}); !errors.Is(err, step.ErrUnreachable) || !strings.Contains(err.Error(), "no answer in time: "+unknownOutcome) {
		t.Error(err)
	}
	if n := c.Calls(); n.Writes != 1 {
		t.Errorf("a write was repeated: %+v", n)
	}
	if _, err := c.Get(t.Context(), "/nodes", nil); !errors.Is(err, step.ErrUnreachable) || !strings.Contains(err.Error(), "no answer in time") {
		t.Error(err)
	}
	if n := c.Calls(); n.Calls != 2+readTries {
		t.Errorf("tally %+v", n)
	}
}

func TestInterrupted(t *testing.T) {
	s, asked := slow(t)
	c := s.cluster(t)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-asked
		cancel()
	}()
	_, err := c.Do(ctx, step.StartVM{ID: docker2})
	if !errors.Is(err, context.Canceled) || errors.Is(err, step.ErrUnreachable) || !strings.Contains(err.Error(), unknownOutcome) {
		t.Errorf("an interrupted write: %v", err)
	}
	if _, err := c.Get(ctx, "/nodes", nil); !errors.Is(err, context.Canceled) || c.Calls().Writes != 1 {
		t.Errorf("after the interruption: %v, %+v", err, c.Calls())
	}
}

func TestTokenStaysAtTheEndpoint(t *testing.T) {
	var elsewhere sync.Map
	other := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		elsewhere.Store(r.URL.Path, r.Header.Get("Authorization"))
	}))
	defer other.Close()
	s := serve(t, map[string][]reply{"GET /nodes": {{status: "302 Found", header: "Location: " + other.URL + "/stolen\r\n"}}})
	c := s.cluster(t)
	if _, err := c.Get(t.Context(), "/nodes", nil); !errors.Is(err, step.ErrUnreachable) {
		t.Error(err)
	}
	for _, path := range []string{other.URL + "/absolute", "nodes", "@" + strings.TrimPrefix(other.URL, "https://")} {
		if _, err := c.Get(t.Context(), path, nil); err == nil {
			t.Errorf("path %q accepted", path)
		}
	}
	if _, err := c.Get(t.Context(), "/../../../"+strings.TrimPrefix(other.URL, "https:"), nil); err == nil {
		t.Error("path with dots accepted")
	}
	for _, url := range []string{other.URL + "/x", strings.Replace(s.URL, "https", "http", 1) + "/x"} {
		ctx, _ := withExchange(t.Context())
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := (&guard{host: strings.TrimPrefix(s.URL, "https://"), tally: &tally{}}).RoundTrip(r); err == nil {
			t.Errorf("guard let %s pass", url)
		}
	}
	elsewhere.Range(func(path, token any) bool {
		t.Errorf("%s got %q", path, token)
		return true
	})
}

// Nothing that is logged at any level, returned as an error or printed from the options holds a secret.
func TestSecretsStayInside(t *testing.T) {
	core, logs := observer.New(zapcore.DebugLevel)
	password := "hunter2"
	echo := reply{status: "500 bad " + secret + " " + password, body: `{"message":"bad ` + secret + ` ` + password + `","data":null}`}
	s := serve(t, map[string][]reply{
		"PUT " + configPath: {echo}, "POST /nodes/pve1/qemu": {started}, statusGET: {ended("bad " + password)},
		logGET: {ok(`[{"t":"update VM 110: -cipassword ` + password + `"}]`)}, "GET /nodes": {ok(`[]`)},
	})
	c := s.cluster(t, func(o *Options) { o.Log = zap.New(core) })
	set := map[string]string{"cipassword": password, "name": "x"}
	texts := []string{}
	for _, st := range []step.Step{step.SetConfig{ID: docker2, Set: set}, step.CreateVM{ID: docker2, Set: set}} {
		_, err := c.Do(t.Context(), st)
		if err == nil {
			t.Fatal("no error")
		}
		texts = append(texts, fmt.Sprintf("%v %+v %#v", err, err, err))
	}
	if _, err := c.Get(t.Context(), "/nodes", nil); err != nil {
		t.Fatal(err)
	}
	for _, l := range logs.All() {
		texts = append(texts, fmt.Sprint(l.Message, l.ContextMap()))
	}
	if logs.Len() != len(s.requests()) {
		t.Errorf("%d log lines for %d requests", logs.Len(), len(s.requests()))
	}
	for _, text := range texts {
		if strings.Contains(text, secret) || strings.Contains(text, password) {
			t.Errorf("a secret in: %s", text)
		}
	}
	if text := fmt.Sprint(logs.All()[0].ContextMap()); !strings.Contains(text, "path:"+configPath) || !strings.Contains(text, "status:500") {
		t.Errorf("log line: %s", text)
	}
}

// No more calls at a time than connections, and connections are used again.
func TestConnections(t *testing.T) {
	const limit, calls = 8, 48
	var mu sync.Mutex
	now, opened := 0, 0
	together := make(chan struct{})
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		now++
		gate := together
		if now == limit { // calls are answered in groups of as many as may be under way
			now, together = 0, make(chan struct{})
			close(gate)
		}
		mu.Unlock()
		<-gate
		fmt.Fprint(w, `{"data":[]}`)
	}))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			mu.Lock()
			opened++
			mu.Unlock()
		}
	}
	s.TLS = &tls.Config{NextProtos: []string{"http/1.1"}}
	s.StartTLS()
	defer s.Close()
	c := (&script{Server: s}).cluster(t, func(o *Options) { o.Connections = limit })
	for range 2 { // with a rest between, in which all connections are idle
		var wg sync.WaitGroup
		for range calls / 2 {
			wg.Go(func() {
				if _, err := c.Get(t.Context(), "/nodes", nil); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
	if opened != limit || c.Calls().Calls != calls {
		t.Errorf("%d connections, %d calls", opened, c.Calls().Calls)
	}
}
