package sim

import (
	"context"
	"encoding/json"
	"fmt"
	"sort"
	"strings"
	"time"
)

// FromLive makes a world of what a real host answers. It only reads: get answers GET calls of the API (path
// without /api2/json, such as "/nodes/pve-5/qemu/200/config?current=1") with what stands under "data".
// Secrets are not in the answers: the world has root@pam with a token root@pam!sim and no other user.
func FromLive(ctx context.Context, get func(ctx context.Context, path string) (json.RawMessage, error)) (*World, error) {
	l := &live{ctx: ctx, get: get, w: NewWorld()}
	l.w.Clock = time.Now().UTC().Truncate(time.Second)
	for _, step := range []func() error{l.version, l.options, l.nodes, l.storages, l.vms, l.pools} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	l.w.Access.Tokens["root@pam!sim"] = &Token{ID: "root@pam!sim"}
	l.w.Access.Secrets["root@pam!sim"] = "00000000-0000-4000-8000-000000000000"
	return l.w, nil
}

type live struct {
	ctx context.Context
	get func(context.Context, string) (json.RawMessage, error)
	w   *World
}

func (l *live) read(path string, into any) error {
	raw, err := l.get(l.ctx, path)
	if err != nil {
		return fmt.Errorf("GET %s: %w", path, err)
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return fmt.Errorf("GET %s: %w", path, err)
	}
	return nil
}

type row map[string]any

func (r row) str(key string) string {
	switch v := r[key].(type) {
	case nil:
		return ""
	case float64:
		return fmt.Sprintf("%.0f", v)
	case string:
		return v
	default:
		return fmt.Sprint(v)
	}
}

func (r row) number(key string) int64 {
	if v, ok := r[key].(float64); ok {
		return int64(v)
	}
	return int64(atoi(r.str(key)))
}

func (l *live) version() error {
	var v row
	if err := l.read("/version", &v); err != nil {
		return err
	}
	l.w.Version = v.str("version")
	return nil
}

func (l *live) nodes() error {
	var rows []row
	if err := l.read("/nodes", &rows); err != nil {
		return err
	}
	sort.Slice(rows, func(i, j int) bool { return rows[i].str("node") < rows[j].str("node") })
	for _, r := range rows {
		n := &Node{
			Name: r.str("node"), Status: "online", IP: "127.0.0.1", CPUs: int(r.number("maxcpu")), Memory: r.number("maxmem"),
			MemoryUsed: r.number("mem"), RootDisk: r.number("maxdisk"), RootUsed: r.number("disk"), Volumes: map[string][]*Volume{},
			Booted: l.w.Clock.Add(-time.Duration(r.number("uptime")) * time.Second),
		}
		l.w.Nodes = append(l.w.Nodes, n)
		if r.str("status") != "online" {
			n.Status = "refused"
			continue
		}
		if err := l.network(n); err != nil {
			return err
		}
		l.host(n)
	}
	return nil
}

// network writes an interfaces file that reads as the API shows it.
func (l *live) network(n *Node) error {
	var rows []row
	if err := l.read("/nodes/"+n.Name+"/network", &rows); err != nil {
		return err
	}
	f := &interfaces{byName: map[string]*iface{"lo": {name: "lo", kind: "loopback", auto: true, options: map[string]string{"method": "loopback"}}}}
	for _, r := range rows {
		i := &iface{name: r.str("iface"), kind: r.str("type"), auto: r.str("autostart") == "1", priority: int(r.number("priority")), comments: r.str("comments"), options: map[string]string{}}
		for key := range fileWords {
			if _, ok := r[key]; ok {
				i.options[key] = r.str(key)
			}
		}
		for _, key := range []string{"method", "method6", "address", "address6", "cidr6", "gateway6"} {
			if text := r.str(key); text != "" {
				i.options[key] = text
			}
		}
		f.byName[i.name] = i
	}
	n.Interfaces = f.text()
	return nil
}

func (l *live) storages() error {
	var rows []row
	if err := l.read("/storage", &rows); err != nil {
		return err
	}
	sort.Slice(rows, func(i, j int) bool { return rows[i].str("storage") < rows[j].str("storage") })
	for _, r := range rows {
		st := &Storage{ID: r.str("storage"), Type: r.str("type"), values: map[string]string{}}
		for _, key := range sortedKeys(r) {
			if key != "storage" && key != "type" && key != "digest" {
				st.set(key, r.str(key))
			}
		}
		l.w.Storages.list = append(l.w.Storages.list, st)
		for _, n := range l.w.Nodes {
			if n.Status != "online" || !st.on(n.Name) || st.disabled() {
				continue
			}
			if err := l.content(n, st); err != nil {
				return err
			}
		}
	}
	return nil
}

