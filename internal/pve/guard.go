package pve

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
	"time"
)

// maxBody bounds an answer: the census of some ten thousand guests is below it.
const maxBody = 64 << 20

var errRefused = errors.New("refused")

// exchange is what one request met. It travels in the request's context, since go-proxmox drops the status, the reason
// phrase and everything beside data.
type exchange struct {
	sent   atomic.Bool // a connection was got: the server may have seen the request
	status int         // 0: no answer
	reason string      // reason phrase; PVE puts its error texts there
	body   []byte
}

type exchangeKey struct{}

// guard is the only way to the wire. It keeps the token at the endpoint and makes an error of every answer that is not a
// success, which go-proxmox takes for one: 404, 502, 595 and others (FACTS §9).
type guard struct {
	host  string
	base  http.RoundTripper
	tally *tally
}

// RoundTrip records the exchange and hands go-proxmox an empty success or an error.
func (g *guard) RoundTrip(r *http.Request) (*http.Response, error) {
	x, ok := r.Context().Value(exchangeKey{}).(*exchange)
	if !ok || r.URL.Scheme != "https" || r.URL.Host != g.host {
		return nil, fmt.Errorf("request to %s refused: the token goes to %s only", r.URL.Host, g.host)
	}
	g.tally.calls.Add(1)
	if r.Method != http.MethodGet {
		g.tally.writes.Add(1)
	}
	g.tally.sent.Add(max(r.ContentLength, 0))
	trace := httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { x.sent.Store(true) }}
	res, err := g.base.RoundTrip(r.WithContext(httptrace.WithClientTrace(r.Context(), &trace)))
	if err != nil {
		return nil, err
	}
	var body bytes.Buffer
	body.Grow(int(min(max(res.ContentLength, 0), 1<<20)) + bytes.MinRead) // what it says of its length is only a hint
	_, err = body.ReadFrom(io.LimitReader(res.Body, maxBody+1))
	_ = res.Body.Close() // read to its end or given up
	g.tally.received.Add(int64(body.Len()))
	if err == nil && body.Len() > maxBody {
		err = fmt.Errorf("the answer is larger than %d MiB", maxBody>>20)
	}
	if err != nil {
		return nil, err
	}
	x.status, x.body = res.StatusCode, body.Bytes()
	x.reason = strings.TrimSpace(strings.TrimPrefix(res.Status, fmt.Sprint(res.StatusCode)))
	if res.StatusCode/100 != 2 {
		return nil, errRefused
	}
	res.Body = io.NopCloser(bytes.NewReader(nil))
	return res, nil
}

// wire is the transport below the guard: HTTP/1.1, which is what pveproxy speaks, direct (no proxy of the environment).
func wire(conf *tls.Config, connections int) *http.Transport {
	dial := net.Dialer{Timeout: 10 * time.Second, KeepAlive: 15 * time.Second}
	return &http.Transport{
		DialContext:         dial.DialContext,
		TLSClientConfig:     conf,
		TLSHandshakeTimeout: 10 * time.Second,
		MaxIdleConns:        connections,
		MaxIdleConnsPerHost: connections,
		// Short, so that a write is hardly ever lost on a connection that the server is closing just then.
		IdleConnTimeout: 4 * time.Second,
	}
}

// asForm marks request bodies as what they are: form-encoded, the way every recording of PVE was made.
func asForm(r *http.Request) error {
	if r.Header.Get("Content-Type") != "" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	return nil
}

// silent is go-proxmox's logger: it prints request bodies and answers, secrets included.
type silent struct{}

func (silent) Debugf(string, ...any) {}
func (silent) Infof(string, ...any)  {}
func (silent) Warnf(string, ...any)  {}
func (silent) Errorf(string, ...any) {}

// withExchange is the context of a request, and where to find what it met.
func withExchange(ctx context.Context) (context.Context, *exchange) {
	x := &exchange{}
	return context.WithValue(ctx, exchangeKey{}, x), x
}
