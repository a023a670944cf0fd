package pve

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/ustclug/pve-reconcile/reconciler/step"
	"github.com/ustclug/pve-reconcile/reconciler/vm"
)

const agentPath = "/nodes/pve1/qemu/110/agent/"

func withAgent(agent string) vm.Observed {
	return vm.Observed{Exists: true, Node: "pve1", Status: "running", Running: map[string]string{"agent": agent, "meta": "creation-qemu=9.2.0,ctime=1764000000"}}
}

func TestAgent(t *testing.T) {
	for _, c := range []struct {
		setting string
		answer  reply
		want    string
		fails   bool
	}{
		{"1", ok(`{"result":{}}`), "up", false},
		{"enabled=1,fstrim_cloned_disks=1", ok(`{"result":{}}`), "up", false},
		{"1", refusal("QEMU guest agent is not running"), "down", false},
		{"1", refusal("No QEMU guest agent configured"), "", false}, // pending, not plugged in
		{"1", refusal("VM 110 is not running"), "", false},
		{"0", ok(`{"result":{}}`), "", false},
		{"", ok(`{"result":{}}`), "", false},
		{"enabled=0", ok(`{"result":{}}`), "", false},
		{"1", reply{status: "403 Permission check failed (/vms/110, VM.GuestAgent.Audit)", body: `{"data":null}`}, "", true},
		{"1", reply{}, "", true}, // nothing is known
	} {
		s := serve(t, map[string][]reply{"POST " + agentPath + "ping": {c.answer}})
		have, err := s.cluster(t).Agent(t.Context(), docker2, withAgent(c.setting))
		if have != c.want || (err != nil) != c.fails {
			t.Errorf("agent %q, %q: want %q, have %q, %v", c.setting, c.answer.status, c.want, have, err)
		}
	}
}

func TestTrim(t *testing.T) {
	fstrim, ping := "POST "+agentPath+"fstrim", "POST "+agentPath+"ping"
	s := serve(t, map[string][]reply{fstrim: {ok(`{"result":{"paths":[{"path":"/","trimmed":1073741824,"minimum":0},{"path":"/srv","error":"FITRIM ioctl failed: Operation not supported"},{"path":"/boot","trimmed":4096}]}}`)}})
	have, err := s.cluster(t).Trim(t.Context(), docker2)
	want := []string{"/: 1073741824 bytes", "/srv: FITRIM ioctl failed: Operation not supported", "/boot: 4096 bytes"}
	if err != nil || have.Bytes != 1<<30+4096 || have.Silent || !slices.Equal(have.Paths, want) {
		t.Errorf("have %+v, %v", have, err)
	}

	// PVE gives up after 30 s, the guest goes on, and the agent answers again when it is done. It is asked once.
	s = serve(t, map[string][]reply{
		fstrim: {{status: "596 Connection timed out", body: ""}},
		ping:   {refusal("QEMU guest agent is not running"), refusal("QEMU guest agent is not running"), ok(`{"result":{}}`)},
	})
	have, err = s.cluster(t).Trim(t.Context(), docker2)
	if err != nil || !have.Silent {
		t.Errorf("have %+v, %v", have, err)
	}
	trims := 0
	for _, r := range s.requests() {
		if strings.Contains(r, "fstrim") {
			trims++
		}
	}
	if trims != 1 {
		t.Errorf("asked to trim %d times", trims)
	}

	s = serve(t, map[string][]reply{fstrim: {refusal("QEMU guest agent is not running")}})
	if _, err := s.cluster(t).Trim(t.Context(), docker2); err == nil || errors.Is(err, step.ErrUnreachable) {
		t.Errorf("have %v", err)
	}
}

func TestStarted(t *testing.T) {
	const tasks = "GET /nodes/pve1/tasks"
	s := serve(t, map[string][]reply{tasks: {ok(`[{"upid":"UPID:a","type":"qmstart","starttime":1764000100},{"upid":"UPID:b","type":"qmstart","starttime":1764000500}]`)}})
	at, err := s.cluster(t).Started(t.Context(), docker2, withAgent("1"))
	if err != nil || at.Unix() != 1764000500 {
		t.Errorf("have %v, %v", at, err)
	}
	for _, part := range []string{"typefilter=qmstart", "vmid=110", "since=1764000000", "source=all"} {
		if !strings.Contains(s.requests()[0], part) {
			t.Errorf("%s is not in %s", part, s.requests()[0])
		}
	}
	s = serve(t, map[string][]reply{tasks: {ok(`[]`)}})
	if at, err := s.cluster(t).Started(t.Context(), docker2, withAgent("1")); err != nil || !at.IsZero() {
		t.Errorf("have %v, %v", at, err)
	}
	s = serve(t, map[string][]reply{tasks: {{}}})
	if _, err := s.cluster(t).Started(t.Context(), docker2, withAgent("1")); !errors.Is(err, step.ErrUnreachable) {
		t.Errorf("have %v", err)
	}
}

func TestDatasets(t *testing.T) {
	s := serve(t, map[string][]reply{"GET /storage": {ok(`[{"storage":"local-zfs","type":"zfspool","pool":"rpool/data"},{"storage":"tank","type":"dir","path":"/srv/tank"}]`)}})
	have, err := s.cluster(t).Datasets(t.Context(), []string{"local-zfs:vm-200-disk-0", "local-zfs:base-100-disk-0/vm-200-disk-1", "tank:200/vm-200-disk-0.qcow2", "none"})
	want := map[string]string{"local-zfs:vm-200-disk-0": "rpool/data/vm-200-disk-0", "local-zfs:base-100-disk-0/vm-200-disk-1": "rpool/data/vm-200-disk-1"}
	if err != nil || !maps.Equal(have, want) || len(s.requests()) != 1 {
		t.Errorf("have %v, %v, asked %d times", have, err, len(s.requests()))
	}
	if _, err := s.cluster(t).Datasets(t.Context(), []string{"unseen:vm-200-disk-0"}); !errors.Is(err, step.ErrForbidden) || !strings.Contains(err.Error(), "/storage/unseen") {
		t.Errorf("have %v", err)
	}
}
