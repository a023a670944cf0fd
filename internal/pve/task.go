package pve

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/ustclug/pve-reconcile/reconciler/step"
)

// upid is the id of a task. PVE: UPID:node:pid:pstart:starttime:type:id:user: (FACTS §7).
type upid string

// node is where the task runs; false for a text that is no UPID.
func (u upid) node() (string, bool) {
	parts := strings.Split(string(u), ":")
	if len(parts) != 9 || parts[0] != "UPID" || parts[1] == "" || parts[8] != "" {
		return "", false
	}
	return parts[1], true
}

func (u upid) path(node, below string) string {
	return "/nodes/" + url.PathEscape(node) + "/tasks/" + url.PathEscape(string(u)) + below
}

// run makes a call that starts a task, and waits until the task ended, for at most limit.
func (c *Cluster) run(ctx context.Context, r request, limit time.Duration) (step.Outcome, error) {
	a, err := c.call(ctx, r)
	if err != nil {
		return step.Outcome{}, err
	}
	var u upid
	_ = json.Unmarshal(a.data, &u) // not a text: not a UPID either
	node, ok := u.node()
	if !ok {
		e := c.errorOf(r)
		e.kind, e.Text = step.ErrUnfinished, fmt.Sprintf("PVE accepted the call, but %s is no task id that can be followed", c.clean(string(a.data), r.hide))
		e.Advice = "see the node's task list in PVE; it is not repeated"
		return step.Outcome{}, e
	}
	out := step.Outcome{Tasks: []string{string(u)}}
	exit, err := c.wait(ctx, r, u, node, limit)
	switch {
	case err != nil:
		return out, err
	case exit == "OK":
		return out, nil
	case strings.HasPrefix(exit, "WARNINGS:"): // a success
		out.Warnings = c.warnings(ctx, r, u, node, exit)
		return out, nil
	}
	return out, c.failed(ctx, r, u, node, exit)
}

// blips is how many odd answers in a row make the wait give up. No answer at all is borne until the deadline.
const blips = 3

// wait looks at a task with growing pauses until it ended, and returns its exit status.
func (c *Cluster) wait(ctx context.Context, r request, u upid, node string, limit time.Duration) (string, error) {
	deadline := time.Now().Add(limit)
	look := request{method: http.MethodGet, path: u.path(node, "/status")}
	pause, odd := c.opts.PollInterval, 0
	for {
		var last error
		if sleep(ctx, min(pause, max(time.Until(deadline), 0))) == nil {
			var exit string
			if exit, last = c.exit(ctx, look); last == nil && exit != "" {
				return exit, nil
			}
		}
		if last != nil && !errors.Is(last, step.ErrUnreachable) {
			odd++
		} else {
			odd = 0
		}
		e := c.errorOf(r)
		e.Task, e.kind, e.cause = string(u), step.ErrUnfinished, last
		e.Advice = fmt.Sprintf("`pvenode task log %s` on %s tells how it goes; it is not repeated", u, node)
		switch {
		case ctx.Err() != nil:
			e.cause, e.Text = ctx.Err(), "the task goes on in PVE, nobody waits for it any more"
			return "", e
		case odd == blips:
			e.Text = "how the task ended is not known: " + last.Error()
			return "", e
		case !time.Now().Before(deadline):
			e.Text = fmt.Sprintf("the task still runs after %s", limit)
			if last != nil {
				e.Text = fmt.Sprintf("how the task ended is not known after %s: %v", limit, last)
			}
			return "", e
		}
		pause = min(pause*3/2, 8*c.opts.PollInterval)
	}
}

// exit reads how a task ended; "" while it runs. It asks once: the loop around it is the retry.
func (c *Cluster) exit(ctx context.Context, look request) (string, error) {
	a, err := c.once(ctx, look)
	if err != nil {
		return "", err
	}
	var now struct{ Status, Exitstatus text }
	switch err := json.Unmarshal(a.data, &now); {
	case err != nil || now.Status == "" && now.Exitstatus == "":
		return "", c.refuse(look, "PVE's answer has another shape than expected")
	case now.Status == "running":
		return "", nil
	case now.Exitstatus == "":
		return "", c.refuse(look, "the task is %s without an exit status", now.Status)
	}
	return string(now.Exitstatus), nil
}

// log reads all lines of a task's log; none when it cannot be read, since a log is only an explanation.
func (c *Cluster) log(ctx context.Context, r request, u upid, node string) []string {
	var lines []struct{ T text }
	if c.read(ctx, request{method: http.MethodGet, path: u.path(node, "/log"), query: url.Values{"limit": {"0"}}}, &lines) != nil {
		return nil
	}
	var out []string
	for _, l := range lines {
		if line := c.clean(string(l.T), r.hide); line != "" && line != "no content" && !strings.HasPrefix(line, "TASK ") {
			out = append(out, line)
		}
	}
	return out
}

// warnings are the lines of the log that PVE counted in "WARNINGS: n".
func (c *Cluster) warnings(ctx context.Context, r request, u upid, node, exit string) []string {
	var out []string
	for _, line := range c.log(ctx, r, u, node) {
		if rest, ok := strings.CutPrefix(line, "WARN: "); ok {
			out = append(out, rest)
		}
	}
	if len(out) == 0 {
		out = []string{fmt.Sprintf("task %s ended with %s", u, exit)}
	}
	return out
}

// failed makes the error of a task that did not end well: its own words, and the end of its log.
func (c *Cluster) failed(ctx context.Context, r request, u upid, node, exit string) error {
	e := c.errorOf(r)
	e.Task, e.Text = string(u), c.clean(exit, r.hide)
	e.judge()
	lines := c.log(ctx, r, u, node)
	if len(lines) > 5 {
		lines = lines[len(lines)-5:]
	}
	if len(lines) > 0 {
		e.Text += " (log: " + strings.Join(lines, " | ") + ")"
	}
	return e
}
