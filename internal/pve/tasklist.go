package pve

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ustclug/pve-reconcile/reconciler/vm"
	"github.com/ustclug/pve-reconcile/schema"
)

// configTasks are the worker types that change the config of a guest. A PUT of the config makes no task (FACTS §4), so
// who made that one is not to be found in the list.
var configTasks = []string{"qmconfig", "resize", "qmmove", "qmrestore", "qmrollback", "qmigrate", "qmtemplate"}

// reloadTask is the worker type that makes a written network config take effect. DNS, clock, hosts file, storages and
// options of the datacenter are changed without a task.
const reloadTask = "srvreload"

// Tasks lists what others did to the config of a guest since then, or with an id without vmid to the network of a node, the
// newest first (PVE: GET /nodes/N/tasks). Tasks of this program's own token and tasks that failed are left out. Without
// Sys.Audit on the node, PVE lists nobody else's.
func (c *Cluster) Tasks(ctx context.Context, id schema.ID, since time.Time) ([]vm.Task, error) {
	var rows []struct{ ID, UPID, Type, User, TokenID, Status, StartTime text }
	query := url.Values{"since": {strconv.FormatInt(since.Unix(), 10)}}
	kinds := configTasks
	if id.VMID == 0 {
		query.Set("typefilter", reloadTask)
		kinds = []string{reloadTask}
	} else {
		query.Set("vmid", strconv.Itoa(id.VMID))
	}
	err := c.read(ctx, request{method: http.MethodGet, path: "/nodes/" + url.PathEscape(id.Node) + "/tasks", query: query}, &rows)
	if err != nil {
		return nil, err
	}
	var out []vm.Task
	for _, r := range rows {
		user := string(r.User)
		if r.TokenID != "" {
			user += "!" + string(r.TokenID)
		}
		ended := r.Status == "OK" || strings.HasPrefix(string(r.Status), "WARNINGS:")
		at, err := strconv.ParseInt(string(r.StartTime), 10, 64)
		if err != nil || !ended || user == c.token.name() || !slices.Contains(kinds, string(r.Type)) {
			continue
		}
		if r.Type == reloadTask && r.ID != "networking" {
			continue // of another service
		}
		out = append(out, vm.Task{UPID: string(r.UPID), Type: string(r.Type), User: user, At: at})
	}
	slices.SortStableFunc(out, func(a, b vm.Task) int { return int(b.At - a.At) })
	return out, nil
}
