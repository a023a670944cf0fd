package vm_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/ustclug/pve-reconcile/reconciler/step"
	"github.com/ustclug/pve-reconcile/reconciler/vm"
	"github.com/ustclug/pve-reconcile/schema"
)

// host is a guest as PVE keeps it, as far as one guest's steps can tell. It refuses what PVE refuses: allocating into a
// slot by storage:N leaves the old volume as unusedN, a stale digest, a missing guest.
type host struct {
	vm.Observed
	writes int
}

func (h *host) do(s step.Step) error {
	switch s := s.(type) {
	case step.CreateVM:
		if h.Exists {
			return fmt.Errorf("exists already")
		}
		h.Observed = vm.Observed{Exists: true, Node: s.ID.Node, Status: "stopped", Digest: "d1", Running: map[string]string{}, Pending: map[string]vm.Change{}, Facts: h.Facts, Rules: h.Rules}
		return h.set(s.Set)
	case step.SetConfig:
		if s.Digest != h.Digest {
			return step.ErrStale
		}
		for _, k := range s.Revert {
			delete(h.Pending, k)
		}
		for _, k := range s.Delete {
			h.detach(k)
			delete(h.Running, k)
			delete(h.Pending, k)
		}
		return h.set(s.Set)
	case step.ResizeDisk:
		row, _ := schema.RowOf(s.Disk)
		props := row.Parse(h.Running[s.Disk])
		props["size"] = s.Size.PVE()
		h.Running[s.Disk] = row.Print(props)
	case step.StartVM:
		if h.Status == "running" {
			return fmt.Errorf("already running")
		}
		h.Status = "running"
	case step.ShutdownVM:
		for k, c := range h.Pending {
			if c.Delete {
				h.detach(k)
			}
		}
		h.Status, h.Running, h.Pending = "stopped", h.Desired(), map[string]vm.Change{}
	case step.DeleteVM:
		if p := h.Running["protection"]; p == "1" || h.Status == "running" {
			return fmt.Errorf("protected or running")
		}
		h.Observed = vm.Observed{}
	}
	return nil
}

func (h *host) set(values map[string]string) error {
	h.writes++
	h.Digest = fmt.Sprint("d", h.writes+1)
	for k, v := range values {
		row, ok := schema.RowOf(k)
		if !ok {
			return fmt.Errorf("unknown key %s", k)
		}
		delete(h.Pending, k)
		if row.Drive() {
			v = h.drive(row, k, v)
		}
		if k == "cipassword" {
			v = "**********"
		}
		if row.Key == "net" && row.Parse(v)["macaddr"] == "" {
			props := row.Parse(v)
			props["macaddr"] = fmt.Sprintf("BC:24:11:00:01:%02X", len(h.Running))
			v = row.Print(props)
		}
		if hot := map[string]bool{"memory": true, "cores": true, "cpu": true}; hot[k] && h.Status == "running" {
			h.Pending[k] = vm.Change{Value: v}
			continue
		}
		h.Running[k] = v
	}
	return nil
}

func (h *host) drive(row *schema.Row, key, text string) string {
	props := row.Parse(text)
	storage, name, _ := strings.Cut(props["file"], ":")
	if name == "cloudinit" {
		props["file"], props["media"] = storage+":vm-101-cloudinit", "cdrom"
	} else if strings.IndexFunc(name, func(r rune) bool { return (r < '0' || r > '9') && r != '.' }) < 0 && name != "" {
		h.detach(key)
		h.writes++
		props["file"] = fmt.Sprintf("%s:vm-101-disk-%d", storage, 100+h.writes)
		var gib float64
		fmt.Sscan(name, &gib)
		props["size"] = schema.Size{Bytes: int64(gib * (1 << 30))}.PVE()
	} else if old := row.Parse(h.Running[key]); old["file"] == props["file"] {
		props["size"] = old["size"]
	}
	return row.Print(props)
}

func (h *host) detach(key string) {
	if row, ok := schema.RowOf(key); ok && row.Drive() && h.Running[key] != "" {
		h.writes++
		h.Running[fmt.Sprint("unused", h.writes)] = row.Parse(h.Running[key])["file"]
	}
}

// TestAnyOrder takes every manifest and every guest of the goldens as a corpus and walks among them at random: what a plan
// says can be done, and after it was done the next plan has no steps. Applying a manifest over another one is base.
func TestAnyOrder(t *testing.T) {
	goldens := corpus(t)
	for seed := range uint64(3000) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		start := goldens[rnd.IntN(len(goldens))]
		h := &host{Observed: start.have}
		h.Running, h.Pending, h.Sizes = maps.Clone(h.Running), maps.Clone(h.Pending), nil
		if h.Pending == nil {
			h.Pending = map[string]vm.Change{}
		}
		base := start.base
		for hop := range 4 {
			g := goldens[rnd.IntN(len(goldens))]
			was := start.file
			walk(t, h, g, base, fmt.Sprintf("seed %d hop %d: %s over %s", seed, hop, g.file, was))
			base = schema.Overlay(g.want, base)
			if t.Failed() {
				return
			}
		}
	}
}

func walk(t *testing.T, h *host, g golden, base schema.VM, at string) {
	volumes := held(h)
	for round := 0; ; round++ {
		p := vm.Plan(g.want, base, h.Observed)
		if !g.want.Absent() {
			agree(t, p, h.Observed, at)
		}
		if len(p.Steps) == 0 {
			break
		}
		if round > 8 {
			t.Errorf("%s: no end of steps: %s", at, p.Steps)
			return
		}
		if err := h.do(p.Steps[0]); err != nil {
			t.Errorf("%s: %s: %v", at, p.Steps[0], err)
			return
		}
		if s, ok := p.Steps[0].(step.SetConfig); ok && s.Set["cipassword"] != "" {
			base = schema.Overlay(g.want, base)
		}
	}
	if g.want.Absent() {
		return
	}
	for v := range volumes {
		if !held(h)[v] && !strings.Contains(v, "cloudinit") {
			t.Errorf("%s: volume %s was lost", at, v)
		}
	}
}

// held lists the volumes a guest holds, detached ones included.
func held(h *host) map[string]bool {
	m := map[string]bool{}
	for k, v := range h.Running {
		if row, ok := schema.RowOf(k); ok && row.Drive() {
			if p := row.Parse(v); p["media"] != "cdrom" {
				m[p["file"]] = true
			}
		} else if strings.HasPrefix(k, "unused") {
			m[v] = true
		}
	}
	return m
}
