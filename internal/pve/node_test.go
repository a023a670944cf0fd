package pve_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/ustclug/pve-reconcile/internal/sim"
	"github.com/ustclug/pve-reconcile/reconciler/step"
)

// TestNode: each read is made once, a query goes along, and what goes wrong with one is kept beside what the others say.
func TestNode(t *testing.T) {
	s, c := start(t)
	s.AddFault(sim.Fault{Method: "GET", Path: "/nodes/pve1/version", Kind: "error", Status: 403, Text: "Permission check failed (/nodes/pve1, Sys.Audit)", Times: -1})
	s.AddFault(sim.Fault{Method: "GET", Path: "/nodes/pve1/time", Kind: "drop", Times: -1})
	reads := []string{"/nodes/pve1/status", "/nodes/pve1/version", "/nodes/pve1/time", "/nodes/pve1/disks/zfs", "/nodes/pve1/qemu?full=1"}
	have, err := c.Node(t.Context(), reads)
	if err != nil || len(have.Answers) != len(reads) {
		t.Fatalf("%d answers: %v", len(have.Answers), err)
	}
	if a := have.Answers["/nodes/pve1/status"]; a.Err != nil || !strings.Contains(string(a.Body), "pveversion") {
		t.Errorf("status: %s %v", a.Body, a.Err)
	}
	if err := have.Answers["/nodes/pve1/version"].Err; !errors.Is(err, step.ErrForbidden) || !strings.Contains(err.Error(), "grant it with") {
		t.Errorf("forbidden: %v", err)
	}
	if err := have.Answers["/nodes/pve1/time"].Err; !errors.Is(err, step.ErrUnreachable) {
		t.Errorf("dropped: %v", err)
	}
	// PVE's own words for a node without ZFS (transcript disks) are neither.
	if err := have.Answers["/nodes/pve1/disks/zfs"].Err; err == nil || !strings.Contains(err.Error(), "zfsutils-linux not installed") || errors.Is(err, step.ErrUnreachable) || errors.Is(err, step.ErrForbidden) {
		t.Errorf("no ZFS: %v", err)
	}
	if !slices.ContainsFunc(s.Requests(), func(r sim.Request) bool { return r.Path == "/nodes/pve1/qemu" && r.Params["full"] == "1" }) {
		t.Error("the query was lost")
	}
}

func TestNodeInterrupted(t *testing.T) {
	_, c := start(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Node(ctx, []string{"/nodes/pve1/status"}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestStorages(t *testing.T) {
	_, c := start(t)
	do(t, c, step.CreateStorage{Cluster: "lab", Node: "pve1", Storage: "fast", Type: "dir", Set: map[string]string{"path": "/srv/x", "content": "images,iso", "nodes": "pve1"}})
	fast := func() map[string]string {
		have, err := c.Node(t.Context(), []string{"/storage"})
		if err != nil {
			t.Fatal(err)
		}
		var rows []map[string]any
		if err := json.Unmarshal(have.Answers["/storage"].Body, &rows); err != nil {
			t.Fatal(err)
		}
		for _, r := range rows {
			if r["storage"] == "fast" {
				return map[string]string{"path": fmt.Sprint(r["path"]), "nodes": fmt.Sprint(r["nodes"]), "digest": fmt.Sprint(r["digest"])}
			}
		}
		return nil
	}
	made := fast()
	if made["path"] != "/srv/x" || made["nodes"] != "pve1" {
		t.Fatalf("made: %v", made)
	}
	change := step.SetStorage{Cluster: "lab", Node: "pve1", Storage: "fast", Digest: made["digest"], Set: map[string]string{"content": "iso"}, Delete: []string{"nodes"}}
	do(t, c, change)
	if now := fast(); now["nodes"] != "<nil>" || now["digest"] == made["digest"] {
		t.Errorf("changed: %v", now)
	}
	if _, err := c.Do(t.Context(), change); !errors.Is(err, step.ErrStale) {
		t.Errorf("an old digest: %v", err)
	}
	again := step.CreateStorage{Cluster: "lab", Node: "pve1", Storage: "fast", Type: "dir", Set: map[string]string{"path": "/srv/x"}}
	if _, err := c.Do(t.Context(), again); !errors.Is(err, step.ErrStale) {
		t.Errorf("made twice: %v", err)
	}
}

func TestNetwork(t *testing.T) {
	s, c := start(t)
	bridge := func(name string, set map[string]string) step.SetNetwork {
		return step.SetNetwork{Cluster: "lab", Node: "pve1", Interfaces: []step.NetworkInterface{
			{Name: name, New: true, Set: map[string]string{"type": "bridge", "autostart": "1"}},
			{Name: "vmbr0", Set: set},
		}}
	}
	const path = "/nodes/pve1/network"
	pending := func() string {
		have, err := c.Node(t.Context(), []string{path})
		if err != nil || len(have.Reached) == 0 || have.Answers[path].Err != nil {
			t.Fatalf("%+v: %v", have, err)
		}
		return have.Answers[path].Changes
	}
	if _, err := c.Do(t.Context(), bridge("vmbr7", map[string]string{"type": "bridge", "nonsense": "1"})); err == nil || !strings.Contains(err.Error(), "nonsense") {
		t.Errorf("a refused interface: %v", err)
	}
	if p := pending(); p != "" {
		t.Errorf("a refused change left something pending: %s", p)
	}
	do(t, c, bridge("vmbr8", map[string]string{"type": "bridge", "comments": "lab"}))
	if p := pending(); !strings.Contains(p, "+iface vmbr8") || !strings.Contains(p, "+#lab") {
		t.Errorf("written: %s", p)
	}
	if _, err := c.Do(t.Context(), bridge("vmbr9", map[string]string{"type": "bridge"})); !errors.Is(err, step.ErrStale) || strings.Contains(pending(), "vmbr9") {
		t.Errorf("over a pending change: %v", err)
	}
	if w := s.Dump(); w.Node("pve1").InterfacesNew == nil {
		t.Error("applied without being told to")
	}
}
