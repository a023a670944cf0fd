package sim

import (
	"fmt"
	"net/url"
	"strings"
	"time"
)

func init() {
	const agent = " /nodes/{node}/qemu/{vmid}/agent"
	for command, verb := range map[string]string{
		"ping": "POST", "fsfreeze-freeze": "POST", "fsfreeze-status": "POST", "fsfreeze-thaw": "POST", "fstrim": "POST", "shutdown": "POST",
		"get-fsinfo": "GET", "get-host-name": "GET", "get-osinfo": "GET", "get-time": "GET", "get-timezone": "GET", "get-users": "GET",
		"get-vcpus": "GET", "info": "GET", "network-get-interfaces": "GET", "get-memory-blocks": "GET", "get-memory-block-info": "GET",
		"suspend-disk": "POST", "suspend-hybrid": "POST", "suspend-ram": "POST",
	} {
		on(verb+agent+"/"+command, func(c *call) (any, error) { return c.agent(command) })
	}
	on("POST"+agent, func(c *call) (any, error) { return c.agent(c.str("command")) })
	on("GET /nodes/{node}/qemu/{vmid}/cloudinit", cloudinitPending)
	on("PUT /nodes/{node}/qemu/{vmid}/cloudinit", func(c *call) (any, error) {
		_, err := c.vm()
		return nil, err
	})
	on("GET /nodes/{node}/qemu/{vmid}/cloudinit/dump", cloudinitDump)
	on("GET /nodes/{node}/qemu/{vmid}/migrate", migratePrecheck)
	on("GET /nodes/{node}/qemu/{vmid}/firewall/options", func(c *call) (any, error) {
		_, err := c.vm()
		return map[string]any{"digest": "da39a3ee5e6b4b0d3255bfef95601890afd80709"}, err
	})
}

// agentWait is how long PVE waits for an agent that does not answer.
const agentWait = 3 * time.Second

// agent asks the guest agent (FACTS §7).
func (c *call) agent(command string) (any, error) {
	vm, err := c.vm()
	if err != nil {
		return nil, err
	}
	conf := vm.config().main
	switch {
	case !agentOn(conf["agent"]):
		return nil, dief("No QEMU guest agent configured")
	case !vm.isRunning():
		return nil, dief("VM %d is not running", vm.ID)
	case c.w.Guests[vm.ID].hasAgent():
		return c.ask(vm, command)
	case !vm.AgentUp:
		c.s.mu.Unlock()
		c.s.clock.Sleep(agentWait)
		c.s.mu.Lock()
		return nil, dief("QEMU guest agent is not running")
	}
	var result any = map[string]any{}
	switch command {
	case "network-get-interfaces":
		result = guestInterfaces(conf)
	case "get-host-name":
		result = map[string]any{"host-name": conf["name"]}
	case "get-osinfo":
		result = map[string]any{"id": "debian", "name": "Debian GNU/Linux", "pretty-name": "Debian GNU/Linux 13 (trixie)", "version-id": "13"}
	case "get-time":
		result = c.s.clock.Now().UnixNano()
	case "fsfreeze-status":
		result = "thawed"
	case "fsfreeze-freeze", "fsfreeze-thaw":
		result = 1
	case "fstrim":
		result = map[string]any{"paths": []any{}}
	case "get-fsinfo", "get-users", "get-vcpus", "get-memory-blocks":
		result = []any{}
	case "shutdown":
		c.stopVM(vm)
		return nil, nil
	}
	return map[string]any{"result": result}, nil
}

func guestInterfaces(conf settings) any {
	rows := []any{map[string]any{"name": "lo", "hardware-address": "00:00:00:00:00:00", "ip-addresses": []any{
		map[string]any{"ip-address": "127.0.0.1", "ip-address-type": "ipv4", "prefix": 8},
	}}}
	for _, key := range sortedKeys(conf) {
		if netSlot.MatchString(key) {
			rows = append(rows, map[string]any{"name": "eth" + key[3:], "hardware-address": strings.ToLower(parseNet(conf[key])["macaddr"])})
		}
	}
	return rows
}

var cloudinitKeys = []string{"cicustom", "cipassword", "citype", "ciupgrade", "ciuser", "nameserver", "searchdomain", "sshkeys"}

func cloudinitPending(c *call) (any, error) {
	vm, err := c.vm()
	if err != nil {
		return nil, err
	}
	conf := vm.config().main
	rows := []any{}
	for _, key := range cloudinitKeys {
		if value, ok := conf[key]; ok {
			rows = append(rows, map[string]any{"key": key, "value": shown(key, value)})
		}
	}
	return rows, nil
}

// cloudinitDump prints what the guest would get (src: QemuServer::Cloudinit, format nocloud).
func cloudinitDump(c *call) (any, error) {
	vm, err := c.vm()
	if err != nil {
		return nil, err
	}
	conf := vm.config().main
	switch c.str("type") {
	case "user":
		return cloudUser(vm.ID, conf), nil
	case "network":
		return cloudNetwork(conf), nil
	}
	return "instance-id: " + vm.digest() + "\n", nil
}

