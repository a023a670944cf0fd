package main

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"go.uber.org/zap"
	"pgregory.net/rapid"

	"github.com/ustclug/pve-reconcile/internal/live"
	"github.com/ustclug/pve-reconcile/internal/pve"
	"github.com/ustclug/pve-reconcile/internal/sim"
	"github.com/ustclug/pve-reconcile/internal/state"
	"github.com/ustclug/pve-reconcile/manifests"
	"github.com/ustclug/pve-reconcile/reconciler"
	"github.com/ustclug/pve-reconcile/reconciler/step"
	"github.com/ustclug/pve-reconcile/schema"
)

var seeds = flag.Int("seeds", 40, "how many random histories of a guest are tried")

// history is what becomes of a guest: three revisions of its manifest, and what somebody does in the web page before each.
type history struct {
	specs  []map[string]any
	clicks [][]click
	faults [][]sim.Fault // of a first pass of each revision, which need not come to rest
	lost   bool          // the state directory, before the last revision
}

type click struct {
	method, below string
	form          url.Values
}

// clicks are things that people do.
var clicks = func() []click {
	var out []click
	for key, value := range map[string]string{
		"memory": "1111", "cores": "2", "onboot": "1", "description": "clicked", "net3": "virtio,bridge=vmbr2", "tags": "mine", "scsi9": "local-zfs:1",
		"numa": "1", "agent": "1,type=isa", "cpu": "host,flags=+aes", "protection": "1",
	} {
		out = append(out, click{http.MethodPut, "/config", url.Values{key: {value}}})
	}
	for _, key := range []string{"memory", "net0", "net1", "net3", "scsi0", "virtio1", "ide2", "boot", "agent", "tags", "cpu", "scsi9", "efidisk0"} {
		out = append(out, click{http.MethodPut, "/config", url.Values{"delete": {key}}})
	}
	slices.SortFunc(out, func(a, b click) int { return strings.Compare(a.form.Encode(), b.form.Encode()) })
	return append(out, click{http.MethodPost, "/status/stop", nil}, click{http.MethodPost, "/status/start", nil})
}()

var faults = rapid.Custom(func(t *rapid.T) sim.Fault {
	kind := rapid.SampledFrom([]string{"error", "error-after", "drop", "drop-after", "task-fail-after", "edit"}).Draw(t, "kind")
	f := sim.Fault{Kind: kind, Path: "*", Skip: rapid.IntRange(0, 8).Draw(t, "skip"), Times: rapid.IntRange(1, 4).Draw(t, "times")}
	switch {
	case strings.HasPrefix(kind, "task"):
		f.Method, f.Skip, f.Text = "TASK", f.Skip/4, "no such luck"
	case kind == "edit":
		f.Method, f.Skip = http.MethodPut, f.Skip/4
	}
	return f
})

var histories = rapid.Custom(func(t *rapid.T) history {
	d := draft{t}
	spec := reflect.TypeFor[schema.VMSpec]()
	first := d.object(spec, nil, "spec")
	h := history{specs: []map[string]any{first, d.object(spec, first, "spec"), d.object(spec, first, "spec")}, lost: d.chance(4, "lost")}
	for range h.specs {
		h.faults = append(h.faults, rapid.SliceOfN(faults, 0, 2).Draw(t, "faults"))
		h.clicks = append(h.clicks, rapid.SliceOfN(rapid.Map(rapid.IntRange(0, len(clicks)-1), func(i int) click { return clicks[i] }), 0, 2).Draw(t, "clicks"))
	}
	return h
})

// TestAnyHistoryConverges makes random manifests of one guest true, one after the other, against the simulator and whatever
// somebody clicked in between: each pass comes to rest, and the one after it writes nothing (law 10).
func TestAnyHistoryConverges(t *testing.T) {
	tried := 0
	for seed := range *seeds {
		h := histories.Example(seed)
		sets := map[string]manifests.Set{}
		sound := true
		for i, spec := range h.specs {
			set := manifests.Load(fstest.MapFS{"web.yaml": {Data: []byte(manifestOf(spec))}})
			sets[fmt.Sprint("r", i)] = set
			sound = sound && len(set.Problems) == 0
		}
		if !sound {
			continue // what is drawn by itself need not fit together
		}
		tried++
		t.Run(fmt.Sprint(seed), func(t *testing.T) { lead(t, h, sets) })
	}
	if tried < *seeds/2 {
		t.Errorf("only %d of %d histories are sound", tried, *seeds)
	}
}

