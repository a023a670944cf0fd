package sim

import (
	"strings"
	"time"
)

func init() {
	on("GET /nodes/{node}/network", listNetwork)
	on("POST /nodes/{node}/network", createInterface)
	on("PUT /nodes/{node}/network", applyNetwork)
	on("DELETE /nodes/{node}/network", func(c *call) (any, error) {
		c.node.InterfacesNew = nil
		return nil, nil
	})
	on("GET /nodes/{node}/network/{iface}", readInterface)
	on("PUT /nodes/{node}/network/{iface}", updateInterface)
	on("DELETE /nodes/{node}/network/{iface}", deleteInterface)
}

// wanted is the file that GET shows: the pending one, if there is one.
func (n *Node) wanted() *interfaces {
	if n.InterfacesNew != nil {
		return parseInterfaces(*n.InterfacesNew)
	}
	return parseInterfaces(n.Interfaces)
}

func (c *call) writeInterfaces(f *interfaces) error {
	if err := f.check(); err != nil {
		return err
	}
	text := f.text()
	c.node.InterfacesNew = &text
	c.node.interfacesNewTime = c.s.clock.Now()
	return nil
}

// row shows one interface with what PVE adds (FACTS §8).
func (i *iface) row(active bool) map[string]any {
	row := map[string]any{"type": i.kind, "families": i.families, "priority": i.priority}
	for key, value := range i.options {
		row[key] = value
		if key == "bridge_vlan_aware" {
			row[key] = 1
		}
	}
	if i.families == nil {
		row["families"] = []string{"inet"}
	}
	if i.kind == "bridge" && i.options["bridge_vlan_aware"] == "1" && i.options["bridge_vids"] == "" {
		row["bridge_vids"] = "2-4094"
	}
	if i.auto {
		row["autostart"] = 1
	}
	if i.comments != "" {
		row["comments"] = i.comments
	}
	if active {
		row["active"] = 1
	}
	return row
}

func listNetwork(c *call) (any, error) {
	wanted, now := c.node.wanted(), parseInterfaces(c.node.Interfaces)
	kind := c.str("type")
	rows := []any{}
	for _, name := range sortedKeys(wanted.byName) {
		i := wanted.byName[name]
		if i.kind == "loopback" || kind != "" && !i.matches(kind) {
			continue
		}
		if i.kind == "bridge" && !c.may("/sdn/zones/localnetwork/"+name, "SDN.Audit", "SDN.Use") && !c.may("/nodes/"+c.node.Name, "Sys.Audit") {
			continue
		}
		row := i.row(now.byName[name] != nil)
		row["iface"] = name
		rows = append(rows, row)
	}
	if c.node.InterfacesNew == nil {
		return rows, nil
	}
	changes := unifiedDiff("/etc/network/interfaces", c.node.Interfaces, c.node.interfacesTime,
		"/etc/network/interfaces.new", *c.node.InterfacesNew, c.node.interfacesNewTime)
	if changes == "" {
		return rows, nil
	}
	return listing{data: rows, extra: map[string]any{"changes": changes}}, nil
}

func (i *iface) matches(kind string) bool {
	switch kind {
	case "any_bridge", "any_local_bridge":
		return i.kind == "bridge" || i.kind == "OVSBridge"
	case "include_sdn":
		return true
	}
	return i.kind == kind
}

func readInterface(c *call) (any, error) {
	name := c.str("iface")
	i := c.node.wanted().byName[name]
	if i == nil {
		return nil, badParam("iface", "interface does not exist")
	}
	return i.row(parseInterfaces(c.node.Interfaces).byName[name] != nil), nil
}

var networkControl = map[string]bool{"node": true, "iface": true, "type": true, "delete": true}

// setInterface writes the given options into an interface. Without an address of a family in the call its
// method turns to manual (FACTS §8).
func (c *call) setInterface(f *interfaces, i *iface) error {
	given := map[string]string{}
	for _, name := range c.order {
		if !networkControl[name] {
			given[name] = strings.ReplaceAll(c.params[name], "\x00", " ")
		}
	}
	if err := f.checkParams(i.name, given); err != nil {
		return err
	}
	for _, six := range []string{"", "6"} {
		if cidr, ok := given["cidr"+six]; ok {
			given["address"+six], given["netmask"+six], _ = strings.Cut(cidr, "/")
		} else if address, ok := given["address"+six]; ok {
			given["cidr"+six] = address + "/" + maskBits(given["netmask"+six])
		}
		i.options["method"+six] = "manual"
		if given["address"+six] != "" {
			i.options["method"+six] = "static"
		}
	}
	for key, value := range given {
		switch key {
		case "autostart":
			i.auto = value == "1"
		case "comments", "comments6":
			i.comments = strings.TrimRight(value, "\n") + "\n"
			if value == "" {
				i.comments = ""
			}
		case "bridge_vlan_aware":
			delete(i.options, key)
			if value == "1" {
				i.options[key] = "1"
			}
		default:
			i.options[key] = value
		}
	}
	return nil
}

func createInterface(c *call) (any, error) {
	name, kind := c.str("iface"), c.str("type")
	if strings.HasPrefix(kind, "OVS") {
		return nil, dief("Open VSwitch is not installed (need package 'openvswitch-switch')")
	}
	f := c.node.wanted()
	if f.byName[name] != nil {
		return nil, badParam("iface", "interface already exists")
	}
	i := &iface{name: name, kind: kind, options: map[string]string{}, families: []string{"inet"}}
	if err := c.setInterface(f, i); err != nil {
		return nil, err
	}
	if kind == "bridge" {
		for key, value := range map[string]string{"bridge_ports": "", "bridge_stp": "off", "bridge_fd": "0"} {
			if _, ok := i.options[key]; !ok {
				i.options[key] = value
			}
		}
	}
	if vids, ok := i.options["bridge_vids"]; ok {
		i.options["bridge_vids"] = strings.Join(splitList(vids), " ")
	}
	f.byName[name] = i
	return nil, c.writeInterfaces(f)
}

func updateInterface(c *call) (any, error) {
	f := c.node.wanted()
	i := f.byName[c.str("iface")]
	if i == nil {
		return nil, badParam("iface", "interface does not exist")
	}
	i.kind = c.str("type") // PVE takes another one, and reads back what the name and the ports say
	for _, key := range splitList(c.str("delete")) {
		delete(i.options, key)
		switch key {
		case "cidr", "address":
			for _, part := range []string{"cidr", "address", "netmask"} {
				delete(i.options, part)
			}
		case "cidr6", "address6":
			for _, part := range []string{"cidr6", "address6", "netmask6"} {
				delete(i.options, part)
			}
		case "autostart":
			i.auto = false
		case "comments":
			i.comments = ""
		}
	}
	if err := c.setInterface(f, i); err != nil {
		return nil, err
	}
	return nil, c.writeInterfaces(f)
}

func deleteInterface(c *call) (any, error) {
	f := c.node.wanted()
	if f.byName[c.str("iface")] == nil {
		return nil, badParam("iface", "interface does not exist")
	}
	delete(f.byName, c.str("iface"))
	return nil, c.writeInterfaces(f)
}

// applyNetwork puts the pending file in place before the reload runs: after a failed reload nothing is pending.
func applyNetwork(c *call) (any, error) {
	n := c.node
	if n.InterfacesNew != nil {
		n.Interfaces, n.InterfacesNew = *n.InterfacesNew, nil
		n.interfacesTime, n.interfacesNewTime = c.s.clock.Now(), time.Time{}
	}
	return c.fork(job{kind: "srvreload", id: "networking", work: func(*Task) error { return nil }})
}
