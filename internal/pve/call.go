package pve

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/ustclug/pve-reconcile/reconciler/step"
)

// request is one call, without the way it is sent.
type request struct {
	method string
	path   string // below /api2/json
	query  url.Values
	form   url.Values
	hide   []string // values that no text may show
}

// answer is a successful one. Data is null for calls without a result.
type answer struct {
	data  json.RawMessage
	whole json.RawMessage
}

const (
	readTries = 3 // of a GET that nobody answered
	lockTries = 4 // of a write that did not get the config lock; PVE itself waits ten seconds each time
)

// call makes a request. What is safe to repeat is repeated: a GET without an answer, and a write that PVE gave up before
// doing anything because somebody else held the config lock (FACTS §1).
func (c *Cluster) call(ctx context.Context, r request) (answer, error) {
	pause := c.opts.Pause
	for try := 1; ; try++ {
		a, err := c.once(ctx, r)
		e := (*Error)(nil)
		if err == nil || !errors.As(err, &e) {
			return a, err
		}
		again := r.method == http.MethodGet && errors.Is(err, step.ErrUnreachable) && !e.final && try < readTries ||
			r.method != http.MethodGet && e.lockTimeout() && try < lockTries
		if !again {
			return a, err
		}
		if sleep(ctx, pause) != nil {
			return a, err
		}
		pause *= 2
	}
}

// once makes a request one time.
func (c *Cluster) once(ctx context.Context, r request) (answer, error) {
	if !strings.HasPrefix(r.path, "/") { // go-proxmox would take it for a URL, and send the token there
		return answer{}, c.refuse(r, "the path does not begin with /")
	}
	if err := c.slots.enter(ctx); err != nil {
		return answer{}, c.noAnswer(ctx, r, &exchange{}, err)
	}
	defer c.slots.leave()
	limit := c.opts.WriteTimeout
	if r.method == http.MethodGet {
		limit = c.opts.ReadTimeout
	}
	timed, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	path := r.path
	if len(r.query) > 0 {
		path += "?" + encode(r.query)
	}
	var body []byte
	if r.method == http.MethodPost || r.method == http.MethodPut {
		body = []byte(encode(r.form))
	}
	timed, x := withExchange(timed)
	start := time.Now()
	err := c.client.Req(timed, r.method, path, body, nil)
	if x.status == http.StatusOK && r.method == http.MethodGet && strings.HasSuffix(r.path, "/pending") {
		c.slots.answered(time.Now(), time.Since(start))
	}
	c.opts.Log.Debug("pve request", zap.String("cluster", c.opts.Name), zap.String("method", r.method), zap.String("path", r.path),
		zap.Int("status", x.status), zap.Int64("ms", time.Since(start).Milliseconds()))
	switch {
	case x.status == 0:
		return answer{}, c.noAnswer(ctx, r, x, err)
	case x.status/100 != 2:
		return answer{}, c.refused(r, x)
	}
	var envelope map[string]json.RawMessage
	if json.Unmarshal(x.body, &envelope) != nil || envelope["data"] == nil {
		return answer{}, c.foreign(r)
	}
	return answer{data: envelope["data"], whole: x.body}, nil
}

// encode is form encoding with %20 for blanks, which is right in queries and bodies alike.
func encode(v url.Values) string { return strings.ReplaceAll(v.Encode(), "+", "%20") }

// null tells whether the answer has no result.
func (a answer) null() bool { return len(a.data) == 0 || string(a.data) == "null" }

// sleep waits, or returns the context's error.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
