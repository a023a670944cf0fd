package config

import (
	"fmt"
	"time"
)

// shortest is how often anything may be looked at: more is a burden for the servers and helps nobody.
const shortest = time.Second

// loop checks what only the daemon uses.
func (v *validation) loop(c Config) {
	for _, d := range []struct {
		at    string
		value Duration
	}{{"source.interval", c.Source.Interval}, {"interval", c.Interval}, {"retry.first", c.Retry.First}, {"retry.max", c.Retry.Max}} {
		if time.Duration(d.value) < shortest {
			v.add(d.at, fmt.Sprintf("%s is too short", d.value), "write at least 1s")
		}
	}
	if c.Retry.Max < c.Retry.First {
		v.add("retry.max", fmt.Sprintf("%s is shorter than retry.first, which is %s", c.Retry.Max, c.Retry.First), "write a longer one")
	}
	for _, n := range []struct {
		at    string
		value int
	}{{"limits.cluster", c.Limits.Cluster}, {"limits.node", c.Limits.Node}, {"limits.storage", c.Limits.Storage}} {
		if n.value < 1 {
			v.add(n.at, fmt.Sprintf("%d is no limit", n.value), "write 1 or more")
		}
	}
	v.file("socket.path", c.Socket.Path, false)
	const longest = 107 // of sockaddr_un
	if len(c.Socket.Path) > longest {
		v.add("socket.path", fmt.Sprintf("has %d letters, the kernel takes %d", len(c.Socket.Path), longest), "set socket.path to a shorter one, as /run/pve-reconcile/socket")
	}
	if g := c.Socket.Group; g != "" && !userForm.MatchString(g) {
		v.add("socket.group", fmt.Sprintf("%.60q is not the name of a group", g), "as in adm")
	}
}
