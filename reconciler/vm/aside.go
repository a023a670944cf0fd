package vm

import (
	"maps"
	"slices"

	"github.com/ustclug/pve-reconcile/schema"
)

// ignore leaves alone what the manifest ignores. A device that is not there is made with all that is declared of it.
func (p *planner) ignore() {
	if len(p.want.Spec.Ignore) == 0 {
		return
	}
	known := map[string]bool{}
	for _, m := range []map[string]schema.Setting{p.wants, p.bases} {
		for key := range m {
			known[key] = true
		}
	}
	for key := range p.desired {
		known[key] = true
	}
	for _, key := range slices.Sorted(maps.Keys(known)) {
		if p.want.Ignores(key, "") {
			p.leave(key, "")
			continue
		}
		row, ok := schema.RowOf(key)
		if _, there := p.desired[key]; !ok || !there && (row.Family() || row.Drive()) {
			continue
		}
		for _, prop := range row.Props() {
			if p.want.Ignores(key, prop) {
				p.leave(key, prop)
			}
		}
	}
}

// leave takes a key, or a sub-key of it, out of what is compared: it is neither written, taken away nor noted.
func (p *planner) leave(key, prop string) {
	s, wanted := p.wants[key]
	live := p.desired[key]
	if prop != "" && wanted {
		s = s.Without(prop, live)
		if s.Source != nil && s.Mismatch(live) != "" {
			prop = "" // another kind of drive: nothing about it can be compared
		}
	}
	if prop == "" {
		p.left[key] = true
		delete(p.wants, key)
		delete(p.bases, key)
		return
	}
	p.left[key+"."+prop] = true
	if wanted {
		p.wants[key] = s
	}
	if b, ok := p.bases[key]; ok {
		p.bases[key] = b.Without(prop, live)
	}
}

// keep forgets what was given and is no longer wanted: it is noted then, as what nobody declared.
func (p *planner) keep() {
	for key, b := range p.bases {
		w, wanted := p.wants[key]
		if !wanted {
			delete(p.bases, key)
			continue
		}
		for prop := range b.Props {
			if _, ok := w.Props[prop]; !ok {
				p.bases[key] = p.bases[key].Without(prop, "")
			}
		}
	}
}
