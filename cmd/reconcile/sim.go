package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/ustclug/pve-reconcile/internal/config"
	"github.com/ustclug/pve-reconcile/internal/sim"
	"github.com/ustclug/pve-reconcile/internal/sim/zhost"
)

// runSim serves a simulated host until it is told to stop.
func runSim(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	f := flag.NewFlagSet("sim", flag.ContinueOnError)
	world := f.String("world", "", "world `file`: the host to simulate")
	listen := f.String("listen", "", "loopback `address` to serve HTTPS on: 127.0.0.1:8006")
	faults := f.String("faults", "", "`file` of what goes wrong")
	cert := f.String("cert", "", "write the server's certificate to this `file`, for caFile")
	dump := f.Bool("dump", false, "print the world: at once without --listen, at the end with it")
	pmxcfs := f.String("pmxcfs", "", "keep this `directory` as the cluster's file system looks (/etc/pve)")
	live := f.Bool("from-live", false, "print a world file of a real host (read-only), which --config names")
	cluster := f.String("cluster", "", "with --from-live: `name` of the cluster, when the config file has several")
	var c common
	f.StringVar(&c.file, "config", config.DefaultFile, "with --from-live: config `file`")
	f.StringVar(&c.logLevel, "log-level", "warn", "with --from-live: debug shows the requests")
	hosts := simHosts{}
	f.Func("host", "a real `host` that stands for a node, as NODE=ssh://USER@ADDRESS?key=FILE&known_hosts=FILE or NODE=local, once for each: its pools are the node's, guests are commands there", hosts.add)
	sshDir := f.String("ssh-dir", "", "serve the machines of the world over SSH, and write id_ed25519, known_hosts and hosts.yaml (for the config file) into this `directory`")
	speed := f.Float64("speed", 0, "how fast time goes, a `factor`: 1 takes the time PVE takes, 0 none")
	words, code, done := parse(f, args, stdout, stderr)
	if done {
		return code
	}
	if *live {
		return printLive(ctx, c, *cluster, stdout, stderr)
	}
	if len(words) > 0 || *world == "" || *listen == "" && !*dump {
		return usage(stderr, "sim needs --world FILE, and --listen ADDR or --dump, or else --from-live; `reconcile help sim` lists the flags")
	}
	defer hosts.close()
	w, err := readWorld(*world)
	if err != nil {
		return failed(stderr, err)
	}
	shells := hosts.shells(ctx)
	if *listen != "" && len(w.Hosts) > 0 {
		fleet, err := startFleet(w, *sshDir, shells)
		if err != nil {
			return failed(stderr, err)
		}
		defer func() { _ = fleet.Close() }() // nothing of it is kept
	}
	s, err := simulate(w, *world, *faults, sim.Options{Speed: *speed, Seed: time.Now().UnixNano(), Hosts: shells, Fresh: simHostFresh, PMXCFS: *pmxcfs})
	if err != nil {
		return failed(stderr, err)
	}
	if *listen != "" {
		if err := serve(ctx, s, *listen, *cert, stdout); err != nil {
			return failed(stderr, err)
		}
	}
	if *dump {
		if _, err := s.Dump().WriteTo(stdout); err != nil {
			return failed(stderr, err)
		}
	}
	return exitOK
}

func readWorld(file string) (*sim.World, error) {
	text, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer text.Close()
	w, err := sim.ParseWorld(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return w, nil
}

// startFleet starts the machines of a world, serves them over SSH if a directory is given, and adds those that stand for
// nodes to hosts.
func startFleet(w *sim.World, sshDir string, hosts map[string]sim.Shell) (*zhost.Fleet, error) {
	fleet, err := w.StartHosts(zhost.Options{Seed: time.Now().UnixNano()})
	if err == nil && sshDir != "" {
		err = fleet.ServeSSH(sshDir)
	}
	if err != nil {
		if fleet != nil {
			err = errors.Join(err, fleet.Close())
		}
		return nil, err
	}
	for node, shell := range w.Shells(fleet) {
		if hosts[node] == nil {
			hosts[node] = shell
		}
	}
	return fleet, nil
}

// simulate builds the host of a world.
func simulate(w *sim.World, world, faults string, c sim.Options) (*sim.Server, error) {
	for node := range c.Hosts {
		if w.Node(node) == nil {
			return nil, fmt.Errorf("%s: --host %s: the world has no such node", world, node)
		}
	}
	if c.Speed > 0 {
		c.AuthDelay = 3 * time.Second
	}
	if faults != "" {
		list, err := os.Open(faults)
		if err != nil {
			return nil, err
		}
		defer list.Close()
		if c.Faults, err = sim.ReadFaults(list); err != nil {
			return nil, fmt.Errorf("%s: %w", faults, err)
		}
	}
	return sim.New(w, c), nil
}

// serve says where it listens in one line, then waits for the end.
func serve(ctx context.Context, s *sim.Server, listen, cert string, stdout io.Writer) error {
	url, err := s.Listen(listen)
	if err != nil {
		return err
	}
	if cert != "" {
		if err := os.WriteFile(cert, s.CertPEM(), 0o644); err != nil {
			return err
		}
	}
	fmt.Fprintf(stdout, "serving %s fingerprint %s\n", url, s.Fingerprint())
	<-ctx.Done()
	return s.Close()
}

// printLive reads a real host and prints it as a world file, so that a rehearsal or a bug report is one file.
func printLive(ctx context.Context, c common, name string, stdout, stderr io.Writer) int {
	p, err := assemble(c, stderr)
	if err != nil {
		return failed(stderr, err)
	}
	var names []string
	for n := range p.clusters {
		names = append(names, n)
	}
	slices.Sort(names)
	if name == "" && len(names) == 1 {
		name = names[0]
	}
	cluster, ok := p.clusters[name]
	if !ok {
		return usage(stderr, "sim --from-live: name a cluster of the config file with --cluster: %s", strings.Join(names, ", "))
	}
	w, err := sim.FromLive(ctx, func(ctx context.Context, path string) (json.RawMessage, error) {
		path, query, _ := strings.Cut(path, "?")
		values, err := url.ParseQuery(query)
		if err != nil {
			return nil, err
		}
		return cluster.Get(ctx, path, values)
	})
	if err == nil {
		_, err = w.WriteTo(stdout)
	}
	if err != nil {
		return failed(stderr, err)
	}
	return exitOK
}
