package sim

import (
	"encoding/json"
	"strings"
)

func init() {
	on("GET /nodes", listNodes)
	on("GET /nodes/{node}", func(*call) (any, error) {
		rows := []any{}
		for _, name := range strings.Fields("qemu lxc ceph vzdump services subscription network tasks storage disks apt capabilities hardware scan status version time dns hosts syslog report config") {
			rows = append(rows, map[string]any{"name": name})
		}
		return rows, nil
	})
	on("GET /nodes/{node}/status", nodeStatus)
	on("GET /nodes/{node}/config", func(c *call) (any, error) {
		if raw, ok := c.w.Reads[c.path]; ok {
			return raw, nil
		}
		return map[string]any{}, nil
	})
	on("GET /nodes/{node}/disks/zfs", func(c *call) (any, error) {
		if raw, ok := c.w.Reads[c.path]; ok {
			return raw, nil
		}
		return listPools(c)
	})
}

func listNodes(c *call) (any, error) {
	rows := []any{}
	for _, n := range c.w.Nodes {
		row := map[string]any{"id": "node/" + n.Name, "type": "node", "node": n.Name, "status": "online", "level": "", "ssl_fingerprint": "C6:AE:92:47:1D:FA:53:20:C2:54:48:4C:E9:24:75:32:C8:25:5D:55:D5:08:5F:02:16:C9:9A:6E:58:01:0C:2E"}
		if c.s.cert != nil {
			row["ssl_fingerprint"] = c.s.cert.sum
		}
		if n.Status != "online" {
			row["status"] = "offline"
		} else if c.may("/nodes/"+n.Name, "Sys.Audit") {
			for key, value := range c.nodeLoad(n) {
				row[key] = value
			}
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// nodeStatus tells the load; what the world's Reads hold for the path (cpuinfo, kernel) is added.
func nodeStatus(c *call) (any, error) {
	n := c.node
	number, build := c.w.build()
	uptime := int64(c.s.clock.Now().Sub(n.Booted).Seconds())
	row := map[string]any{
		"uptime": uptime, "cpu": 0, "wait": 0, "idle": 0, "loadavg": []string{"0.00", "0.00", "0.00"},
		"ksm":        map[string]any{"shared": 0},
		"memory":     map[string]any{"total": n.Memory, "used": n.MemoryUsed, "free": n.Memory - n.MemoryUsed, "available": n.Memory - n.MemoryUsed},
		"swap":       map[string]any{"total": 0, "used": 0, "free": 0},
		"rootfs":     map[string]any{"total": n.RootDisk, "used": n.RootUsed, "free": n.RootDisk - n.RootUsed, "avail": n.RootDisk - n.RootUsed},
		"pveversion": "pve-manager/" + number + "/" + build,
	}
	if raw, ok := c.w.Reads[c.path]; ok {
		var more map[string]any
		if err := json.Unmarshal(raw, &more); err != nil {
			return nil, dief("simulator: read %s: %s", c.path, err)
		}
		for key, value := range more {
			row[key] = value
		}
	}
	return row, nil
}

// listPools shows the ZFS pools of the node.
func listPools(c *call) (any, error) {
	rows := []any{}
	for _, d := range c.node.Datasets {
		if strings.Contains(d.Name, "/") || d.Quota == 0 {
			continue
		}
		var used int64
		for _, other := range c.node.Datasets {
			if other == d || strings.HasPrefix(other.Name, d.Name+"/") {
				used += other.Used
			}
		}
		size := d.Quota
		if d.Raw != 0 {
			size = d.Raw
		}
		rows = append(rows, map[string]any{"name": d.Name, "health": "ONLINE", "size": size, "alloc": used, "free": size - used, "frag": 0, "dedup": 1})
	}
	if len(c.node.Datasets) == 0 {
		return nil, dief("zfsutils-linux not installed")
	}
	return rows, nil
}
