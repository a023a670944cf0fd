package sim

import (
	"cmp"
	"fmt"
	"regexp"
	"sort"
	"strings"
)

// iface is one interface of /etc/network/interfaces.
type iface struct {
	name     string
	kind     string // loopback, eth, bond, bridge, vlan, ...
	auto     bool
	families []string // in file order
	priority int
	options  map[string]string // in the API's words, without method and address
	raw      []string          // lines that PVE keeps as they are
	comments string            // each line with its newline
}

// interfaces is a parsed interfaces file (src: PVE::INotify read_etc_network_interfaces).
type interfaces struct {
	byName map[string]*iface
	other  []otherLine
	next   int // priority
}

type otherLine struct {
	priority int
	text     string
}

var (
	ifaceHead = regexp.MustCompile(`^\s*iface\s+(\S+)\s+(inet6?)\s+(\S+)\s*$`)
	autoHead  = regexp.MustCompile(`^\s*(?:allow-auto|auto)\s+(.*)$`)
	topLine   = regexp.MustCompile(`^\s*(?:source|source-directory|source-dir|mapping|allow-[a-z-]+|no-auto-down|no-scripts)\s`)
	ethName   = regexp.MustCompile(`^(?:eth\d+|en[^:.]{1,14}|nic\d+)$`)
	vlanName  = regexp.MustCompile(`^\S+\.\d+$|^vlan\d+$`)
	bondName  = regexp.MustCompile(`^bond\d+$`)
)

// fileWords are the file's words for the API's options.
var fileWords = map[string]string{
	"bridge_ports": "bridge-ports", "bridge_stp": "bridge-stp", "bridge_fd": "bridge-fd", "bridge_vids": "bridge-vids",
	"bridge_vlan_aware": "bridge-vlan-aware", "slaves": "bond-slaves", "bond_mode": "bond-mode",
	"bond_xmit_hash_policy": "bond-xmit-hash-policy", "bond-primary": "bond-primary", "vlan-raw-device": "vlan-raw-device",
	"vlan-id": "vlan-id", "mtu": "mtu", "gateway": "gateway", "cidr": "address", "netmask": "netmask",
}

func parseInterfaces(text string) *interfaces {
	f := &interfaces{byName: map[string]*iface{}, next: 2}
	api := map[string]string{}
	for ours, theirs := range fileWords {
		api[theirs], api[strings.ReplaceAll(theirs, "-", "_")] = ours, ours
	}
	var at *iface
	six := ""
	for _, line := range strings.Split(text, "\n") {
		trimmed := strings.TrimSpace(line)
		switch {
		case trimmed == "":
		case autoHead.MatchString(line):
			for _, name := range strings.Fields(autoHead.FindStringSubmatch(line)[1]) {
				f.named(name).auto = true
			}
			at = nil
		case ifaceHead.MatchString(line):
			m := ifaceHead.FindStringSubmatch(line)
			at = f.named(m[1])
			if at.priority == 0 {
				at.priority = f.next
				f.next++
			}
			at.families = append(at.families, m[2])
			six = strings.TrimPrefix(m[2], "inet")
			at.options["method"+six] = m[3]
		case topLine.MatchString(line):
			at = nil
			f.other = append(f.other, otherLine{priority: f.next, text: trimmed})
			f.next++
		case strings.HasPrefix(line, "#"):
			if at != nil {
				at.comments += line[1:] + "\n"
			}
		case at != nil:
			at.read(trimmed, six, api)
		default:
			f.other = append(f.other, otherLine{priority: f.next, text: line})
			f.next++
		}
	}
	for name, i := range f.byName {
		i.complete(name)
	}
	return f
}

func (f *interfaces) named(name string) *iface {
	if f.byName[name] == nil {
		f.byName[name] = &iface{name: name, options: map[string]string{}}
	}
	return f.byName[name]
}

func (i *iface) read(line, six string, api map[string]string) {
	word, value, _ := strings.Cut(line, " ")
	key, known := api[word]
	value = strings.TrimSpace(value)
	switch {
	case !known:
		i.raw = append(i.raw, line)
	case key == "bridge_ports" && value == "none":
		i.options[key] = ""
	case key == "bridge_vlan_aware":
		if plainBoolean(value) == "1" {
			i.options[key] = "1"
		}
	case key == "cidr" || key == "gateway" || key == "netmask":
		i.options[key+six] = value
	default:
		i.options[key] = value
	}
}

// complete adds what PVE adds when it reads.
func (i *iface) complete(name string) {
	o := i.options
	for _, six := range []string{"", "6"} {
		if o["method"+six] == "" {
			o["method"+six] = "manual"
		}
		address, mask, has := strings.Cut(o["cidr"+six], "/")
		switch {
		case o["cidr"+six] == "":
			delete(o, "cidr"+six)
		case has:
			o["address"+six], o["netmask"+six] = address, mask
		case o["netmask"+six] != "":
			o["address"+six] = address
			o["cidr"+six] = address + "/" + maskBits(o["netmask"+six])
		default:
			o["address"+six] = address
			delete(o, "cidr"+six)
		}
	}
	_, ports := o["bridge_ports"]
	_, slaves := o["slaves"]
	switch {
	case name == "lo":
		i.kind = "loopback"
	case ports:
		i.kind = "bridge"
		for key, value := range map[string]string{"bridge_fd": "0", "bridge_stp": "off"} {
			if o[key] == "" {
				o[key] = value
			}
		}
	case slaves || bondName.MatchString(name):
		i.kind = "bond"
	case vlanName.MatchString(name) || o["vlan-raw-device"] != "":
		i.kind = "vlan"
		if raw, id, ok := cutLast(name, "."); ok {
			o["vlan-raw-device"], o["vlan-id"] = raw, id
		}
	case ethName.MatchString(name):
		i.kind = "eth"
	default:
		i.kind = "unknown"
	}
}

