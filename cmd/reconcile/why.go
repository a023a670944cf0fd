package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/ustclug/pve-reconcile/internal/source"
	"github.com/ustclug/pve-reconcile/manifests"
	"github.com/ustclug/pve-reconcile/reconciler"
	"github.com/ustclug/pve-reconcile/reconciler/step"
	"github.com/ustclug/pve-reconcile/reconciler/vm"
	"github.com/ustclug/pve-reconcile/schema"
)

func runWhy(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	c, p, words, code, done := closely(ctx, "why", args, stdout, stderr, "NAME", "PATH (spec.memory, or PVE's key memory)")
	if done {
		return code
	}
	o, _, err := p.object(ctx, words[0])
	if err != nil {
		return failed(stderr, err)
	}
	origins, err := p.origins(ctx, o, words[1])
	if err != nil {
		return failed(stderr, err)
	}
	if c.output == "json" {
		err = writeJSON(stdout, map[string]any{"revision": p.revision, "name": o.Name, "verdict": string(o.Verdict), "values": origins})
		if err != nil {
			return failed(stderr, err)
		}
		return exitOK
	}
	for i, w := range origins {
		if i > 0 {
			fmt.Fprintln(stdout)
		}
		printOrigin(stdout, o, w)
	}
	return exitOK
}

// origins follows all values that a person means by a path.
func (p *program) origins(ctx context.Context, o reconciler.Object, path string) ([]originJSON, error) {
	if w, ok, err := p.directive(ctx, o, path); ok || err != nil {
		return []originJSON{w}, err
	}
	look := pick
	if o.Kind == schema.KindNode {
		look = pickOfNode
	}
	rows, err := look(o.Table, path)
	var out []originJSON
	for _, r := range rows {
		w, err := p.origin(ctx, o, r)
		if err != nil {
			return nil, err
		}
		out = append(out, w)
	}
	return out, err
}

// pick finds the values a person means by a path of the manifest, a key or a sub-key of PVE.
func pick(table []vm.Row, path string) ([]vm.Row, error) {
	var out []vm.Row
	var names []string
	for _, r := range table {
		if r.Name() == path || r.Path == path {
			return []vm.Row{r}, nil
		}
		if r.Key == path || schema.Within(r.Path, path) {
			out = append(out, r)
		}
		names = append(names, r.Name(), r.Path)
	}
	if len(out) > 0 {
		return out, nil
	}
	word, among, ok := schema.CheckPath(path)
	if ok {
		return []vm.Row{{Key: path, Path: path}}, nil // nobody says anything about it
	}
	if len(among) == 0 {
		among = names
	}
	return nil, fmt.Errorf("%q is neither a path of the manifest nor a key of this guest%s", path, didYouMean(word, among))
}

// originJSON is one value of `why -o json`, documented in docs/output.md.
type originJSON struct {
	rowJSON
	File    string           `json:"file,omitempty"`
	Line    int              `json:"line,omitempty"`
	Changed *source.Revision `json:"changed,omitempty"` // the commit that last changed what the manifest says
	Cut     bool             `json:"cut,omitempty"`     // the history ends before that commit is certain
	Next    []string         `json:"next"`
	Blocked []string         `json:"blocked"`
	applied string
	words   string
	directs bool // it is for reconcile itself, and PVE has no such setting
}

// origin follows one value back into git and ahead to what is done about it.
func (p *program) origin(ctx context.Context, o reconciler.Object, r vm.Row) (originJSON, error) {
	w := originJSON{rowJSON: rowOf(r), Next: []string{}, Blocked: []string{}, applied: o.Given, words: rowWords(r, o)}
	if o.Kind == schema.KindNode {
		err := p.originOfNode(ctx, o, r, &w)
		return w, err
	}
	for _, v := range p.input.Set.VMs {
		if v.Object.Metadata.Name != o.Name {
			continue
		}
		w.File = v.File
		if r.Declared != "" {
			path := r.Path
			if path == "spec.name" && v.Object.Spec.Name == "" {
				path = "metadata.name"
			}
			if w.Line = v.At(path); path == "spec.uuid" && v.Object.Spec.UUID == "" {
				w.Line = 0 // derived
			}
		}
	}
	var err error
	if w.Changed, w.Cut, err = p.changed(ctx, w.File, func(text []byte) (string, bool) { return declaredIn(text, w.File, o.Name, r) }); err != nil {
		return w, err
	}
	w.ahead(o, r)
	return w, nil
}

// changed finds the commit that made the manifest say what it says of a value; nil when it never said anything of it.
func (p *program) changed(ctx context.Context, file string, declared func(text []byte) (string, bool)) (found *source.Revision, cut bool, err error) {
	var now string
	first, ever := true, false
	cut, err = p.source.History(ctx, p.revision.Commit, file, func(v source.Version) bool {
		text, sound := declared(v.Content)
		switch {
		case first:
			now, first = text, false
		case !sound:
			return true // what was refused then gave nothing
		case text != now:
			ever = true
			return false
		}
		found, ever = &v.Revision, ever || text != ""
		return true
	})
	if !ever {
		return nil, false, err
	}
	return found, cut, err
}

