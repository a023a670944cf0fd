package schema

import (
	"maps"
	"reflect"
	"slices"
	"sync"
)

// DNS is how a node resolves names (PVE: /etc/resolv.conf).
type DNS struct {
	Servers []string `json:"servers,omitempty" kind:"words" doc:"name servers in the order they are asked; PVE keeps three"`
	Search  string   `json:"search,omitempty" pattern:"[A-Za-z0-9_.-]+" doc:"search domain"`
}

// Datacenter are the options that all nodes of a cluster share (PVE: datacenter.cfg). Options go by the tags of VMSpec.
type Datacenter struct {
	TagStyle       *TagStyle         `json:"tagStyle,omitempty" pve:"tag-style" doc:"how tags are kept and shown"`
	RegisteredTags []string          `json:"registeredTags,omitempty" pve:"registered-tags" kind:"semicolons" pattern:"[A-Za-z0-9_][A-Za-z0-9_.+-]*" doc:"tags that only who may change this list may set on guests"`
	UserTagAccess  *UserTagAccess    `json:"userTagAccess,omitempty" pve:"user-tag-access" doc:"which tags others may set"`
	MACPrefix      string            `json:"macPrefix,omitempty" pve:"mac_prefix" kind:"nocase" default:"BC:24:11" pattern:"[A-Fa-f0-9][02468aceACE](:[A-Fa-f0-9]{2}){0,2}" doc:"how MACs begin that PVE makes up"`
	NextID         *NextID           `json:"nextID,omitempty" pve:"next-id" doc:"range of the ids that the web page proposes for new guests"`
	Migration      *MigrationNetwork `json:"migration,omitempty" pve:"migration" doc:"how guests travel between nodes"`
	BandwidthLimit *BandwidthLimit   `json:"bandwidthLimit,omitempty" pve:"bwlimit" doc:"limits in KiB/s"`
	HA             *HA               `json:"ha,omitempty" pve:"ha" doc:"high availability"`
	MaxWorkers     *int              `json:"maxWorkers,omitempty" pve:"max_workers" min:"1" doc:"guests started or stopped at a time when all of a node are"`
	Keyboard       string            `json:"keyboard,omitempty" pve:"keyboard" enum:"de|de-ch|da|en-gb|en-us|es|fi|fr|fr-be|fr-ca|fr-ch|hu|is|it|ja|lt|mk|nl|no|pl|pt|pt-br|sv|sl|tr" doc:"keyboard layout of VNC consoles"`
	Language       string            `json:"language,omitempty" pve:"language" pattern:"[a-z]{2,3}(_[A-Z]{2})?" doc:"language of the web page"`
	Console        string            `json:"console,omitempty" pve:"console" enum:"applet|vv|html5|xtermjs" doc:"console that the web page opens"`
	EmailFrom      string            `json:"emailFrom,omitempty" pve:"email_from" pattern:"[^ @]+@[^ @]+" doc:"sender of PVE's mails"`
	Description    string            `json:"description,omitempty" pve:"description" kind:"description" doc:"notes shown on the page of the datacenter, Markdown"`
}

// TagStyle is how tags are kept and shown.
type TagStyle struct {
	CaseSensitive *bool  `json:"caseSensitive,omitempty" prop:"case-sensitive" default:"0" doc:"capitals tell tags apart; else PVE makes them small"`
	Ordering      string `json:"ordering,omitempty" prop:"ordering" default:"alphabetical" enum:"alphabetical|config" doc:"config keeps the order they are written in"`
	Shape         string `json:"shape,omitempty" prop:"shape" default:"circle" enum:"circle|dense|full|none" doc:"how they look"`
	ColorMap      string `json:"colorMap,omitempty" prop:"color-map" pattern:"[A-Za-z0-9_.+-]+:[0-9A-Fa-f]{6}(:[0-9A-Fa-f]{6})?(;[A-Za-z0-9_.+-]+:[0-9A-Fa-f]{6}(:[0-9A-Fa-f]{6})?)*" doc:"colours, as in prod:FF0000;lab:00FF00:000000"`
}

// UserTagAccess is which tags those may set who may not change the datacenter's options.
type UserTagAccess struct {
	Allow string   `json:"allow,omitempty" prop:"user-allow" default:"free" enum:"none|list|existing|free" doc:"none, those of list, besides those in use, or any"`
	List  []string `json:"list,omitempty" prop:"user-allow-list" kind:"semicolons" pattern:"[A-Za-z0-9_][A-Za-z0-9_.+-]*" doc:"tags"`
}

