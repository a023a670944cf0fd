package pve

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ustclug/pve-reconcile/reconciler/step"
	"github.com/ustclug/pve-reconcile/schema"
)

// Do makes one change and waits until PVE says how it ended. A change whose outcome is not known is an error that wraps
// ErrUnreachable (no answer) or ErrUnfinished (the task goes on), and is never made twice. A change that could not be
// plugged into the running guest and is left pending is a success with a warning.
func (c *Cluster) Do(ctx context.Context, s step.Step) (step.Outcome, error) {
	id := s.Guest()
	switch s := s.(type) {
	case step.CreateVM:
		form := values(s.Set)
		form.Set("vmid", strconv.Itoa(id.VMID))
		return c.run(ctx, request{method: http.MethodPost, path: "/nodes/" + url.PathEscape(id.Node) + "/qemu", form: form, hide: secrets(s.Set)}, c.opts.TaskTimeout)
	case step.SetConfig:
		return c.setConfig(ctx, s)
	case step.ResizeDisk:
		form := url.Values{"disk": {s.Disk}, "size": {s.Size.PVE()}}
		if s.Digest != "" {
			form.Set("digest", s.Digest)
		}
		return c.run(ctx, request{method: http.MethodPut, path: guestPath(id.Node, id.VMID, "/resize"), form: form}, c.opts.TaskTimeout)
	case step.StartVM:
		return c.power(ctx, id, "start", "running", nil, c.opts.TaskTimeout)
	case step.ShutdownVM:
		form := url.Values{"timeout": {strconv.Itoa(int((c.opts.ShutdownTimeout + time.Second - 1) / time.Second))}}
		return c.power(ctx, id, "shutdown", "stopped", form, c.opts.ShutdownTimeout+c.opts.TaskTimeout)
	case step.DeleteVM:
		query := url.Values{"purge": {"1"}, "destroy-unreferenced-disks": {"0"}}
		return c.run(ctx, request{method: http.MethodDelete, path: guestPath(id.Node, id.VMID), query: query}, c.opts.TaskTimeout)
	case step.SetNetwork:
		return c.setNetwork(ctx, s)
	case step.SetDNS, step.SetTimeZone, step.AddHosts, step.SetDatacenter:
		return step.Outcome{}, c.setSystem(ctx, s)
	case step.CreateStorage:
		form := values(s.Set)
		form.Set("storage", s.Storage)
		form.Set("type", s.Type)
		_, err := c.call(ctx, request{method: http.MethodPost, path: "/storage", form: form}) // answers {storage, type} (FACTS §8)
		return step.Outcome{}, err
	case step.SetStorage:
		form := values(s.Set)
		form.Set("digest", s.Digest)
		if len(s.Delete) > 0 {
			form.Set("delete", strings.Join(s.Delete, ","))
		}
		_, err := c.call(ctx, request{method: http.MethodPut, path: "/storage/" + url.PathEscape(s.Storage), form: form})
		return step.Outcome{}, err
	case step.SnapshotDisks, step.HoldSnapshots, step.DestroySnapshots, step.CreateStaging, step.SendSnapshot, step.AbortReceive, step.CopyDisk, step.HashSnapshot,
		step.SetProperties, step.ShutdownSource, step.StartSource, step.MaskSource, step.DestroyDataset, step.RollbackStaging, step.TrimGuest:
		return step.Outcome{}, fmt.Errorf("pve: %T is made on a host, not through PVE", s)
	}
	return step.Outcome{}, fmt.Errorf("pve: no way to do the step %T", s)
}

// power starts a task that changes the run state, and looks afterwards whether it did.
func (c *Cluster) power(ctx context.Context, id schema.ID, verb, want string, form url.Values, limit time.Duration) (step.Outcome, error) {
	out, err := c.run(ctx, request{method: http.MethodPost, path: guestPath(id.Node, id.VMID, "/status/", verb), form: form}, limit)
	if err != nil {
		return out, err
	}
	return out, c.agree(ctx, id, want)
}

// setConfig writes the config: synchronously (PUT), or as a task (POST) when PVE has to allocate or copy a disk, which can
// outlast any proxy between.
func (c *Cluster) setConfig(ctx context.Context, s step.SetConfig) (step.Outcome, error) {
	form := values(s.Set)
	if s.Digest != "" {
		form.Set("digest", s.Digest)
	}
	if len(s.Delete) > 0 {
		form.Set("delete", strings.Join(s.Delete, ","))
	}
	if len(s.Revert) > 0 {
		form.Set("revert", strings.Join(s.Revert, ","))
	}
	r := request{method: http.MethodPut, path: guestPath(s.ID.Node, s.ID.VMID, "/config"), form: form, hide: secrets(s.Set)}
	var out step.Outcome
	var err error
	if allocates(s.Set) {
		r.method = http.MethodPost
		out, err = c.run(ctx, r, c.opts.TaskTimeout)
	} else {
		_, err = c.call(ctx, r)
	}
	if err != nil {
		if warnings := c.leftPending(ctx, s.ID, err); warnings != nil {
			out.Warnings = append(out.Warnings, warnings...)
			return out, nil
		}
	}
	return out, err
}

// leftPending looks whether a write that ended in hotplug problems was accepted all the same: PVE answers 400 (or fails the
// task) when a device cannot be plugged or unplugged, and leaves the change pending (FACTS §4). It returns a warning for
// each such key, and nothing when a key is not pending or anything else went wrong as well.
func (c *Cluster) leftPending(ctx context.Context, id schema.ID, err error) []string {
	e := (*Error)(nil)
	if !errors.As(err, &e) {
		return nil
	}
	why := map[string]string{}
	for key, text := range e.Params {
		if !strings.HasPrefix(text, "hotplug problem") {
			return nil
		}
		why[key] = text
	}
	if e.Task != "" {
		for _, m := range hotplug.FindAllStringSubmatch(e.Text, -1) {
			why[m[1]] = e.Text
		}
	}
	if len(why) == 0 {
		return nil
	}
	o, err := c.config(ctx, id, nil)
	if err != nil {
		return nil
	}
	var out []string
	for key, text := range why {
		if _, pending := o.Pending[key]; !pending {
			return nil
		}
		out = append(out, fmt.Sprintf("%s: written, but it takes a restart of the guest: %s", key, strings.TrimPrefix(text, "hotplug problem - ")))
	}
	slices.Sort(out)
	return out
}

func values(set map[string]string) url.Values {
	v := url.Values{}
	for key, value := range set {
		v.Set(key, value)
	}
	return v
}

// secrets are the values that no error may show, should PVE repeat them.
func secrets(set map[string]string) []string {
	var out []string
	for key, value := range set {
		if row, ok := schema.RowOf(key); ok && row.Secret() {
			out = append(out, value)
		}
	}
	return out
}

// newVolume is the file part that makes PVE allocate (FACTS §5): storage:GiB, or a cloud-init drive.
var newVolume = regexp.MustCompile(`^([^/:\s]+:)?(\d+(\.\d+)?|cloudinit)$`)

func allocates(set map[string]string) bool {
	for key, value := range set {
		row, ok := schema.RowOf(key)
		if !ok || !row.Drive() {
			continue
		}
		props := row.Parse(value)
		if props["import-from"] != "" || newVolume.MatchString(props["file"]) {
			return true
		}
	}
	return false
}
