package sim

import (
	"strings"
	"time"
)

func init() {
	on("GET /version", version)
	on("GET /nodes/{node}/version", version)
	on("GET /cluster/nextid", nextID)
	on("GET /cluster/resources", clusterResources)
	on("GET /cluster/status", clusterStatus)
	on("GET /cluster/options", clusterOptions)
	on("PUT /cluster/options", setClusterOptions)
}

func version(c *call) (any, error) {
	number, build := c.w.build()
	parts := strings.Split(number, ".")
	release := number
	if len(parts) > 2 {
		release = parts[0] + "." + parts[1]
	}
	return map[string]any{"version": number, "release": release, "repoid": build}, nil
}

// build takes "9.2.11/14a22df35955d97d" apart; the second part may be absent.
func (w *World) build() (number, repoid string) {
	number, repoid, ok := strings.Cut(w.Version, "/")
	if !ok {
		repoid = "14a22df35955d97d"
	}
	return number, repoid
}

func nextID(c *call) (any, error) {
	if c.has("vmid") {
		if c.w.VMs[c.num("vmid")] != nil {
			return nil, badParam("vmid", "VM %d already exists", c.num("vmid"))
		}
		return itoa(c.num("vmid")), nil
	}
	lower := 100
	if text := parsePlain(c.w.Datacenter["next-id"], "lower")["lower"]; text != "" {
		lower = atoi(text)
	}
	for id := lower; ; id++ {
		if c.w.VMs[id] == nil {
			return itoa(id), nil
		}
	}
}

func clusterStatus(c *call) (any, error) {
	rows := []any{}
	for i, n := range c.w.Nodes {
		id := 0
		if len(c.w.Nodes) > 1 {
			id = i + 1
		}
		rows = append(rows, map[string]any{
			"id": "node/" + n.Name, "type": "node", "name": n.Name, "ip": n.IP, "local": atoi(bit(n == c.w.local())),
			"online": atoi(bit(n.Status == "online")), "nodeid": id, "level": "",
		})
	}
	if len(c.w.Nodes) > 1 {
		rows = append(rows, map[string]any{"id": "cluster", "type": "cluster", "name": "sim", "nodes": len(c.w.Nodes), "quorate": 1, "version": len(c.w.Nodes)})
	}
	return rows, nil
}

// broadcast is what pvestatd last told the cluster: cluster/resources answers from it (FACTS §7).
type broadcast struct {
	taken  time.Time
	rows   map[int]map[string]any
	frozen bool
}

func newBroadcast(s *Server) *broadcast {
	b := &broadcast{rows: map[int]map[string]any{}}
	for id, vm := range s.w.VMs {
		if !vm.seenLate {
			b.rows[id] = s.resourceRow(vm)
		}
	}
	b.taken = s.clock.Now()
	return b
}

func (b *broadcast) take(s *Server) {
	b.rows = map[int]map[string]any{}
	for id, vm := range s.w.VMs {
		b.rows[id] = s.resourceRow(vm)
		vm.seenLate = false
	}
	b.taken = s.clock.Now()
}

// refresh takes a new snapshot when the last one is too old.
func (b *broadcast) refresh(s *Server) {
	age := s.clock.Now().Sub(b.taken)
	if !b.frozen && (s.w.Settings.ResourceLag == 0 || age >= s.w.Settings.ResourceLag || age < 0) {
		b.take(s)
	}
}

func (s *Server) resourceRow(vm *VM) map[string]any {
	n := s.w.Node(vm.Node)
	if n == nil || n.Status != "online" {
		return nil
	}
	c := &call{s: s, w: s.w, node: n}
	row := map[string]any{"diskread": 0, "diskwrite": 0, "template": 0}
	for key, value := range c.vmStatus(vm, false) {
		switch {
		case key == "cpus":
			row["maxcpu"] = value
		case key == "pid" || key == "serial" || key == "balloon_min" || key == "shares" || strings.HasPrefix(key, "pressure"):
		default:
			row[key] = value
		}
	}
	return row
}

func (c *call) guestRow(vm *VM) map[string]any {
	row := map[string]any{"status": "unknown"}
	if seen := c.s.snapshot.rows[vm.ID]; seen != nil {
		row = map[string]any{}
		for key, value := range seen {
			row[key] = value
		}
	}
	row["id"], row["type"], row["node"], row["vmid"] = "qemu/"+itoa(vm.ID), "qemu", vm.Node, vm.ID
	if lock := vm.config().main["lock"]; lock != "" {
		row["lock"] = lock
	}
	if tags, ok := vm.config().main["tags"]; ok && row["name"] != nil && strings.TrimSpace(tags) != "" {
		row["tags"] = tags
	}
	return row
}

