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

// Tasks lists what others did to the config of a guest since then, the newest first (PVE: GET /nodes/N/tasks). Tasks of this
// program's own token and tasks that failed are left out. Without Sys.Audit on the node, PVE lists nobody else's.
func (c *Cluster) Tasks(ctx context.Context, id schema.ID, since time.Time) ([]vm.Task, error) {
	var rows []struct{ UPID, Type, User, TokenID, Status, StartTime text }
	err := c.read(ctx, request{
		method: http.MethodGet, path: "/nodes/" + url.PathEscape(id.Node) + "/tasks",
		query: url.Values{"vmid": {strconv.Itoa(id.VMID)}, "since": {strconv.FormatInt(since.Unix(), 10)}},
	}, &rows)
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
		if err != nil || !ended || user == c.tokenID || !slices.Contains(configTasks, string(r.Type)) {
			continue
		}
		out = append(out, vm.Task{UPID: string(r.UPID), Type: string(r.Type), User: user, At: at})
	}
	slices.SortStableFunc(out, func(a, b vm.Task) int { return int(b.At - a.At) })
	return out, nil
}
