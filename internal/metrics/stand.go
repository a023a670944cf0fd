package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ustclug/pve-reconcile/internal/loop"
	"github.com/ustclug/pve-reconcile/reconciler"
	"github.com/ustclug/pve-reconcile/schema"
)

func desc(name, text string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(prefix+name, text, labels, nil)
}

var (
	build        = desc("build_info", "1, with the version of the program.", "version")
	stuck        = desc("stuck", "1 when the loop makes no progress, as /healthz says.")
	ready        = desc("ready", "1 when a revision is followed and every object was looked at once, as /readyz says.")
	standing     = desc("standing_by", "1 when another daemon acts.")
	suspended    = desc("suspended", "1 when everything is suspended.")
	passes       = desc("passes_total", "Passes over everything that were begun.")
	queue        = desc("queue_objects", "Objects in the queue, by where they are.", "phase")
	calls        = desc("api_calls_total", "Requests to the API of a cluster.", "cluster")
	writes       = desc("api_writes_total", "Of these, the ones that change something.", "cluster")
	sent         = desc("api_sent_bytes_total", "Bytes of request bodies.", "cluster")
	received     = desc("api_received_bytes_total", "Bytes of answer bodies.", "cluster")
	revision     = desc("revision_info", "1, with the revision that is followed.", "revision")
	sourceAge    = desc("source_age_seconds", "How long ago the source last answered.")
	sourceFailed = desc("source_failing", "1 when the source cannot be read, or its newest revision is not followed in full.")
	objects      = desc("objects", "Objects that the manifests declare.")
	problems     = desc("manifest_problems", "Problems of the manifests.")
	verdict      = desc("object_verdict", "1, with what is said of an object.", "kind", "name", "cluster", "verdict")
	success      = desc("object_last_success_age_seconds", "How long ago an object was last found or made as declared; left out when it never was.", "kind", "name", "cluster")
	moved        = desc("migration_bytes", "Bytes that a long step of a migration has behind it.", "name", "step", "disk")
	total        = desc("migration_total_bytes", "Bytes that it has altogether; left out when that is not known.", "name", "step", "disk")
	rate         = desc("migration_bytes_per_second", "How fast it goes.", "name", "step", "disk")
	waiting      = desc("notifications_waiting", "Notifications that were not delivered yet.")
	told         = desc("notifications_sent_total", "Notifications that were delivered.", "to")
	failed       = desc("notifications_failed_total", "Tries to deliver one that failed.", "to")
	dropped      = desc("notifications_dropped_total", "Notifications that were given up, or pushed out by newer ones.", "to")
)

// stand collects how everything stands at the moment of a scrape.
type stand struct{ *Metrics }

// Describe promises nothing: which series there are depends on the manifests.
func (s *stand) Describe(chan<- *prometheus.Desc) {}

// Collect reads all that is not counted.
func (s *stand) Collect(out chan<- prometheus.Metric) {
	c := collection{out}
	st, now := s.from.Status(), s.from.Now()
	why := s.from.Standing()
	c.gauge(build, 1, s.from.Version)
	c.flag(stuck, s.from.Stuck() != "")
	c.flag(standing, why != "")
	c.flag(ready, why == "" && st.Settled() == "")
	c.flag(suspended, s.from.Suspended())
	c.count(passes, float64(st.Pulse.Passes))
	for phase, n := range map[string]int{"ready": st.Queue.Ready, "working": st.Queue.Working, "pausing": len(st.Queue.Pausing)} {
		c.gauge(queue, float64(n), phase)
	}
	for name, t := range s.from.Calls() {
		c.count(calls, float64(t.Calls), name)
		c.count(writes, float64(t.Writes), name)
		c.count(sent, float64(t.Sent), name)
		c.count(received, float64(t.Received), name)
	}
	if st.Source.Revision.Commit != "" {
		c.gauge(revision, 1, st.Source.Revision.Commit)
	}
	if !st.Source.Seen.IsZero() {
		c.gauge(sourceAge, now.Sub(st.Source.Seen).Seconds())
	}
	c.flag(sourceFailed, st.Source.Error != "" || st.Source.Finding != nil)
	c.gauge(objects, float64(st.Objects))
	c.gauge(problems, float64(len(st.Problems)))
	s.items(c, st, now)
	o := s.from.Outbox()
	c.gauge(waiting, float64(o.Waiting))
	for d, by := range map[*prometheus.Desc]map[string]int{told: o.Sent, failed: o.Failed, dropped: o.Dropped} {
		for to, n := range by {
			c.count(d, float64(n), to)
		}
	}
}

// items are the series of objects. Those of objects that are gone end.
func (s *stand) items(c collection, st loop.Status, now time.Time) {
	s.mu.Lock()
	seen := s.success
	s.success = map[reconciler.Key]time.Time{}
	last := map[reconciler.Key]time.Time{}
	for _, it := range st.Items {
		k := reconciler.Key{Kind: it.Object.Kind, Name: it.Object.Name}
		at, ok := seen[k]
		if ok {
			s.success[k] = at
		}
		if it.Object.Since.After(at) {
			at = it.Object.Since
		}
		last[k] = at
	}
	s.mu.Unlock()
	done := map[reconciler.Key]bool{}
	for _, it := range st.Items {
		k := reconciler.Key{Kind: it.Object.Kind, Name: it.Object.Name}
		if done[k] { // two orphans may have one name: the first stands for both
			continue
		}
		done[k] = true
		c.gauge(verdict, 1, k.Kind, k.Name, it.Object.ID.Cluster, string(it.Object.Verdict))
		if at := last[k]; !at.IsZero() && it.Object.Verdict != reconciler.Orphaned { // nobody looks after an orphan any more
			c.gauge(success, now.Sub(at).Seconds(), k.Kind, k.Name, it.Object.ID.Cluster)
		}
		if k.Kind != schema.KindMigration {
			continue
		}
		for _, p := range s.from.Progress(k.Name) {
			c.gauge(moved, float64(p.Done), k.Name, p.Step, p.Disk)
			c.gauge(rate, float64(p.Rate), k.Name, p.Step, p.Disk)
			if p.Total > 0 {
				c.gauge(total, float64(p.Total), k.Name, p.Step, p.Disk)
			}
		}
	}
}

type collection struct{ out chan<- prometheus.Metric }

func (c collection) gauge(d *prometheus.Desc, v float64, labels ...string) {
	c.out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

func (c collection) count(d *prometheus.Desc, v float64, labels ...string) {
	c.out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, labels...)
}

func (c collection) flag(d *prometheus.Desc, yes bool) {
	v := 0.0
	if yes {
		v = 1
	}
	c.gauge(d, v)
}
