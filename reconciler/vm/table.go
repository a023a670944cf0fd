package vm

import (
	"maps"
	"slices"

	"github.com/ustclug/pve-reconcile/reconciler/step"
	"github.com/ustclug/pve-reconcile/schema"
)

// Row is one value of a guest, from every side. Texts are PVE's, secrets are asterisks, "" is not set.
type Row struct {
	Key, Prop, Path string // as in step.Diff
	Declared        string // by the manifest
	Applied         string // by the revision last carried out in full
	Live            string // what the guest runs with
	Pending         string // what it gets at its next start, where that is something else; "unset" for nothing
	Cause           step.Cause
	Report          bool // drift that driftPolicy leaves alone
	Ignored         bool // left to others by the manifest
}

// Name is the value as people name it: "cores", "net0.bridge".
func (r Row) Name() string { return step.Diff{Key: r.Key, Prop: r.Prop}.Name() }

// Table lists every value that is declared, was applied or lives, by key. diffs are those of the plan.
func Table(want, given schema.VM, have Observed, diffs []step.Diff) []Row {
	t := table{
		want: want, running: have.Running, desired: have.Desired(), pending: have.Pending, diffs: diffs,
		wants: want.Settings(), givens: map[string]schema.Setting{},
	}
	if given.Kind != "" {
		t.givens = given.Settings()
	}
	known := map[string]bool{}
	for _, m := range []map[string]string{t.running, t.desired} {
		for key := range m {
			known[key] = known[key] || !schema.Bookkeeping(key)
		}
	}
	for _, m := range []map[string]schema.Setting{t.wants, t.givens} {
		for key := range m {
			known[key] = true
		}
	}
	for _, key := range slices.SortedFunc(maps.Keys(known), schema.CompareKeys) {
		if known[key] {
			t.key(key)
		}
	}
	return t.rows
}

type table struct {
	want             schema.VM
	running, desired map[string]string
	pending          map[string]Change
	wants, givens    map[string]schema.Setting
	diffs            []step.Diff
	rows             []Row
}

// key adds the rows of a key: one, or one for each sub-key.
func (t *table) key(key string) {
	row, ok := schema.RowOf(key)
	if !ok || row.Scalar() {
		t.add(row, Row{
			Key: key, Declared: plain(t.wants, key), Applied: plain(t.givens, key),
			Live: t.running[key], Pending: t.desired[key],
		})
		return
	}
	running, desired := values(row, t.running[key]), values(row, t.desired[key])
	wants, givens := declared(t.wants, key), declared(t.givens, key)
	props := map[string]bool{}
	for _, m := range []map[string]string{running, desired, wants, givens} {
		for prop := range m {
			props[prop] = true
		}
	}
	for _, prop := range slices.Sorted(maps.Keys(props)) {
		r := Row{Key: key, Prop: prop, Declared: wants[prop], Applied: givens[prop], Live: running[prop], Pending: desired[prop]}
		if len(row.Leaves) == 1 && !row.Drive() && row.Props()[0] == prop {
			r.Prop = ""
		}
		t.add(row, r)
	}
}

// values is what lives under a key, by sub-key.
func values(row *schema.Row, text string) map[string]string {
	if text == "" {
		return nil
	}
	m := row.Parse(text)
	if row.Drive() {
		delete(m, "media") // says only that the file is an image
	}
	return m
}

func plain(m map[string]schema.Setting, key string) string {
	if s, ok := m[key]; ok {
		return s.Text
	}
	return ""
}

// declared is what a manifest says of a key, by sub-key; of a drive what it holds and its size too.
func declared(m map[string]schema.Setting, key string) map[string]string {
	s, ok := m[key]
	if !ok {
		return nil
	}
	out := maps.Clone(s.Props)
	if src := s.Source; src != nil {
		out[schema.PropFile], _ = src.Form()
		if src.Size.Bytes > 0 {
			out[schema.PropSize] = src.Size.PVE()
		}
	}
	return out
}

// holds is the path of what a drive holds.
func (t *table) holds(key string) string {
	path := schema.PathOf(key, "")
	for _, m := range []map[string]schema.Setting{t.wants, t.givens} {
		if s, ok := m[key]; ok && s.Source != nil {
			_, field := s.Source.Form()
			return path + "." + field
		}
	}
	return path
}

func (t *table) add(row *schema.Row, r Row) {
	switch _, waits := t.pending[r.Key]; {
	case !waits || r.Pending == r.Live:
		r.Pending = ""
	case r.Pending == "":
		r.Pending = "unset"
	}
	if row != nil && row.Secret() {
		for _, v := range []*string{&r.Declared, &r.Applied, &r.Live, &r.Pending} {
			if *v != "" {
				*v = "***"
			}
		}
	}
	if r.Path = schema.PathOf(r.Key, r.Prop); row != nil && row.Drive() && r.Prop == schema.PropFile {
		r.Path = t.holds(r.Key)
	}
	r.Ignored = t.want.Ignores(r.Key, r.Prop)
	for _, d := range t.diffs {
		if d.Key == r.Key && (d.Prop == r.Prop || d.Prop == "" && d.Cause != step.Pending || d.Prop == "" && r.Pending != "") {
			r.Cause, r.Report = d.Cause, d.Report
			if d.Prop == r.Prop {
				r.Path = d.Path
			}
		}
	}
	t.rows = append(t.rows, r)
}
