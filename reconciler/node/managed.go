package node

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/ustclug/pve-reconcile/reconciler/step"
	"github.com/ustclug/pve-reconcile/schema"
)

const (
	dnsPath        = "/dns"
	timePath       = "/time"
	hostsPath      = "/hosts"
	datacenterPath = "/cluster/options"
)

// managed is one row of the table of what is written: what it reads, and what it plans.
type managed struct {
	name  string // the field of spec
	reads func(schema.Node) []string
	plan  func(*answers, schema.Node) []step.Step
}

// managing is the table, in the order things are written: the network last, since it may be the end of the conversation.
var managing = []managed{
	{"storages", at(func(n schema.Node) bool { return len(n.Spec.Storages) > 0 }, storagePath), (*answers).storages},
	{"datacenter", at(func(n schema.Node) bool { return n.Spec.Datacenter != nil }, datacenterPath), (*answers).datacenter},
	{"timeZone", of(func(n schema.Node) bool { return n.Spec.TimeZone != "" }, timePath), (*answers).timeZone},
	{"hosts", of(func(n schema.Node) bool { return len(n.Spec.Hosts) > 0 }, hostsPath), (*answers).hosts},
	{"dns", of(func(n schema.Node) bool { return n.Spec.DNS != nil }, dnsPath), (*answers).dns},
	{"network", networkReads, (*answers).network},
}

// at is a read of the cluster, made when the field is declared.
func at(declared func(schema.Node) bool, path string) func(schema.Node) []string {
	return func(n schema.Node) []string {
		if !declared(n) {
			return nil
		}
		return []string{path}
	}
}

// of is a read of the node, made when the field is declared.
func of(declared func(schema.Node) bool, path string) func(schema.Node) []string {
	return func(n schema.Node) []string { return at(declared, "/nodes/"+n.Metadata.Name+path)(n) }
}

// resolver is GET /nodes/N/dns.
type resolver struct{ DNS1, DNS2, DNS3, Search string }

func (r resolver) servers() []string {
	return slices.DeleteFunc([]string{r.DNS1, r.DNS2, r.DNS3}, func(s string) bool { return s == "" })
}

// dns writes all settings when one differs, since PVE drops what is not sent.
func (a *answers) dns(want schema.Node) []step.Step {
	var have resolver
	if !a.read(dnsPath, &have) {
		return nil
	}
	servers, search := have.servers(), have.Search
	w := want.Spec.DNS
	differs := w.Search != "" && w.Search != search
	if w.Search != "" {
		search = w.Search
	}
	if len(w.Servers) > 0 && !slices.EqualFunc(w.Servers, servers, schema.SameAddress) {
		servers, differs = w.Servers, true
	}
	switch {
	case !differs:
		return nil
	case search == "":
		a.refuse(".search", "PVE writes DNS settings only with a search domain, and the node has none: declare one")
		return nil
	}
	set := map[string]string{"search": search}
	for i, s := range servers {
		set["dns"+strconv.Itoa(i+1)] = s
	}
	return []step.Step{step.SetDNS{Cluster: a.have.Cluster, Node: a.node, Set: set}}
}

func (a *answers) timeZone(want schema.Node) []step.Step {
	var have struct{ TimeZone string }
	if !a.read(timePath, &have) || have.TimeZone == want.Spec.TimeZone {
		return nil
	}
	return []step.Step{step.SetTimeZone{Cluster: a.have.Cluster, Node: a.node, Zone: want.Spec.TimeZone}}
}

// hostsFile is GET /nodes/N/hosts.
type hostsFile struct{ Data, Digest string }

// hostsLine is one line of /etc/hosts that gives names.
type hostsLine struct {
	number  int
	address string
	names   []string
}

func (h hostsFile) lines() []hostsLine {
	var out []hostsLine
	for i, line := range strings.Split(h.Data, "\n") {
		line, _, _ = strings.Cut(line, "#")
		if words := strings.Fields(line); len(words) > 1 {
			out = append(out, hostsLine{i + 1, words[0], words[1:]})
		}
	}
	return out
}

