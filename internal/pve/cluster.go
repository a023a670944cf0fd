// Package pve speaks to one Proxmox VE cluster: it reads guests raw, does single steps and waits until PVE says how they
// ended. It turns every answer that is not a success into an error that names the call, what PVE said and who must act.
// It never decides what to change, never repeats a write whose outcome is unknown, never stops a guest hard, and never
// lets the token leave the endpoint or reach a log.
package pve

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync/atomic"
	"time"

	proxmox "github.com/luthermonson/go-proxmox"
	"go.uber.org/zap"
)

// Options say how to reach a cluster. Zero durations and counts take the defaults given.
type Options struct {
	Name      string // of the cluster, as texts call it
	Endpoint  string // https://host:8006 of any node; the port may be left out
	Token     string // user@realm!name=secret
	TokenFrom string // where the token was read from, for people: a file

	// ReadToken reads the token again, which may have been replaced. Nil: it never is.
	ReadToken func() (string, error)

	// The server's certificate is checked against one of these: a CA, the certificate itself (then any host name will do),
	// or the system's roots when both are empty.
	CA          []byte // PEM
	Fingerprint string // SHA-256 of the leaf certificate, hex, colons allowed

	Connections     int           // open at a time, at most; default 8
	ReadTimeout     time.Duration // of one GET; default 30 s
	WriteTimeout    time.Duration // of one POST, PUT or DELETE, without the task it starts; default 60 s
	TaskTimeout     time.Duration // longest wait for a task; default 15 min
	ShutdownTimeout time.Duration // what a guest gets to shut down; default 3 min
	PollInterval    time.Duration // first pause between looks at a task, grows eightfold; default 250 ms
	Pause           time.Duration // first pause before a retry, doubles; default 500 ms

	Log *zap.Logger // requests at debug; nil: none
}

func (o *Options) fill() {
	fallback := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	fallback(&o.ReadTimeout, 30*time.Second)
	fallback(&o.WriteTimeout, time.Minute)
	fallback(&o.TaskTimeout, 15*time.Minute)
	fallback(&o.ShutdownTimeout, 3*time.Minute)
	fallback(&o.PollInterval, 250*time.Millisecond)
	fallback(&o.Pause, 500*time.Millisecond)
	if o.Connections <= 0 {
		o.Connections = 8
	}
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
}

// Cluster is one cluster's API. It may be used by many at once.
type Cluster struct {
	opts   Options
	token  credential
	host   string // of the endpoint, without the port
	client *proxmox.Client
	slots  *slots
	tally  tally
}

// Tally counts what was asked of a cluster so far, retries included.
type Tally struct {
	Calls    int64 // HTTP requests
	Writes   int64 // of these, POST, PUT and DELETE
	Sent     int64 // bytes of request bodies
	Received int64 // bytes of answer bodies
}

type tally struct{ calls, writes, sent, received atomic.Int64 }

// tokenForm is PVE's form of a token; the secret is a uuid today, any one word here.
var tokenForm = regexp.MustCompile(`^([^\s:/!=]+@[A-Za-z][A-Za-z0-9._-]*![A-Za-z][A-Za-z0-9._-]*)=([^\s=]+)$`)

// New checks the options. It does not connect.
func New(o Options) (*Cluster, error) {
	o.fill()
	endpoint, err := parseEndpoint(o.Endpoint)
	if err != nil {
		return nil, fmt.Errorf("cluster %s: %w", o.Name, err)
	}
	m := parse(o.Token)
	if m == nil {
		return nil, fmt.Errorf("cluster %s: the token%s is not of the form user@realm!name=secret, as `pveum user token add` prints it in full-tokenid and value", o.Name, from(o.TokenFrom))
	}
	tls, err := tlsConfig(o)
	if err != nil {
		return nil, fmt.Errorf("cluster %s: %w", o.Name, err)
	}
	c := &Cluster{opts: o, host: endpoint.Hostname(), slots: newSlots(o.Connections)}
	c.token.id, c.token.secret, c.token.read, c.token.at = m[1], m[2], o.ReadToken, time.Now()
	c.client = proxmox.NewClient(endpoint.String()+"/api2/json",
		proxmox.WithHTTPClient(&http.Client{
			Transport:     &guard{host: endpoint.Host, base: wire(tls, o.Connections), tally: &c.tally},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}),
		proxmox.WithRequestInterceptor(c.token.authorize),
		proxmox.WithLogger(silent{}),
		proxmox.WithUserAgent("pve-reconcile"),
		proxmox.WithRequestInterceptor(asForm),
	)
	return c, nil
}

func from(file string) string {
	if file == "" {
		return ""
	}
	return " in " + file
}

// parseEndpoint accepts https://host, https://host:port and host, with or without the API's path.
func parseEndpoint(text string) (*url.URL, error) {
	s := strings.TrimSuffix(strings.TrimSuffix(strings.TrimRight(strings.TrimSpace(text), "/"), "/json"), "/api2")
	if !strings.Contains(s, "://") {
		s = "https://" + s
	}
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || strings.Trim(u.Path, "/") != "":
		return nil, fmt.Errorf("endpoint %q: write https://host:8006", text)
	case u.Scheme != "https":
		return nil, fmt.Errorf("endpoint %q: only https, the token would travel in clear", text)
	case u.Port() == "":
		u.Host += ":8006"
	}
	return &url.URL{Scheme: "https", Host: u.Host}, nil
}

// Calls tells what was asked of the cluster so far.
func (c *Cluster) Calls() Tally {
	t := &c.tally
	return Tally{Calls: t.calls.Load(), Writes: t.writes.Load(), Sent: t.sent.Load(), Received: t.received.Load()}
}

// Get reads a path below /api2/json ("/nodes") and returns the data part of the answer.
func (c *Cluster) Get(ctx context.Context, path string, query url.Values) (json.RawMessage, error) {
	a, err := c.call(ctx, request{method: http.MethodGet, path: path, query: query})
	return a.data, err
}

// Envelope is Get with the whole answer: PVE puts total and changes beside data (FACTS §1).
func (c *Cluster) Envelope(ctx context.Context, path string, query url.Values) (json.RawMessage, error) {
	a, err := c.call(ctx, request{method: http.MethodGet, path: path, query: query})
	return a.whole, err
}
