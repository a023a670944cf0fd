package main

import (
	"encoding/json"
	"io"
	"maps"
	"time"

	"go.uber.org/zap"

	"github.com/ustclug/pve-reconcile/internal/loop"
	"github.com/ustclug/pve-reconcile/internal/source"
	"github.com/ustclug/pve-reconcile/internal/state"
	"github.com/ustclug/pve-reconcile/reconciler"
	"github.com/ustclug/pve-reconcile/reconciler/admit"
	"github.com/ustclug/pve-reconcile/reconciler/step"
)

// reportJSON is the shape of `-o json` of plan, status and --once. It is documented in docs/output.md and only grows.
type reportJSON struct {
	Revision source.Revision `json:"revision"`
	ExitCode int             `json:"exitCode"`
	Stopped  bool            `json:"stopped,omitempty"`
	Source   *findingJSON    `json:"source,omitempty"`
	Objects  []objectJSON    `json:"objects"`
	Problems []problemJSON   `json:"problems"`
	Notes    []string        `json:"notes"`
	API      apiJSON         `json:"api"`
	// Suspended: everything is, and why.
	Suspended string `json:"suspended,omitempty"`
	// Daemon: what the daemon that answered says of itself; left out when none did.
	Daemon *daemonJSON `json:"daemon,omitempty"`
}

// findingJSON is why a revision is not let through, or not in full.
type findingJSON struct {
	Reason  string   `json:"reason"`
	Text    string   `json:"text"`
	Advice  string   `json:"advice"`
	Dropped []string `json:"dropped"`
	Added   []string `json:"added"`
}

func findingOf(f *admit.Finding) *findingJSON {
	if f == nil {
		return nil
	}
	return &findingJSON{string(f.Reason), f.Text, f.Advice, list(f.Dropped), list(f.Added)}
}

// finding is what was printed as JSON.
func (f *findingJSON) finding() *admit.Finding {
	if f == nil {
		return nil
	}
	return &admit.Finding{Reason: admit.Reason(f.Reason), Text: f.Text, Advice: f.Advice, Dropped: f.Dropped, Added: f.Added}
}

type objectJSON struct {
	Kind    string     `json:"kind"`
	Name    string     `json:"name"`
	Cluster string     `json:"cluster,omitempty"`
	Node    string     `json:"node,omitempty"`
	VMID    int        `json:"vmid,omitempty"`
	UUID    string     `json:"uuid,omitempty"`
	Power   string     `json:"power,omitempty"`
	Verdict string     `json:"verdict"`
	Steps   []string   `json:"steps"`
	Waits   []waitJSON `json:"waits"`
	Restart []string   `json:"restart"`
	Notes   []string   `json:"notes"`
	Diffs   []diffJSON `json:"diffs"`
	Others  []taskJSON `json:"others"`
	Done    []doneJSON `json:"done"`
	Error   string     `json:"error,omitempty"`
	Alarm   string     `json:"alarm,omitempty"`
	Applied string     `json:"applied,omitempty"`
	InSync  time.Time  `json:"inSync,omitzero"`
	// Message is what matters most, in one line.
	Message    string                 `json:"message,omitempty"`
	Suspended  *state.Suspension      `json:"suspended,omitempty"`
	Conditions []reconciler.Condition `json:"conditions"`
	Looked     time.Time              `json:"looked,omitzero"`
	// Migration is where a Migration stands; left out for other kinds.
	Migration *migrationJSON `json:"migration,omitempty"`
}

type waitJSON struct {
	Reason string `json:"reason"`
	Text   string `json:"text"`
}

type diffJSON struct {
	Name  string `json:"name"`
	Path  string `json:"path,omitempty"`
	Cause string `json:"cause"`
	Base  string `json:"base,omitempty"`
	Have  string `json:"have,omitempty"`
	Want  string `json:"want,omitempty"`
	// Report: left alone because of the driftPolicy.
	Report bool `json:"report,omitempty"`
}

type taskJSON struct {
	UPID string    `json:"upid"`
	Type string    `json:"type"`
	User string    `json:"user"`
	When time.Time `json:"when"`
}

