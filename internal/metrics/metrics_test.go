package metrics

import (
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/ustclug/pve-reconcile/internal/loop"
	"github.com/ustclug/pve-reconcile/internal/pve"
	"github.com/ustclug/pve-reconcile/internal/source"
	"github.com/ustclug/pve-reconcile/internal/state"
	"github.com/ustclug/pve-reconcile/reconciler"
	"github.com/ustclug/pve-reconcile/schema"
)

var now = time.Date(2026, 11, 28, 3, 0, 0, 0, time.UTC)

// fake is a loop as it stands.
type fake struct {
	status          loop.Status
	standing, stuck string
}

func (f *fake) serve(t *testing.T) (*Metrics, func(path string) (int, string)) {
	t.Helper()
	m := New(Sources{
		Status: func() loop.Status { return f.status }, Standing: func() string { return f.standing }, Stuck: func() string { return f.stuck },
		Suspended: func() bool { return false }, Version: "1.2.3", Now: func() time.Time { return now },
		Calls: func() map[string]pve.Tally {
			return map[string]pve.Tally{"ustc": {Calls: 7, Writes: 2, Sent: 30, Received: 400}}
		},
		Progress: func(string) []state.Progress {
			return []state.Progress{{Step: "send", Disk: "scsi0", Done: 10, Total: 40, Rate: 5}}
		},
		Outbox: func() Outbox {
			return Outbox{Waiting: 3, Sent: map[string]int{"mail": 1}, Failed: map[string]int{"mail": 2}, Dropped: map[string]int{"mail": 0}}
		},
	})
	s := httptest.NewServer(m.Routes())
	t.Cleanup(s.Close)
	return m, func(path string) (int, string) {
		res, err := s.Client().Get(s.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(body)
	}
}

func item(kind, name string, verdict reconciler.Verdict, since time.Time) loop.Item {
	return loop.Item{Object: reconciler.Object{Kind: kind, Name: name, ID: schema.ID{Cluster: "ustc"}, Verdict: verdict, Since: since}}
}

// series are the lines of a scrape, by what is before the value.
func series(text string) map[string]string {
	out := map[string]string{}
	for line := range strings.Lines(text) {
		if at := strings.LastIndex(line, " "); at > 0 && !strings.HasPrefix(line, "#") {
			out[line[:at]] = strings.TrimSpace(line[at:])
		}
	}
	return out
}

func TestScrape(t *testing.T) {
	f := &fake{status: loop.Status{
		Objects: 3, Looked: 3,
		Source: loop.Source{Revision: source.Revision{Commit: "c0ffee"}, Seen: now.Add(-5 * time.Second)},
		Queue:  reconciler.Depth{Ready: 1, Working: 2, Pausing: []reconciler.Pause{{}}},
		Pulse:  loop.Pulse{Passes: 4},
		Items: []loop.Item{
			item(schema.KindMigration, "docker2", reconciler.Migrating, time.Time{}),
			item(schema.KindVM, "gone", reconciler.Orphaned, now.Add(-time.Hour)),
			item(schema.KindVM, "new", reconciler.Failed, time.Time{}),
			item(schema.KindVM, "web", reconciler.Failed, now.Add(-time.Minute)),
			item(schema.KindVM, "web", reconciler.Orphaned, now.Add(-time.Hour)), // had another vmid
		},
	}}
	m, get := f.serve(t)
	m.Observe(reconciler.Event{Type: reconciler.EventRound, Kind: schema.KindVM, Name: "web", Verdict: reconciler.InSync, Seconds: 1, Time: now.Add(-10 * time.Second)})
	m.Observe(reconciler.Event{Type: reconciler.EventApplied, Kind: schema.KindVM, Name: "web", Steps: []reconciler.StepMade{{Step: "a", Seconds: 2}, {Step: "b", Error: "no"}}})
	code, text := get("/metrics")
	if code != http.StatusOK {
		t.Fatal(code, text)
	}
	have := series(text)
	const of = `{cluster="ustc",kind="VirtualMachine",name=`
	for name, value := range map[string]string{
		`build_info{version="1.2.3"}`: "1", `stuck`: "0", `standing_by`: "0", `ready`: "1", `suspended`: "0", `passes_total`: "4",
		`queue_objects{phase="ready"}`: "1", `queue_objects{phase="working"}`: "2", `queue_objects{phase="pausing"}`: "1",
		`api_calls_total{cluster="ustc"}`: "7", `api_writes_total{cluster="ustc"}`: "2", `api_sent_bytes_total{cluster="ustc"}`: "30", `api_received_bytes_total{cluster="ustc"}`: "400",
		`revision_info{revision="c0ffee"}`: "1", `source_age_seconds`: "5", `source_failing`: "0", `objects`: "3", `manifest_problems`: "0",
		`object_verdict` + of + `"web",verdict="Failed"}`: "1", `object_verdict` + of + `"gone",verdict="Orphaned"}`: "1",
		`object_last_success_age_seconds` + of + `"web"}`:                "10",
		`migration_bytes{disk="scsi0",name="docker2",step="send"}`:       "10",
		`migration_total_bytes{disk="scsi0",name="docker2",step="send"}`: "40", `migration_bytes_per_second{disk="scsi0",name="docker2",step="send"}`: "5",
		`notifications_waiting`: "3", `notifications_sent_total{to="mail"}`: "1", `notifications_failed_total{to="mail"}`: "2", `notifications_dropped_total{to="mail"}`: "0",
		`rounds_total{kind="VirtualMachine",verdict="InSync"}`: "1", `round_duration_seconds_sum{kind="VirtualMachine"}`: "1",
		`steps_total{kind="VirtualMachine",outcome="made"}`: "1", `steps_total{kind="VirtualMachine",outcome="failed"}`: "1", `step_duration_seconds_sum{kind="VirtualMachine"}`: "2",
		`events_total{type="Round"}`: "1", `events_total{type="Applied"}`: "1",
	} {
		if have[prefix+name] != value {
			t.Errorf("%s is %q, want %s", name, have[prefix+name], value)
		}
	}
	for name := range maps.Keys(have) {
		for _, never := range []string{`age_seconds` + of + `"gone"`, `age_seconds` + of + `"new"`, `name="web",verdict="Orphaned"`} {
			if strings.Contains(name, never) {
				t.Errorf("there is %s", name)
			}
		}
	}
}

// What is gone from the manifests leaves no series behind.
func TestGone(t *testing.T) {
	f := &fake{status: loop.Status{Items: []loop.Item{item(schema.KindVM, "web", reconciler.InSync, time.Time{})}}}
	m, get := f.serve(t)
	m.Observe(reconciler.Event{Type: reconciler.EventRound, Kind: schema.KindVM, Name: "web", Verdict: reconciler.InSync, Time: now})
	if _, text := get("/metrics"); !strings.Contains(text, `name="web"`) {
		t.Errorf("web is missing:\n%s", text)
	}
	f.status.Items = nil
	if _, text := get("/metrics"); strings.Contains(text, `name="web"`) {
		t.Errorf("web is still there:\n%s", text)
	}
	f.status.Items = []loop.Item{item(schema.KindVM, "web", reconciler.Failed, time.Time{})}
	if _, text := get("/metrics"); strings.Contains(text, `last_success_age_seconds{`) {
		t.Errorf("another one of this name has its success:\n%s", text)
	}
}

func TestHealth(t *testing.T) {
	for _, c := range []struct {
		f           fake
		path, says  string
		code        int
		description string
	}{
		{fake{}, "/healthz", "ok", 200, "nothing followed yet is no reason to start it anew"},
		{fake{}, "/readyz", "no revision is followed yet", 503, "nothing followed"},
		{fake{stuck: "the loop has stood still"}, "/healthz", "the loop has stood still", 503, "stuck"},
		{fake{standing: "node b acts"}, "/healthz", "ok", 200, "standing by is healthy"},
		{fake{standing: "node b acts"}, "/readyz", "standing by: node b acts", 503, "standing by is not ready"},
		{fake{status: loop.Status{Source: loop.Source{Revision: source.Revision{Commit: "c"}}, Objects: 2, Looked: 1}}, "/readyz", "1 of 2 objects were not looked at yet", 503, "half"},
		{fake{status: loop.Status{Source: loop.Source{Revision: source.Revision{Commit: "c"}}, Objects: 2, Looked: 2}}, "/readyz", "ok", 200, "all"},
		{fake{}, "/", "404", 404, "nothing else is served"},
	} {
		_, get := c.f.serve(t)
		if code, text := get(c.path); code != c.code || !strings.Contains(text, c.says) {
			t.Errorf("%s: %s answers %d %q, want %d %q", c.description, c.path, code, text, c.code, c.says)
		}
	}
}
