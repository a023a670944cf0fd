package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/ustclug/pve-reconcile/manifests"
	"github.com/ustclug/pve-reconcile/reconciler"
	"github.com/ustclug/pve-reconcile/reconciler/step"
	"github.com/ustclug/pve-reconcile/reconciler/vm"
	"github.com/ustclug/pve-reconcile/schema"
)

// pickOfNode finds the values that a person means by a path of a node's manifest, with or without the spec before it.
func pickOfNode(table []vm.Row, path string) ([]vm.Row, error) {
	path = strings.TrimPrefix(path, "spec.")
	var out []vm.Row
	var names []string
	for _, r := range table {
		if schema.Within(r.Name(), path) {
			out = append(out, r)
		}
		part, _, _ := strings.Cut(r.Name(), ".")
		names = append(names, r.Name(), part)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%q is not in the manifest of this node%s", path, didYouMean(path, names))
	}
	return out, nil
}

// originOfNode follows one value of a node back into git and ahead to what is done about it.
func (p *program) originOfNode(ctx context.Context, o reconciler.Object, r vm.Row, w *originJSON) error {
	for _, n := range p.input.Set.Nodes {
		if n.Object.Metadata.Name == o.Name {
			w.File, w.Line = n.File, n.At(r.Path)
		}
	}
	var err error
	if w.Changed, w.Cut, err = p.changed(ctx, w.File, func(text []byte) (string, bool) { return declaredOfNode(text, w.File, o.Name, r.Path) }); err != nil {
		return err
	}
	for _, s := range o.Plan.Steps {
		if settled(r) && about(s, r.Name()) {
			w.Next = append(w.Next, s.String())
		}
	}
	for _, x := range o.Plan.Waits {
		field, _, _ := strings.Cut(x.Text, ": ")
		if schema.Within(r.Name(), field) || schema.Within(field, r.Name()) {
			w.Blocked = append(w.Blocked, x.Reason+": "+x.Text)
		}
	}
	switch {
	case r.Ignored:
		w.Blocked = append(w.Blocked, "the manifest ignores it")
	case r.Report:
		w.Blocked = append(w.Blocked, "driftPolicy is Report: write the live value into the manifest, or the declared one to the host")
	}
	return nil
}

// declaredOfNode is what a version of a file says of a value of a node.
func declaredOfNode(text []byte, file, name, path string) (value string, sound bool) {
	set := manifests.Parse(file, text)
	if set.Refused[schema.KindNode+"/"+name] {
		return "", false
	}
	for _, n := range set.Nodes {
		if n.Object.Metadata.Name != name {
			continue
		}
		for _, v := range n.Object.Values() {
			if v.Path == path {
				return v.Text, true
			}
		}
	}
	return "", true
}

// about tells whether a step changes a value of a node.
func about(s step.Step, name string) bool {
	switch s := s.(type) {
	case step.CreateStorage:
		return schema.Within(name, "storages."+s.Storage)
	case step.SetStorage:
		return schema.Within(name, "storages."+s.Storage)
	case step.SetNetwork:
		for _, i := range s.Interfaces {
			if schema.Within(name, "network.interfaces."+i.Name) {
				return true
			}
		}
	case step.SetDNS:
		return schema.Within(name, "dns")
	case step.SetTimeZone:
		return schema.Within(name, "timeZone")
	case step.AddHosts:
		return schema.Within(name, "hosts")
	case step.SetDatacenter:
		return schema.Within(name, "datacenter")
	default: // changes a guest
	}
	return false
}
