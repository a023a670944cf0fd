package main

import (
	"context"
	"embed"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/ustclug/pve-reconcile/reconciler/adopt"
	"github.com/ustclug/pve-reconcile/reconciler/vm"
	"github.com/ustclug/pve-reconcile/schema"
)

// importing are the flags of import.
type importing struct {
	common
	all, check, update bool
	node, cluster, dir string
	vmids              []int
}

// runImport reads live nodes and guests into manifests. It writes files of a directory, and nothing else.
func runImport(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	f := flag.NewFlagSet("import", flag.ContinueOnError)
	var o importing
	o.register(f)
	f.BoolVar(&o.all, "all", false, "all nodes of the clusters and their guests")
	f.StringVar(&o.node, "node", "", "a `node` and its guests")
	f.Func("vmid", "guests by `vmid`: 200,230", func(s string) (err error) { o.vmids, err = vmids(s); return err })
	f.StringVar(&o.cluster, "cluster", "", "only this `cluster`, when the config file has several")
	f.StringVar(&o.dir, "dir", ".", "`directory` of the manifests")
	f.BoolVar(&o.check, "check", false, "write nothing, say what would be written")
	f.BoolVar(&o.update, "update", false, "take over what differs into manifests that are there")
	words, code, done := parse(f, args, stdout, stderr)
	switch {
	case done:
		return code
	case len(words) > 0:
		return usage(stderr, "import takes no names, %q: say --vmid, --node or --all", words[0])
	case !o.all && o.node == "" && len(o.vmids) == 0:
		return usage(stderr, "import what? --vmid 200,230, --node NAME or --all; `reconcile help import` lists the flags")
	}
	p, err := assemble(o.common, stderr)
	if err != nil {
		return failed(stderr, err)
	}
	r, err := p.adopt(ctx, o)
	if ctx.Err() != nil {
		return usage(stderr, "stopped; nothing was written")
	}
	if err == nil && !o.check {
		err = r.write(o.dir)
	}
	if err != nil {
		return failed(stderr, err)
	}
	if o.output == "json" {
		if err := r.printJSON(stdout, p); err != nil {
			return failed(stderr, err)
		}
	} else {
		r.print(stdout)
	}
	return r.exitCode()
}

func vmids(s string) ([]int, error) {
	var out []int
	for word := range strings.SplitSeq(s, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(word))
		if err != nil || n < 100 {
			return nil, fmt.Errorf("%q is no vmid", word)
		}
		out = append(out, n)
	}
	return out, nil
}

// imported is what an import found and decided.
type imported struct {
	check      bool
	files      []adopt.File
	unseen     []unseen
	containers int      // left out: their kind is not known
	empty      []string // clusters without any guest to be seen
}

// unseen is a guest that could not be looked at, or with an id without vmid a node.
type unseen struct {
	id  schema.ID
	err error
}

// adopt looks at the guests asked for, in as many calls as a plan makes, and decides what to write.
func (p *program) adopt(ctx context.Context, o importing) (*imported, error) {
	tree, err := directory(o.dir)
	if err != nil {
		return nil, err
	}
	r := &imported{check: o.check}
	guests, around, err := p.choose(ctx, o, r)
	if err != nil {
		return nil, err
	}
	seen := p.see(ctx, guests, around, r)
	hosts := p.survey(ctx, o, around, r)
	slices.SortFunc(r.unseen, func(x, y unseen) int { return strings.Compare(x.id.String(), y.id.String()) })
	r.files = adopt.Plan(adopt.Tree{
		Files: tree, Owner: p.config.Owner, Update: o.update, Named: len(p.clusters) > 1,
		Cluster: func(stated, node string) string {
			name, err := p.reconciler.ClusterOf(stated, node)
			if err != nil {
				return "" // the manifest of nothing that is here
			}
			return name
		},
	}, hosts, seen)
	return r, nil
}

// directory is the tree of manifests that is there, empty when there is none yet.
func directory(dir string) (fs.FS, error) {
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return embed.FS{}, nil
	case err != nil:
		return nil, err
	case !info.IsDir():
		return nil, fmt.Errorf("--dir: %s is not a directory", dir)
	}
	return os.DirFS(dir), nil
}

