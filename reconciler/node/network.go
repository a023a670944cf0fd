package node

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/ustclug/pve-reconcile/reconciler/step"
	"github.com/ustclug/pve-reconcile/schema"
)

const (
	networkPath = "/network"        // of the node; what it lists is the pending config, when there is one (FACTS §8)
	statusPath  = "/cluster/status" // tells by which address the cluster knows the node
)

func networkReads(n schema.Node) []string {
	if n.Spec.Network == nil {
		return nil
	}
	return []string{"/nodes/" + n.Metadata.Name + networkPath, statusPath}
}

// network plans bridges and VLANs: all that differ are written at once, or none. What the node is reached by is only
// changed, or taken away by another, when a person confirmed it. What is written and not applied waits for a person.
func (a *answers) network(want schema.Node) []step.Step {
	w := want.Spec.Network
	var rows []map[string]text
	if !a.read(networkPath, &rows) {
		return nil
	}
	live := map[string]map[string]text{}
	for _, r := range rows {
		live[string(r["iface"])] = named(r)
	}
	guarded, ok := a.guarded(live)
	if !ok {
		return nil
	}
	changes := a.have.Answers["/nodes/"+a.node+networkPath].Changes
	var writes []step.NetworkInterface
	var dangers []string
	held := false
	for _, name := range slices.Sorted(maps.Keys(w.Interfaces)) {
		i, good := a.netInterface(name, *w.Interfaces[name], live)
		if i != nil {
			writes = append(writes, *i)
			dangers = append(dangers, danger(*i, live, guarded)...)
		}
		held = held || !good
		if r := live[name]; i == nil && good && changes == "" && r["autostart"] == "1" && r["active"] != "1" {
			a.fail(".interfaces."+name, "is configured and not up: did the last reload fail? `ifreload -a` on the node says what is wrong")
		}
	}
	switch {
	case changes != "":
		a.pending(changes, len(writes) > 0)
		return nil
	case held || len(writes) == 0: // all at once or none: the others may rely on the one that is held
		return nil
	}
	change := step.SetNetwork{Cluster: a.have.Cluster, Node: a.node, Interfaces: writes, Apply: w.ApplyPolicy == "Automatic"}
	if len(dangers) > 0 && !a.confirmed(change, dangers, w.Confirmed, live) {
		return nil
	}
	return []step.Step{change}
}

// named adds what the name of a VLAN decides, which PVE neither keeps in the file nor always tells: eno1.20, vlan20.
func named(row map[string]text) map[string]text {
	if row["type"] != "vlan" {
		return row
	}
	device, tag := schema.NamedVLAN(string(row["iface"]))
	if tag != 0 {
		row["vlan-id"] = text(strconv.Itoa(tag))
	}
	if device != "" {
		row["vlan-raw-device"] = text(device)
	}
	return row
}

// confirmed tells whether a person means exactly this change, of exactly what is there. If not, it says what is dangerous
// and which word would confirm it.
func (a *answers) confirmed(change step.SetNetwork, dangers []string, word string, live map[string]map[string]text) bool {
	sum := sha256.New()
	fmt.Fprintln(sum, change, dangers)
	for _, i := range change.Interfaces {
		for _, key := range schema.InterfaceKeys() {
			fmt.Fprintf(sum, "%s %s %q\n", i.Name, key, live[i.Name][key])
		}
	}
	good := hex.EncodeToString(sum.Sum(nil)[:8])
	if word == good {
		return true
	}
	for _, d := range dangers {
		a.refuse(".interfaces."+d[:strings.Index(d, ":")], "%s", d[strings.Index(d, ":")+2:])
	}
	a.refuse("", "such a change is made by hand, at the console. Somebody who is there may also have this run make it with confirmed: %q, which is good for exactly: %s", good, change)
	return false
}

// pending says what is written and not applied. Whose it is cannot be told, so it is never applied from here.
func (a *answers) pending(changes string, more bool) {
	text := "a network config is written and not applied: look at the diff, and apply it or revert it on the web page (node, Network). A reboot applies it too"
	if more {
		text += ". What else differs is not written before that"
	}
	a.waits = append(a.waits, step.Wait{Reason: step.NotApplied, Text: a.field + ": " + text})
	for line := range strings.Lines(changes) {
		line = strings.TrimRight(line, "\n")
		if strings.HasPrefix(line, "---") || strings.HasPrefix(line, "+++") || strings.TrimSpace(line) == "" {
			continue
		}
		a.notes = append(a.notes, "pending: "+line)
	}
}

