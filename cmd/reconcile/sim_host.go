package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/ustclug/pve-reconcile/internal/config"
	"github.com/ustclug/pve-reconcile/internal/host"
	"github.com/ustclug/pve-reconcile/internal/secret"
	"github.com/ustclug/pve-reconcile/internal/sim"
)

// simHosts are the real hosts that stand for simulated nodes: the values of --host.
type simHosts map[string]*host.Host

// simHostTimeout is for one command; the API does not answer while it runs.
const simHostTimeout = 2 * time.Minute

// simHostFresh is how old what a host said may be: several answers are wanted of what is one moment to who asks.
const simHostFresh = 3 * time.Second

// add reads NODE=ssh://USER@ADDRESS?key=FILE&known_hosts=FILE, or NODE=local.
func (h simHosts) add(value string) error {
	const form = "want NODE=ssh://USER@ADDRESS[:PORT]?key=FILE&known_hosts=FILE, or NODE=local"
	node, where, ok := strings.Cut(value, "=")
	if !ok || node == "" || where == "" {
		return fmt.Errorf("%q: %s", value, form)
	}
	if where == "local" {
		h[node] = host.Local(node)
		return nil
	}
	u, err := url.Parse(where)
	if err != nil || u.Scheme != "ssh" || u.Host == "" || u.Path != "" {
		return fmt.Errorf("%q: %s", value, form)
	}
	c := config.Host{Address: u.Host, User: u.User.Username()}
	for key, values := range u.Query() {
		switch key {
		case "key":
			c.KeyFile = values[0]
		case "known_hosts":
			c.KnownHostsFile = values[0]
		default:
			return fmt.Errorf("%q: unknown %s: %s", value, key, form)
		}
	}
	if c.KeyFile == "" || c.KnownHostsFile == "" {
		return fmt.Errorf("%q: key or known_hosts is missing: %s", value, form)
	}
	if c.User == "" {
		c.User = "root"
	}
	h[node] = host.Remote(node, c, secret.Key)
	return nil
}

func (h simHosts) shells(ctx context.Context) map[string]sim.Shell {
	shells := map[string]sim.Shell{}
	for node, on := range h {
		shells[node] = func(command string) (string, error) {
			ctx, cancel := context.WithTimeout(ctx, simHostTimeout)
			defer cancel()
			text, err := on.Text(ctx, command)
			var bad *host.Error
			if errors.As(err, &bad) && strings.TrimSpace(bad.Stderr) != "" {
				err = errors.New(strings.TrimSpace(bad.Stderr)) // what PVE would pass on
			}
			return text, err
		}
	}
	return shells
}

func (h simHosts) close() {
	for _, on := range h {
		_ = on.Close() // nothing runs there any more
	}
}
