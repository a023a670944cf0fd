package node

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/ustclug/pve-reconcile/reconciler/step"
	"github.com/ustclug/pve-reconcile/schema"
)

// Draft is what a manifest could say of a node that is there.
type Draft struct {
	Node schema.Node
	Live schema.Live       // what PVE has of what a manifest manages
	Left []schema.Leftover // what no manifest says, and why
}

// everything is a manifest that needs every read there is.
func everything(name string) schema.Node {
	one := 1
	n := schema.Node{Metadata: schema.Metadata{Name: name}}
	n.Spec = schema.NodeSpec{
		Storages: map[string]*schema.Storage{"": {}}, Network: &schema.NodeNetwork{}, DNS: &schema.DNS{}, TimeZone: "UTC",
		Hosts: map[string][]string{"": nil}, Datacenter: &schema.Datacenter{},
		Assert: &schema.Assertions{
			Version: "=1", Disks: map[string]*schema.DisksAssertion{"": {SMART: "Passed"}}, VolumeGroups: map[string]*schema.VolumeGroupAssertion{"": {}},
			ThinPools: map[string]*schema.ThinPoolAssertion{"": {}}, Services: []string{""}, Repositories: &schema.RepositoriesAssertion{},
			Firewall: "Disabled", Certificates: &one,
		},
	}
	return n
}

const poolsPath = "/disks/zfs"

// Survey lists the reads that describe a node.
func Survey(name string) []string {
	return append(Reads(everything(name)), "/nodes/"+name+poolsPath)
}

// Details lists the reads that what was surveyed makes known: one for each ZFS pool.
func Details(name string, have Observed) []string {
	a := &answers{node: name, have: have}
	var pools []pool
	var out []string
	if a.read(poolsPath, &pools) {
		for _, p := range pools {
			out = append(out, "/nodes/"+name+poolsPath+"/"+p.Name)
		}
	}
	return out
}

// drafting is one description under way.
type drafting struct {
	*answers
	Draft
}

// Describe makes the manifest of a node: it declares what is managed as it is, and asserts what is seen. What an answer is
// missing for is left out. The error says that nobody answered: then nothing is known.
func Describe(name string, have Observed) (Draft, error) {
	d := drafting{answers: &answers{node: name, have: have}}
	d.Node.APIVersion, d.Node.Kind, d.Node.Metadata.Name = schema.APIVersion, schema.KindNode, name
	d.drawStorages()
	d.drawNetwork()
	d.drawSystem()
	d.drawAssertions()
	var gone []error
	for _, g := range d.gaps {
		if errors.Is(g.err, step.ErrUnreachable) {
			gone = append(gone, g.err)
			continue
		}
		d.leave(strings.Join(g.fields, ", "), "", "", "cannot be read: %v", g.err)
	}
	if err := errors.Join(gone...); err != nil {
		return Draft{}, err
	}
	pruned, left := d.Node.Pruned()
	d.Node, d.Left = pruned, append(d.Left, left...)
	return d.Draft, nil
}

func (d *drafting) leave(key, prop, text, format string, args ...any) {
	d.Left = append(d.Left, schema.Leftover{Key: key, Prop: prop, Text: text, Why: fmt.Sprintf(format, args...)})
}

// plain is a row of an answer in PVE's text.
func plain(row map[string]text) map[string]string {
	out := map[string]string{}
	for k, v := range row {
		out[k] = string(v)
	}
	return out
}

func (d *drafting) drawStorages() {
	d.field = "storages"
	var rows []map[string]text
	if !d.at(storagePath, &rows) {
		return
	}
	d.Node.Spec.Storages, d.Live.Storages = map[string]*schema.Storage{}, map[string]map[string]string{}
	slices.SortFunc(rows, func(x, y map[string]text) int { return strings.Compare(string(x["storage"]), string(y["storage"])) })
	for _, row := range rows {
		config := plain(row)
		id := config["storage"]
		d.Live.Storages[id] = config
		if nodes := words(config["nodes"]); len(nodes) > 0 && !slices.Contains(nodes, d.node) {
			continue // of other nodes
		}
		s, left, ok := schema.ReadStorage(config)
		if !ok {
			d.leave("storages."+id, "", config["type"], "manifests have no storages of this type")
			continue
		}
		if s.Nodes == nil && s.Local() && len(d.others()) > 0 {
			s.Nodes = []string{} // every node has its own, and a person has looked at it here
		}
		slices.Sort(s.Content)
		d.Node.Spec.Storages[id] = &s
		d.Left = append(d.Left, left...)
	}
}

