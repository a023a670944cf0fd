package host

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"

	"github.com/ustclug/pve-reconcile/internal/host/hostkey"
	"github.com/ustclug/pve-reconcile/reconciler/step"
)

const (
	connectTimeout   = 15 * time.Second
	handshakeTimeout = 20 * time.Second
	silence          = 45 * time.Second // after which a connection counts as lost
)

// ciphers in the order of their speed: AES-GCM comes with its own checksum and is done by the processor.
var ciphers = []string{ssh.CipherAES128GCM, ssh.CipherAES256GCM, ssh.CipherChaCha20Poly1305, ssh.CipherAES128CTR, ssh.CipherAES256CTR}

// connect makes one connection. Errors say whose they are: step.ErrForbidden when a person has to act.
func (r *remote) connect(ctx context.Context) (*ssh.Client, *pulse, error) {
	signer, err := r.signer()
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", step.ErrForbidden, err)
	}
	keys, err := hostkey.Read(r.settings.KnownHostsFile, r.settings.Address)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", step.ErrForbidden, err)
	}
	dialer := net.Dialer{Timeout: connectTimeout, ControlContext: unacknowledged, KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: silence / 3, Interval: silence / 3, Count: 3}}
	tcp, err := dialer.DialContext(ctx, "tcp", r.settings.Address)
	if err != nil {
		return nil, nil, err
	}
	alive := newPulse(tcp)
	defer context.AfterFunc(ctx, func() { _ = tcp.Close() })()
	if err := tcp.SetDeadline(time.Now().Add(handshakeTimeout)); err != nil {
		return nil, nil, errors.Join(err, tcp.Close())
	}
	conn, channels, requests, err := ssh.NewClientConn(alive, r.settings.Address, &ssh.ClientConfig{
		Config: ssh.Config{Ciphers: ciphers},
		User:   r.settings.User, Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)},
		HostKeyCallback: keys.Check, HostKeyAlgorithms: keys.Algorithms,
	})
	if err == nil {
		err = tcp.SetDeadline(time.Time{})
	}
	if err != nil {
		_ = tcp.Close()
		return nil, nil, r.explain(ctx, keys, signer, err)
	}
	return ssh.NewClient(conn, channels, requests), alive, nil
}

func (r *remote) signer() (ssh.Signer, error) {
	key, err := r.key(r.settings.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("keyFile: %w", err)
	}
	signer, err := ssh.ParsePrivateKey([]byte(key.Reveal()))
	var locked *ssh.PassphraseMissingError
	switch {
	case errors.As(err, &locked):
		return nil, fmt.Errorf("keyFile %s is protected by a passphrase, and nobody is there to type it: make a key of its own with ssh-keygen -t ed25519 -N ''", r.settings.KeyFile)
	case err != nil:
		return nil, fmt.Errorf("keyFile %s: no usable private key; it has to be one as ssh-keygen writes it", r.settings.KeyFile)
	}
	return signer, nil
}

// explain says what a handshake that came to nothing means.
func (r *remote) explain(ctx context.Context, keys *hostkey.Keys, signer ssh.Signer, err error) error {
	var timeout net.Error
	var auth *ssh.ServerAuthError
	switch {
	case keys.Refused != nil:
		return untrusted{keys.Refused}
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.As(err, &timeout) && timeout.Timeout():
		return fmt.Errorf("%s: the SSH handshake was not done after %v: %w", r.settings.Address, handshakeTimeout, err)
	case errors.As(err, &auth), strings.Contains(err.Error(), "unable to authenticate"):
		return fmt.Errorf("%w: %s does not let %s in with the key %s: append its public half to ~%s/.ssh/authorized_keys there", step.ErrForbidden,
			r.settings.Address, r.settings.User, ssh.FingerprintSHA256(signer.PublicKey()), r.settings.User)
	}
	return fmt.Errorf("%s: %w", r.settings.Address, err)
}

// untrusted is a host key that was not accepted: a person has to act, and the text says all there is to say.
type untrusted struct{ refusal *hostkey.Refusal }

func (u untrusted) Error() string { return u.refusal.Error() }

func (u untrusted) Unwrap() []error { return []error{step.ErrForbidden, u.refusal} }

// unacknowledged lets the kernel give up a connection whose data nobody acknowledges; without it, a host that lost power
// during a transfer is noticed after a quarter of an hour.
func unacknowledged(_ context.Context, network, _ string, c syscall.RawConn) error {
	var err error
	if cerr := c.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(silence.Milliseconds()))
	}); cerr != nil || !strings.HasPrefix(network, "tcp") {
		return cerr
	}
	return err
}

// pulse is a connection that knows when it last moved a byte.
type pulse struct {
	net.Conn
	last  atomic.Int64 // nanoseconds since began
	since time.Time
}

func newPulse(c net.Conn) *pulse { return &pulse{Conn: c, since: time.Now()} }

func (p *pulse) beat(n int) {
	if n > 0 {
		p.last.Store(int64(time.Since(p.since)))
	}
}

func (p *pulse) quiet() time.Duration { return time.Since(p.since) - time.Duration(p.last.Load()) }

func (p *pulse) Read(b []byte) (int, error) {
	n, err := p.Conn.Read(b)
	p.beat(n)
	return n, err
}

func (p *pulse) Write(b []byte) (int, error) {
	n, err := p.Conn.Write(b)
	p.beat(n)
	return n, err
}