// NextID is a range of ids.
type NextID struct {
	Lower *int `json:"lower,omitempty" prop:"lower" default:"100" min:"100" max:"999999999" doc:"the first"`
	Upper *int `json:"upper,omitempty" prop:"upper" default:"1000000" min:"101" max:"1000000000" doc:"the one after the last"`
}

// MigrationNetwork is how guests travel between nodes.
type MigrationNetwork struct {
	Type    string `json:"type,omitempty" prop:"type,bare" default:"secure" enum:"secure|insecure" doc:"insecure does not encrypt"`
	Network string `json:"network,omitempty" prop:"network" pattern:"[0-9a-fA-F.:]+/[0-9]+" doc:"network that is used, as CIDR"`
}

// BandwidthLimit bounds what operations read or write, in KiB/s.
type BandwidthLimit struct {
	Default   *int `json:"default,omitempty" prop:"default" min:"0" doc:"of all that have none of their own"`
	Clone     *int `json:"clone,omitempty" prop:"clone" min:"0" doc:"of clones"`
	Migration *int `json:"migration,omitempty" prop:"migration" min:"0" doc:"of migrations"`
	Move      *int `json:"move,omitempty" prop:"move" min:"0" doc:"of moves of disks"`
	Restore   *int `json:"restore,omitempty" prop:"restore" min:"0" doc:"of restores"`
}

// HA is what high availability does.
type HA struct {
	ShutdownPolicy string `json:"shutdownPolicy,omitempty" prop:"shutdown_policy" default:"conditional" enum:"freeze|failover|conditional|migrate" doc:"what becomes of guests under HA when their node shuts down"`
}

var datacenterRows = sync.OnceValue(func() []*Row {
	t := builder{byKey: map[string]*Row{}}
	t.walk(reflect.TypeFor[Datacenter](), nil, "")
	return t.rows
})

// Settings lists what is declared, in the order of the table.
func (d Datacenter) Settings() []Setting {
	var out []Setting
	for _, r := range datacenterRows() {
		if s, ok := r.setting(reflect.ValueOf(d), r.Key); ok {
			s.Path = "spec.datacenter." + r.Path
			out = append(out, s)
		}
	}
	return out
}

// Managed tells whether the manifest declares anything that is written, not only looked at.
func (n Node) Managed() bool {
	s := n.Spec
	return len(s.Storages) > 0 || s.Network != nil || s.DNS != nil || s.TimeZone != "" || len(s.Hosts) > 0 || s.Datacenter != nil
}

// checkSystem finds what the tags cannot say.
func (n Node) checkSystem(f *faults) {
	s := n.Spec
	if s.DNS != nil {
		if len(s.DNS.Servers) == 0 && s.DNS.Search == "" {
			f.add("spec.dns", "says nothing: servers or search")
		}
		for i, ip := range s.DNS.Servers {
			checkAddress(f, "spec.dns.servers["+itoa(i)+"]", ip)
		}
		if len(s.DNS.Servers) > 3 {
			f.add("spec.dns.servers", "PVE keeps three name servers, here are %d", len(s.DNS.Servers))
		}
	}
	if s.Hosts != nil && len(s.Hosts) == 0 {
		f.add("spec.hosts", "says nothing: leave it out, or fill it")
	}
	for _, ip := range slices.Sorted(maps.Keys(s.Hosts)) {
		at := "spec.hosts." + ip
		checkAddress(f, at, ip)
		if len(s.Hosts[ip]) == 0 {
			f.add(at, "gives the address no name")
		}
		for i, name := range s.Hosts[ip] {
			if checkName(name) != "" {
				f.add(at+"["+itoa(i)+"]", "%q is not a name of a host: letters, digits, - and .", name)
			}
		}
	}
	if d := s.Datacenter; d != nil {
		if len(d.Settings()) == 0 {
			f.add("spec.datacenter", "says nothing: leave it out, or fill it")
		}
		if i := d.NextID; i != nil && i.Lower != nil && i.Upper != nil && *i.Lower >= *i.Upper {
			f.add("spec.datacenter.nextID", "lower %d is not below upper %d", *i.Lower, *i.Upper)
		}
	}
}

func checkAddress(f *faults, at, s string) {
	if checkAddr(false, false)(s) != "" && checkAddr(true, false)(s) != "" {
		f.add(at, "%q is not an address", s)
	}
}

// SameAddress tells whether two texts are one address: IPv6 has many forms of each.
func SameAddress(x, y string) bool { return x == y || sameAddr(x, y, Facts{}) }
