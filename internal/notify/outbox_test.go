package notify

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/ustclug/pve-reconcile/internal/config"
	"github.com/ustclug/pve-reconcile/internal/notice"
	"github.com/ustclug/pve-reconcile/reconciler"
)

func TestMain(m *testing.M) {
	retry = reconciler.Backoff{First: 10 * time.Millisecond, Max: 50 * time.Millisecond}
	os.Exit(m.Run())
}

var began = time.Date(2026, 11, 28, 3, 0, 0, 0, time.UTC)

// outbox is one whose clock stands at *now.
func outbox(t *testing.T, dir string, now *time.Time, to map[string]config.Notify) *Outbox {
	t.Helper()
	c := config.Default(config.Config{Notify: to})
	b, err := Open(Options{
		Dir: dir, Host: "pve-5", To: c.Notify, Log: zap.NewNop(), Now: func() time.Time { return *now },
		Secret: func(string) (config.Secret, error) { return "correct-horse", nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func to(url string) map[string]config.Notify {
	return map[string]config.Notify{"chat": {Webhook: &config.WebhookOut{URL: url}}}
}

func round(name string, v reconciler.Verdict, reason string) reconciler.Event {
	return reconciler.Event{Type: reconciler.EventRound, Kind: "VirtualMachine", Name: name, Verdict: v, Reason: reason, Message: "because"}
}

// waiting is what waits for the only receiver.
func waiting(b *Outbox) string {
	var lines []string
	for _, e := range b.places[0].Queue {
		lines = append(lines, e.Message.Text)
	}
	return strings.Join(lines, "\n")
}

func TestNewsIsAnEdgeThatStands(t *testing.T) {
	now := began
	dir := t.TempDir()
	b := outbox(t, dir, &now, to("http://127.0.0.1:1/"))
	for _, step := range []struct {
		after time.Duration
		e     reconciler.Event
		want  string // what is queued by then
	}{
		{0, round("a", reconciler.InSync, ""), ""},
		{0, round("a", reconciler.Unknown, "Unknown"), ""},
		{59 * time.Second, round("a", reconciler.InSync, "InSync"), ""}, // it blinked
		{2 * time.Minute, round("a", reconciler.Blocked, "Locked"), ""},
		{time.Minute, round("a", reconciler.Blocked, "Locked"), "VirtualMachine/a on pve-5 is Blocked (Locked): because"},
		{time.Hour, round("a", reconciler.Blocked, "Locked"), ""},
		{time.Minute, round("a", reconciler.Blocked, "Flapping"), ""},
		{time.Minute, round("a", reconciler.Blocked, "Flapping"), "VirtualMachine/a on pve-5 is Blocked (Flapping): because"},
		{time.Minute, round("a", reconciler.Changes, "Changes"), ""},
		{time.Minute, round("a", reconciler.InSync, "InSync"), "VirtualMachine/a on pve-5: no longer Blocked, now InSync"},
		{time.Hour, round("a", reconciler.InSync, "InSync"), ""},
	} {
		now = now.Add(step.after)
		b.Observe(step.e)
		b.turn()
		if have := waiting(b); have != step.want {
			t.Fatalf("after %v: %q is queued, want %q", step.e, have, step.want)
		}
		b.places[0].Queue = nil
	}
}

func TestARestartTellsNothingTwice(t *testing.T) {
	now, dir := began, t.TempDir()
	b := outbox(t, dir, &now, to("http://127.0.0.1:1/"))
	b.Observe(round("a", reconciler.Failed, "Failed"))
	now = now.Add(time.Minute)
	b.turn()
	b.save()
	if waiting(b) == "" {
		t.Fatal("nothing was queued")
	}
	b = outbox(t, dir, &now, to("http://127.0.0.1:1/"))
	b.Observe(round("a", reconciler.Failed, "Failed"))
	now = now.Add(time.Hour)
	b.turn()
	if have := strings.Count(waiting(b), "Failed"); have != 1 {
		t.Errorf("%d times after a restart: %s", have, waiting(b))
	}
	b.Observe(round("a", reconciler.InSync, "InSync"))
	now = now.Add(time.Hour)
	b.turn()
	if !strings.Contains(waiting(b), "no longer Failed") {
		t.Errorf("nobody is told that it is over: %s", waiting(b))
	}
}

func TestTheOldestIsDroppedAndCounted(t *testing.T) {
	now := began
	b := outbox(t, t.TempDir(), &now, to("http://127.0.0.1:1/"))
	for i := range mostWaiting + 7 {
		b.Observe(round(fmt.Sprintf("g%03d", i), reconciler.Failed, "Failed"))
	}
	now = now.Add(time.Minute)
	b.turn()
	if c := b.Counts()["chat"]; c.Waiting != mostWaiting || c.Dropped != 7 || b.places[0].Dropped != 7 {
		t.Errorf("%+v", c)
	}
	if strings.Contains(waiting(b), "g006 ") || !strings.Contains(waiting(b), "g007 ") {
		t.Error("not the oldest were dropped")
	}
	now = now.Add(oldest + time.Second)
	b.turn()
	if c := b.Counts()["chat"]; c.Waiting != 0 {
		t.Errorf("old news still waits: %+v", c)
	}
}

// run delivers in real time until the test ends.
func run(t *testing.T, b *Outbox) (stop func()) {
	t.Helper()
	b.o.Now = time.Now
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); b.Run(ctx) }()
	stop = func() { cancel(); <-done }
	t.Cleanup(stop)
	return stop
}

// receiver is a chat that keeps what it is told.
type receiver struct {
	mu    sync.Mutex
	texts []string
	came  chan struct{}
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	body, _ := io.ReadAll(q.Body)
	var m struct{ Text string }
	if err := json.Unmarshal(body, &m); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	r.mu.Lock()
	r.texts = append(r.texts, m.Text)
	r.mu.Unlock()
	r.came <- struct{}{}
}

func quick(url string) map[string]config.Notify {
	return map[string]config.Notify{"chat": {Webhook: &config.WebhookOut{URL: url}, After: config.Duration(time.Millisecond)}}
}

func TestADeadReceiverIsToldAfterARestart(t *testing.T) {
	r := &receiver{came: make(chan struct{}, 10)}
	var alive atomic.Bool
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if !alive.Load() {
			panic(http.ErrAbortHandler) // the connection breaks without an answer
		}
		r.ServeHTTP(w, q)
	}))
	defer server.Close()
	dir, now := t.TempDir(), time.Now()
	b := outbox(t, dir, &now, quick(server.URL))
	core, logs := observer.New(zap.DebugLevel)
	b.o.Log = zap.New(core)
	stop := run(t, b)
	b.Observe(round("web", reconciler.Blocked, "Locked"))
	until(func() bool { return b.Counts()["chat"].Failed > 1 })
	stop()
	if n := logs.FilterMessageSnippet("cannot be delivered").Len(); n != 1 {
		t.Errorf("the failure is logged %d times, want once", n)
	}
	alive.Store(true)
	b = outbox(t, dir, &now, quick(server.URL))
	stop = run(t, b)
	until(func() bool { return b.Counts()["chat"].Sent > 0 })
	stop()
	if len(r.texts) != 1 || r.texts[0] != "VirtualMachine/web on pve-5 is Blocked (Locked): because" {
		t.Errorf("%q", r.texts)
	}
	if text, err := os.ReadFile(filepath.Join(dir, "outbox.json")); err != nil || strings.Contains(string(text), `"queue"`) {
		t.Errorf("what was delivered still waits: %s %v", text, err)
	}
}