func words(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return strings.ContainsRune(",; ", r) })
}

func (d *drafting) drawNetwork() {
	d.field = "network"
	var rows []map[string]text
	if !d.read(networkPath, &rows) {
		return
	}
	if d.have.Answers["/nodes/"+d.node+networkPath].Changes != "" {
		d.leave("network", "", "", "a network config is written and not applied: apply or revert it, then import again")
		return
	}
	w := &schema.NodeNetwork{ApplyPolicy: "Manual", Interfaces: map[string]*schema.Interface{}}
	d.Live.Interfaces = map[string]map[string]string{}
	slices.SortFunc(rows, func(x, y map[string]text) int { return strings.Compare(string(x["iface"]), string(y["iface"])) })
	for _, row := range rows {
		config := plain(named(row))
		name := config["iface"]
		i, left, ok := schema.ReadInterface(config)
		switch why := leased(row); {
		case !ok && config["cidr"]+config["cidr6"]+config["slaves"] == "": // a card, with nothing to say of it
		case !ok:
			d.leave("network.interfaces."+name, "", config["type"], "manifests have bridges and VLANs only")
		case why != "":
			d.leave("network.interfaces."+name, "", config["type"], "%s", why)
		default:
			d.Live.Interfaces[name] = config
			w.Interfaces[name] = &i
			d.Left = append(d.Left, left...)
		}
	}
	if len(w.Interfaces) > 0 {
		d.Node.Spec.Network = w
	}
}

// drawSystem describes name resolution, clock, hosts file and datacenter.
func (d *drafting) drawSystem() {
	d.field = "dns"
	var dns resolver
	if d.read(dnsPath, &dns) && (dns.Search != "" || len(dns.servers()) > 0) {
		d.Node.Spec.DNS = &schema.DNS{Servers: dns.servers(), Search: dns.Search}
	}
	d.field = "timeZone"
	var clock struct{ TimeZone string }
	if d.read(timePath, &clock) {
		d.Node.Spec.TimeZone = clock.TimeZone
	}
	d.field = "hosts"
	var file hostsFile
	if d.read(hostsPath, &file) {
		d.drawHosts(file)
	}
	d.field = "datacenter"
	var options map[string]option
	if d.at(datacenterPath, &options) {
		d.Live.Datacenter = map[string]string{}
		for k, v := range options {
			d.Live.Datacenter[k] = string(v)
		}
		var left []schema.Leftover
		d.Node.Spec.Datacenter, left = schema.ReadDatacenter(d.Live.Datacenter)
		d.Left = append(d.Left, left...)
	}
}

// drawHosts leaves out what every Debian has: loopback and multicast.
func (d *drafting) drawHosts(file hostsFile) {
	hosts := map[string][]string{}
	for _, l := range file.lines() {
		ip, err := netip.ParseAddr(l.address)
		if err != nil || ip.Zone() != "" {
			d.leave("hosts", l.address, strings.Join(l.names, " "), "not an address that a manifest can name")
			continue
		}
		if ip.IsLoopback() || ip.IsMulticast() || ip.String() == "fe00::" {
			continue
		}
		for _, name := range l.names {
			if !slices.ContainsFunc(hosts[l.address], func(n string) bool { return strings.EqualFold(n, name) }) {
				hosts[l.address] = append(hosts[l.address], name)
			}
		}
	}
	if len(hosts) > 0 {
		d.Node.Spec.Hosts = hosts
	}
}

// Without is the draft without what others declare already: storages and datacenter options are the cluster's.
func (d Draft) Without(storages, options map[string]bool) Draft {
	kept := maps.Clone(d.Node.Spec.Storages)
	maps.DeleteFunc(kept, func(id string, _ *schema.Storage) bool { return storages[id] })
	if d.Node.Spec.Storages = kept; len(kept) == 0 {
		d.Node.Spec.Storages = nil
	}
	live := maps.Clone(d.Live.Datacenter)
	maps.DeleteFunc(live, func(key, _ string) bool { return options[key] })
	d.Node.Spec.Datacenter, _ = schema.ReadDatacenter(live)
	d.Left = slices.DeleteFunc(slices.Clone(d.Left), func(l schema.Leftover) bool {
		id, of := strings.CutPrefix(l.Key, "storages.")
		return of && storages[id]
	})
	return d
}
