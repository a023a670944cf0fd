package pve

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"go.uber.org/zap"

	"github.com/ustclug/pve-reconcile/reconciler/vm"
	"github.com/ustclug/pve-reconcile/schema"
)

// VM observes a guest in one call (PVE: GET /pending answers both views of a config and its digest, FACTS §4). where is its
// row in the census, nil when the census has none: then the node of the id is asked, which proves that it is not there.
// The run state is the census's; where that has none, one more call asks. Facts and Rules are left to the caller.
func (c *Cluster) VM(ctx context.Context, id schema.ID, where *vm.Guest) (vm.Observed, error) {
	o, err := c.config(ctx, id, where)
	if err != nil || !o.Exists {
		return o, err
	}
	if where != nil && where.Node == o.Node && (where.Status == "running" || where.Status == "stopped") {
		o.Status = where.Status
		return o, nil
	}
	if err := c.state(ctx, id, &o); err != nil {
		return vm.Observed{}, err
	}
	return o, nil
}

// Look observes a guest closely: live run state (PVE: GET status/current) and real sizes of its volumes.
func (c *Cluster) Look(ctx context.Context, id schema.ID, where *vm.Guest) (vm.Observed, error) {
	o, err := c.config(ctx, id, where)
	if err != nil || !o.Exists {
		return o, err
	}
	if err := c.state(ctx, id, &o); err != nil {
		return vm.Observed{}, err
	}
	if err := c.sizes(ctx, id, &o); err != nil {
		return vm.Observed{}, err
	}
	return o, nil
}

// guestPath is the path of a guest, or of something below it.
func guestPath(node string, vmid int, below ...string) string {
	return "/nodes/" + url.PathEscape(node) + "/qemu/" + strconv.Itoa(vmid) + strings.Join(below, "")
}

// config reads the config where the census says the guest lives. A guest that the census saw and that node has not any more
// was deleted or moved: the cluster is asked anew, since one node cannot tell (law 8).
func (c *Cluster) config(ctx context.Context, id schema.ID, where *vm.Guest) (vm.Observed, error) {
	o, err := c.pending(ctx, id, where)
	if e := (*Error)(nil); where == nil || !errors.As(err, &e) || !e.gone() {
		return o, err
	}
	guests, err2 := c.guests(ctx)
	if err2 != nil {
		return vm.Observed{}, err2
	}
	now, ok := guests[id.VMID]
	if !ok {
		return vm.Observed{}, nil
	}
	return c.pending(ctx, id, &now) // ErrStale when that node has none either: it is on its way
}

// pending reads both views of a config (PVE: GET /pending). Without a row of the census, a node that has no such config
// means that the guest does not exist.
func (c *Cluster) pending(ctx context.Context, id schema.ID, where *vm.Guest) (vm.Observed, error) {
	o := vm.Observed{Node: id.Node}
	if where != nil {
		o.Node = where.Node
		if where.Container {
			o.Container = true
			return o, nil
		}
	}
	var rows []struct {
		Key            text
		Value, Pending *text
		Delete         text
	}
	err := c.read(ctx, request{method: http.MethodGet, path: guestPath(o.Node, id.VMID, "/pending")}, &rows)
	if e := (*Error)(nil); errors.As(err, &e) && e.gone() && where == nil {
		return vm.Observed{}, nil
	}
	if err != nil {
		return vm.Observed{}, err
	}
	o.Exists, o.Running, o.Pending = true, map[string]string{}, map[string]vm.Change{}
	for _, r := range rows {
		key := string(r.Key)
		if r.Value != nil {
			o.Running[key] = string(*r.Value)
		}
		switch {
		case r.Delete != "" && r.Delete != "0": // 2 is a forced one
			o.Pending[key] = vm.Change{Delete: true}
		case r.Pending != nil:
			o.Pending[key] = vm.Change{Value: string(*r.Pending)}
		}
	}
	o.Digest = o.Running["digest"]
	delete(o.Running, "digest")
	return o, nil
}

// state asks for the live run state, and for the lock, which may be newer than the config read.
func (c *Cluster) state(ctx context.Context, id schema.ID, o *vm.Observed) error {
	var now struct{ Status, Lock text }
	if err := c.read(ctx, request{method: http.MethodGet, path: guestPath(o.Node, id.VMID, "/status/current")}, &now); err != nil {
		return err
	}
	o.Status = string(now.Status)
	if now.Lock != "" {
		o.Running["lock"] = string(now.Lock)
	}
	return nil
}

// sizes asks each storage that holds a disk of the guest. A storage that does not answer leaves its volumes out: the plan
// then goes by size= of the config.
func (c *Cluster) sizes(ctx context.Context, id schema.ID, o *vm.Observed) error {
	o.Sizes = map[string]int64{}
	for _, storage := range storages(*o) {
		path := fmt.Sprintf("/nodes/%s/storage/%s/content", url.PathEscape(o.Node), url.PathEscape(storage))
		var volumes []struct{ Volid, Size text }
		err := c.read(ctx, request{method: http.MethodGet, path: path, query: url.Values{"vmid": {strconv.Itoa(id.VMID)}}}, &volumes)
		if ctx.Err() != nil {
			return err
		}
		if err != nil {
			c.opts.Log.Debug("volume sizes not known", zap.String("cluster", c.opts.Name), zap.Int("vmid", id.VMID), zap.String("storage", storage), zap.Error(err))
			continue
		}
		for _, v := range volumes {
			if n, err := strconv.ParseInt(string(v.Size), 10, 64); err == nil {
				o.Sizes[string(v.Volid)] = n
			}
		}
	}
	return nil
}

// storages lists where the guest's disks are, running and pending ones; CD images have no size that matters.
func storages(o vm.Observed) []string {
	found := map[string]bool{}
	for _, config := range []map[string]string{o.Running, o.Desired()} {
		for key, value := range config {
			row, ok := schema.RowOf(key)
			if !ok || !row.Drive() {
				continue
			}
			props := row.Parse(value)
			storage, _, ok := strings.Cut(props["file"], ":")
			if ok && storage != "" && props["media"] != "cdrom" && !strings.HasPrefix(storage, "/") {
				found[storage] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// agreeTries is how often a run state that does not fit the task's end is looked at.
const agreeTries = 4

// agree looks until the guest's run state is the one wanted: a task is done when its exit status and a fresh look agree.
func (c *Cluster) agree(ctx context.Context, id schema.ID, want string) error {
	r := request{method: http.MethodGet, path: guestPath(id.Node, id.VMID, "/status/current")}
	pause := c.opts.PollInterval
	for try := 1; ; try++ {
		var now struct{ Status text }
		if err := c.read(ctx, r, &now); err != nil {
			return err
		}
		if string(now.Status) == want {
			return nil
		}
		if try == agreeTries {
			return c.refuse(r, "the task ended well, but the guest is %s, not %s: see its log in PVE", now.Status, want)
		}
		if err := sleep(ctx, pause); err != nil {
			return err
		}
		pause *= 2
	}
}
