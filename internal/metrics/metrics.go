// Package metrics counts what the loop did and shows how everything stands, in Prometheus' format, with two more answers for
// whoever watches over the program: whether it makes progress, and whether it has looked at everything. It asks no host,
// decides nothing, and is never waited for by the loop.
package metrics

import (
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/ustclug/pve-reconcile/internal/loop"
	"github.com/ustclug/pve-reconcile/internal/pve"
	"github.com/ustclug/pve-reconcile/internal/state"
	"github.com/ustclug/pve-reconcile/reconciler"
)

// Sources are where the values come from that are not counted here. All of them answer at once.
type Sources struct {
	Status    func() loop.Status
	Standing  func() string // why this daemon does not act, "" when it does
	Suspended func() bool   // everything is
	Stuck     func() string // what makes no progress, "" when everything does
	Calls     func() map[string]pve.Tally
	Progress  func(migration string) []state.Progress
	Outbox    func() Outbox
	Version   string
	Now       func() time.Time
}

// Outbox is how it stands with notifications.
type Outbox struct {
	Waiting int
	Sent    map[string]int // by the name of where they go
	Failed  map[string]int // tries
	Dropped map[string]int // given up, or pushed out by newer ones
}

// Metrics are the counters of one process.
type Metrics struct {
	from     Sources
	registry *prometheus.Registry
	rounds   *prometheus.CounterVec
	round    *prometheus.HistogramVec
	steps    *prometheus.CounterVec
	step     *prometheus.HistogramVec
	events   *prometheus.CounterVec

	mu      sync.Mutex
	success map[reconciler.Key]time.Time
}

const prefix = "pve_reconcile_"

// New makes metrics that count from now.
func New(from Sources) *Metrics {
	count := func(name, text string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: prefix + name, Help: text}, labels)
	}
	spread := func(name, text string, longest float64) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: prefix + name, Help: text, Buckets: prometheus.ExponentialBucketsRange(0.01, longest, 12)}, []string{"kind"})
	}
	m := &Metrics{
		from: from, registry: prometheus.NewRegistry(), success: map[reconciler.Key]time.Time{},
		rounds: count("rounds_total", "Rounds of objects that ended, by what was found.", "kind", "verdict"),
		round:  spread("round_duration_seconds", "How long rounds of objects took, with their steps.", 3600),
		steps:  count("steps_total", "Steps that were made, or tried in vain.", "kind", "outcome"),
		step:   spread("step_duration_seconds", "How long steps took.", 86400),
		events: count("events_total", "What happened, by the type of the event.", "type"),
	}
	m.registry.MustRegister(m.rounds, m.round, m.steps, m.step, m.events, &stand{m})
	return m
}

// Observe counts an event.
func (m *Metrics) Observe(e reconciler.Event) {
	m.events.WithLabelValues(string(e.Type)).Inc()
	switch e.Type {
	case reconciler.EventRound:
		m.rounds.WithLabelValues(e.Kind, string(e.Verdict)).Inc()
		m.round.WithLabelValues(e.Kind).Observe(e.Seconds)
		if e.Verdict == reconciler.InSync {
			m.mu.Lock()
			m.success[reconciler.Key{Kind: e.Kind, Name: e.Name}] = e.Time
			m.mu.Unlock()
		}
	case reconciler.EventApplied:
		for _, s := range e.Steps {
			outcome := "made"
			if s.Error != "" {
				outcome = "failed"
			}
			m.steps.WithLabelValues(e.Kind, outcome).Inc()
			m.step.WithLabelValues(e.Kind).Observe(s.Seconds)
		}
	case reconciler.EventStarted, reconciler.EventStopped, reconciler.EventRevision, reconciler.EventSource, reconciler.EventVerdict,
		reconciler.EventSuspend, reconciler.EventResume, reconciler.EventLease:
	}
}

// Routes answers /metrics, /healthz and /readyz.
func (m *Metrics) Routes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { say(w, m.from.Stuck()) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		why := m.from.Standing()
		if why != "" {
			why = "standing by: " + why
		} else {
			why = m.from.Status().Settled()
		}
		say(w, why)
	})
	return mux
}

// say answers ok, or 503 with the reason.
func say(w http.ResponseWriter, why string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if why != "" {
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprintln(w, why)
		return
	}
	fmt.Fprintln(w, "ok")
}
