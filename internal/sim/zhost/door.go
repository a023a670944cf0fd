package zhost

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"sync"

	"golang.org/x/crypto/ssh"
)

// door is the SSH server of a host.
type door struct {
	host   *Host
	addr   string
	client ssh.PublicKey

	mu     sync.Mutex
	signer ssh.Signer
	listen net.Listener
	conns  map[net.Conn]bool
}

// ListenSSH serves SSH on a loopback address for whoever has the client key, and returns the address.
func (h *Host) ListenSSH(addr string, client ssh.PublicKey) (string, error) {
	d := &door{host: h, addr: addr, client: client, conns: map[net.Conn]bool{}}
	if err := d.changeKey(); err != nil {
		return "", err
	}
	if err := d.open(); err != nil {
		return "", err
	}
	h.mu.Lock()
	h.door = d
	h.mu.Unlock()
	return d.addr, nil
}

// HostKey is the public key of the host's SSH server.
func (h *Host) HostKey() ssh.PublicKey {
	h.door.mu.Lock()
	defer h.door.mu.Unlock()
	return h.door.signer.PublicKey()
}

func newSigner() (ssh.Signer, ed25519.PrivateKey, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	signer, err := ssh.NewSignerFromKey(private)
	return signer, private, err
}

func (d *door) changeKey() error {
	if d == nil {
		return errors.New("the host has no SSH server")
	}
	signer, _, err := newSigner()
	if err != nil {
		return err
	}
	d.mu.Lock()
	d.signer = signer
	d.mu.Unlock()
	return nil
}

func (d *door) open() error {
	host, _, err := net.SplitHostPort(d.addr)
	if ip := net.ParseIP(host); err != nil || ip == nil || !ip.IsLoopback() {
		return fmt.Errorf("listen on %s: the simulator listens on loopback addresses only (127.0.0.1:PORT)", d.addr)
	}
	l, err := net.Listen("tcp", d.addr)
	if err != nil {
		return err
	}
	d.mu.Lock()
	d.listen, d.addr = l, l.Addr().String()
	d.mu.Unlock()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return // closed
			}
			go d.welcome(conn)
		}
	}()
	return nil
}

// shut stops listening and cuts everybody.
func (d *door) shut() {
	d.mu.Lock()
	if d.listen != nil {
		_ = d.listen.Close() // nobody else has it
		d.listen = nil
	}
	d.mu.Unlock()
	d.cutAll()
}

// cutAll cuts all connections, as a cable does.
func (d *door) cutAll() {
	if d == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for conn := range d.conns {
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // a reset, no farewell
		}
		_ = conn.Close() // it may be closed already
		d.conns[conn] = false
	}
}

func (d *door) welcome(tcp net.Conn) {
	d.mu.Lock()
	d.conns[tcp] = true
	signer := d.signer
	d.mu.Unlock()
	defer func() {
		d.mu.Lock()
		delete(d.conns, tcp)
		d.mu.Unlock()
		_ = tcp.Close() // it may be closed already
	}()
	config := &ssh.ServerConfig{
		PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			if !bytes.Equal(key.Marshal(), d.client.Marshal()) {
				return nil, errors.New("unknown key")
			}
			return nil, nil
		},
	}
	config.AddHostKey(signer)
	conn, channels, requests, err := ssh.NewServerConn(d.weather(tcp), config)
	if err != nil {
		return // the client has been told
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		for r := range requests {
			if r.WantReply {
				_ = r.Reply(false, nil) // as sshd answers a keepalive
			}
		}
	}()
	for ch := range channels {
		switch ch.ChannelType() {
		case "session":
			go d.session(ctx, ch)
		case "direct-streamlocal@openssh.com":
			go d.forward(ch)
		default:
			_ = ch.Reject(ssh.UnknownChannelType, "unknown channel type")
		}
	}
	_ = conn.Close() // it is over
}
