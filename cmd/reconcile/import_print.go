package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/ustclug/pve-reconcile/reconciler/adopt"
)

// importMarks are the first column of the summary of an import.
var importMarks = map[adopt.Verdict]string{adopt.New: "+", adopt.Updated: "~", adopt.InSync: " ", adopt.Declared: " ", adopt.Refused: "!"}

func (r *imported) count(v adopt.Verdict) int {
	n := 0
	for _, f := range r.files {
		if f.Verdict == v {
			n++
		}
	}
	return n
}

// exitCode: 3 when a person is needed, 2 when something would be written, and 0 when all is as asked.
func (r *imported) exitCode() int {
	switch {
	case r.count(adopt.Refused)+len(r.unseen) > 0:
		return exitPerson
	case r.check && r.count(adopt.New)+r.count(adopt.Updated) > 0:
		return exitChanges
	}
	return exitOK
}

// print lists the guests, what became of each, and what of them is in no manifest.
func (r *imported) print(w io.Writer) {
	w = visible{w}
	for _, f := range r.files {
		where := fmt.Sprintf("(%s/%d)", f.Have.Node, f.ID.VMID)
		if f.Host != nil {
			where = "(node)"
		}
		switch f.Verdict {
		case adopt.Refused:
			fmt.Fprintf(w, "! %s %s refused\n    %s\n", f.Name, where, f.Why)
			continue
		case adopt.Declared:
			fmt.Fprintf(w, "  %s %s\n    %s\n", f.Name, where, f.Why)
			continue
		case adopt.New, adopt.Updated, adopt.InSync:
		}
		fmt.Fprintf(w, "%s %s %s %s\n", importMarks[f.Verdict], f.Name, where, f.Path)
		if len(f.Changed) > 0 {
			fmt.Fprintf(w, "    changed: %s\n", strings.Join(f.Changed, ", "))
		}
		for _, l := range f.Left {
			fmt.Fprintf(w, "    not in the manifest: %s\n", adopt.Shown(l))
		}
		for _, n := range f.Notes {
			fmt.Fprintf(w, "    note: %s\n", n)
		}
	}
	for _, u := range r.unseen {
		if u.id.VMID == 0 {
			fmt.Fprintf(w, "? %s (node)\n    %v\n", u.id.Node, u.err)
			continue
		}
		fmt.Fprintf(w, "? %d (%s)\n    %v\n", u.id.VMID, u.id.Node, u.err)
	}
	for _, name := range r.empty { // PVE lists no guest that the token may not see
		fmt.Fprintf(w, "no guest of %s is to be seen: there is none, or the token lacks VM.Audit on /vms\n", name)
	}
	fmt.Fprintln(w, r.summary())
}

func (r *imported) summary() string {
	would := ""
	if r.check {
		would = "would be "
	}
	var parts []string
	for _, p := range []struct {
		n    int
		text string
	}{
		{r.count(adopt.New), would + "written"},
		{r.count(adopt.Updated), would + "updated"},
		{r.count(adopt.InSync), "as declared"},
		{r.count(adopt.Declared), "declared already"},
		{r.count(adopt.Refused), "refused"},
		{len(r.unseen), "not seen"},
		{r.containers, "containers left out"},
	} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", p.n, p.text))
		}
	}
	if len(parts) == 0 {
		return "nothing to import"
	}
	return strings.Join(parts, ", ")
}

// importJSON is the shape of `-o json` of import, documented in docs/output.md.
type importJSON struct {
	Check      bool                `json:"check"`
	ExitCode   int                 `json:"exitCode"`
	Guests     []importedGuestJSON `json:"guests"`
	Nodes      []importedGuestJSON `json:"nodes"`
	Containers int                 `json:"containers"`
	API        apiJSON             `json:"api"`
}

type importedGuestJSON struct {
	Cluster  string         `json:"cluster"`
	Node     string         `json:"node"`
	VMID     int            `json:"vmid,omitempty"`
	Verdict  string         `json:"verdict"`
	Name     string         `json:"name,omitempty"`
	File     string         `json:"file,omitempty"`
	Why      string         `json:"why,omitempty"`
	Changed  []string       `json:"changed"`
	Leftover []leftoverJSON `json:"leftover"`
	Notes    []string       `json:"notes"`
}

func (j *importJSON) add(g importedGuestJSON) {
	if g.VMID == 0 {
		j.Nodes = append(j.Nodes, g)
	} else {
		j.Guests = append(j.Guests, g)
	}
}

type leftoverJSON struct {
	Name string `json:"name"`
	Text string `json:"text,omitempty"`
	Why  string `json:"why"`
}

func (r *imported) printJSON(w io.Writer, p *program) error {
	out := importJSON{Check: r.check, ExitCode: r.exitCode(), Guests: []importedGuestJSON{}, Nodes: []importedGuestJSON{}, Containers: r.containers, API: p.asked()}
	for _, f := range r.files {
		g := importedGuestJSON{
			Cluster: f.ID.Cluster, Node: f.Have.Node, VMID: f.ID.VMID, Verdict: string(f.Verdict), Name: f.Name, File: f.Path, Why: f.Why,
			Changed: list(f.Changed), Leftover: []leftoverJSON{}, Notes: list(f.Notes),
		}
		for _, l := range f.Left {
			g.Leftover = append(g.Leftover, leftoverJSON{l.Name(), l.Text, l.Why})
		}
		out.add(g)
	}
	for _, u := range r.unseen {
		out.add(importedGuestJSON{
			Cluster: u.id.Cluster, Node: u.id.Node, VMID: u.id.VMID, Verdict: "Unknown", Why: u.err.Error(), Changed: []string{}, Leftover: []leftoverJSON{}, Notes: []string{},
		})
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(out)
}
