package main

import (
	"context"
	"strings"

	"github.com/ustclug/pve-reconcile/manifests"
	"github.com/ustclug/pve-reconcile/reconciler"
	"github.com/ustclug/pve-reconcile/reconciler/step"
	"github.com/ustclug/pve-reconcile/reconciler/vm"
	"github.com/ustclug/pve-reconcile/schema"
)

// directive follows what a manifest says that is no setting of PVE: what reconcile itself goes by, what a node asserts, its policy.
// ok is false for all else.
func (p *program) directive(ctx context.Context, o reconciler.Object, path string) (w originJSON, ok bool, err error) {
	path = "spec." + strings.TrimPrefix(path, "spec.")
	w = originJSON{rowJSON: rowOf(vm.Row{Key: path, Path: path}), Next: []string{}, Blocked: []string{}, applied: o.Given, directs: true}
	if o.Kind == schema.KindVM {
		for _, v := range p.input.Set.VMs {
			if v.Object.Metadata.Name == o.Name {
				w.says(v.File, v.Says, v.At)
			}
		}
		if _, _, known := schema.CheckPath(path); !known || !schema.Directs(path) {
			return w, false, nil
		}
	} else {
		for _, n := range p.input.Set.Nodes {
			if n.Object.Metadata.Name == o.Name {
				w.says(n.File, n.Says, n.At)
			}
		}
		if w.Declared == "" || managed(o.Table, path) {
			return w, false, nil
		}
	}
	w.Changed, w.Cut, err = p.changed(ctx, w.File, func(text []byte) (string, bool) { return saidIn(text, w.File, o, path) })
	w.follow(o, path)
	return w, true, err
}

// says fills in what the manifest says, and where.
func (w *originJSON) says(file string, says func(string) (string, bool), at func(string) int) {
	w.File = file
	if text, ok := says(w.Path); ok {
		w.Declared, w.Line = text, at(w.Path)
	}
}

// managed tells whether a path of a node's manifest is a value that is written, or holds some.
func managed(table []vm.Row, path string) bool {
	for _, r := range table {
		if schema.Within(r.Path, path) {
			return true
		}
	}
	return false
}

// follow says what is done about a directive, and which assertions below it do not hold.
func (w *originJSON) follow(o reconciler.Object, path string) {
	asserts, assertion := strings.CutPrefix(path, "spec.assert")
	asserts = strings.TrimPrefix(asserts, ".")
	switch {
	case assertion:
		w.words = "looked at, never changed"
	case path == "spec.power":
		w.Live = o.Power
	default:
		w.words = "reconcile itself goes by it"
	}
	for _, s := range o.Plan.Steps {
		_, start := s.(step.StartVM)
		_, shutdown := s.(step.ShutdownVM)
		if path == "spec.power" && (start || shutdown) {
			w.Next = append(w.Next, s.String())
		}
	}
	for _, x := range o.Plan.Waits {
		field, _, _ := strings.Cut(x.Text, ": ")
		if assertion && (asserts == "" && x.Reason == step.AssertionFailed || schema.Within(field, asserts) || schema.Within(asserts, field)) {
			w.Blocked = append(w.Blocked, x.Reason+": "+x.Text)
		}
	}
}

// saidIn is what a version of a file says at a path of an object.
func saidIn(text []byte, file string, o reconciler.Object, path string) (value string, sound bool) {
	set := manifests.Parse(file, text)
	if set.Refused[o.Kind+"/"+o.Name] {
		return "", false
	}
	for _, v := range set.VMs {
		if o.Kind == schema.KindVM && v.Object.Metadata.Name == o.Name {
			value, _ = v.Says(path)
		}
	}
	for _, n := range set.Nodes {
		if o.Kind == schema.KindNode && n.Object.Metadata.Name == o.Name {
			value, _ = n.Says(path)
		}
	}
	return value, true
}
