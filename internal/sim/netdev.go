package sim

import (
	"fmt"
	"strings"
)

// parseNet reads a NIC option: the model's key holds the MAC (src: Network::parse_net).
func parseNet(text string) propertyString {
	net := propertyString{}
	for _, part := range strings.Split(text, ",") {
		key, value, has := strings.Cut(part, "=")
		switch {
		case !has && part != "":
			net["model"] = part
		case netModels[key]:
			net["model"], net["macaddr"] = key, value
		case has:
			if key == "firewall" || key == "link_down" {
				value = plainBoolean(value)
			}
			net[key] = value
		}
	}
	return net
}

var netModels = map[string]bool{
	"e1000": true, "e1000-82540em": true, "e1000-82544gc": true, "e1000-82545em": true, "e1000e": true, "i82551": true,
	"i82557b": true, "i82559er": true, "ne2k_isa": true, "ne2k_pci": true, "pcnet": true, "rtl8139": true, "virtio": true, "vmxnet3": true,
}

// printNet prints model=MAC first, then the keys in alphabetical order (src: Network::print_net).
func printNet(net propertyString) string {
	head := net["model"] + "=" + net["macaddr"]
	rest := net.print("", "model", "macaddr")
	if rest == "" {
		return head
	}
	return head + "," + rest
}

// storedNet is what a written NIC becomes: a missing MAC is made up (FACTS §3).
func (c *call) storedNet(text string) string {
	net := parseNet(text)
	if net["macaddr"] == "" {
		net["macaddr"] = c.s.newMAC()
	}
	return printNet(net)
}

func (s *Server) newMAC() string {
	prefix := s.w.Datacenter.macPrefix()
	for strings.Count(prefix, ":") < 5 {
		prefix += fmt.Sprintf(":%02X", s.random.Intn(256))
	}
	return prefix
}

func (s *Server) newUUID() string {
	var b [16]byte
	for i := range b {
		b[i] = byte(s.random.Intn(256))
	}
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
