package main

import (
	"fmt"
	"io"
	"time"

	"github.com/ustclug/pve-reconcile/internal/blockcopy"
	"github.com/ustclug/pve-reconcile/internal/state"
	"github.com/ustclug/pve-reconcile/reconciler"
	"github.com/ustclug/pve-reconcile/reconciler/migration"
)

// migrationJSON is where a migration stands. It is documented in docs/output.md and only grows.
type migrationJSON struct {
	Stage    string `json:"stage"`
	Number   int    `json:"number"` // of the stage
	Of       int    `json:"of"`
	Doing    string `json:"doing,omitempty"`
	Table    string `json:"table,omitempty"` // rollback or abort, while one of those is under way
	Finished bool   `json:"finished"`
	// Approve is what spec.cutover.approve has to name; left out before there is anything to approve.
	Approve    string           `json:"approve,omitempty"`
	Delta      int64            `json:"delta"`  // bytes written since the newest snapshot received
	Passes     int              `json:"passes"` // incremental ones
	Forecast   *forecastJSON    `json:"forecast,omitempty"`
	Findings   []checkJSON      `json:"findings"`
	Spaces     []spaceJSON      `json:"spaces"`
	Stages     []stageJSON      `json:"stages"`
	Progress   []state.Progress `json:"progress"`
	Elsewhere  string           `json:"elsewhere,omitempty"` // the process that makes its steps
	Background bool             `json:"background,omitempty"`
	// Awaited is who has to move, when something waits: "a commit", "the window", "a person", "the host", "PVE".
	Awaited string `json:"awaited,omitempty"`
}

type forecastJSON struct {
	Seconds float64            `json:"seconds"`
	Parts   map[string]float64 `json:"parts"`             // seconds
	Assumed []string           `json:"assumed,omitempty"` // parts that rest on figures that were not measured yet
}

type checkJSON struct {
	Check    string `json:"check"`
	Severity string `json:"severity"`
	Text     string `json:"text"`
	Fix      string `json:"fix,omitempty"`
}

type spaceJSON struct {
	Disk    string `json:"disk"`
	Content int64  `json:"content"` // bytes, as are the others
	Source  int64  `json:"source"`
	Staging int64  `json:"staging"`
	Target  int64  `json:"target"`
	Advice  string `json:"advice,omitempty"`
}

type stageJSON struct {
	Name   string `json:"name"`
	Done   bool   `json:"done"`
	Reason string `json:"reason"`
	Text   string `json:"text,omitempty"`
}

func migrationOf(o reconciler.Object) *migrationJSON {
	s := o.Migration
	if s == nil {
		return nil
	}
	out := &migrationJSON{
		Stage: s.Stage, Number: s.Number, Of: s.Of, Doing: s.Doing, Table: s.Table, Finished: s.Finished, Approve: s.Hash, Delta: s.Delta, Passes: s.Passes,
		Findings: []checkJSON{}, Spaces: []spaceJSON{}, Stages: []stageJSON{}, Progress: []state.Progress{}, Elsewhere: o.Elsewhere, Background: o.Left, Awaited: s.Awaited,
	}
	if f := s.Forecast; f != nil {
		out.Forecast = &forecastJSON{Seconds: f.Total.Seconds(), Parts: map[string]float64{}, Assumed: f.Assumed}
		for _, p := range f.Parts {
			out.Forecast.Parts[p.Name] = p.Span.Seconds()
		}
	}
	for _, f := range s.Findings {
		out.Findings = append(out.Findings, checkJSON{f.Check, string(f.Severity), f.Text, f.Fix})
	}
	for _, x := range s.Spaces {
		out.Spaces = append(out.Spaces, spaceJSON(x))
	}
	for _, c := range s.Conditions {
		out.Stages = append(out.Stages, stageJSON{c.Type, c.Status, c.Reason, c.Text})
	}
	return out
}

// standing is where a migration is, in a few words.
func standing(s *migration.Status) string {
	switch {
	case s.Finished && s.Table == "abort":
		return "aborted"
	case s.Finished:
		return "done"
	case s.Table != "":
		return fmt.Sprintf("%s, %s (%d of %d)", s.Table, s.Stage, s.Number, s.Of)
	case s.Number == 0:
		return s.Stage
	}
	return fmt.Sprintf("%s (%d of %d)", s.Stage, s.Number, s.Of)
}

// printMigration shows where a migration stands, and what a person may want to decide on.
func printMigration(w io.Writer, o reconciler.Object, whole bool) {
	s := o.Migration
	text := standing(s)
	if s.Doing != "" {
		text += ": " + s.Doing
	}
	fmt.Fprintf(w, "    stage %s\n", text)
	switch {
	case o.Elsewhere != "":
		fmt.Fprintf(w, "    at work: %s; `reconcile watch %s` shows how far it is\n", o.Elsewhere, o.Name)
	case o.Left:
		fmt.Fprintf(w, "    the next step takes long and is made beside all else\n")
	}
	if !whole {
		return
	}
	for _, x := range s.Spaces {
		fmt.Fprintf(w, "    %s: %s of content take %s on the source, %s received, %s on the target\n",
			x.Disk, blockcopy.Bytes(x.Content), blockcopy.Bytes(x.Source), blockcopy.Bytes(x.Staging), blockcopy.Bytes(x.Target))
		if x.Advice != "" {
			fmt.Fprintf(w, "        %s\n", x.Advice)
		}
	}
	for _, f := range s.Findings {
		if f.Severity == migration.Warning {
			fmt.Fprintf(w, "    warning: %s: %s\n", f.Check, f)
		}
	}
	if f := s.Forecast; f != nil {
		fmt.Fprintf(w, "    %s written since the last pass; were the guest stopped now, it would be off for about %s (%s)\n", blockcopy.Bytes(s.Delta), f.Total.Round(time.Second), f)
	}
	if s.Hash != "" {
		fmt.Fprintf(w, "    plan %s: what `cutover: {approve: %q}` in the manifest approves\n", s.Hash, s.Hash)
	}
}