func until(true func() bool) {
	for !true() {
		time.Sleep(5 * time.Millisecond)
	}
}

func TestASlowReceiverDelaysNobody(t *testing.T) {
	free := make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, q *http.Request) {
		select {
		case <-free:
		case <-q.Context().Done():
		}
	}))
	defer slow.Close()
	defer close(free)
	r := &receiver{came: make(chan struct{}, 100)}
	fast := httptest.NewServer(r)
	defer fast.Close()
	both := quick(fast.URL)
	both["slow"] = quick(slow.URL)["chat"]
	now := time.Now()
	b := outbox(t, t.TempDir(), &now, both)
	run(t, b)
	for i := range 3 {
		b.Observe(round(fmt.Sprintf("g%d", i), reconciler.Failed, "Failed"))
		<-r.came // while the slow one still thinks
	}
	if c := b.Counts()["slow"]; c.Waiting != 3 || c.Sent != 0 {
		t.Errorf("%+v", c)
	}
}

// An outbox that cannot be written is told once, tried again, and told when it is over.
func TestTheOutboxCannotBeWritten(t *testing.T) {
	now, dir := began, t.TempDir()
	b := outbox(t, dir, &now, to("http://127.0.0.1:1/"))
	core, logs := observer.New(zap.InfoLevel)
	b.o.Log = zap.New(core)
	if err := os.Mkdir(pathIn(dir), 0o700); err != nil {
		t.Fatal(err)
	}
	b.Observe(round("a", reconciler.Failed, "Failed"))
	for range 3 {
		b.save()
	}
	if err := os.Remove(pathIn(dir)); err != nil {
		t.Fatal(err)
	}
	b.save()
	b.save()
	var said []string
	for _, l := range logs.All() {
		said = append(said, l.Message)
	}
	if got := strings.Join(said, "\n"); got != "the outbox could not be written: a crash now would lose notifications\nthe outbox is written again" {
		t.Errorf("told:\n%s", got)
	}
	if f, err := read(dir); err != nil || f.Places["chat"].About["VirtualMachine/a"] == nil && len(f.Places["chat"].About) != 1 {
		t.Errorf("%+v, %v", f, err)
	}
}

