package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/ustclug/pve-reconcile/internal/config"
	"github.com/ustclug/pve-reconcile/internal/gate"
	"github.com/ustclug/pve-reconcile/internal/live"
	"github.com/ustclug/pve-reconcile/internal/pve"
	"github.com/ustclug/pve-reconcile/internal/secret"
	"github.com/ustclug/pve-reconcile/internal/source"
	"github.com/ustclug/pve-reconcile/internal/state"
	"github.com/ustclug/pve-reconcile/internal/strictyaml"
	"github.com/ustclug/pve-reconcile/manifests"
	"github.com/ustclug/pve-reconcile/reconciler"
	"github.com/ustclug/pve-reconcile/reconciler/admit"
	"github.com/ustclug/pve-reconcile/schema"
)

// program is the live world of one run, built from the config file.
type program struct {
	file       string // that config was read from
	config     config.Config
	log        *zap.Logger
	source     *source.Source
	revision   source.Revision
	input      reconciler.Input
	reconciler *reconciler.Reconciler
	clusters   map[string]*pve.Cluster

	world       *live.World
	suspensions *state.Suspensions
	attended    map[string]*os.File // migrations that this process looks after
	kind        string              // of the object that diff and why are about, "" when it was not said
}

// problemsError carries everything wrong with the config file.
type problemsError struct{ problems []strictyaml.Problem }

func (e problemsError) Error() string {
	lines := make([]string, len(e.problems))
	for i, p := range e.problems {
		lines[i] = p.String()
	}
	return "the config file has problems:\n" + strings.Join(lines, "\n")
}

func loadConfig(file string) (config.Config, error) {
	c, problems, err := config.Load(file, os.ReadFile)
	if err == nil && len(problems) > 0 {
		err = problemsError{problems}
	}
	return c, err
}

// clock is the time by which things are decided; stories move it.
var clock = time.Now

// assemble builds everything that needs no answer from outside.
func assemble(c common, stderr io.Writer) (*program, error) {
	conf, err := loadConfig(c.file)
	if err != nil {
		return nil, err
	}
	log, err := logger(c, stderr)
	if err != nil {
		return nil, err
	}
	p := &program{file: c.file, config: conf, log: log, clusters: map[string]*pve.Cluster{}}
	nodes, driftPolicy := map[string][]string{}, map[string]string{}
	var errs []error
	for name, settings := range conf.Clusters {
		nodes[name], driftPolicy[name] = settings.Nodes, settings.DriftPolicy
		cluster, err := connect(name, settings, conf, log)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		p.clusters[name] = cluster
	}
	p.source, err = source.Open(conf.Source, source.Options{
		Cache: filepath.Join(conf.StateDir, "git"),
		Token: secret.Line,
		Key:   secret.Key,
		Notice: func(text string) {
			log.Warn(text)
		},
	})
	if err = errors.Join(append(errs, err)...); err != nil {
		return nil, err
	}
	ledger, err := state.Open(conf.StateDir)
	if err != nil {
		return nil, err
	}
	world := live.New(p.clusters)
	world.Mounts, world.Now = mounts(conf), clock
	p.world = world
	p.reconciler = &reconciler.Reconciler{
		World: world, Tasks: world.Tasks, Ledger: ledger, Owner: conf.Owner, Clusters: nodes,
		DriftPolicy: driftPolicy, MaxDeletions: *conf.Policies.MaxDeletions, Workers: conf.Limits.Cluster, Now: clock, Log: log,
		Limits: &reconciler.Limits{Node: conf.Limits.Node, Storage: conf.Limits.Storage},
	}
	p.moves(world)
	if p.reconciler.Flaps, err = state.OpenFlaps(conf.StateDir); err != nil {
		return nil, err
	}
	p.reconciler.Windows = windows(conf)
	p.suspensions = state.SuspensionsIn(conf.StateDir)
	p.reconciler.Suspended = func() (map[string]state.Suspension, error) { return p.suspensions.All(clock()) }
	return p, nil
}

// windows are the maintenance windows of the clusters. The config is checked, so that each can be read.
func windows(conf config.Config) map[string][]schema.Window {
	out := map[string][]schema.Window{}
	for name, c := range conf.Clusters {
		for _, text := range c.MaintenanceWindows {
			if w, err := schema.ParseWindow(text); err == nil {
				out[name] = append(out[name], w)
			}
		}
	}
	return out
}

// workers is how many objects are looked at at a time.
const workers = 8