// content lists the volumes of a storage; those of a zfspool become zvols.
func (l *live) content(n *Node, st *Storage) error {
	var rows []row
	if err := l.read("/nodes/"+n.Name+"/storage/"+st.ID+"/content", &rows); err != nil {
		return err
	}
	if st.Type == "zfspool" {
		if err := l.pool(n, st); err != nil {
			return err
		}
	}
	for _, r := range rows {
		_, name, _ := strings.Cut(r.str("volid"), ":")
		created := time.Time{}
		if n := r.number("ctime"); n > 0 {
			created = time.Unix(n, 0).UTC()
		}
		if st.Type != "zfspool" {
			v := &Volume{Name: name, Size: r.number("size"), Used: r.number("used"), Format: r.str("format"), Content: r.str("content"), Parent: r.str("parent"), Created: created}
			n.Volumes[st.ID] = append(n.Volumes[st.ID], v)
			continue
		}
		if r.str("content") != "images" || r.str("format") == "subvol" {
			continue
		}
		d := &Dataset{Blocksize: st.values["blocksize"], Volsize: r.number("size"), Used: r.number("used"), Created: created}
		if base, last, linked := strings.Cut(name, "/"); linked {
			d.Origin, name = st.values["pool"]+"/"+base+"@__base__", last
		}
		d.Name = st.values["pool"] + "/" + name
		if n.dataset(d.Name) == nil {
			n.addDataset(d)
		}
	}
	return nil
}

// pool notes the datasets above a zfspool storage and how much they hold.
func (l *live) pool(n *Node, st *Storage) error {
	var state row
	if err := l.read("/nodes/"+n.Name+"/storage/"+st.ID+"/status", &state); err != nil {
		return err
	}
	steps := strings.Split(st.values["pool"], "/")
	for i := range steps {
		name := strings.Join(steps[:i+1], "/")
		if n.dataset(name) != nil {
			continue
		}
		d := &Dataset{Name: name}
		if i == 0 {
			d.Quota = state.number("total")
		}
		n.addDataset(d)
	}
	return nil
}

func (l *live) vms() error {
	for _, n := range l.w.Nodes {
		if n.Status != "online" {
			continue
		}
		var rows []row
		if err := l.read("/nodes/"+n.Name+"/qemu?full=1", &rows); err != nil {
			return err
		}
		for _, r := range rows {
			if err := l.vm(n, int(r.number("vmid")), r); err != nil {
				return err
			}
		}
	}
	return nil
}

func (l *live) vm(n *Node, id int, r row) error {
	path := fmt.Sprintf("/nodes/%s/qemu/%d", n.Name, id)
	conf := &config{main: settings{}, pending: settings{}, snaps: map[string]settings{}}
	var rows []row
	if err := l.read(path+"/pending", &rows); err != nil {
		return err
	}
	deletes := map[string]bool{}
	for _, p := range rows {
		key := p.str("key")
		if key == "digest" {
			continue
		}
		if _, ok := p["value"]; ok {
			conf.main[key] = p.str("value")
		}
		if _, ok := p["pending"]; ok {
			conf.pending[key] = p.str("pending")
		}
		if p.number("delete") > 0 {
			deletes[key] = p.number("delete") == 2
		}
	}
	conf.setPendingDeletes(deletes)
	if err := l.snapshots(path, conf); err != nil {
		return err
	}
	vm := l.w.NewVM(id, n.Name, conf.text())
	switch {
	case r.str("qmpstatus") == "paused":
		vm.State = "paused"
	case r.str("status") == "running":
		vm.State = "running"
	}
	if vm.isRunning() {
		vm.PID, vm.Started = r.number("pid"), l.w.Clock.Add(-time.Duration(r.number("uptime"))*time.Second)
	}
	return nil
}

func (l *live) snapshots(path string, conf *config) error {
	var rows []row
	if err := l.read(path+"/snapshot", &rows); err != nil {
		return err
	}
	for _, r := range rows {
		name := r.str("name")
		if name == "current" {
			continue
		}
		var values row
		if err := l.read(path+"/config?snapshot="+name, &values); err != nil {
			return err
		}
		snap := settings{}
		for key := range values {
			if key != "digest" {
				snap[key] = values.str(key)
			}
		}
		if parent := r.str("parent"); parent != "" {
			snap["parent"] = parent
		}
		conf.snaps[name] = snap
	}
	return nil
}

func (l *live) pools() error {
	var rows []row
	if err := l.read("/pools", &rows); err != nil {
		return err
	}
	for _, r := range rows {
		id := r.str("poolid")
		var full struct {
			Comment string
			Members []row
		}
		if err := l.read("/pools/"+id, &full); err != nil {
			return err
		}
		p := &Pool{ID: id, Comment: full.Comment}
		for _, m := range full.Members {
			if m.str("type") == "storage" {
				p.Storages = append(p.Storages, m.str("storage"))
			} else {
				p.VMs = append(p.VMs, m.str("vmid"))
			}
		}
		l.w.Access.Pools[id] = p
	}
	return nil
}