func (l hostsLine) gives(name string) bool {
	return slices.ContainsFunc(l.names, func(n string) bool { return strings.EqualFold(n, name) })
}

// hosts adds a line for names that are missing. A name that another address of the same family has is held back: the first
// line wins, and which of the two is meant only a person knows.
func (a *answers) hosts(want schema.Node) []step.Step {
	var have hostsFile
	if !a.read(hostsPath, &have) {
		return nil
	}
	lines := have.lines()
	s := step.AddHosts{Cluster: a.have.Cluster, Node: a.node, Digest: have.Digest}
	for _, ip := range slices.Sorted(maps.Keys(want.Spec.Hosts)) {
		var missing []string
		for _, name := range want.Spec.Hosts[ip] {
			if slices.ContainsFunc(lines, func(l hostsLine) bool { return schema.SameAddress(l.address, ip) && l.gives(name) }) {
				continue
			}
			missing = append(missing, name)
			for _, l := range lines {
				if l.gives(name) && strings.Contains(l.address, ":") == strings.Contains(ip, ":") {
					a.refuse("."+ip, "line %d of /etc/hosts gives %s to %s, and the first line wins: take it out there, by hand", l.number, name, l.address)
				}
			}
		}
		if len(missing) > 0 {
			s.Lines = append(s.Lines, ip+" "+strings.Join(missing, " "))
		}
	}
	if len(s.Lines) == 0 || len(a.waits) > 0 && a.held() {
		return nil
	}
	s.Whole = have.Data
	if s.Whole != "" && !strings.HasSuffix(s.Whole, "\n") {
		s.Whole += "\n"
	}
	s.Whole += strings.Join(s.Lines, "\n") + "\n"
	return []step.Step{s}
}

// held tells whether anything of the field at work was refused.
func (a *answers) held() bool {
	return slices.ContainsFunc(a.waits, func(w step.Wait) bool { return strings.HasPrefix(w.Text, a.field) })
}

// option is a value of GET /cluster/options in the text of datacenter.cfg: PVE answers property strings as objects and
// lists as lists.
type option string

// UnmarshalJSON accepts any value.
func (o *option) UnmarshalJSON(raw []byte) error {
	var object map[string]option
	var list []option
	switch {
	case json.Unmarshal(raw, &object) == nil && object != nil:
		var parts []string
		for _, key := range slices.Sorted(maps.Keys(object)) {
			parts = append(parts, key+"="+string(object[key]))
		}
		*o = option(strings.Join(parts, ","))
	case json.Unmarshal(raw, &list) == nil && list != nil:
		words := make([]string, len(list))
		for i, w := range list {
			words[i] = string(w)
		}
		*o = option(strings.Join(words, ";"))
	default:
		return json.Unmarshal(raw, (*text)(o))
	}
	return nil
}

// datacenter changes the options that differ. Sub-keys that nobody declared keep their values.
func (a *answers) datacenter(want schema.Node) []step.Step {
	var have map[string]option
	if !a.at(datacenterPath, &have) {
		return nil
	}
	s := step.SetDatacenter{Cluster: a.have.Cluster, Node: a.node, Set: map[string]string{}}
	for _, o := range want.Spec.Datacenter.Settings() {
		live, ok := have[o.Key]
		if !o.Same(string(live), ok, nil, schema.Facts{}) {
			s.Set[o.Key] = o.Merge(string(live), nil, schema.Facts{})
		}
	}
	if len(s.Set) == 0 {
		return nil
	}
	return []step.Step{s}
}

// orNone is a live value for a message.
func orNone(s string) string {
	if s == "" {
		return "not set"
	}
	if strings.Contains(s, "\n") {
		return strconv.Quote(s) // a message is one line
	}
	return s
}

// refuse holds a change back.
func (a *answers) refuse(below, format string, args ...any) {
	a.waits = append(a.waits, step.Wait{Reason: step.Refused, Text: a.field + below + ": " + fmt.Sprintf(format, args...)})
}
