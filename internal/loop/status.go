package loop

import (
	"slices"
	"strings"

	"github.com/ustclug/pve-reconcile/internal/source"
	"github.com/ustclug/pve-reconcile/internal/strictyaml"
	"github.com/ustclug/pve-reconcile/reconciler"
)

// Status is what a loop has to say.
type Status struct {
	Source   Source
	Items    []Item // by kind and name; one that was not looked at yet is not among them
	Queue    reconciler.Depth
	Problems []strictyaml.Problem
	Objects  int // that the manifests declare
	Looked   int // of these, the ones that were looked at
	Pulse    Pulse
}

// Status says how everything stands now. It asks nobody.
func (l *Loop) Status() Status {
	l.mu.Lock()
	s := Status{Source: l.source, Pulse: l.pulse}
	now := l.current
	l.mu.Unlock()
	s.Queue = l.queue.Depth()
	if now != nil {
		s.Problems, s.Objects = now.pass.Set.Problems, len(now.pass.Keys())
		if s.Source.Finding == nil {
			s.Source.Finding = now.pass.Finding
		}
	}
	l.board.mu.Lock()
	s.Looked = len(l.board.items)
	for _, it := range l.board.items {
		s.Items = append(s.Items, it)
	}
	s.Items = append(s.Items, l.board.others...)
	l.board.mu.Unlock()
	slices.SortStableFunc(s.Items, func(a, b Item) int {
		return strings.Compare(a.Object.Kind+"/"+a.Object.Name, b.Object.Kind+"/"+b.Object.Name)
	})
	return s
}

// Blind tells that nothing was looked at yet, neither the source nor any object: what is not said is not known.
func (s Status) Blind() bool {
	switch {
	case s.Source.Error != "" || s.Source.Finding != nil:
		return false
	case s.Source.Revision.Commit == "":
		return true
	}
	return s.Objects > 0 && s.Looked == 0
}

// Report is the status in the shape of a pass.
func (s Status) Report() reconciler.Report {
	r := reconciler.Report{Revision: s.Source.Revision.Commit, Source: s.Source.Finding, Problems: s.Problems}
	for _, it := range s.Items {
		r.Objects = append(r.Objects, it.Object)
	}
	return r
}

// Look looks at the source and at every object now; with names, at these objects only, whatever happened to them before. It
// returns the names that no manifest has.
func (l *Loop) Look(names []string) (unknown []string) {
	now := l.now()
	if len(names) == 0 {
		l.Trigger()
		if now != nil {
			l.queue.Urge(now.pass.Keys()...)
		}
		return nil
	}
	for _, name := range names {
		found := false
		for _, k := range l.keys(now) {
			if k.Name == name || k.String() == name {
				l.queue.Urge(k)
				found = true
			}
		}
		if !found {
			unknown = append(unknown, name)
		}
	}
	return unknown
}

func (l *Loop) keys(w *work) []reconciler.Key {
	if w == nil {
		return nil
	}
	return w.pass.Keys()
}

// Declares finds the objects that a name means: a name, or kind and name.
func (l *Loop) Declares(name string) []reconciler.Key {
	var out []reconciler.Key
	for _, k := range l.keys(l.now()) {
		if k.Name == name || k.String() == name {
			out = append(out, k)
		}
	}
	return out
}

// Emit tells those who watch of something that happened beside the loop.
func (l *Loop) Emit(e reconciler.Event) { l.emit(e) }

// Revision is the one that is followed; the zero value before any is.
func (l *Loop) Revision() source.Revision {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.source.Revision
}