// declaredIn is what a version of a file says of a value of an object.
func declaredIn(text []byte, file, name string, r vm.Row) (value string, sound bool) {
	set := manifests.Parse(file, text)
	if set.Refused[schema.KindVM+"/"+name] {
		return "", false
	}
	for _, v := range set.VMs {
		if v.Object.Metadata.Name == name {
			return v.Object.Declares(r.Key, r.Prop), true
		}
	}
	return "", true
}

// ahead says what is done about a value, and what keeps it from being done.
func (w *originJSON) ahead(o reconciler.Object, r vm.Row) {
	for _, s := range o.Plan.Steps {
		if _, creates := s.(step.CreateVM); touches(s, r.Key) && (creates || settled(r)) {
			w.Next = append(w.Next, s.String())
		}
	}
	for _, x := range o.Plan.Waits {
		if len(o.Plan.Steps) == 0 && len(o.Plan.Diffs) == 0 || mentions(x.Text, r.Key) {
			w.Blocked = append(w.Blocked, x.Reason+": "+x.Text)
		}
	}
	switch {
	case r.Ignored:
		w.Blocked = append(w.Blocked, "the manifest ignores it")
	case r.Report:
		w.Blocked = append(w.Blocked, "driftPolicy is Report: write the live value into the manifest, or the declared one to the host")
	case slices.Contains(o.Plan.Restart, r.Key) && o.Power == "stopped":
		w.Blocked = append(w.Blocked, "the guest is stopped: its next start makes it so")
	case slices.Contains(o.Plan.Restart, r.Key):
		w.Blocked = append(w.Blocked, "the guest runs: it needs a restart; with power: Running, restartPolicy: Allowed lets a run make one")
	}
}

// settled tells whether a step that touches the key is about this value of it.
func settled(r vm.Row) bool {
	return !r.Report && (r.Cause == step.Git || r.Cause == step.New || r.Cause == step.Drift)
}

// mentions tells whether a text has a key as a word of its own.
func mentions(text, key string) bool {
	return slices.Contains(strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(" :,()`", r) }), key)
}

// touches tells whether a step changes a key.
func touches(s step.Step, key string) bool {
	switch s := s.(type) {
	case step.CreateVM:
		_, ok := s.Set[key]
		return ok
	case step.SetConfig:
		_, ok := s.Set[key]
		return ok || slices.Contains(s.Delete, key) || slices.Contains(s.Revert, key)
	case step.ResizeDisk:
		return s.Disk == key
	case step.StartVM, step.ShutdownVM, step.DeleteVM, step.CreateStorage, step.SetStorage, step.SetNetwork, step.SetDNS, step.SetTimeZone, step.AddHosts, step.SetDatacenter,
		step.SnapshotDisks, step.HoldSnapshots, step.DestroySnapshots, step.CreateStaging, step.SendSnapshot, step.AbortReceive, step.CopyDisk, step.HashSnapshot,
		step.SetProperties, step.ShutdownSource, step.StartSource, step.MaskSource, step.DestroyDataset, step.RollbackStaging, step.TrimGuest:
	}
	return false
}

func printOrigin(out io.Writer, o reconciler.Object, w originJSON) {
	out = visible{out}
	line := func(name, format string, args ...any) {
		fmt.Fprintln(out, strings.TrimRight(fmt.Sprintf("  %-13s %s", name, fmt.Sprintf(format, args...)), " "))
	}
	fmt.Fprintf(out, "%s of %s", w.Name, called(o))
	if w.Path != "" && w.Path != w.Name {
		fmt.Fprintf(out, ", %s", w.Path)
	}
	fmt.Fprintln(out)
	switch {
	case w.Declared == "":
		line("declared", "not in %s", w.File)
	case w.Line == 0:
		line("declared", "%s  (derived from owner, cluster and vmid)", brief(w.Declared))
	default:
		line("declared", "%s  (%s:%d)", brief(legible(w.Name, w.Declared)), w.File, w.Line)
	}
	switch {
	case w.Changed != nil && w.Cut:
		line("since", "%s or before, where the history read ends", w.Changed.Short())
	case w.Changed != nil:
		line("since", "%s %q by %s, %s", w.Changed.Short(), w.Changed.Subject, w.Changed.Author, w.Changed.When.UTC().Format("2006-01-02 15:04"))
	}
	switch {
	case w.directs:
	case w.applied == "":
		line("last applied", "nothing yet")
	default:
		line("last applied", "%s  (%s)", brief(legible(w.Name, w.Applied)), shorten(w.applied))
	}
	if !w.directs || w.Live != "" {
		line("live", "%s", brief(legible(w.Name, w.Live)))
	}
	if w.Cause == string(step.Drift) && (o.Kind != schema.KindNode || schema.Within(w.Path, "spec.network")) {
		for _, t := range o.Others[:min(mostTasks, len(o.Others))] {
			line("maybe by", "%s", deed(t))
		}
	}
	if w.Pending != "" {
		line("next start", "%s", brief(legible(w.Name, w.Pending)))
	}
	if w.words != "" {
		line("why", "%s", w.words)
	}
	switch {
	case len(w.Next) > 0:
		line("next", "%s", strings.Join(w.Next, "; "))
	case len(w.Blocked) == 0:
		line("next", "nothing to do")
	}
	for _, b := range w.Blocked {
		line("held back by", "%s", b)
	}
}
