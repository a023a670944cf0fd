package pve

import (
	"crypto/sha256"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/ustclug/pve-reconcile/schema"
)

const (
	token  = "root@pam!recon=5ec3e7-70c3-4a11-9d11-000000000001"
	secret = "5ec3e7-70c3-4a11-9d11-000000000001"
)

var docker2 = schema.ID{Cluster: "pve-5", Node: "pve1", VMID: 110}

// reply is one answer as it goes over the wire. The zero reply closes the connection without an answer.
type reply struct {
	status string // status line after the protocol: "500 VM is locked (backup)"
	header string
	body   string
}

func ok(data string) reply { return reply{status: "200 OK", body: `{"data":` + data + `}`} }

func refusal(text string) reply {
	return reply{status: "500 " + text, body: fmt.Sprintf(`{"message":%q,"data":null}`, text+"\n")}
}

// script is a server that answers from a list by request, the last answer again and again, and remembers what it was asked.
// It writes raw answers, since PVE's errors are in the reason phrase.
type script struct {
	*httptest.Server
	mu      sync.Mutex
	answers map[string][]reply // by "GET /nodes/pve1/qemu/110/pending"
	asked   []string           // with query and body
	tokens  []string
}

func serve(t *testing.T, answers map[string][]reply) *script {
	t.Helper()
	s := &script{answers: answers}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(s.answer))
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // handshakes that are meant to fail
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

func (s *script) answer(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(err)
	}
	call := r.Method + " " + r.URL.EscapedPath()[len("/api2/json"):]
	s.mu.Lock()
	asked := call
	if r.URL.RawQuery != "" {
		asked += "?" + r.URL.RawQuery
	}
	if len(body) > 0 {
		asked += " " + string(body)
	}
	s.asked = append(s.asked, asked)
	s.tokens = append(s.tokens, r.Header.Get("Authorization"))
	out := reply{status: "501 Method '" + call + "' not implemented", body: `{"data":null}`}
	if list := s.answers[call]; len(list) > 0 {
		out = list[0]
		if len(list) > 1 {
			s.answers[call] = list[1:]
		}
	}
	s.mu.Unlock()
	conn, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		panic(err)
	}
	defer conn.Close()
	if out.status != "" {
		fmt.Fprintf(conn, "HTTP/1.1 %s\r\nContent-Length: %d\r\nConnection: close\r\n%s\r\n%s", out.status, len(out.body), out.header, out.body)
	}
}

func (s *script) requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.asked...)
}

func (s *script) options() Options {
	sum := sha256.Sum256(s.Certificate().Raw)
	return Options{
		Name: "pve-5", Endpoint: s.URL, Token: token, TokenFrom: "/etc/pve-reconcile/pve-5.token", Fingerprint: printFingerprint(sum),
		PollInterval: time.Millisecond, Pause: time.Millisecond, Log: zap.NewNop(),
	}
}

// cluster speaks to the server; change adjusts the options.
func (s *script) cluster(t *testing.T, change ...func(*Options)) *Cluster {
	t.Helper()
	o := s.options()
	for _, f := range change {
		f(&o)
	}
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

const (
	someTask = "UPID:pve1:000008DD:00042173:6B03292B:qmstart:110:root@pam!recon:"
	taskPath = "/nodes/pve1/tasks/UPID:pve1:000008DD:00042173:6B03292B:qmstart:110:root@pam%21recon:"
)

func form(t *testing.T, s string) url.Values {
	t.Helper()
	v, err := url.ParseQuery(s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}
