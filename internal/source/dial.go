package source

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-git/go-git/v5/plumbing/transport/client"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"
	gitssh "github.com/go-git/go-git/v5/plumbing/transport/ssh"
	"golang.org/x/net/proxy"
)

// go-git keeps its transports in one table for the process; this package is
// the only one that uses it, and sets it up before anything can be fetched.
func init() {
	// file:// executes the git program, the others are not encrypted.
	for _, scheme := range []string{"file", "git", "http"} {
		client.InstallProtocol(scheme, nil)
	}
	client.InstallProtocol("https", githttp.NewClient(&http.Client{Transport: httpsTransport(), CheckRedirect: sameHost}))
	// Otherwise ~/.ssh/config of whoever runs the program redirects hosts.
	gitssh.DefaultSSHConfig = nil
	proxy.RegisterDialerType(dialScheme, func(u *url.URL, _ proxy.Dialer) (proxy.Dialer, error) {
		d, ok := dials.Load(u.Host)
		if !ok {
			return nil, fmt.Errorf("connection %s was given up", u.Host)
		}
		return d.(*dial), nil
	})
}

const (
	connectTimeout = 15 * time.Second
	dialScheme     = "pve-reconcile-dial"
)

type idleKey struct{}

// withIdle sets how long a connection made under ctx may carry no byte.
func withIdle(ctx context.Context, idle time.Duration) context.Context {
	return context.WithValue(ctx, idleKey{}, idle)
}

// idleConn fails a read or write that moves no byte for the given time.
type idleConn struct {
	net.Conn
	idle time.Duration
}

func (c *idleConn) Read(p []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(c.idle)); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}

func (c *idleConn) Write(p []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(c.idle)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

func dialIdle(ctx context.Context, network, addr string) (net.Conn, error) {
	d := net.Dialer{Timeout: connectTimeout, KeepAlive: 15 * time.Second}
	conn, err := d.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	if idle, ok := ctx.Value(idleKey{}).(time.Duration); ok {
		return &idleConn{Conn: conn, idle: idle}, nil
	}
	return conn, nil
}

func httpsTransport() *http.Transport {
	return &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         dialIdle,
		ForceAttemptHTTP2:   true,
		TLSHandshakeTimeout: connectTimeout,
		// go-git clones the transport for each session that has a CA file, so
		// idle connections are never used again.
		IdleConnTimeout: time.Second,
	}
}

// redirectError is a redirect to another host. go-git would follow it without
// the token; but the manifests would come from a host nobody configured.
type redirectError struct{ to *url.URL }

func (e *redirectError) Error() string { return "redirect to " + e.to.Host }

func sameHost(r *http.Request, via []*http.Request) error {
	if len(via) > 0 && r.URL.Host != via[0].URL.Host {
		return &redirectError{to: r.URL}
	}
	return nil
}

// dial is one SSH connection to be. go-git passes neither a context nor a
// timeout to SSH, but it does ask a "proxy" for the connection: the proxy is
// this, found by the number in its URL.
type dial struct {
	ctx  context.Context
	addr string
}

var (
	dials    sync.Map
	lastDial atomic.Uint64
)

// routeSSH returns the proxy URL that makes go-git connect to addr under ctx:
// when ctx ends, the connection is closed. Call done afterwards.
func routeSSH(ctx context.Context, addr string) (proxyURL string, done func()) {
	id := strconv.FormatUint(lastDial.Add(1), 10)
	dials.Store(id, &dial{ctx: ctx, addr: addr})
	return dialScheme + "://" + id, func() { dials.Delete(id) }
}

// Dial connects; the arguments are go-git's and say nothing new.
func (d *dial) Dial(network, addr string) (net.Conn, error) {
	return d.DialContext(context.Background(), network, addr)
}

// DialContext connects under the context of the fetch.
func (d *dial) DialContext(_ context.Context, network, _ string) (net.Conn, error) {
	conn, err := dialIdle(d.ctx, network, d.addr)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(d.ctx, func() { _ = conn.Close() })
	return &watchedConn{Conn: conn, stop: stop}, nil
}

type watchedConn struct {
	net.Conn
	stop func() bool
}

func (c *watchedConn) Close() error {
	c.stop()
	return c.Conn.Close()
}
