package sim

import (
	"net/netip"
	"strings"
)

// portWords are the options that take other interfaces.
var portWords = []string{"bridge_ports", "ovs_ports", "slaves", "ovs_bonds"}

func (i *iface) ports() []string {
	var all []string
	for _, word := range portWords {
		all = append(all, splitList(i.options[word])...)
	}
	return all
}

// checkParams checks what a call says of an interface against the others (src: API2::Network).
func (f *interfaces) checkParams(name string, given map[string]string) error {
	for _, six := range []string{"", "6"} {
		if given["gateway"+six] == "" {
			continue
		}
		what := "Default gateway"
		if six == "6" {
			what = "Default ipv6 gateway"
		}
		for _, other := range sortedKeys(f.byName) {
			if other != name && f.byName[other].options["gateway"+six] != "" {
				return badParam("gateway"+six, "%s already exists on interface '%s'.", what, other)
			}
		}
	}
	for _, word := range portWords {
		for _, port := range splitList(given[word]) {
			for _, other := range sortedKeys(f.byName) {
				if other != name && contains(f.byName[other].ports(), port) {
					return badParam(word, "%s is already used on interface '%s'.", port, other)
				}
			}
		}
	}
	for _, six := range []string{"", "6"} {
		for _, word := range []string{"address", "netmask"} {
			if given["cidr"+six] != "" && given[word+six] != "" {
				return badParam(word+six, "%s%s conflicts with cidr%s", word, six, six)
			}
		}
	}
	return checkHost6(given)
}

// checkHost6 refuses an IPv6 address that no host can have.
func checkHost6(given map[string]string) error {
	address := given["address6"]
	if text := given["cidr6"]; text != "" {
		address, _, _ = strings.Cut(text, "/")
	}
	a, err := netip.ParseAddr(address)
	if err != nil {
		return nil
	}
	kind := ""
	switch {
	case a.IsMulticast():
		kind = "MULTICAST"
	case a.IsLoopback():
		kind = "LOOPBACK"
	case a.IsUnspecified():
		kind = "UNSPECIFIED"
	default:
		return nil
	}
	return badParam("address", "%s with type '%s', cannot be used as host IPv6 address.", address, kind)
}

// check refuses a file that PVE refuses to write (src: PVE::Network::Interfaces).
func (f *interfaces) check() error {
	for _, name := range sortedKeys(f.byName) {
		i := f.byName[name]
		var err error
		switch i.kind {
		case "bond":
			err = f.checkBond(i)
		case "vlan":
			err = f.checkVLAN(i)
		case "bridge":
			err = f.checkBridge(i)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// checkMTU: an interface carries no larger packets than the one it lies on.
func checkMTU(lower, upper *iface) error {
	want, most := upper.options["mtu"], lower.options["mtu"]
	switch {
	case want == "":
		return nil
	case most == "" && lower.kind == "bond":
		return nil
	case most == "":
		most = "1500"
	}
	if atoi(most) < atoi(want) {
		return dief("interface '%s' - mtu %s is lower than '%s' - mtu %s", lower.name, most, upper.name, want)
	}
	return nil
}

func (f *interfaces) checkBond(i *iface) error {
	slaves := splitList(i.options["slaves"])
	for _, name := range slaves {
		slave := f.byName[name]
		switch {
		case slave == nil:
			return dief("bond '%s' - unable to find slave '%s'", i.name, name)
		case slave.kind != "eth" && slave.kind != "bond":
			return dief("bond '%s' - wrong interface type on slave '%s' ('%s' != 'eth or bond')", i.name, name, slave.kind)
		}
		slave.auto = true
		if err := checkMTU(i, slave); err != nil {
			return err
		}
	}
	if primary := i.options["bond-primary"]; primary != "" && len(slaves) > 0 && !contains(slaves, primary) {
		return dief("bond '%s' - bond-primary interface is not a slave at /usr/share/perl5/PVE/Network/Interfaces.pm line 908.", i.name)
	}
	return nil
}

func (f *interfaces) checkVLAN(i *iface) error {
	parent, id, dotted := cutLast(i.name, ".")
	if !dotted {
		parent, id = i.options["vlan-raw-device"], strings.TrimPrefix(i.name, "vlan")
		if parent == "" {
			return dief("missing vlan-raw-device option at /usr/share/perl5/PVE/Network/Interfaces.pm line 954.")
		}
		if !vlanName.MatchString(i.name) {
			if id = i.options["vlan-id"]; id == "" {
				return dief("missing vlan-id option at /usr/share/perl5/PVE/Network/Interfaces.pm line 962.")
			}
		}
	}
	lower := f.byName[parent]
	switch {
	case atoi(id) > 4094:
		return dief("vlan '%s' - vlan-id %s should be <= 4094", i.name, id)
	case lower == nil:
		return dief("vlan '%s' - unable to find parent '%s'", i.name, parent)
	case !contains([]string{"eth", "bridge", "bond", "vlan"}, lower.kind):
		return dief("vlan '%s' - wrong interface type on parent '%s' ('%s' != 'eth|bond|bridge|vlan' )", i.name, parent, lower.kind)
	}
	return checkMTU(lower, i)
}

func (f *interfaces) checkBridge(i *iface) error {
	for _, name := range splitList(i.options["bridge_ports"]) {
		port := f.byName[name]
		if port == nil {
			port = f.impliedVLAN(name)
		}
		switch {
		case port == nil:
			return dief("bridge '%s' - unable to find bridge port '%s'", i.name, name)
		case port.options["method"] == "static" && port.options["address"] != "0.0.0.0", port.options["method6"] == "static" && port.options["address6"] != "::":
			return dief("iface %s - ip address can't be set on interface if bridged in %s", name, i.name)
		}
		if err := checkMTU(port, i); err != nil {
			return err
		}
	}
	return nil
}

// impliedVLAN is the VLAN interface that a bridge port like eno1.5 is without an entry of its own, or nil.
func (f *interfaces) impliedVLAN(name string) *iface {
	parent, id, dotted := cutLast(name, ".")
	if !dotted || id == "" || strings.Trim(id, "0123456789") != "" {
		return nil
	}
	i := &iface{name: name, kind: "vlan", options: map[string]string{"method": "manual", "method6": "manual"}}
	if lower := f.byName[parent]; lower != nil && lower.options["mtu"] != "" {
		i.options["mtu"] = lower.options["mtu"]
	}
	return i
}