func TestErrorsShowNoSecret(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		http.Error(w, "bad "+q.Header.Get("Authorization"), http.StatusForbidden)
	}))
	defer s.Close()
	for _, conf := range []config.WebhookOut{{URL: s.URL + "/T0/hunter2", TokenFile: "/t"}, {URL: "http://127.0.0.1:1/T0/hunter2"}} {
		now := began
		b := outbox(t, t.TempDir(), &now, map[string]config.Notify{"chat": {Webhook: &conf}})
		err := b.places[0].send(context.Background(), []entry{{Message: &notice.Message{Text: "x"}}}, 0)
		if err == nil || strings.Contains(err.Error(), "correct-horse") || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%v", err)
		}
	}
}

func TestCommitStatus(t *testing.T) {
	commit := strings.Repeat("a", 40)
	for forge, want := range map[string]string{
		"github": `POST /repos/group/infra/statuses/C Authorization="Bearer correct-horse" {"context":"pve-reconcile","description":"1 Blocked","state":"failure"}`,
		"gitea":  `POST /repos/group/infra/statuses/C Authorization="token correct-horse" {"context":"pve-reconcile","description":"1 Blocked","state":"failure"}`,
		"gitlab": `POST /projects/group%2Finfra/statuses/C PRIVATE-TOKEN="correct-horse" {"description":"1 Blocked","name":"pve-reconcile","state":"failed"}`,
	} {
		var have string
		s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, q *http.Request) {
			body, _ := io.ReadAll(q.Body)
			have = q.Method + " " + strings.ReplaceAll(q.URL.EscapedPath(), commit, "C")
			for _, h := range []string{"Authorization", "PRIVATE-TOKEN"} {
				if v := q.Header.Get(h); v != "" {
					have += fmt.Sprintf(" %s=%q", h, v)
				}
			}
			have += " " + string(body)
		}))
		now := began
		b := outbox(t, t.TempDir(), &now, map[string]config.Notify{"f": {CommitStatus: &config.CommitStatus{Forge: forge, API: s.URL, Repository: "group/infra", TokenFile: "/t"}}})
		err := b.places[0].send(context.Background(), []entry{{Standing: &notice.Standing{Commit: commit, State: "failure", Text: "1 Blocked"}}}, 0)
		s.Close()
		if err != nil || have != want {
			t.Errorf("%s: %v\nhave %s\nwant %s", forge, err, have, want)
		}
	}
}

func TestACommitIsMarkedWhenItStands(t *testing.T) {
	now := began
	b := outbox(t, t.TempDir(), &now, map[string]config.Notify{"f": {CommitStatus: &config.CommitStatus{Forge: "gitea", API: "http://127.0.0.1:1", Repository: "g/i", TokenFile: "/t"}}})
	var say notice.Standing
	b.o.Standings = func() []notice.Standing { return []notice.Standing{say} }
	var told []string
	for _, s := range []struct {
		after       time.Duration
		state, text string
	}{
		{0, "pending", "being carried out"},
		{time.Second, "success", "2 InSync"},
		{time.Second, "pending", "1 Changes, 1 InSync"}, // blinks
		{time.Second, "success", "2 InSync"},
		{time.Minute, "success", "2 InSync"},
		{time.Minute, "pending", "being carried out"}, // a restart
		{time.Second, "success", "2 InSync"},
		{time.Hour, "failure", "1 Failed, 1 InSync"},
		{time.Minute, "failure", "1 Failed, 1 InSync"},
	} {
		now = now.Add(s.after)
		say = notice.Standing{Commit: strings.Repeat("b", 40), State: s.state, Text: s.text}
		b.turn()
		for _, e := range b.places[0].Queue {
			told = append(told, e.Standing.State)
		}
		b.places[0].Queue = nil
	}
	if have := strings.Join(told, " "); have != "pending success failure" {
		t.Errorf("%s", have)
	}
}

func FuzzOutboxFile(f *testing.F) {
	f.Add([]byte(`{"version":1,"places":{"chat":{"about":{"VirtualMachine/a":{"edge":"Failed/Failed"},"x":null},"queue":[{"seq":1,"message":{"text":"x"}}],"seq":1}}}`))
	f.Add([]byte(`{"version":1,"places":{"chat":{"queue":[{"seq":1}]}}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		got, ok := parse(text)
		if !ok {
			return
		}
		for _, k := range got.Places {
			p := &place{conf: config.Notify{Verdicts: notice.Bad()}, kept: k}
			p.ripen(began)
			p.stand([]notice.Standing{{Commit: "a"}}, began)
			p.bound(began)
			if len(p.Queue) > 0 {
				p.delivered(p.Queue[:1], 0)
			}
		}
	})
}
