package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/ustclug/pve-reconcile/internal/config"
	"github.com/ustclug/pve-reconcile/reconciler/step"
)

// sessionsMost is how many commands share a connection; sshd allows 10 by default (MaxSessions).
const sessionsMost = 8

// Remote is a host reached by SSH. key reads the private key file; it is read anew for each connection, so that a replaced
// key needs no restart. Nothing is dialled before the first command.
func Remote(name string, c config.Host, key func(file string) (config.Secret, error)) *Host {
	return &Host{Name: name, transport: &remote{settings: c, key: key, dialing: make(chan struct{}, 1)}}
}

// New is the host of a config file.
func New(name string, c config.Host, key func(file string) (config.Secret, error)) *Host {
	if c.Local {
		return Local(name)
	}
	return Remote(name, c, key)
}

// remote keeps connections to one host.
type remote struct {
	settings config.Host
	key      func(string) (config.Secret, error)
	dialing  chan struct{} // held while a connection is made

	mu          sync.Mutex
	connections []*connection
	closed      bool
}

// connection is one SSH connection and how many sessions run over it.
type connection struct {
	client   *ssh.Client
	alive    *pulse
	sessions int
	bulk     bool // for one command, and then closed
	full     bool // the server allows no further session
	broken   atomic.Pointer[error]
}

var errClosed = errors.New("closed by this program")

// take returns a connection with room for a session, and counts that session. Connections are made one after the other: sshd
// turns some away when many come at a time (MaxStartups), and mostly the first is all that is needed.
func (r *remote) take(ctx context.Context, bulk bool) (_ *connection, fresh bool, _ error) {
	if c, err := r.spare(bulk); c != nil || err != nil {
		return c, false, err
	}
	select {
	case r.dialing <- struct{}{}:
		defer func() { <-r.dialing }()
	case <-ctx.Done():
		return nil, false, context.Cause(ctx)
	}
	if c, err := r.spare(bulk); c != nil || err != nil {
		return c, false, err
	}
	client, alive, err := r.connect(ctx)
	if err != nil {
		return nil, false, err
	}
	c := &connection{client: client, alive: alive, sessions: 1, bulk: bulk}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		_ = client.Close()
		return nil, false, errClosed
	}
	r.connections = append(r.connections, c)
	go r.watch(c)
	return c, true, nil
}

// spare is a connection that is there and has room, nil when there is none.
func (r *remote) spare(bulk bool) (*connection, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, errClosed
	}
	for _, c := range r.connections {
		if !bulk && !c.bulk && !c.full && c.sessions < sessionsMost && c.broken.Load() == nil {
			c.sessions++
			return c, nil
		}
	}
	return nil, nil
}

// give ends a session of a connection. One for bulk, and one that broke, are closed with their last session.
// room tells that the server has room for another one over it: a session that was refused leaves none.
func (r *remote) give(c *connection, room bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c.sessions--
	c.full = c.full && !room
	if c.sessions == 0 && (c.bulk || c.broken.Load() != nil) {
		_ = c.client.Close()
	}
}

// alone notes that the server allows no more sessions over c, and tells whether there was none but the one refused.
func (r *remote) alone(c *connection) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	c.full = true
	if c.sessions > 1 {
		return false
	}
	c.sessions--
	_ = c.client.Close()
	return true
}

// watch asks a silent server for a sign of life, and drops the connection when it ends.
func (r *remote) watch(c *connection) {
	ended := make(chan struct{})
	go func() {
		_ = c.client.Wait()
		close(ended)
	}()
	c.keepAlive(ended)
	<-ended
	c.fail(errors.New("connection lost"))
	r.mu.Lock()
	defer r.mu.Unlock()
	r.connections = slices.DeleteFunc(r.connections, func(o *connection) bool { return o == c })
}

// fail notes why a connection is of no use any more, and closes it. The first reason stays.
func (c *connection) fail(why error) {
	c.broken.CompareAndSwap(nil, &why)
	_ = c.client.Close()
}

// keepAlive closes the connection when neither a byte nor an answer has come for a while. An answer may queue behind data on
// a slow link, so whatever moves counts.
func (c *connection) keepAlive(ended <-chan struct{}) {
	ticker := time.NewTicker(silence / 3)
	defer ticker.Stop()
	asking := atomic.Bool{}
	for {
		select {
		case <-ended:
			return
		case <-ticker.C:
		}
		quiet := c.alive.quiet()
		if quiet > silence {
			c.fail(fmt.Errorf("no sign of life for %v", quiet.Round(time.Second)))
			return
		}
		if quiet > silence/4 && asking.CompareAndSwap(false, true) {
			go func() {
				_, _, _ = c.client.SendRequest("keepalive@openssh.com", true, nil)
				asking.Store(false)
			}()
		}
	}
}