// guarded lists the interfaces that the node is reached by, and those beneath them: with a gateway or the address that the
// cluster knows, and the ports and devices these stand on. When none can be told, each one with an address is guarded.
func (a *answers) guarded(live map[string]map[string]text) (map[string]bool, bool) {
	var nodes []struct{ Type, Name, IP string }
	if !a.at(statusPath, &nodes) {
		return nil, false
	}
	known := slices.Clone(a.have.Reached)
	for _, n := range nodes {
		if n.Type == "node" && n.Name == a.node {
			known = append(known, n.IP)
		}
	}
	out := map[string]bool{}
	for name, r := range live {
		if r["gateway"] != "" || r["gateway6"] != "" || has(r, known) {
			out[name] = true
		}
	}
	if len(out) == 0 {
		for name, r := range live {
			out[name] = r["cidr"] != "" || r["cidr6"] != ""
		}
	}
	for grown := true; grown; {
		grown = false
		for name := range maps.Clone(out) {
			for _, under := range beneath(name, live[name]) {
				if out[name] && !out[under] {
					out[under], grown = true, true
				}
			}
		}
	}
	return out, true
}

// beneath lists what an interface stands on.
func beneath(name string, r map[string]text) []string {
	out := strings.Fields(string(r["bridge_ports"]) + " " + string(r["slaves"]) + " " + string(r["vlan-raw-device"]))
	if device, _, dotted := strings.Cut(name, "."); dotted {
		out = append(out, device)
	}
	return out
}

// has tells whether an interface has one of some addresses.
func has(r map[string]text, addresses []string) bool {
	for _, key := range []string{"cidr", "cidr6"} {
		mine, err := netip.ParsePrefix(string(r[key]))
		if err != nil {
			continue // none
		}
		if slices.ContainsFunc(addresses, func(s string) bool {
			other, err := netip.ParseAddr(s)
			return err == nil && other.Unmap() == mine.Addr()
		}) {
			return true
		}
	}
	return false
}

// netInterface compares one interface. It is nil when nothing differs; not good when it can never be written.
func (a *answers) netInterface(name string, w schema.Interface, live map[string]map[string]text) (*step.NetworkInterface, bool) {
	below := ".interfaces." + name
	have, there := live[name]
	if there && string(have["type"]) != w.Type {
		a.refuse(below+".type", "declared is %s, it is %s: remove it by hand, or use another name", w.Type, have["type"])
		return nil, false
	}
	set := map[string]string{"type": w.Type}
	if !there {
		set["autostart"] = "1"
	}
	for _, key := range schema.InterfaceKeys() {
		if v, ok := have[key]; ok {
			set[key] = strings.TrimRight(string(v), "\n")
		}
	}
	differs := !there
	for _, o := range w.Declared() {
		v, ok := have[o.Key]
		if there && o.Same(string(v), ok) {
			continue
		}
		set[o.Key], differs = o.Text, true
	}
	switch why := leased(have); {
	case !differs:
		return nil, true
	case why != "":
		a.refuse(below, "%s", why)
		return nil, false
	}
	return &step.NetworkInterface{Name: name, New: !there, Set: set}, true
}

// leased says why an interface is never written, if so: PVE makes an interface manual that is sent without an address (FACTS §8).
func leased(row map[string]text) string {
	for _, key := range []string{"method", "method6"} {
		if m := row[key]; m != "" && m != "static" && m != "manual" && m != "loopback" {
			return fmt.Sprintf("its address comes by %s, and PVE would make it manual at any change: change /etc/network/interfaces by hand", strings.ToUpper(string(m)))
		}
	}
	return ""
}

// danger says, after the interface's name, how writing it could cut the node off; nothing when it could not.
func danger(i step.NetworkInterface, live map[string]map[string]text, guarded map[string]bool) []string {
	var out []string
	if guarded[i.Name] {
		var differ []string
		for _, key := range schema.InterfaceKeys() {
			if is := strings.TrimRight(string(live[i.Name][key]), "\n"); is != i.Set[key] {
				differ = append(differ, fmt.Sprintf("%s would be %s, it is %s", key, orNone(i.Set[key]), orNone(is)))
			}
		}
		out = append(out, i.Name+": the node is reached by it: "+strings.Join(differ, "; "))
	}
	if why := takesAway(i.Name, i.Set, live, guarded); why != "" {
		out = append(out, i.Name+": it could cut the node off: "+why)
	}
	return out
}

// takesAway says how an interface would take away what the node is reached by: a port of it, its gateway or its addresses.
func takesAway(name string, set map[string]string, live map[string]map[string]text, guarded map[string]bool) string {
	for _, port := range strings.Fields(set["bridge_ports"]) {
		if guarded[port] && !slices.Contains(strings.Fields(string(live[name]["bridge_ports"])), port) {
			return "ports: the node is reached by " + port
		}
	}
	for _, key := range []string{"cidr", "cidr6"} {
		mine, err := netip.ParsePrefix(set[key])
		if err != nil {
			continue // none
		}
		for other, r := range live {
			theirs, err := netip.ParsePrefix(string(r[key]))
			if err == nil && other != name && guarded[other] && mine.Overlaps(theirs) {
				return fmt.Sprintf("address: %s overlaps %s of %s, which the node is reached by", mine, theirs, other)
			}
		}
	}
	for _, key := range []string{"gateway", "gateway6"} {
		for other, r := range live {
			if set[key] != "" && other != name && r[key] != "" {
				return fmt.Sprintf("gateway: %s has the default gateway %s already", other, r[key])
			}
		}
	}
	return ""
}