// lead makes one history happen.
func lead(t *testing.T, h history, sets map[string]manifests.Set) {
	s, r := served(t)
	for i := range h.specs {
		rev := fmt.Sprint("r", i)
		for _, c := range h.clicks[i] {
			ask(s, c)
		}
		if h.lost && i == len(h.specs)-1 {
			r.Ledger, _ = state.Open(t.TempDir())
		}
		in := reconciler.Input{Revision: rev, Set: sets[rev], Base: func(_ context.Context, old string) (manifests.Set, error) { return sets[old], nil }}
		before := configOf(s)
		calls := len(s.Requests())
		var wrong []string
		if len(h.faults[i]) > 0 {
			for _, f := range h.faults[i] {
				s.AddFault(f)
			}
			r.Apply(t.Context(), in)
			s.ClearFaults()
			for _, q := range s.Requests()[calls:] {
				wrong = append(wrong, harm(q, before)...)
			}
			before, calls = configOf(s), len(s.Requests())
		}
		o := r.Apply(t.Context(), in).Objects[0]
		wrong = append(wrong, resting(o)...)
		for _, q := range s.Requests()[calls:] {
			wrong = append(wrong, harm(q, before)...)
		}
		calls = len(s.Requests())
		again := r.Apply(t.Context(), in).Objects[0]
		for _, q := range s.Requests()[calls:] {
			if q.Method != http.MethodGet {
				wrong = append(wrong, fmt.Sprintf("the second pass writes %v", q.Params))
			}
		}
		if again.Verdict != o.Verdict {
			wrong = append(wrong, fmt.Sprintf("%s, and %s when looked at again", o.Verdict, again.Verdict))
		}
		if len(wrong) > 0 {
			t.Fatalf("revision %d: %s\n%s\nbefore:\n%s\nafter:\n%s", i, strings.Join(wrong, "\n"), manifestOf(h.specs[i]), before, configOf(s))
		}
	}
}

// resting says what keeps a pass from having come to rest.
func resting(o reconciler.Object) []string {
	var wrong []string
	if o.Verdict != reconciler.InSync && o.Verdict != reconciler.RestartNeeded && o.Verdict != reconciler.Blocked || len(o.Plan.Steps) > 0 {
		wrong = append(wrong, fmt.Sprintf("%s, %v, left: %v", o.Verdict, o.Err, o.Plan.Steps))
	}
	for _, w := range o.Plan.Waits {
		if w.Reason != step.Refused {
			wrong = append(wrong, w.Text)
		}
	}
	return wrong
}

// newDisk is the form that makes PVE allocate.
var newDisk = regexp.MustCompile(`^[a-z-]+:\d+(\.\d+)?(,|$)`)

// harm says what a write should never do: come without a digest, destroy a disk, allocate for a slot that holds one.
func harm(q sim.Request, before string) []string {
	var wrong []string
	if q.Method != http.MethodGet && strings.HasSuffix(q.Path, "/config") && q.Params["digest"] == "" {
		wrong = append(wrong, fmt.Sprintf("no digest: %v", q.Params))
	}
	if strings.Contains(q.Params["delete"], "unused") || q.Method == http.MethodDelete {
		wrong = append(wrong, fmt.Sprintf("destroys: %s %s %v", q.Method, q.Path, q.Params))
	}
	for key, value := range q.Params {
		if row, ok := schema.RowOf(key); ok && row.Drive() && newDisk.MatchString(value) && strings.Contains("\n"+before, "\n"+key+": ") {
			wrong = append(wrong, fmt.Sprintf("allocates %s anew: %s", key, value))
		}
	}
	return wrong
}

// served is pve-5 with a token that may set everything a token may.
func served(t *testing.T) (*sim.Server, *reconciler.Reconciler) {
	text, err := os.ReadFile(filepath.Join("..", "..", "internal", "sim", "testdata", "pve-5.world"))
	if err != nil {
		t.Fatal(err)
	}
	world, err := sim.ParseWorld(strings.NewReader(strings.Replace(string(text), "VM.PowerMgmt:", "VM.PowerMgmt,Sys.Modify,Mapping.Use:", 1)))
	if err != nil {
		t.Fatal(err)
	}
	s := sim.New(world, sim.Options{Seed: 1})
	endpoint, err := s.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	c, err := pve.New(pve.Options{Name: "ustc", Endpoint: endpoint, Token: gitToken, Fingerprint: s.Fingerprint(), PollInterval: time.Millisecond, Pause: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	ledger, err := state.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return s, &reconciler.Reconciler{
		World: live.New(map[string]*pve.Cluster{"ustc": c}), Ledger: ledger, Owner: "ustclug", Clusters: map[string][]string{"ustc": nil},
		Workers: 1, Now: time.Now, Log: zap.NewNop(),
	}
}

func configOf(s *sim.Server) string {
	if v, ok := s.Dump().VMs[300]; ok {
		return v.Config()
	}
	return ""
}

// ask does a click as root@pam; what PVE refuses, nobody could click.
func ask(s *sim.Server, c click) {
	r := httptest.NewRequest(c.method, "/api2/json/nodes/pve-5/qemu/300"+c.below, strings.NewReader(c.form.Encode()))
	r.Header.Set("Authorization", "PVEAPIToken="+rootToken)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	s.ServeHTTP(httptest.NewRecorder(), r)
}
