package sim

import "strings"

// Reads that nothing in this world changes. A world's "read" sections come first.
func init() {
	index := func(path, key, names string) {
		on("GET "+path, quiet(func(*call) any {
			rows := []any{}
			for _, name := range strings.Fields(names) {
				rows = append(rows, map[string]any{key: name})
			}
			return rows
		}))
	}
	index("/access", "subdir", "users groups roles acl domains openid tfa ticket permissions password")
	index("/cluster", "name", "replication metrics config firewall backup ha acme ceph jobs mapping sdn log resources tasks options status nextid")
	index("/nodes/{node}/disks", "name", "list initgpt smart lvm lvmthin directory zfs wipedisk")
	index("/nodes/{node}/hardware", "type", "pci usb")
	on("GET /nodes/{node}/services", quiet(func(*call) any {
		rows := []any{}
		for _, name := range strings.Fields("chrony corosync cron ksmtuned postfix pve-cluster pve-firewall pvedaemon pveproxy pvestatd qmeventd sshd spiceproxy") {
			rows = append(rows, service(name))
		}
		return rows
	}))
	on("GET /nodes/{node}/services/{service}/state", quiet(func(c *call) any { return service(c.str("service")) }))
	on("GET /nodes/{node}/disks/list", quiet(func(*call) any { return []any{} }))
	on("GET /nodes/{node}/disks/lvm", quiet(func(*call) any { return map[string]any{"children": []any{}, "leaf": 0} }))
	on("GET /nodes/{node}/disks/lvmthin", quiet(listThinPools))
}

// quiet answers from the world's Reads, or else with what the function makes.
func quiet(otherwise func(*call) any) operation {
	return func(c *call) (any, error) {
		if raw, ok := c.w.Reads[c.path]; ok {
			return raw, nil
		}
		return otherwise(c), nil
	}
}

func service(name string) map[string]any {
	return map[string]any{"service": name, "name": name, "desc": name, "state": "running", "active-state": "active", "unit-state": "enabled"}
}

// listThinPools shows the thin pools that the lvmthin storages of the node name.
func listThinPools(c *call) any {
	rows := []any{}
	for _, st := range c.w.Storages.list {
		if st.Type != "lvmthin" || !st.on(c.node.Name) {
			continue
		}
		total, used := (&store{s: c.s, node: c.node, st: st}).capacity()
		rows = append(rows, map[string]any{"lv": st.values["thinpool"], "vg": st.values["vgname"], "lv_size": total, "used": used, "metadata_size": 1 << 30, "metadata_used": 1 << 24})
	}
	return rows
}
