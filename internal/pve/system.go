package pve

import (
	"context"
	"fmt"
	"net/http"
	"net/url"

	"github.com/ustclug/pve-reconcile/reconciler/step"
)

// setSystem writes what a node or the datacenter is set up with. PVE does these at once, without a task; only hosts has a digest.
func (c *Cluster) setSystem(ctx context.Context, s step.Step) error {
	node := "/nodes/" + url.PathEscape(s.Guest().Node)
	r := request{method: http.MethodPut}
	switch s := s.(type) {
	case step.SetDNS:
		r.path, r.form = node+"/dns", values(s.Set)
	case step.SetTimeZone:
		r.path, r.form = node+"/time", url.Values{"timezone": {s.Zone}}
	case step.AddHosts:
		r.method, r.path, r.form = http.MethodPost, node+"/hosts", url.Values{"data": {s.Whole}}
		if s.Digest != "" {
			r.form.Set("digest", s.Digest)
		}
	case step.SetDatacenter:
		r.path, r.form = "/cluster/options", values(s.Set)
	default:
		return fmt.Errorf("pve: no way to do the step %T", s)
	}
	_, err := c.call(ctx, r)
	return err
}
