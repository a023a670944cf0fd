package node

import (
	"slices"
	"strings"

	"github.com/ustclug/pve-reconcile/reconciler/step"
	"github.com/ustclug/pve-reconcile/schema"
)

// Row is one value of what is managed, from every side. Texts are PVE's, "" is not set.
type Row struct {
	Path     string     // in the manifest: "spec.storages.local-zfs.blocksize"
	Declared string     // by the manifest
	Applied  string     // by the revision last carried out in full
	Live     string     // what PVE has
	Cause    step.Cause // why it is not alike, "" when it is
	Report   bool       // drift that driftPolicy leaves alone
	Ignored  bool       // left to others by the manifest
}

// Name is the path as people write it: "storages.local-zfs.blocksize".
func (r Row) Name() string { return strings.TrimPrefix(r.Path, "spec.") }

// PlanSince is Plan for a manifest of which given was last carried out in full: it tells a change in git from one that somebody
// made on the host, and leaves alone what driftPolicy and ignore say. given is zero when nothing was carried out yet.
func PlanSince(want, given schema.Node, have Observed) (step.Plan, []Row, error) {
	rows := table(want, given, have)
	var left []string
	for _, r := range rows {
		if !r.Report && !r.Ignored || r.Cause == "" {
			continue
		}
		if whole, kind := strings.CutSuffix(r.Path, ".type"); kind {
			left = append(left, whole) // all of a definition that is gone
		} else {
			left = append(left, r.Path)
		}
	}
	p, err := Plan(want.Silent(left), have)
	for _, r := range rows {
		if r.Cause != "" && !r.Ignored {
			p.Diffs = append(p.Diffs, step.Diff{Key: r.Name(), Path: r.Path, Cause: r.Cause, Base: r.Applied, Have: r.Live, Want: r.Declared, Report: r.Report})
		}
	}
	return p, rows, err
}

// table compares every value that is declared with what lives and with what was given. A value whose answer did not come has
// no row.
func table(want, given schema.Node, have Observed) []Row {
	s := sides{answers: &answers{node: want.Metadata.Name, have: have}}
	givens := map[string]schema.NodeValue{}
	if given.Kind != "" {
		for _, v := range given.Values() {
			givens[v.Path] = v
		}
	}
	var out []Row
	gone := "" // a definition that is not there: its options are not told one by one
	for _, v := range want.Values() {
		text, there, known := s.live(v)
		if !known || gone != "" && strings.HasPrefix(v.Path, gone) {
			continue
		}
		r := Row{Path: v.Path, Declared: v.Text, Applied: givens[v.Path].Text, Live: text, Ignored: want.Ignores(v.Path)}
		if !v.Same(text, there) {
			r.Cause = cause(v, givens)
			r.Report = r.Cause == step.Drift && want.Spec.DriftPolicy == "Report"
			if v.Key == "type" && !there {
				gone = strings.TrimSuffix(v.Path, "type")
				r.Ignored = r.Ignored || want.Ignores(strings.TrimSuffix(gone, "."))
			}
		}
		out = append(out, r)
	}
	return out
}

func cause(v schema.NodeValue, givens map[string]schema.NodeValue) step.Cause {
	was, ok := givens[v.Path]
	switch {
	case !ok:
		return step.New
	case was.Text == v.Text || v.Same(was.Text, true):
		return step.Drift
	}
	return step.Git
}

// sides reads each answer once.
type sides struct {
	*answers
	storages, interfaces map[string]map[string]text
	options              map[string]option
	lines                []hostsLine
	dns                  *resolver
	zone                 *string
	tried                map[string]bool
	got                  map[string]bool
}

// live is what PVE has of a value; known is false when the answer is missing.
func (s *sides) live(v schema.NodeValue) (value string, there, known bool) {
	if s.tried == nil {
		s.tried, s.got = map[string]bool{}, map[string]bool{}
	}
	if !s.tried[v.Part] {
		s.tried[v.Part], s.got[v.Part] = true, s.fetch(v.Part)
	}
	if !s.got[v.Part] {
		return "", false, false
	}
	switch v.Part {
	case "storages", "network":
		rows := s.storages
		if v.Part == "network" {
			rows = s.interfaces
		}
		t, ok := rows[v.Name][v.Key]
		return strings.TrimRight(string(t), "\n"), ok, true
	case "datacenter":
		t, ok := s.options[v.Key]
		if v.Prop == "" {
			return string(t), ok, true
		}
		value, there = schema.DatacenterProp(v.Key, string(t), v.Prop)
		return value, there, true
	case "hosts":
		var names []string
		for _, l := range s.lines {
			if schema.SameAddress(l.address, v.Name) {
				names = append(names, l.names...)
			}
		}
		return strings.Join(slices.Compact(names), " "), len(names) > 0, true
	case "timeZone":
		return *s.zone, *s.zone != "", true
	case "dns":
		if v.Key == "search" {
			return s.dns.Search, s.dns.Search != "", true
		}
		return strings.Join(s.dns.servers(), " "), len(s.dns.servers()) > 0, true
	}
	return "", false, false
}

func (s *sides) fetch(part string) bool {
	switch part {
	case "storages":
		return s.keyed(storagePath, "storage", &s.storages)
	case "network":
		path := "/nodes/" + s.node + networkPath
		return s.have.Answers[path].Changes == "" && s.keyed(path, "iface", &s.interfaces) // what is pending is not what lives
	case "datacenter":
		return s.at(datacenterPath, &s.options)
	case "hosts":
		var file hostsFile
		ok := s.read(hostsPath, &file)
		s.lines = file.lines()
		return ok
	case "timeZone":
		var clock struct{ TimeZone string }
		ok := s.read(timePath, &clock)
		s.zone = &clock.TimeZone
		return ok
	case "dns":
		s.dns = &resolver{}
		return s.read(dnsPath, s.dns)
	}
	return false
}

// keyed reads a list by the name of each row.
func (s *sides) keyed(path, key string, into *map[string]map[string]text) bool {
	var rows []map[string]text
	if !s.at(path, &rows) {
		return false
	}
	*into = map[string]map[string]text{}
	for _, r := range rows {
		(*into)[string(r[key])] = named(r)
	}
	return true
}
