package pve

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/ustclug/pve-reconcile/reconciler/vm"
	"github.com/ustclug/pve-reconcile/schema"
)

// row is one of GET /cluster/resources, of whatever type.
type row struct{ Type, VMID, Name, Node, Status, Template text }

// Census lists the guests and nodes of the cluster (PVE: GET /cluster/resources) and its datacenter options
// (GET /cluster/options): two calls.
func (c *Cluster) Census(ctx context.Context) (vm.Census, error) {
	out := vm.Census{Cluster: c.opts.Name, Nodes: map[string]bool{}}
	list := request{method: http.MethodGet, path: "/cluster/resources"}
	var rows []row
	var options struct {
		TagStyle json.RawMessage `json:"tag-style"`
	}
	var g errgroup.Group
	var optionsErr error
	g.Go(func() error {
		optionsErr = c.read(ctx, request{method: http.MethodGet, path: "/cluster/options"}, &options)
		return nil
	})
	err := c.read(ctx, list, &rows)
	_ = g.Wait()                                   // its error is optionsErr
	if err = cmp.Or(err, optionsErr); err != nil { // always the same one of two: what was said before is not said again
		return vm.Census{}, err
	}
	for _, r := range rows {
		if r.Type == "node" {
			out.Nodes[string(r.Node)] = r.Status == "online"
		}
	}
	if out.Guests, err = c.among(list, rows); err != nil {
		return vm.Census{}, err
	}
	out.Facts = tagStyle(options.TagStyle)
	return out, nil
}

// guests lists the guests alone. Which there are and where is up to date, unlike their run states.
func (c *Cluster) guests(ctx context.Context) (map[int]vm.Guest, error) {
	list := request{method: http.MethodGet, path: "/cluster/resources", query: url.Values{"type": {"vm"}}}
	var rows []row
	if err := c.read(ctx, list, &rows); err != nil {
		return nil, err
	}
	return c.among(list, rows)
}

// among picks the guests out of the rows of a list.
func (c *Cluster) among(list request, rows []row) (map[int]vm.Guest, error) {
	out := map[int]vm.Guest{}
	for _, r := range rows {
		if r.Type != "qemu" && r.Type != "lxc" {
			continue
		}
		vmid, err := strconv.Atoi(string(r.VMID))
		if err != nil {
			return nil, c.refuse(list, "a guest without a vmid: %q", r.VMID)
		}
		out[vmid] = vm.Guest{
			VMID: vmid, Name: string(r.Name), Node: string(r.Node), Status: string(r.Status),
			Container: r.Type == "lxc", Template: r.Template == "1",
		}
	}
	return out, nil
}

// tagStyle reads the datacenter option, which PVE gives as an object; as the property string of datacenter.cfg too.
func tagStyle(raw json.RawMessage) schema.Facts {
	style := map[string]text{}
	if json.Unmarshal(raw, &style) != nil {
		var whole text
		_ = json.Unmarshal(raw, &whole) // absent: no style
		for part := range strings.SplitSeq(string(whole), ",") {
			key, value, _ := strings.Cut(part, "=")
			style[key] = text(value)
		}
	}
	return schema.Facts{TagsCaseSensitive: style["case-sensitive"] == "1", TagsInOrder: style["ordering"] == "config"}
}

// read makes a GET and decodes the data part.
func (c *Cluster) read(ctx context.Context, r request, into any) error {
	a, err := c.call(ctx, r)
	if err != nil {
		return err
	}
	if a.null() {
		return c.refuse(r, "PVE's answer is empty")
	}
	if err := json.Unmarshal(a.data, into); err != nil {
		return c.refuse(r, "PVE's answer has another shape than expected: %v", err)
	}
	return nil
}