func connect(name string, c config.Cluster, conf config.Config, log *zap.Logger) (*pve.Cluster, error) {
	token, err := secret.Token(c)
	if err != nil {
		return nil, fmt.Errorf("cluster %s: %w", name, err)
	}
	o := pve.Options{
		Name: name, Endpoint: c.Endpoint, Token: token.ID + "=" + token.Value.Reveal(), TokenFrom: cmp.Or(c.TokenFile, "environment variable "+c.TokenEnv), Fingerprint: c.Fingerprint,
		ReadToken: func() (string, error) {
			token, err := secret.Token(c)
			return token.ID + "=" + token.Value.Reveal(), err
		},
		Connections: conf.Limits.Cluster,
		TaskTimeout: time.Duration(conf.Policies.TaskTimeout), ShutdownTimeout: time.Duration(conf.Policies.ShutdownTimeout), Log: log,
	}
	if c.CAFile != "" {
		if o.CA, err = os.ReadFile(c.CAFile); err != nil {
			return nil, fmt.Errorf("cluster %s: caFile: %w", name, err)
		}
	}
	return pve.New(o)
}

// fetchTimeout bounds a whole fetch; a server that says nothing is given up sooner.
const fetchTimeout = 10 * time.Minute

// read fetches the newest revision and loads its manifests, and glances at the clusters meanwhile.
func (p *program) read(ctx context.Context, only []string) error {
	around := make(chan *reconciler.Around, 1)
	go func() { around <- p.reconciler.LookAround(ctx) }() // the hosts answer while git is read
	fetching, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	rev, err := p.source.Fetch(fetching)
	if err != nil {
		return err
	}
	if p.input, err = p.inputOf(ctx, rev, only); err != nil {
		return err
	}
	p.revision = rev
	if blocked(p.input) != nil {
		return nil
	}
	for _, name := range only {
		if !declares(p.input.Set, name) {
			return unknownError([]string{name}, rev, vmidsOf(p.input.Set))
		}
	}
	p.input.Around = <-around
	return nil
}

// inputOf asks the gate about a revision, and loads its manifests unless something stands against that.
func (p *program) inputOf(ctx context.Context, rev source.Revision, only []string) (reconciler.Input, error) {
	in := reconciler.Input{Revision: rev.Commit, Only: only, Base: func(ctx context.Context, old string) (manifests.Set, error) {
		return p.earlier(ctx, old, rev.Commit)
	}}
	a, err := gate.New(p.config, p.source).Examine(ctx, rev, p.reconciler.Ledger)
	if err != nil {
		return in, err
	}
	for _, n := range a.Notes {
		p.log.Info(n)
	}
	if in.Finding = a.Finding; in.Finding != nil {
		return in, nil
	}
	if in.Set, err = p.load(ctx, rev.Commit); err != nil {
		return in, err
	}
	a.Weigh(in.Set.Objects(), in.Set.Unread)
	in.Finding, in.Accept = a.Finding, a.Record
	return in, nil
}

// blocked is what stands against the whole revision, nil when nothing does.
func blocked(in reconciler.Input) *admit.Finding {
	if in.Finding != nil && in.Finding.Reason.Blocks() {
		return in.Finding
	}
	return nil
}

// declares tells whether manifests have an object of a name, or of a kind and name.
func declares(set manifests.Set, name string) bool {
	is := func(kind, its string) bool { return its == name || kind+"/"+its == name }
	for _, v := range set.VMs {
		if is(schema.KindVM, v.Object.Metadata.Name) {
			return true
		}
	}
	for _, n := range set.Nodes {
		if is(schema.KindNode, n.Object.Metadata.Name) {
			return true
		}
	}
	for _, m := range set.Migrations {
		if is(schema.KindMigration, m.Object.Metadata.Name) {
			return true
		}
	}
	for ref := range set.Refused {
		if kind, its, _ := strings.Cut(ref, "/"); is(kind, its) {
			return true
		}
	}
	return false
}

func (p *program) load(ctx context.Context, commit string) (manifests.Set, error) {
	tree, err := p.source.Tree(ctx, commit)
	if err != nil {
		return manifests.Set{}, err
	}
	defer tree.Close()
	set := manifests.Load(tree)
	for _, s := range tree.Skipped() {
		set.Skip(s.Path, s.Text)
	}
	return set, nil
}

// earlier loads a revision that was applied before. One that is no ancestor of the newest was rewritten: what it gave is
// not taken away (law 15).
func (p *program) earlier(ctx context.Context, old, newest string) (manifests.Set, error) {
	if !p.source.Has(old) {
		return manifests.Set{}, fmt.Errorf("revision %.10s, which was applied last, is no longer in the repository (history was rewritten)", old)
	}
	ok, err := p.source.IsAncestor(ctx, old, newest)
	if err != nil {
		return manifests.Set{}, err
	}
	if !ok {
		return manifests.Set{}, fmt.Errorf("revision %.10s, which was applied last, is no ancestor of %.10s (history was rewritten)", old, newest)
	}
	return p.load(ctx, old)
}
