package pve

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/ustclug/pve-reconcile/reconciler/node"
	"github.com/ustclug/pve-reconcile/reconciler/step"
)

// Node makes the reads that a node's assertions need, some at a time: paths below /api2/json, with a query where one is
// needed. A read that is refused or not answered is part of what was observed; the error is only about being interrupted.
func (c *Cluster) Node(ctx context.Context, reads []string) (node.Observed, error) {
	out := node.Observed{Cluster: c.opts.Name, Answers: map[string]node.Answer{}}
	if slices.ContainsFunc(reads, func(r string) bool { return strings.HasSuffix(r, "/network") }) {
		var err error // a name that cannot be resolved now was resolved before, so the answer would be wrong
		if out.Reached, err = net.DefaultResolver.LookupHost(ctx, c.host); err != nil {
			return node.Observed{}, fmt.Errorf("%s: which address the endpoint has: %v: %w", c.opts.Name, err, step.ErrUnreachable)
		}
	}
	var mu sync.Mutex
	var g errgroup.Group
	for _, read := range reads {
		g.Go(func() error {
			path, text, _ := strings.Cut(read, "?")
			query, err := url.ParseQuery(text)
			if err != nil {
				return err
			}
			a, err := c.call(ctx, request{method: http.MethodGet, path: path, query: query})
			if errors.Is(err, context.Canceled) {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			var beside struct{ Changes string }
			_ = json.Unmarshal(a.whole, &beside) // few answers have it
			out.Answers[read] = node.Answer{Body: a.data, Changes: beside.Changes, Err: err}
			return nil
		})
	}
	return out, g.Wait()
}