func clusterResources(c *call) (any, error) {
	c.s.snapshot.refresh(c.s)
	kind := c.str("type")
	rows := []any{}
	if kind == "" || kind == "vm" {
		rows = append(rows, c.guestRows()...)
	}
	if kind == "" || kind == "node" {
		for _, n := range c.w.Nodes {
			rows = append(rows, c.nodeResource(n))
		}
	}
	if kind == "" || kind == "storage" {
		rows = append(rows, c.storageRows()...)
	}
	if (kind == "" || kind == "network") && c.w.nine() {
		for _, n := range c.w.Nodes {
			if c.may("/sdn/zones/localnetwork", "SDN.Audit", "SDN.Use") {
				rows = append(rows, map[string]any{"id": "network/" + n.Name + "/zone/localnetwork", "network": "localnetwork", "network-type": "zone", "node": n.Name, "status": "ok", "type": "network"})
			}
		}
	}
	return rows, nil
}

func (c *call) guestRows() []any {
	pools := map[string]string{}
	for id, pool := range c.w.Access.Pools {
		for _, vm := range pool.VMs {
			pools[vm] = id
		}
	}
	rows := []any{}
	for _, id := range c.w.vmids() {
		if !c.may(vmPath(id), "VM.Audit") {
			continue
		}
		row := c.guestRow(c.w.VMs[id])
		if pool := pools[itoa(id)]; pool != "" {
			row["pool"] = pool
		}
		rows = append(rows, row)
	}
	return rows
}

func (c *call) nodeResource(n *Node) map[string]any {
	row := map[string]any{"id": "node/" + n.Name, "type": "node", "node": n.Name, "status": "online", "level": "", "cgroup-mode": 2}
	if n.Status != "online" {
		row["status"] = "offline"
	}
	if !c.may("/nodes/"+n.Name, "Sys.Audit") || n.Status != "online" {
		return row
	}
	for key, value := range c.nodeLoad(n) {
		row[key] = value
	}
	return row
}

func (c *call) nodeLoad(n *Node) map[string]any {
	return map[string]any{
		"cpu": 0, "maxcpu": n.CPUs, "mem": n.MemoryUsed, "maxmem": n.Memory, "disk": n.RootUsed, "maxdisk": n.RootDisk,
		"uptime": int64(c.s.clock.Now().Sub(n.Booted).Seconds()),
	}
}

func (c *call) storageRows() []any {
	rows := []any{}
	for _, n := range c.w.Nodes {
		for _, st := range c.w.Storages.list {
			if st.on(n.Name) && !st.disabled() && c.may("/storage/"+st.ID, "Datastore.Audit", "Datastore.AllocateSpace") {
				rows = append(rows, c.storageRow(n, st))
			}
		}
	}
	return rows
}

func (c *call) storageRow(n *Node, st *Storage) map[string]any {
	row := map[string]any{
		"id": "storage/" + n.Name + "/" + st.ID, "type": "storage", "storage": st.ID, "node": n.Name,
		"shared": atoi(st.values["shared"]), "plugintype": st.Type, "content": st.contentText(), "status": "available",
	}
	if n.Status != "online" {
		row["status"] = "unknown"
		return row
	}
	row["maxdisk"], row["disk"] = (&store{s: c.s, node: n, st: st}).capacity()
	return row
}

func clusterOptions(c *call) (any, error) {
	o := c.w.Datacenter
	full := c.may("/", "Sys.Audit")
	answer := map[string]any{"mac_prefix": o.macPrefix(), "description": o["description"]}
	if o["description"] == "" {
		answer["description"] = ""
	}
	for key, value := range o {
		switch {
		case strings.HasPrefix(key, "x-"), key == "mac_prefix", key == "description":
		case !full && key != "console" && key != "tag-style":
		case key == "registered-tags":
			answer[key] = splitList(value)
		case value != "" && strings.Contains(value, "="):
			answer[key] = numbersOf(parsePlain(value, "type"))
		default:
			answer[key] = value
		}
	}
	answer["allowed-tags"] = c.allowedTags()
	return answer, nil
}

func numbersOf(p propertyString) map[string]any {
	out := map[string]any{}
	for key, value := range p {
		out[key] = value
		if integerText.MatchString(value) {
			out[key] = atoi(value)
		}
	}
	return out
}

// allowedTags are the registered tags and those in use.
func (c *call) allowedTags() []string {
	found := map[string]bool{}
	for _, tag := range splitList(c.w.Datacenter["registered-tags"]) {
		found[tag] = true
	}
	for id, vm := range c.w.VMs {
		if c.may(vmPath(id), "VM.Audit") && vm.Node == c.w.local().Name {
			for _, tag := range splitList(vm.config().main["tags"]) {
				found[tag] = true
			}
		}
	}
	return append([]string{}, sortedKeys(found)...)
}

func setClusterOptions(c *call) (any, error) {
	o := c.w.Datacenter
	for _, key := range splitList(c.str("delete")) {
		delete(o, key)
	}
	for _, key := range c.order {
		if key != "delete" {
			o[key] = strings.ReplaceAll(c.params[key], "\x00", ";")
		}
	}
	return nil, nil
}