// choose lists the guests asked for.
func (p *program) choose(ctx context.Context, o importing, r *imported) ([]schema.ID, map[string]vm.Census, error) {
	around := map[string]vm.Census{}
	var out []schema.ID
	found := map[int][]string{}
	nodes := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(p.clusters)) {
		if o.cluster != "" && o.cluster != name {
			continue
		}
		census, err := p.reconciler.World.Census(ctx, name)
		if err != nil {
			return nil, nil, fmt.Errorf("cluster %s: %w", name, err)
		}
		around[name] = census
		maps.Copy(nodes, census.Nodes)
		if len(census.Guests) == 0 {
			r.empty = append(r.empty, name)
		}
		for _, vmid := range slices.Sorted(maps.Keys(census.Guests)) {
			g := census.Guests[vmid]
			named := slices.Contains(o.vmids, vmid)
			switch {
			case !named && (len(o.vmids) > 0 || o.node != "" && g.Node != o.node), named && o.node != "" && g.Node != o.node:
			case g.Container && !named:
				r.containers++
			default:
				found[vmid] = append(found[vmid], name)
				out = append(out, schema.ID{Cluster: name, Node: g.Node, VMID: vmid})
			}
		}
	}
	if _, ok := nodes[o.node]; o.node != "" && !ok {
		return nil, nil, fmt.Errorf("--node: there is no node %q, but %s", o.node, strings.Join(slices.Sorted(maps.Keys(nodes)), ", "))
	}
	if _, ok := p.clusters[o.cluster]; o.cluster != "" && !ok {
		return nil, nil, fmt.Errorf("--cluster: %q is not in the config file, which has %s", o.cluster, strings.Join(slices.Sorted(maps.Keys(p.clusters)), ", "))
	}
	for _, vmid := range o.vmids {
		switch in := found[vmid]; {
		case len(in) == 0:
			return nil, nil, fmt.Errorf("--vmid: no guest %d is to be seen: it does not exist, or the token lacks VM.Audit on /vms/%d", vmid, vmid)
		case len(in) > 1:
			return nil, nil, fmt.Errorf("--vmid: %d is a guest of %s: say which with --cluster", vmid, strings.Join(in, " and of "))
		}
	}
	return out, around, nil
}

// see looks at the guests, several at a time.
func (p *program) see(ctx context.Context, ids []schema.ID, around map[string]vm.Census, r *imported) []adopt.Guest {
	var mu sync.Mutex
	var wg sync.WaitGroup
	var seen []adopt.Guest
	slots := make(chan struct{}, workers)
	for _, id := range ids {
		census := around[id.Cluster]
		where := census.Guests[id.VMID]
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			have, err := vm.Observed{}, fmt.Errorf("node %s is offline", where.Node)
			if census.Nodes[where.Node] {
				have, err = p.reconciler.World.VM(ctx, id, &where)
			}
			have.Facts = census.Facts
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				r.unseen = append(r.unseen, unseen{id, err})
			} else {
				seen = append(seen, adopt.Guest{ID: id, Have: have})
			}
		})
	}
	wg.Wait()
	return seen
}

// write puts the files into the directory. One that is there is replaced as a whole, so that no reader sees half of it.
func (r *imported) write(dir string) error {
	done := map[string]bool{}
	for _, f := range r.files {
		if f.Text == nil || done[f.Path] {
			continue
		}
		done[f.Path] = true
		if err := put(filepath.Join(dir, filepath.FromSlash(f.Path)), f.Text, f.Verdict == adopt.Updated); err != nil {
			return err
		}
	}
	return nil
}

func put(file string, text []byte, replace bool) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	if !replace {
		w, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if err != nil {
			return err
		}
		_, err = w.Write(text)
		return errors.Join(err, w.Close())
	}
	info, err := os.Lstat(file)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a plain file", file)
	}
	w, err := os.CreateTemp(filepath.Dir(file), ".import-*")
	if err != nil {
		return err
	}
	_, err = w.Write(text)
	if err = errors.Join(err, w.Chmod(info.Mode().Perm()), w.Close()); err == nil {
		err = os.Rename(w.Name(), file)
	}
	if err != nil {
		_ = os.Remove(w.Name())
	}
	return err
}
