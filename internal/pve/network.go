package pve

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/ustclug/pve-reconcile/reconciler/step"
)

// reloadTimeout is how long a node may take to answer again after its network was reloaded. A good reload takes seconds.
const reloadTimeout = 2 * time.Minute

// setNetwork writes interfaces to the pending config. It begins only when nothing is pending, so that nobody else's change
// is applied with its own, and drops what it wrote when PVE refuses any of it: all or nothing. The reload's task tells
// whether it worked, over the very network that was reloaded.
func (c *Cluster) setNetwork(ctx context.Context, s step.SetNetwork) (step.Outcome, error) {
	base := "/nodes/" + url.PathEscape(s.Node) + "/network"
	list := request{method: http.MethodGet, path: base}
	a, err := c.call(ctx, list)
	if err != nil {
		return step.Outcome{}, err
	}
	var beside struct{ Changes string }
	if err := json.Unmarshal(a.whole, &beside); err != nil {
		return step.Outcome{}, c.refuse(list, "PVE's answer has another shape than expected: %v", err)
	}
	if beside.Changes != "" {
		return step.Outcome{}, fmt.Errorf("somebody else has written a network config that is not applied: nothing was written: %w", step.ErrStale)
	}
	for _, i := range s.Interfaces {
		r := request{method: http.MethodPut, path: base + "/" + url.PathEscape(i.Name), form: values(i.Set)}
		if i.New {
			r = request{method: http.MethodPost, path: base, form: values(i.Set)}
			r.form.Set("iface", i.Name)
		}
		if _, err := c.call(ctx, r); err != nil {
			if _, again := c.call(ctx, request{method: http.MethodDelete, path: base}); again != nil {
				return step.Outcome{}, fmt.Errorf("%w; and what was written before it could not be dropped (%v): revert it on the web page, a reboot of the node would apply it", err, again)
			}
			return step.Outcome{}, err
		}
	}
	if !s.Apply {
		return step.Outcome{}, nil
	}
	out, err := c.run(ctx, request{method: http.MethodPut, path: base}, min(c.opts.TaskTimeout, reloadTimeout))
	if err != nil && len(out.Tasks) == 0 && !errors.Is(err, step.ErrUnreachable) {
		return out, fmt.Errorf("what was written is pending and was not applied: %w", err)
	}
	if err != nil {
		return out, inDoubt{fmt.Errorf("THE NETWORK OF %s WAS RELOADED AND IS IN DOUBT: look at its console, `ifreload -a` says what is wrong: %w", s.Node, err)}
	}
	return out, nil
}

// inDoubt is an error after which nobody knows how the network is.
type inDoubt struct{ error }

func (e inDoubt) Is(target error) bool { return target == step.ErrInDoubt }
func (e inDoubt) Unwrap() error        { return e.error }