type doneJSON struct {
	Step     string   `json:"step"`
	Tasks    []string `json:"tasks"`
	Warnings []string `json:"warnings"`
	Seconds  float64  `json:"seconds"`
}

// apiJSON counts what the pass asked of all clusters.
type apiJSON struct {
	Calls  int64 `json:"calls"`
	Writes int64 `json:"writes"`
	Bytes  int64 `json:"bytes"`
}

func printJSON(w io.Writer, p *program, r reconciler.Report) error { return encode(w, p.report(r)) }

// report is a pass in the documented shape.
func (p *program) report(r reconciler.Report) reportJSON {
	out := reportJSON{Revision: p.revision, ExitCode: r.ExitCode(), Stopped: r.Stopped, Objects: []objectJSON{}, Problems: problemsJSON(r.Problems), Notes: list(r.Notes)}
	out.Source = findingOf(r.Source)
	now, before := time.Now(), p.conditions()
	for _, o := range r.Objects {
		j := objectOf(o)
		p.progress(&j)
		j.Conditions = reconciler.Conditions(o, before[o.Kind+"/"+o.Name], now)
		out.Objects = append(out.Objects, j)
	}
	out.API = p.asked()
	out.Suspended = p.suspended()
	return out
}

// encode prints JSON for people and scripts alike.
func encode(w io.Writer, out any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(out)
}

// asked counts the calls to all clusters.
func (p *program) asked() apiJSON {
	var out apiJSON
	for _, c := range p.clusters {
		t := c.Calls()
		out.Calls += t.Calls
		out.Writes += t.Writes
		out.Bytes += t.Sent + t.Received
	}
	return out
}

func objectOf(o reconciler.Object) objectJSON {
	j := objectJSON{
		Kind: o.Kind, Name: o.Name, Cluster: o.ID.Cluster, Node: o.ID.Node, VMID: o.ID.VMID, UUID: o.UUID, Power: o.Power, Verdict: string(o.Verdict),
		Steps: step.Texts(o.Plan.Steps), Waits: []waitJSON{}, Restart: list(o.Plan.Restart), Notes: list(o.Plan.Notes), Diffs: []diffJSON{}, Others: []taskJSON{}, Done: []doneJSON{},
		Applied: o.Base, InSync: o.Since, Message: message(o), Suspended: o.Suspended, Migration: migrationOf(o), Conditions: []reconciler.Condition{},
	}
	for _, w := range o.Plan.Waits {
		j.Waits = append(j.Waits, waitJSON(w))
	}
	for _, d := range o.Found {
		j.Diffs = append(j.Diffs, diffJSON{d.Name(), d.Path, string(d.Cause), d.Base, d.Have, d.Want, d.Report})
	}
	for _, t := range o.Others {
		j.Others = append(j.Others, taskJSON{t.UPID, t.Type, t.User, time.Unix(t.At, 0).UTC()})
	}
	for _, d := range o.Done {
		j.Done = append(j.Done, doneJSON{d.Step.String(), list(d.Outcome.Tasks), list(d.Outcome.Warnings), d.Took.Seconds()})
	}
	j.Alarm = o.Alarm
	if o.Err != nil {
		j.Error = o.Err.Error()
	}
	return j
}

// list makes an absent list an empty one: scripts can count on it.
func list(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}

// conditions are those that objects had before, by "Kind/name". Without them they count from now.
func (p *program) conditions() map[string][]reconciler.Condition {
	before, err := loop.Remember(p.config.StateDir)
	if err != nil {
		p.log.Warn("since when conditions are as they are is not known", zap.Error(err))
	}
	return before
}

// keepConditions notes since when conditions are as they are after a run.
func (p *program) keepConditions(r reconciler.Report) {
	before, now := p.conditions(), map[string][]reconciler.Condition{}
	maps.Copy(now, before)
	for _, o := range r.Objects {
		key := o.Kind + "/" + o.Name
		now[key] = reconciler.Conditions(o, before[key], time.Now())
	}
	if err := loop.Keep(p.config.StateDir, before, now); err != nil {
		p.log.Warn("since when conditions are as they are could not be noted", zap.Error(err))
	}
}