func cloudUser(id int, conf settings) string {
	host := conf["name"]
	if host == "" {
		host = fmt.Sprintf("VM%d", id)
	}
	host, domain, _ := strings.Cut(host, ".")
	if domain == "" {
		domain, _, _ = strings.Cut(conf["searchdomain"], " ")
	}
	var b strings.Builder
	fmt.Fprintf(&b, "#cloud-config\nhostname: %s\nmanage_etc_hosts: true\n", host)
	if domain != "" {
		fmt.Fprintf(&b, "fqdn: %s.%s\n", host, domain)
	}
	if conf["ciuser"] != "" {
		fmt.Fprintf(&b, "user: %s\n", conf["ciuser"])
	} else {
		b.WriteString("disable_root: False\n")
	}
	if conf["cipassword"] != "" {
		fmt.Fprintf(&b, "password: %s\n", conf["cipassword"])
	}
	if keys, err := url.PathUnescape(conf["sshkeys"]); err == nil && keys != "" {
		b.WriteString("ssh_authorized_keys:\n")
		for _, key := range strings.Split(strings.TrimRight(keys, "\n"), "\n") {
			fmt.Fprintf(&b, "  - %s\n", key)
		}
	}
	b.WriteString("chpasswd:\n  expire: False\nusers:\n  - default\n")
	if conf["ciupgrade"] != "0" {
		b.WriteString("package_upgrade: true\n")
	}
	return b.String()
}

func cloudNetwork(conf settings) string {
	var b strings.Builder
	b.WriteString("version: 1\nconfig:\n")
	for _, key := range sortedKeys(conf) {
		if !netSlot.MatchString(key) {
			continue
		}
		n := key[3:]
		fmt.Fprintf(&b, "    - type: physical\n      name: eth%s\n      mac_address: '%s'\n      subnets:\n", n, strings.ToLower(parseNet(conf[key])["macaddr"]))
		ip := parsePlain(conf["ipconfig"+n], "")
		switch {
		case ip["ip"] == "dhcp":
			b.WriteString("      - type: dhcp4\n")
		case ip["ip"] != "":
			address, bits, _ := strings.Cut(ip["ip"], "/")
			fmt.Fprintf(&b, "      - type: static\n        address: '%s'\n        netmask: '%s'\n", address, dottedMask(atoi(bits)))
			if ip["gw"] != "" {
				fmt.Fprintf(&b, "        gateway: '%s'\n", ip["gw"])
			}
		}
		switch {
		case ip["ip6"] == "auto":
			b.WriteString("      - type: ipv6_slaac\n")
		case ip["ip6"] == "dhcp":
			b.WriteString("      - type: dhcp6\n")
		case ip["ip6"] != "":
			fmt.Fprintf(&b, "      - type: static6\n        address: '%s'\n", ip["ip6"])
			if ip["gw6"] != "" {
				fmt.Fprintf(&b, "        gateway: '%s'\n", ip["gw6"])
			}
		}
	}
	b.WriteString("    - type: nameserver\n      address:\n")
	for _, server := range splitList(conf["nameserver"]) {
		fmt.Fprintf(&b, "      - '%s'\n", server)
	}
	b.WriteString("      search:\n")
	for _, domain := range splitList(conf["searchdomain"]) {
		fmt.Fprintf(&b, "      - '%s'\n", domain)
	}
	return b.String()
}

func dottedMask(bits int) string {
	mask := uint32(0xffffffff) << (32 - bits)
	return fmt.Sprintf("%d.%d.%d.%d", byte(mask>>24), byte(mask>>16), byte(mask>>8), byte(mask))
}

// migratePrecheck lists what holds a VM on its node.
func migratePrecheck(c *call) (any, error) {
	vm, err := c.vm()
	if err != nil {
		return nil, err
	}
	disks := []any{}
	conf := vm.config().main
	for _, key := range sortedKeys(conf) {
		unused := unusedSlot.MatchString(key)
		volid := driveFile(conf[key])
		if !isDrive(key) && !unused || !volumeID.MatchString(volid) || strings.Contains(conf[key], "media=cdrom") {
			continue
		}
		row := map[string]any{
			"volid": volid, "is_unused": atoi(bit(unused)), "is_attached": atoi(bit(!unused)), "is_cloudinit": 0, "is_tpmstate": atoi(bit(key == "tpmstate0")),
			"is_vmstate": 0, "shared": 0, "replicate": 1, "cdrom": 0,
		}
		if !unused {
			row["drivename"] = key
			if size, err := parseBytes(parsePlain(conf[key], "file")["size"]); err == nil {
				row["size"] = size
			}
		}
		disks = append(disks, row)
	}
	others := []string{}
	for _, n := range c.w.Nodes {
		if n != c.node && n.Status == "online" {
			others = append(others, n.Name)
		}
	}
	return map[string]any{
		"running": atoi(bit(vm.isRunning())), "local_disks": disks, "local_resources": []any{}, "mapped-resources": []any{},
		"mapped-resource-info": map[string]any{}, "allowed_nodes": others, "not_allowed_nodes": map[string]any{}, "has-dbus-vmstate": 1,
	}, nil
}