// maskBits turns 255.255.255.0 into 24.
func maskBits(mask string) string {
	if !strings.Contains(mask, ".") {
		return mask
	}
	bits := 0
	for _, part := range strings.Split(mask, ".") {
		for n := atoi(part); n > 0; n &= n - 1 {
			bits++
		}
	}
	return itoa(bits)
}

const interfacesHeader = `# network interface settings; autogenerated
# Please do NOT modify this file directly, unless you know what
# you're doing.
#
# If you want to manage parts of the network configuration manually,
# please utilize the 'source' or 'source-directory' directives to do
# so.
# PVE will preserve these directives, but will NOT read its network
# configuration from sourced files, so do not attempt to move any of
# the PVE managed interfaces into external files!

`

var kindOrder = map[string]int{"loopback": 1, "eth": 2, "bond": 3, "bridge": 4, "vlan": 5}

// text prints the whole file anew (src: PVE::INotify write_etc_network_interfaces).
func (f *interfaces) text() string {
	var list []*iface
	for _, i := range f.byName {
		list = append(list, i)
	}
	sort.Slice(list, func(a, b int) bool {
		ka, kb := kindOrder[list[a].kind], kindOrder[list[b].kind]
		if ka == 0 {
			ka = 6
		}
		if kb == 0 {
			kb = 6
		}
		if ka != kb {
			return ka < kb
		}
		return list[a].order() < list[b].order()
	})
	var b strings.Builder
	b.WriteString(interfacesHeader)
	other := f.other
	for _, i := range list {
		for len(other) > 0 && other[0].priority < i.order() {
			b.WriteString(other[0].text + "\n\n")
			other = other[1:]
		}
		i.print(&b)
	}
	for _, line := range other {
		b.WriteString(line.text + "\n\n")
	}
	return b.String()
}

func (i *iface) order() int {
	if i.priority == 0 {
		return 50000
	}
	return i.priority
}

func (i *iface) print(b *strings.Builder) {
	if i.auto {
		fmt.Fprintf(b, "auto %s\n", i.name)
	}
	families := i.families
	if len(families) == 0 {
		families = []string{"inet"}
	}
	if i.options["method6"] == "static" && !contains(families, "inet6") {
		families = append(families, "inet6")
	}
	for n, family := range families {
		six := strings.TrimPrefix(family, "inet")
		o := i.options
		fmt.Fprintf(b, "iface %s %s %s\n", i.name, family, o["method"+six])
		address := o["cidr"+six]
		if address == "" {
			address = o["address"+six]
		}
		writeOption(b, "address", address)
		writeOption(b, "gateway", o["gateway"+six])
		if n == 0 {
			i.printKind(b)
		}
		b.WriteString("\n")
	}
}

func writeOption(b *strings.Builder, word, value string) {
	if value != "" {
		fmt.Fprintf(b, "\t%s %s\n", word, value)
	}
}

func (i *iface) printKind(b *strings.Builder) {
	o := i.options
	switch i.kind {
	case "bridge":
		ports := strings.Join(splitList(o["bridge_ports"]), " ")
		if ports == "" {
			ports = "none"
		}
		writeOption(b, "bridge-ports", ports)
		writeOption(b, "bridge-stp", o["bridge_stp"])
		writeOption(b, "bridge-fd", o["bridge_fd"])
		if o["bridge_vlan_aware"] == "1" {
			writeOption(b, "bridge-vlan-aware", "yes")
			vids := o["bridge_vids"]
			if vids == "" {
				vids = "2-4094"
			}
			writeOption(b, "bridge-vids", vids)
		}
	case "bond":
		writeOption(b, "bond-slaves", strings.Join(splitList(o["slaves"]), " "))
		writeOption(b, "bond-miimon", "100")
		mode := cmp.Or(o["bond_mode"], "balance-rr")
		writeOption(b, "bond-mode", mode)
		if mode == "balance-xor" || mode == "802.3ad" {
			writeOption(b, "bond-xmit-hash-policy", o["bond_xmit_hash_policy"])
		}
		if mode == "active-backup" {
			writeOption(b, "bond-primary", o["bond-primary"])
		}
	case "vlan":
		if !strings.Contains(i.name, ".") {
			writeOption(b, "vlan-raw-device", o["vlan-raw-device"])
			if !vlanName.MatchString(i.name) {
				writeOption(b, "vlan-id", o["vlan-id"])
			}
		}
	}
	writeOption(b, "mtu", o["mtu"])
	for _, line := range i.raw {
		if i.kind == "bond" && strings.HasPrefix(line, "bond-miimon") {
			continue
		}
		b.WriteString("\t" + line + "\n")
	}
	for _, line := range strings.Split(strings.TrimSuffix(i.comments, "\n"), "\n") {
		if i.comments != "" {
			b.WriteString("#" + line + "\n")
		}
	}
}

// hasBridge tells whether a bridge is up: in the file that was applied.
func (n *Node) hasBridge(name string) bool {
	i := parseInterfaces(n.Interfaces).byName[name]
	return i != nil && (i.kind == "bridge" || strings.HasPrefix(name, "vmbr"))
}
