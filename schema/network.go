package schema

import (
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
)

// NodeNetwork is the part of a node's network that a manifest declares.
type NodeNetwork struct {
	ApplyPolicy string                `json:"applyPolicy,omitempty" enum:"Manual|Automatic" default:"Manual" doc:"who makes a written change take effect: a person (web page: node, Network, Apply Configuration), or the run that writes it"`
	Confirmed   string                `json:"confirmed,omitempty" pattern:"[0-9a-f]{16}" doc:"the word that the refusal of a change gives which could cut the node off; with it, exactly that change is made"`
	Interfaces  map[string]*Interface `json:"interfaces" doc:"bridges and VLANs by name; others are left alone, and none is removed"`
}

// Interface is a bridge or a VLAN (PVE: /etc/network/interfaces). Options go by the tags of Storage.
type Interface struct {
	Type      string   `json:"type" enum:"bridge|vlan" doc:"kind of interface; it never changes"`
	Comment   string   `json:"comment,omitempty" pve:"comments" kind:"description" doc:"what it is for"`
	Autostart *bool    `json:"autostart,omitempty" pve:"autostart" default:"0" doc:"bring it up at boot; true for a new one unless said otherwise"`
	Address   string   `json:"address,omitempty" pve:"cidr" kind:"cidr4" doc:"IPv4 address with its prefix"`
	Gateway   string   `json:"gateway,omitempty" pve:"gateway" kind:"ip4" doc:"IPv4 default gateway; a node has one"`
	Address6  string   `json:"address6,omitempty" pve:"cidr6" kind:"cidr6" doc:"IPv6 address with its prefix"`
	Gateway6  string   `json:"gateway6,omitempty" pve:"gateway6" kind:"ip6" doc:"IPv6 default gateway"`
	MTU       *int     `json:"mtu,omitempty" pve:"mtu" min:"1280" max:"65520" doc:"largest packet in bytes"`
	Ports     []string `json:"ports,omitempty" empty:"no ports" pve:"bridge_ports" kind:"words" takes:"bridge" pattern:"[a-zA-Z][a-zA-Z0-9_.:-]*" doc:"interfaces that the bridge joins; an empty list for a bridge of guests only"`
	VLANAware *bool    `json:"vlanAware,omitempty" pve:"bridge_vlan_aware" default:"0" takes:"bridge" doc:"guests may use VLAN tags"`
	VLANs     string   `json:"vlans,omitempty" pve:"bridge_vids" takes:"bridge" pattern:"[0-9]+(-[0-9]+)?( [0-9]+(-[0-9]+)?)*" doc:"VLANs that a VLAN-aware bridge lets through, such as 2-4094"`
	VLAN      *int     `json:"vlan,omitempty" pve:"vlan-id" needs:"vlan" min:"1" max:"4094" doc:"tag of the VLAN"`
	Device    string   `json:"device,omitempty" pve:"vlan-raw-device" needs:"vlan" pattern:"[a-zA-Z][a-zA-Z0-9_.:-]*" doc:"interface that carries the VLAN"`
}

var ifaceName = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9_.-]{1,14}$`)

var vlanName = regexp.MustCompile(`^(?:(\S+)\.|vlan)([0-9]+)$`)

// NamedVLAN is what the name of a VLAN decides, whatever else is said of it: eno1.20 is VLAN 20 on eno1, vlan20 is VLAN 20
// on the device it states. Of a name that decides nothing, tag is 0; of one that no VLAN can have, below 0 or above 4094.
func NamedVLAN(name string) (device string, tag int) {
	if m := vlanName.FindStringSubmatch(name); m != nil {
		device, tag = m[1], -1
		if n, err := strconv.Atoi(m[2]); err == nil && n > 0 {
			tag = n
		}
	}
	return device, tag
}

// Declared lists the options that the manifest states, in the order of the table.
func (n Interface) Declared() []Option { return options(reflect.ValueOf(n), n.Type) }

// InterfaceKeys lists PVE's keys of the options, in the order of the table.
func InterfaceKeys() []string {
	var out []string
	t := reflect.TypeFor[Interface]()
	for i := range t.NumField() {
		if key := t.Field(i).Tag.Get("pve"); key != "" {
			out = append(out, key)
		}
	}
	return out
}

func (n Node) checkNetwork(f *faults) {
	if n.Spec.Network == nil {
		return
	}
	if len(n.Spec.Network.Interfaces) == 0 {
		f.add("spec.network.interfaces", "required: bridges and VLANs by name")
	}
	for _, name := range slices.Sorted(maps.Keys(n.Spec.Network.Interfaces)) {
		i := n.Spec.Network.Interfaces[name]
		at := "spec.network.interfaces." + name
		if !ifaceName.MatchString(name) {
			f.add(at, "%q is not a name of an interface: at most 15 letters, digits, - _ and .", name)
		}
		if i == nil || i.Type == "" {
			continue // said already
		}
		checkTypes(f, reflect.ValueOf(*i), i.Type, at)
		if device, tag := NamedVLAN(name); i.Type == "vlan" && (tag < 0 || tag > 4094) {
			f.add(at, "%s is a VLAN by its name, which PVE goes by, and no VLAN has that number: they go from 1 to 4094", name)
		} else if i.Type == "vlan" && tag > 0 {
			if i.VLAN != nil && *i.VLAN != tag {
				f.add(at+".vlan", "%s is VLAN %d by its name, which PVE goes by: write vlan: %d, or use another name", name, tag, tag)
			}
			if device != "" && i.Device != "" && i.Device != device {
				f.add(at+".device", "%s is carried by %s by its name, which PVE goes by: write device: %s, or use another name", name, device, device)
			}
		}
		if i.VLANs != "" && (i.VLANAware == nil || !*i.VLANAware) {
			f.add(at+".vlans", "goes with vlanAware: true, without which PVE does not keep it")
		}
		if i.Gateway != "" && i.Address == "" || i.Gateway6 != "" && i.Address6 == "" {
			f.add(at, "a gateway needs an address of the same family (address: 10.0.0.2/24)")
		}
		for _, a := range [][2]string{{"address", i.Address}, {"address6", i.Address6}} {
			if slices.Contains([]string{"dhcp", "auto", "manual"}, a[1]) { // words of cloud-init, whose kind of address this is
				f.add(at+"."+a[0], "%q is not an address with its prefix", a[1])
			}
		}
	}
}
