package config

import (
	"maps"
	"net"
	"path"
	"time"
)

// Default fills in what the file leaves out. It changes nothing it was given.
func Default(c Config) Config {
	set(&c.StateDir, "/var/lib/pve-reconcile")
	set(&c.Source.Path, ".")
	if at, err := ParseLocation(c.Source.URL); err == nil && at.Transport == HTTPS && c.Source.TokenFile != "" {
		set(&c.Source.Username, "git")
	}
	c.Hosts = maps.Clone(c.Hosts)
	for name, h := range c.Hosts {
		if h.Local {
			continue
		}
		set(&h.User, "root")
		if _, _, err := net.SplitHostPort(h.Address); err != nil && hostForm.MatchString(h.Address) {
			h.Address = net.JoinHostPort(h.Address, "22")
		}
		c.Hosts[name] = h
	}
	duration(&c.Source.Interval, time.Minute)
	duration(&c.Interval, 10*time.Minute)
	duration(&c.Retry.First, 5*time.Second)
	duration(&c.Retry.Max, max(10*time.Minute, time.Duration(c.Retry.First)))
	count(&c.Limits.Cluster, 8)
	count(&c.Limits.Node, 4)
	count(&c.Limits.Storage, 2)
	set(&c.Socket.Path, path.Join(c.StateDir, "socket"))
	p := &c.Policies
	duration(&p.TaskTimeout, 10*time.Minute)
	duration(&p.ShutdownTimeout, 3*time.Minute)
	if p.MaxDeletions == nil {
		five := 5
		p.MaxDeletions = &five
	}
	if p.MaxShrink == nil {
		half := Percent(50)
		p.MaxShrink = &half
	}
	c.Notify = maps.Clone(c.Notify)
	for name, n := range c.Notify {
		c.Notify[name] = n.defaults()
	}
	if c.Webhook != nil {
		hook := *c.Webhook
		set(&hook.Path, "/push")
		c.Webhook = &hook
	}
	return c
}

func set(field *string, value string) {
	if *field == "" {
		*field = value
	}
}

func duration(field *Duration, value time.Duration) {
	if *field == 0 {
		*field = Duration(value)
	}
}

func count(field *int, value int) {
	if *field == 0 {
		*field = value
	}
}
