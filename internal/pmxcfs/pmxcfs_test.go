package pmxcfs_test

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ustclug/pve-reconcile/internal/pmxcfs"
	"github.com/ustclug/pve-reconcile/internal/pve"
	"github.com/ustclug/pve-reconcile/internal/sim"
	"github.com/ustclug/pve-reconcile/internal/state"
	"github.com/ustclug/pve-reconcile/reconciler/vm"
	"github.com/ustclug/pve-reconcile/schema"
)

const (
	gitToken  = "reconcile@pve!git=2b4d7c1e-0000-4000-8000-000000000002"
	rootToken = "root@pam!recon=2b4d7c1e-0000-4000-8000-000000000001"
)

// serve is pve-5, its files, and a client of its API.
func serve(t *testing.T) (*sim.Server, string, *pve.Cluster) {
	text, err := os.ReadFile(filepath.Join("..", "sim", "testdata", "pve-5.world"))
	if err != nil {
		t.Fatal(err)
	}
	w, err := sim.ParseWorld(strings.NewReader(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	s := sim.New(w, sim.Options{Seed: 1, PMXCFS: dir, LockExpiry: 300 * time.Millisecond})
	endpoint, err := s.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	c, err := pve.New(pve.Options{Name: "ustc", Endpoint: endpoint, Token: gitToken, Fingerprint: s.Fingerprint()})
	if err != nil {
		t.Fatal(err)
	}
	return s, dir, c
}

func call(t *testing.T, s *sim.Server, method, path string, form url.Values) {
	t.Helper()
	r := httptest.NewRequest(method, "/api2/json"+path, strings.NewReader(form.Encode()))
	r.Header.Set("Authorization", "PVEAPIToken="+rootToken)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	if s.ServeHTTP(w, r); w.Code != http.StatusOK {
		t.Fatalf("%s %s: %d %s", method, path, w.Code, w.Body)
	}
}

// The files say what the API says, of every guest, with pending changes, snapshots, descriptions and passwords.
func TestFilesSayWhatTheAPISays(t *testing.T) {
	s, dir, c := serve(t)
	qemu := "/nodes/pve-5/qemu/117"
	s.Edit(func(w *sim.World) {
		w.NewVM(300, "pve-5", "#one\n#two%3A 3\nmemory: 1024\ncipassword: $5$x$y\n\n[PENDING]\nmemory: 2048\ndelete: cipassword,!nothere\n\n[old]\n#old\nmemory: 512\nsnaptime: 1\n")
	})
	call(t, s, http.MethodPut, qemu+"/config", url.Values{"memory": {"8192"}, "description": {"a: b\n# x 100%\n\nend  \n"}, "delete": {"ide2"}, "cipassword": {"secret"}, "cpu": {"host"}})
	call(t, s, http.MethodPost, qemu+"/snapshot", url.Values{"snapname": {"before"}})
	census, err := c.Census(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	m := pmxcfs.At(dir)
	pending := 0
	for vmid, where := range census.Guests {
		api, err := c.VM(t.Context(), schema.ID{Cluster: "ustc", Node: where.Node, VMID: vmid}, &where)
		if err != nil {
			t.Fatal(err)
		}
		pending += len(api.Pending)
		file, ok := m.VM(vmid, &where)
		if !ok || !reflect.DeepEqual(api, file) {
			t.Errorf("guest %d: the API says\n%+v\nthe file (%v)\n%+v", vmid, api, ok, file)
		}
	}
	if pending < 2 || len(census.Guests) < 2 {
		t.Errorf("%d guests with %d pending changes prove little", len(census.Guests), pending)
	}
	if o, ok := m.VM(4711, nil); !ok || o.Exists {
		t.Error("a guest that is in no list does not exist")
	}
	if _, ok := m.VM(117, &vm.Guest{VMID: 117, Node: "pve-6", Status: "running"}); ok {
		t.Error("a guest that the census has elsewhere has to be asked for")
	}
}

// Looking at what moved costs two reads, and one more for each guest that did.
func TestReadsAreCounted(t *testing.T) {
	s, dir, c := serve(t)
	s.Edit(func(w *sim.World) {
		for vmid := 1000; vmid < 1300; vmid++ {
			w.NewVM(vmid, "pve-5", "memory: 1024\n")
		}
	})
	census, err := c.Census(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	m := pmxcfs.At(dir)
	all := func() {
		for vmid, where := range census.Guests {
			if _, ok := m.VM(vmid, &where); !ok {
				t.Fatalf("guest %d is in no file", vmid)
			}
		}
	}
	w := m.Watch()
	look := func(want pmxcfs.Moves) {
		t.Helper()
		before := m.Reads()
		got, err := w.Look()
		if err != nil || !reflect.DeepEqual(got, want) || m.Reads()-before != 2 {
			t.Errorf("moved %+v (%v) in %d reads, want %+v in 2", got, err, m.Reads()-before, want)
		}
	}
	look(pmxcfs.Moves{})
	all()
	before := m.Reads()
	look(pmxcfs.Moves{})
	all()
	if n := m.Reads() - before; n > 3 { // the third: the list is read again when it is older than a second
		t.Errorf("an idle pass over %d guests takes %d reads", len(census.Guests), n)
	}
	call(t, s, http.MethodPut, "/nodes/pve-5/qemu/1007/config", url.Values{"memory": {"512"}})
	call(t, s, http.MethodDelete, "/nodes/pve-5/qemu/1010", nil)
	call(t, s, http.MethodPut, "/storage/local", url.Values{"content": {"iso"}})
	look(pmxcfs.Moves{Guests: []int{1007, 1010}, Definitions: true})
	where := census.Guests[1007]
	if o, _ := m.VM(1007, &where); o.Running["memory"] != "512" {
		t.Errorf("the old config was kept: %v", o.Running)
	}
	look(pmxcfs.Moves{})
	// pmxcfs began anew: its counters say nothing about before.
	version := filepath.Join(dir, ".version")
	text, err := os.ReadFile(version)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(version, []byte(strings.Replace(string(text), `"starttime":`, `"starttime":1`, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := w.Look()
	if err != nil || len(got.Guests) < 300 || !got.Definitions {
		t.Errorf("after a new start %d guests moved: %v", len(got.Guests), err)
	}
}

func lease(t *testing.T, dir, host string) *pmxcfs.Lease {
	return &pmxcfs.Lease{
		Name: "pve-reconcile-ustclug", Dir: t.TempDir(), Mount: pmxcfs.At(dir), Holder: state.Holder{PID: 1, Host: host},
		Renew: 50 * time.Millisecond, Margin: time.Minute,
	}
}

// One has the lease at a time; it is passed on when it is released, kept over a crash, and lost to another node.
func TestLease(t *testing.T) {
	_, dir, _ := serve(t)
	a, b := lease(t, dir, "pve-5"), lease(t, dir, "pve-6")
	if err := a.Check(); err == nil {
		t.Error("a lease that was never taken covers a write")
	}
	if err := a.Try(); err != nil {
		t.Fatal(err)
	}
	var held *pmxcfs.HeldError
	if err := b.Try(); !errors.As(err, &held) || held.Holder.Host != "pve-5" {
		t.Fatalf("taken twice: %v", err)
	}
	time.Sleep(time.Second) // longer than the lock lives without being renewed
	if err := b.Try(); !errors.As(err, &held) || a.Check() != nil {
		t.Fatalf("a lease that is renewed was lost: %v, %v", err, a.Check())
	}
	a.Release()
	if a.Check() == nil {
		t.Error("a released lease covers a write")
	}
	if err := b.Try(); err != nil {
		t.Fatalf("after release: %v", err)
	}
	// A crash of b: its next start on the same node has the lease at once, another has not.
	again := *lease(t, dir, "pve-6")
	again.Dir = b.Dir
	if err := a.Try(); !errors.As(err, &held) {
		t.Errorf("during b's crash: %v", err)
	}
	deadline := time.Now().Add(time.Minute)
	for again.Try() != nil { // the request of a sets the time of the lock to zero for a moment
		if time.Now().After(deadline) {
			t.Fatal("the node that has the lease does not get it back after a crash")
		}
		time.Sleep(20 * time.Millisecond)
	}
	again.Release()
}

// A holder that is gone for good loses the lease, and finds that out before it writes.
func TestLeaseExpires(t *testing.T) {
	_, dir, _ := serve(t)
	a, b := lease(t, dir, "pve-5"), lease(t, dir, "pve-6")
	a.Renew, a.Margin = time.Hour, 200*time.Millisecond
	if err := a.Try(); err != nil {
		t.Fatal(err)
	}
	var said []string
	waiting, end := context.WithTimeout(t.Context(), time.Minute)
	defer end()
	if err := b.Wait(waiting, func(err error) { said = append(said, err.Error()) }); err != nil || len(said) != 1 || !strings.Contains(said[0], "pve-5") {
		t.Fatalf("%v, said %q", err, said)
	}
	if err := a.Check(); err == nil || !strings.Contains(err.Error(), "could not be renewed") {
		t.Errorf("the one that lost it may write: %v", err)
	}
	b.Release()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := a.Wait(ctx, func(error) {}); err != nil {
		t.Errorf("free again: %v", err)
	}
	a.Release()
}

// FuzzParse: any text gives a config without an empty key, and pending deletions only of what is there.
func FuzzParse(f *testing.F) {
	f.Add("#a%3A b\nmemory: 512\n\n[PENDING]\ndelete: !net0,cpu\nmemory: 1024\n\n[snap]\nmemory: 1\n")
	f.Fuzz(func(t *testing.T, text string) {
		o := pmxcfs.Parse([]byte(text))
		for _, key := range slices.Concat(slices.Collect(maps.Keys(o.Running)), slices.Collect(maps.Keys(o.Pending))) {
			if key == "" {
				t.Error("an empty key")
			}
		}
		for key, c := range o.Pending {
			if _, ok := o.Running[key]; c.Delete && !ok {
				t.Errorf("%s is to be deleted and not there", key)
			}
		}
	})
}
