// Package socket is the daemon's unix socket: who may use it is said by file permissions. It carries HTTP, listens on no
// network, and never takes a socket away from a daemon that answers on it.
package socket

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// Listen makes the socket, for its owner and, if named, a group. A socket that a dead daemon left is replaced.
func Listen(path, group string) (net.Listener, error) {
	if conn, err := net.DialTimeout("unix", path, time.Second); err == nil {
		_ = conn.Close()
		return nil, fmt.Errorf("socket: another daemon answers on %s: give this one its own stateDir and socket.path", path)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("socket: %w", err)
	}
	if old, err := os.Lstat(path); err == nil {
		if old.Mode()&fs.ModeSocket == 0 {
			return nil, fmt.Errorf("socket: %s is there and is no socket: move it away, or set socket.path", path)
		}
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("socket: %w", err)
		}
	}
	// Made in a directory of its own and moved when its permissions are right: nobody gets in between.
	dir, err := os.MkdirTemp(filepath.Dir(path), ".s")
	if err != nil {
		return nil, fmt.Errorf("socket: %w", err)
	}
	defer os.RemoveAll(dir)
	temporary := filepath.Join(dir, "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: temporary, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("socket: %w", err)
	}
	l.SetUnlinkOnClose(false)
	if err = restrict(temporary, group); err == nil {
		err = os.Rename(temporary, path)
	}
	if err != nil {
		_ = l.Close()
		return nil, fmt.Errorf("socket: %w", err)
	}
	return &listener{l, path}, nil
}

// listener takes its socket away when it is closed.
type listener struct {
	*net.UnixListener
	path string
}

func (l *listener) Close() error {
	return errors.Join(os.Remove(l.path), l.UnixListener.Close())
}

func restrict(path, group string) error {
	if group == "" {
		return os.Chmod(path, 0o600)
	}
	g, err := user.LookupGroup(group)
	if err != nil {
		return fmt.Errorf("socket.group: %w", err)
	}
	id, err := strconv.Atoi(g.Gid)
	if err != nil {
		return fmt.Errorf("socket.group: %s has the id %q", group, g.Gid)
	}
	if err := os.Chown(path, -1, id); err != nil {
		return fmt.Errorf("socket.group: %w", err)
	}
	return os.Chmod(path, 0o660)
}

// ErrNobody says that no daemon answers.
var ErrNobody = errors.New("no daemon answers")

// Client speaks to the daemon on a socket. When nobody listens there its errors wrap ErrNobody.
func Client(path string) *http.Client {
	return &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			conn, err := d.DialContext(ctx, "unix", path)
			if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
				return nil, fmt.Errorf("%w on %s", ErrNobody, path)
			}
			return conn, err
		},
		DisableKeepAlives: true,
	}}
}