// cause is why a session over this connection ended without a status.
func (c *connection) cause(err error) error {
	if why := c.broken.Load(); why != nil && !errors.Is(err, *why) {
		return *why
	}
	return err
}

func (r *remote) close() error {
	r.mu.Lock()
	r.closed = true
	all := slices.Clone(r.connections)
	r.mu.Unlock()
	var errs []error
	for _, c := range all {
		c.broken.CompareAndSwap(nil, &errClosed)
		if err := c.client.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (r *remote) start(ctx context.Context, line string, s streams, bulk bool) (process, error) {
	c, fresh, err := r.take(ctx, bulk)
	if err != nil {
		return nil, err
	}
	p, err := startSession(c, line, s)
	var refused *ssh.OpenChannelError
	if errors.As(err, &refused) && r.alone(c) {
		return nil, fmt.Errorf("sshd opens no session: %w", err)
	}
	if err != nil {
		var early unopened
		again := refused != nil || errors.As(err, &early) && !fresh && ctx.Err() == nil
		if errors.As(err, &early) && refused == nil {
			c.fail(errors.New("connection lost"))
		}
		err = c.cause(err)
		r.give(c, refused == nil)
		if again { // MaxSessions is lower than usual, or an old connection turned out to be dead: over another one
			return r.start(ctx, line, s, bulk)
		}
		return nil, err
	}
	p.done = func() { r.give(c, true) }
	return p, nil
}

// unopened is an error from before the command was sent: it may be sent again.
type unopened struct{ error }

func (u unopened) Unwrap() error { return u.error }

func startSession(c *connection, line string, s streams) (*session, error) {
	in, err := c.client.NewSession()
	if err != nil {
		return nil, unopened{err}
	}
	p := &session{session: in, connection: c}
	stdin, err := in.StdinPipe()
	if err == nil {
		// Session.Wait would wait for standard input too, which may never end: it is fed apart.
		in.Stdout, in.Stderr = whole{s.stdout, p.stop}, s.stderr
		err = in.Start(line)
	}
	if err != nil {
		_ = in.Close()
		return nil, err
	}
	go feed(stdin, s.stdin)
	return p, nil
}

// whole gives up the session when nobody wants its output any more; otherwise the command would go on, unread.
type whole struct {
	to   io.Writer
	stop func()
}

func (w whole) Write(p []byte) (int, error) {
	n, err := w.to.Write(p)
	if err != nil {
		w.stop()
	}
	return n, err
}

// session is a command over SSH.
type session struct {
	session    *ssh.Session
	connection *connection
	done       func()
	once       sync.Once
}

func (p *session) wait() error {
	err := p.session.Wait()
	defer p.done()
	var exit *ssh.ExitError
	if errors.As(err, &exit) {
		return status{code: exit.ExitStatus(), signal: exit.Signal()}
	}
	if err != nil {
		return p.connection.cause(err)
	}
	return nil
}

func (p *session) stop() { p.once.Do(func() { _ = p.session.Close() }) }

func (r *remote) dial(ctx context.Context, socket string) (net.Conn, error) {
	c, _, err := r.take(ctx, false)
	if err != nil {
		return nil, err
	}
	conn, err := c.client.DialContext(ctx, "unix", socket)
	if err != nil {
		r.give(c, true)
		var refused *ssh.OpenChannelError
		switch {
		case !errors.As(err, &refused):
		case refused.Reason == ssh.ConnectionFailed:
			return nil, fmt.Errorf("%w: %s: %s", ErrNobodyListens, socket, refused.Message)
		case refused.Reason == ssh.Prohibited:
			return nil, fmt.Errorf("%w: sshd does not forward to unix sockets (%s: %s); set AllowStreamLocalForwarding to yes or local there", step.ErrForbidden, socket, refused.Message)
		}
		return nil, fmt.Errorf("%s: %w", socket, c.cause(err))
	}
	return &forwarded{Conn: conn, done: sync.OnceFunc(func() { r.give(c, true) })}, nil
}

// forwarded is a connection to a socket of the host.
type forwarded struct {
	net.Conn
	done func()
}

func (f *forwarded) Close() error {
	defer f.done()
	return f.Conn.Close()
}
