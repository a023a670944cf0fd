package main

import (
	"context"
	"errors"
	"net"
	"net/url"
	"os"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/ustclug/pve-reconcile/internal/config"
	"github.com/ustclug/pve-reconcile/internal/loop"
	"github.com/ustclug/pve-reconcile/internal/pmxcfs"
	"github.com/ustclug/pve-reconcile/internal/state"
	"github.com/ustclug/pve-reconcile/reconciler"
)

// usualMount is where PVE mounts its cluster's file system.
const usualMount = "/etc/pve"

// mounts are the file systems of clusters on whose nodes this runs: the ones that the config names, or else the usual one,
// if the cluster's endpoint is this machine and this is root.
func mounts(conf config.Config) map[string]*pmxcfs.Mount {
	out := map[string]*pmxcfs.Mount{}
	for name, c := range conf.Clusters {
		switch {
		case c.PMXCFS == "off":
		case c.PMXCFS != "":
			out[name] = pmxcfs.At(c.PMXCFS)
		case loopback(c.Endpoint) && pmxcfs.Present(usualMount) && pmxcfs.MayLock(usualMount):
			out[name] = pmxcfs.At(usualMount)
		}
	}
	return out
}

func loopback(endpoint string) bool {
	u, err := url.Parse(endpoint)
	if err != nil {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}

// leases are those of the clusters on whose nodes this runs: with all of them held, nobody else acts.
func (p *program) leases(command string) map[string]*pmxcfs.Lease {
	host, _ := os.Hostname()
	out := map[string]*pmxcfs.Lease{}
	for name, m := range p.world.Mounts {
		out[name] = &pmxcfs.Lease{
			Name: "pve-reconcile-" + p.config.Owner, Dir: p.config.StateDir, Mount: m,
			Holder: state.Holder{PID: os.Getpid(), Host: host, Command: command, Since: time.Now()},
		}
	}
	p.world.Fence = func(cluster string) error {
		for name, l := range out {
			if cluster != "" && cluster != name {
				continue
			}
			if err := l.Check(); err != nil {
				return err
			}
		}
		return nil
	}
	return out
}

// lease takes all leases for one run, or says who has one.
func (p *program) lease(command string) (release func(), err error) {
	leases := p.leases(command)
	release = func() {
		for _, l := range leases {
			l.Release()
		}
	}
	for _, l := range leases {
		if err := l.Try(); err != nil {
			release()
			return nil, err
		}
	}
	return release, nil
}

// act runs the loop while this is the one that may act. It returns when ctx ends.
func (d *daemon) act(ctx context.Context, command string) {
	leases := d.leases(command)
	defer func() {
		for _, l := range leases {
			l.Release()
		}
	}()
	for ctx.Err() == nil {
		term, cancel := context.WithCancel(ctx)
		var lost sync.Once
		for name, l := range leases {
			err := l.Wait(ctx, func(err error) {
				d.log.Warn("standing by", zap.String("cluster", name), zap.Error(err))
				d.standby(err.Error())
			})
			if err != nil {
				cancel()
				return
			}
			go func() {
				select {
				case <-l.Lost():
					d.log.Error("the lease of the cluster is lost: nothing is written any more", zap.String("cluster", name))
					lost.Do(func() { // said at once: a long step that was begun may go on for hours
						d.standby("the lease of the cluster " + name + " is lost, steps that were begun are seen to their end")
						cancel()
					})
				case <-term.Done():
				}
			}()
		}
		d.standby("")
		d.once(term)
		cancel()
	}
}

// once runs a loop until its term ends.
func (d *daemon) once(term context.Context) {
	moved := make(chan loop.Move)
	l := d.newLoop(moved)
	d.mu.Lock()
	d.loop = l
	d.mu.Unlock()
	for name, m := range d.world.Mounts {
		go d.watch(term, name, m, moved)
	}
	l.Run(term)
}

// watch tells the loop what moves in the files of a cluster.
func (d *daemon) watch(ctx context.Context, cluster string, m *pmxcfs.Mount, moved chan<- loop.Move) {
	w := m.Watch()
	said := ""
	for {
		moves, err := w.Look()
		now := ""
		if err != nil {
			now = err.Error()
		}
		if now != said {
			said = now
			if err != nil {
				d.log.Warn("changes on the host are noticed late: its files cannot be read", zap.String("cluster", cluster), zap.Error(err))
			} else {
				d.log.Info("the files of the cluster can be read again", zap.String("cluster", cluster))
			}
		}
		if err == nil && (len(moves.Guests) > 0 || moves.Definitions) {
			select {
			case moved <- loop.Move{Cluster: cluster, Guests: moves.Guests, Definitions: moves.Definitions}:
			case <-ctx.Done():
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(fileInterval):
		}
	}
}

// fileInterval is how often the versions of files are looked at: two small reads.
const fileInterval = time.Second

// standby keeps why this daemon does not act, "" when it does.
func (d *daemon) standby(why string) {
	d.mu.Lock()
	was := d.idle
	d.idle = why
	d.mu.Unlock()
	if was == why {
		return
	}
	e := reconciler.Event{Time: time.Now(), Type: reconciler.EventLease, Reason: "Held", Message: "this one acts now"}
	if why != "" {
		e.Reason, e.Message = "StandingBy", why
	}
	for _, tell := range d.observers() {
		tell(e)
	}
}

// isHeld tells whether an error says that another one is at work.
func isHeld(err error) bool {
	var here *state.HeldError
	var there *pmxcfs.HeldError
	return errors.As(err, &here) || errors.As(err, &there)
}
