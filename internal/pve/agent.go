package pve

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ustclug/pve-reconcile/reconciler/step"
	"github.com/ustclug/pve-reconcile/reconciler/vm"
	"github.com/ustclug/pve-reconcile/schema"
)

// Agent asks whether the guest agent of a running guest answers: "up", "down", or "" where PVE is told of none. PVE waits
// three seconds for one that does not (FACTS §7).
func (c *Cluster) Agent(ctx context.Context, id schema.ID, o vm.Observed) (string, error) {
	if o.Status != "running" || !agentOn(o.Running["agent"]) {
		return "", nil
	}
	_, err := c.once(ctx, request{method: http.MethodPost, path: guestPath(o.Node, id.VMID, "/agent/ping")})
	e := (*Error)(nil)
	switch {
	case err == nil:
		return "up", nil
	case !errors.As(err, &e) || e.Status != http.StatusInternalServerError:
		return "", err
	case strings.Contains(e.Text, "No QEMU guest agent configured"), strings.Contains(e.Text, "is not running") && !strings.Contains(e.Text, "agent"):
		return "", nil
	}
	return "down", nil
}

// agentOn reads the agent setting: "1", "enabled=1,fstrim_cloned_disks=1".
func agentOn(setting string) bool {
	first, _, _ := strings.Cut(setting, ",")
	for part := range strings.SplitSeq(setting, ",") {
		if v, ok := strings.CutPrefix(part, "enabled="); ok {
			first = v
		}
	}
	return slices.Contains([]string{"1", "on", "yes", "true"}, strings.ToLower(first))
}

// Trimmed is what the guest agent trimmed.
type Trimmed struct {
	Bytes  int64    // of all mount points that say it
	Paths  []string // one line each: "/: 12345 bytes", "/srv: error: ..."
	Silent bool     // PVE stopped answering before the guest was done; how much was trimmed is not known
}

// trimPatience is how long a trim may take of which PVE does not tell the end.
const trimPatience = 2 * time.Hour

// Trim has the guest trim its file systems. PVE's proxy gives up after 30 s (596), while the guest goes on: then the agent,
// which does one thing at a time, answers again when it is done.
func (c *Cluster) Trim(ctx context.Context, id schema.ID) (Trimmed, error) {
	a, err := c.once(ctx, request{method: http.MethodPost, path: guestPath(id.Node, id.VMID, "/agent/fstrim")})
	if err != nil && errors.Is(err, step.ErrUnreachable) && ctx.Err() == nil {
		return Trimmed{Silent: true}, c.awaitAgent(ctx, id)
	}
	if err != nil {
		return Trimmed{}, err
	}
	var answer struct {
		Result struct {
			Paths []struct {
				Path    text
				Trimmed json.Number
				Error   text
			}
		}
	}
	if err := json.Unmarshal(a.data, &answer); err != nil {
		return Trimmed{}, fmt.Errorf("agent/fstrim of %d: PVE's answer has another shape than expected: %w", id.VMID, err)
	}
	var t Trimmed
	for _, p := range answer.Result.Paths {
		n, _ := p.Trimmed.Int64()
		t.Bytes += max(n, 0)
		line := fmt.Sprintf("%s: %d bytes", p.Path, n)
		if p.Error != "" {
			line = fmt.Sprintf("%s: %s", p.Path, c.clean(string(p.Error), nil))
		}
		t.Paths = append(t.Paths, line)
	}
	return t, nil
}

// awaitAgent waits until the agent answers again.
func (c *Cluster) awaitAgent(ctx context.Context, id schema.ID) error {
	deadline := time.Now().Add(trimPatience)
	for {
		if err := sleep(ctx, 8*c.opts.PollInterval); err != nil {
			return err
		}
		_, err := c.once(ctx, request{method: http.MethodPost, path: guestPath(id.Node, id.VMID, "/agent/ping")})
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%w: the guest's agent does not answer %v after it was asked to trim: %w", step.ErrUnfinished, trimPatience, err)
		}
	}
}

// Started is when PVE began to start the guest last, by its task list, since the guest's config was made; zero when it never
// did (PVE: GET /nodes/N/tasks).
func (c *Cluster) Started(ctx context.Context, id schema.ID, o vm.Observed) (time.Time, error) {
	query := url.Values{"vmid": {strconv.Itoa(id.VMID)}, "typefilter": {"qmstart"}, "source": {"all"}}
	if at := made(o.Running["meta"]); at != "" {
		query.Set("since", at)
	}
	var rows []struct{ StartTime text }
	if err := c.read(ctx, request{method: http.MethodGet, path: "/nodes/" + url.PathEscape(cmp.Or(o.Node, id.Node)) + "/tasks", query: query}, &rows); err != nil {
		return time.Time{}, err
	}
	var last int64
	for _, r := range rows {
		at, err := strconv.ParseInt(string(r.StartTime), 10, 64)
		if err != nil {
			return time.Time{}, fmt.Errorf("tasks of %d: a start without a time", id.VMID)
		}
		last = max(last, at)
	}
	if last == 0 {
		return time.Time{}, nil
	}
	return time.Unix(last, 0).UTC(), nil
}

// made is when the guest was created, in seconds since 1970, of its meta setting; "" when that does not tell.
func made(meta string) string {
	for part := range strings.SplitSeq(meta, ",") {
		if v, ok := strings.CutPrefix(part, "ctime="); ok {
			if _, err := strconv.ParseInt(v, 10, 64); err == nil {
				return v
			}
		}
	}
	return ""
}

// Datasets finds the zvols behind volumes: that of "local-zfs:vm-200-disk-0" is in the pool that the storage names. A volume
// of another type of storage has none. The list of storages needs Datastore.Audit on them, a single one Datastore.Allocate.
func (c *Cluster) Datasets(ctx context.Context, volids []string) (map[string]string, error) {
	out := map[string]string{}
	if len(volids) == 0 {
		return out, nil
	}
	var rows []struct{ Storage, Type, Pool text }
	list := request{method: http.MethodGet, path: "/storage"}
	if err := c.read(ctx, list, &rows); err != nil {
		return nil, err
	}
	for _, volid := range volids {
		storage, volume, ok := strings.Cut(volid, ":")
		i := slices.IndexFunc(rows, func(r struct{ Storage, Type, Pool text }) bool { return string(r.Storage) == storage })
		switch {
		case !ok || volume == "":
		case i < 0:
			e := c.errorOf(list)
			e.kind, e.Text, e.Advice = step.ErrForbidden, "storage "+storage+" is not listed", "the token needs Datastore.Audit on /storage/"+storage
			return nil, e
		case rows[i].Type == "zfspool" && rows[i].Pool != "":
			out[volid] = path.Join(string(rows[i].Pool), path.Base(volume)) // a linked clone is base-100-disk-0/vm-200-disk-0
		}
	}
	return out, nil
}
