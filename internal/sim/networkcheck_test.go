package sim

import (
	"fmt"
	"strings"
	"testing"
)

// PVE refuses some network files when it is asked for them, and each refusal leaves nothing pending.
func TestNetworkRefusals(t *testing.T) {
	const network = "/nodes/pve-5/network"
	text := "auto lo\niface lo inet loopback\n\niface eno1 inet manual\n\niface eno2 inet manual\n\niface eno3 inet manual\n\nauto bond0\niface bond0 inet manual\n\tbond-slaves eno2\n\tbond-mode active-backup\n\n" +
		"auto vmbr0\niface vmbr0 inet static\n\taddress 10.0.0.2/24\n\tgateway 10.0.0.1\n\tbridge-ports eno1\n\tbridge-stp off\n\tbridge-fd 0\n\n" +
		"iface vmbr6 inet6 static\n\taddress 2001:db8::2/64\n\tgateway 2001:db8::1\n\tbridge-ports none\n\tbridge-stp off\n\tbridge-fd 0\n"
	for _, row := range []struct{ method, path, form, want string }{
		{"POST", "", "type=bridge&iface=vmbr9&gateway=10.0.0.9&cidr=10.0.0.9/24", "gateway: Default gateway already exists on interface 'vmbr0'."},
		{"POST", "", "type=bridge&iface=vmbr9&gateway6=2001:db8::9&cidr6=2001:db8::9/64", "gateway6: Default ipv6 gateway already exists on interface 'vmbr6'."},
		{"POST", "", "type=bridge&iface=vmbr9&bridge_ports=eno1", "bridge_ports: eno1 is already used on interface 'vmbr0'."},
		{"POST", "", "type=bond&iface=bond9&slaves=eno2&bond_mode=802.3ad", "slaves: eno2 is already used on interface 'bond0'."},
		{"POST", "", "type=bridge&iface=vmbr9&cidr=10.0.0.9/24&address=10.0.0.9&netmask=24", "address: address conflicts with cidr"},
		{"POST", "", "type=bridge&iface=vmbr9&cidr6=ff02::1/64", "address: ff02::1 with type 'MULTICAST', cannot be used as host IPv6 address."},
		{"POST", "", "type=bridge&iface=vmbr9&bridge_ports=eno9", "500 bridge 'vmbr9' - unable to find bridge port 'eno9'"},
		{"POST", "", "type=bridge&iface=vmbr9&bridge_ports=eno3&mtu=9000", "500 interface 'eno3' - mtu 1500 is lower than 'vmbr9' - mtu 9000"},
		{"POST", "", "type=bridge&iface=vmbr9&bridge_ports=eno3.5", "200 OK"},
		{"POST", "", "type=bond&iface=bond9&slaves=eno9&bond_mode=802.3ad", "500 bond 'bond9' - unable to find slave 'eno9'"},
		{"POST", "", "type=bond&iface=bond9&slaves=vmbr0&bond_mode=802.3ad", "500 bond 'bond9' - wrong interface type on slave 'vmbr0' ('bridge' != 'eth or bond')"},
		{"POST", "", "type=vlan&iface=eno9.5", "500 vlan 'eno9.5' - unable to find parent 'eno9'"},
		{"POST", "", "type=vlan&iface=eno3.4095", "500 vlan 'eno3.4095' - vlan-id 4095 should be <= 4094"},
		{"POST", "", "type=vlan&iface=vlan7&vlan-raw-device=bond0", "200 OK"},
		{"POST", "", "type=OVSBridge&iface=vmbr9", "500 Open VSwitch is not installed (need package 'openvswitch-switch')"},
		{"PUT", "/eno1", "type=eth&cidr=10.9.0.9/24", "500 iface eno1 - ip address can't be set on interface if bridged in vmbr0"},
		{"DELETE", "/eno1", "", "500 bridge 'vmbr0' - unable to find bridge port 'eno1'"},
		{"PUT", "/vmbr0", "type=bridge&bridge_ports=eno1&gateway=10.0.0.1", "200 OK"}, // its method turns to manual
	} {
		c := newClient(t, Options{})
		c.s.Edit(func(w *World) { w.Node("pve-5").Interfaces, w.Node("pve-5").InterfacesNew = text, nil })
		have, body := c.call(row.method, network+row.path, row.form)
		for name, text := range errorsOf(body) {
			have = fmt.Sprint(name, ": ", text)
		}
		if have != row.want {
			t.Errorf("%s %s %s: have %s, want %s", row.method, row.path, row.form, have, row.want)
		}
		if pending := c.s.Dump().Node("pve-5").InterfacesNew != nil; pending != strings.HasPrefix(row.want, "200") {
			t.Errorf("%s %s %s: pending %v", row.method, row.path, row.form, pending)
		}
	}
}

func errorsOf(body map[string]any) map[string]any {
	errs, _ := body["errors"].(map[string]any)
	return errs
}
