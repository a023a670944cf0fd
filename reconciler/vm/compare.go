package vm

import (
	"slices"

	"github.com/ustclug/pve-reconcile/reconciler/step"
	"github.com/ustclug/pve-reconcile/schema"
)

// compare says of every declared value that is not what lives why it is not. It finds what change then acts on.
func (p *planner) compare() {
	for _, key := range keys(p.wants) {
		s := p.wants[key]
		live, ok := p.desired[key]
		switch {
		case s.Source != nil && ok:
			p.compareDrive(s, live)
		case s.Row.Scalar() || !ok && s.Row.Family() || s.Source != nil:
			if !ok || !s.Same(live, ok, p.base(key), p.have.Facts) {
				p.compareAll(s, live, ok)
			}
		default:
			p.compareProps(s, live)
		}
	}
}

// compareAll adds a difference of a whole key.
func (p *planner) compareAll(s schema.Setting, live string, ok bool) {
	if !ok && s.Row.Scalar() && s.Same(live, ok, p.base(s.Key), p.have.Facts) {
		return
	}
	d := step.Diff{Have: live, Want: s.Print()}
	if b := p.given(s.Key); b != nil {
		d.Base = b.Print()
	}
	p.declared(s, "", d)
}

// compareProps adds a difference for each sub-key of a property string.
func (p *planner) compareProps(s schema.Setting, live string) {
	base := p.base(s.Key)
	differs, dropped := s.Differs(live, p.have.Facts), s.Dropped(live, base, p.have.Facts)
	if len(differs)+len(dropped) == 0 {
		return
	}
	props := s.Row.Parse(live)
	for _, prop := range differs {
		d := step.Diff{Have: props[prop], Want: s.Props[prop]}
		if given := p.given(s.Key); given != nil {
			d.Base = given.Props[prop]
		}
		p.declared(s, prop, d)
	}
	for _, prop := range dropped {
		p.differ(s.Row, step.Diff{Key: s.Key, Prop: prop, Cause: step.Git, Base: base.Props[prop], Have: props[prop]})
	}
}

// compareDrive adds what differs of a drive that is there: what it holds, its options, its size.
func (p *planner) compareDrive(s schema.Setting, live string) {
	props := s.Row.Parse(live)
	foreign := s.Mismatch(live) != ""
	if foreign || !s.SameImage(live) {
		want, field := s.Source.Form()
		d := step.Diff{Path: schema.PathOf(s.Key, "") + "." + field, Have: props["file"], Want: want}
		if given := p.given(s.Key); given != nil {
			d.Base, _ = given.Source.Form()
		}
		p.declared(s, schema.PropFile, d)
	}
	if left, ok := p.wants[s.Key]; foreign && ok && left.Mismatch(live) == "" {
		s = left // where it is was only reported: the rest counts
	} else if foreign {
		return
	}
	p.compareProps(s, live)
	size, known := p.size(props)
	if src := s.Source; src.Size.Bytes > 0 && src.Allocates() && !src.CloudInit && known && !asLarge(src.Size, size) {
		d := step.Diff{Have: schema.Size{Bytes: size}.PVE(), Want: src.Size.PVE()}
		if given := p.given(s.Key); given != nil && given.Source.Size.Bytes > 0 {
			d.Base = given.Source.Size.PVE()
		}
		p.declared(s, schema.PropSize, d)
	}
}

// size is how large a volume is: as its storage says, where it was asked, else as the config says.
func (p *planner) size(props map[string]string) (bytes int64, known bool) {
	if real, ok := p.have.Sizes[props["file"]]; ok {
		return real, true
	}
	written, known := schema.ParsePVESize(props["size"])
	return written, known
}

// declared adds a difference of something declared, with its cause.
func (p *planner) declared(s schema.Setting, prop string, d step.Diff) {
	d.Key, d.Prop = s.Key, prop
	was, unchanged := s.Since(p.given(s.Key), prop, p.have.Facts)
	begun, _ := s.Since(p.base(s.Key), prop, p.have.Facts)
	switch {
	case !was && !begun:
		d.Cause = step.New
	case was && unchanged:
		d.Cause = step.Drift
	default:
		d.Cause = step.Git
	}
	if len(s.Row.Leaves) == 1 && !s.Row.Drive() {
		d.Prop = "" // memory is written current=: people know it by its key
	}
	if d.Report = d.Cause == step.Drift && p.want.Spec.DriftPolicy == "Report"; d.Report {
		p.leave(d.Key, d.Prop)
	}
	p.differ(s.Row, d)
}

// differ adds a difference, secrets hidden.
func (p *planner) differ(row *schema.Row, d step.Diff) {
	if row != nil && row.Secret() {
		for _, v := range []*string{&d.Base, &d.Have, &d.Want} {
			if *v != "" {
				*v = "***"
			}
		}
	}
	if d.Path == "" {
		d.Path = schema.PathOf(d.Key, d.Prop)
	}
	p.Diffs = append(p.Diffs, d)
}

func (p *planner) base(key string) *schema.Setting  { return find(p.bases, key) }
func (p *planner) given(key string) *schema.Setting { return find(p.givens(), key) }

func find(m map[string]schema.Setting, key string) *schema.Setting {
	if s, ok := m[key]; ok {
		return &s
	}
	return nil
}

// ordered sorts differences by key and sub-key.
func ordered(diffs []step.Diff) {
	slices.SortStableFunc(diffs, func(a, b step.Diff) int {
		if c := schema.CompareKeys(a.Key, b.Key); c != 0 {
			return c
		}
		return slices.Compare([]string{a.Prop}, []string{b.Prop})
	})
}
