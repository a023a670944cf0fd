package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/ustclug/pve-reconcile/internal/config"
	"github.com/ustclug/pve-reconcile/internal/host"
	"github.com/ustclug/pve-reconcile/internal/live"
	"github.com/ustclug/pve-reconcile/internal/pve"
	"github.com/ustclug/pve-reconcile/internal/secret"
	"github.com/ustclug/pve-reconcile/internal/sim"
	"github.com/ustclug/pve-reconcile/internal/sim/zhost"
	"github.com/ustclug/pve-reconcile/internal/sim/zhost/reach"
	"github.com/ustclug/pve-reconcile/manifests"
	"github.com/ustclug/pve-reconcile/reconciler/migration"
	"github.com/ustclug/pve-reconcile/reconciler/vm"
	"github.com/ustclug/pve-reconcile/schema"
)

// moving is the move of docker2 between simulated machines, driven step by step.
type moving struct {
	t        *testing.T
	fleet    *zhost.Fleet
	server   *sim.Server
	ssh      string // directory
	endpoint string
	world    *live.World
	want     schema.Migration
	guest    schema.VM
	made     []string // steps, as they were made
	seen     []string // stages, in the order they were reached
}

// newMoving has the move of docker2 in its manifest, with words replaced.
func newMoving(t *testing.T, replace ...string) *moving {
	t.Helper()
	m := &moving{t: t, ssh: t.TempDir()}
	manifest, err := os.ReadFile("testdata/docker2.yaml")
	if err != nil {
		t.Fatal(err)
	}
	set := manifests.Load(fstest.MapFS{"docker2.yaml": {Data: []byte(strings.NewReplacer(replace...).Replace(string(manifest)))}})
	if len(set.Problems) > 0 {
		t.Fatal(set.Problems)
	}
	var text strings.Builder
	for _, file := range []string{"pve-5.world", "docker2.world"} {
		part, err := os.ReadFile(filepath.Join("..", "..", "internal", "sim", "testdata", file))
		if err != nil {
			t.Fatal(err)
		}
		text.Write(part)
	}
	w, err := sim.ParseWorld(strings.NewReader(text.String()))
	if err != nil {
		t.Fatal(err)
	}
	stub, err := reach.Stub()
	if err != nil {
		t.Fatal(err)
	}
	if m.fleet, err = w.StartHosts(zhost.Options{Seed: 1, Stub: stub}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.fleet.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := m.fleet.ServeSSH(m.ssh); err != nil {
		t.Fatal(err)
	}
	m.server = sim.New(w, sim.Options{Seed: 1, Hosts: w.Shells(m.fleet)})
	t.Cleanup(func() { _ = m.server.Close() })
	m.guest = set.VMs[0].Object.Resolve("ustclug", "ustc")
	m.want = set.Migrations[0].Object.Resolve("ustclug", "ustc", "here")
	m.start()
	return m
}

// start makes everything of the program anew, as after a crash.
func (m *moving) start() {
	m.t.Helper()
	if m.world != nil {
		_ = m.world.Close() // the old one is gone
	} else {
		var err error
		if m.endpoint, err = m.server.Listen("127.0.0.1:0"); err != nil {
			m.t.Fatal(err)
		}
	}
	c, err := pve.New(pve.Options{
		Name: "ustc", Endpoint: m.endpoint, Token: gitToken, Fingerprint: m.server.Fingerprint(), PollInterval: time.Millisecond, Pause: time.Millisecond,
	})
	if err != nil {
		m.t.Fatal(err)
	}
	conf, problems, err := config.Load("hosts.yaml", func(string) ([]byte, error) {
		hosts, err := os.ReadFile(filepath.Join(m.ssh, "hosts.yaml"))
		return append([]byte("apiVersion: pve.ustclug.org/v1alpha1\nkind: Config\nowner: ustclug\nstateDir: "+m.ssh+"\nsource: {url: "+m.ssh+", branch: main}\n"+
			"clusters: {ustc: {endpoint: \"https://127.0.0.1:1\", tokenFile: /dev/null}}\n"), hosts...), err
	})
	if err != nil || len(conf.Hosts) == 0 {
		m.t.Fatal(err, problems)
	}
	hosts := map[string]*host.Host{}
	for name, h := range conf.Hosts {
		hosts[name] = host.New(name, h, secret.Key)
	}
	m.world = live.New(map[string]*pve.Cluster{"ustc": c})
	m.world.Hosts(hosts, nil)
}

// look observes and decides.
func (m *moving) look(ctx context.Context) (migration.Status, error) {
	census, err := m.world.Census(ctx, "ustc")
	if err != nil {
		return migration.Status{}, err
	}
	var where *vm.Guest
	if g, ok := census.Guests[200]; ok {
		where = &g
	}
	have, err := m.world.Migration(ctx, m.want, m.guest.ID(), where)
	if err != nil {
		return migration.Status{}, err
	}
	have.VM.Facts = census.Facts
	return migration.Decide(m.want, m.guest, schema.VM{}, have), nil
}

// round makes the next steps, if there are any.
func (m *moving) round(ctx context.Context) (migration.Status, error) {
	s, err := m.look(ctx)
	if err != nil {
		return s, err
	}
	if len(m.seen) == 0 || m.seen[len(m.seen)-1] != s.Stage {
		m.seen = append(m.seen, s.Stage)
	}
	for _, st := range s.Steps[:min(len(s.Steps), migration.Together(s.Steps))] {
		if _, err := m.world.Do(ctx, st); err != nil {
			return s, errors.Join(errors.New(st.String()), err)
		}
		m.made = append(m.made, st.String())
	}
	return s, nil
}

// finish goes on until nothing is left, and fails the test when it does not come to that. What fails is tried again.
func (m *moving) finish() {
	m.t.Helper()
	failures, idle := 0, 0
	for range 400 {
		s, err := m.round(m.t.Context())
		if len(s.Steps) > 0 {
			idle = 0
		}
		switch {
		case err != nil && failures > 20:
			m.t.Fatalf("it goes on failing: %v", err)
		case err != nil:
			failures++
			m.t.Log(err)
			time.Sleep(50 * time.Millisecond)
		case s.Finished:
			return
		case len(s.Steps) == 0:
			if idle++; idle > 100 {
				m.t.Fatalf("%s waits for ever: %v\n%s", s.Stage, s.Waits, strings.Join(m.made, "\n"))
			}
			time.Sleep(100 * time.Millisecond)
		}
	}
	m.t.Fatalf("it does not end: %s", strings.Join(m.made, "\n"))
}

// safe checks what must hold at the end: the guest runs on pve-5 alone, and it booted on the source's last bytes.
func (m *moving) safe() {
	m.t.Helper()
	if wrong := m.fleet.Violations(); len(wrong) > 0 {
		m.t.Error(strings.Join(wrong, "\n"))
	}
	if m.fleet.Host("mirrors2").Guest("docker2").Running() || !m.fleet.Host("pve-5").Guest("docker2").Running() {
		m.t.Error("the guest does not run on pve-5 alone")
	}
}
