package sim

import (
	"strconv"
	"strings"
)

func init() {
	on("GET /nodes/{node}/qemu", listVMs)
	on("GET /nodes/{node}/qemu/{vmid}", vmIndex)
	on("GET /nodes/{node}/qemu/{vmid}/config", readConfig)
	on("GET /nodes/{node}/qemu/{vmid}/pending", readPending)
	on("GET /nodes/{node}/qemu/{vmid}/status", func(*call) (any, error) {
		return subdirs("current", "start", "stop", "reset", "shutdown", "suspend", "reboot"), nil
	})
	on("GET /nodes/{node}/qemu/{vmid}/status/current", statusCurrent)
}

func subdirs(names ...string) any {
	rows := []any{}
	for _, name := range names {
		rows = append(rows, map[string]any{"subdir": name})
	}
	return rows
}

func vmIndex(c *call) (any, error) {
	if _, err := c.vm(); err != nil {
		return nil, err
	}
	return subdirs("config", "cloudinit", "pending", "status", "unlink", "vncproxy", "termproxy", "migrate", "resize", "move",
		"rrd", "rrddata", "monitor", "agent", "snapshot", "spiceproxy", "sendkey", "firewall", "mtunnel", "remote_migrate"), nil
}

// vm finds the VM of the path on the node of the path.
func (c *call) vm() (*VM, error) { return c.vmByID(c.num("vmid")) }

func (c *call) vmByID(id int) (*VM, error) {
	vm := c.w.VMs[id]
	if vm == nil || vm.Node != c.node.Name {
		return nil, dief("Configuration file 'nodes/%s/qemu-server/%d.conf' does not exist", c.node.Name, id)
	}
	return vm, nil
}

// jsonValue is an option as the API answers it: integers and booleans are numbers, the rest is text (FACTS §1).
func jsonValue(key, value string) any {
	if p := configOption(key); p != nil && (p.kind == "integer" || p.kind == "boolean") {
		if n, err := strconv.ParseInt(value, 10, 64); err == nil {
			return n
		}
	}
	return value
}

func shown(key, value string) any {
	if key == "cipassword" {
		return "**********"
	}
	return jsonValue(key, value)
}

func readConfig(c *call) (any, error) {
	vm, err := c.vm()
	if err != nil {
		return nil, err
	}
	conf := vm.config()
	var from settings
	if name := c.str("snapshot"); name != "" {
		from = conf.snaps[name]
		if from == nil {
			return nil, dief("snapshot '%s' does not exist", name)
		}
	} else if c.flag("current") {
		from = conf.main
	} else {
		from = conf.desired()
	}
	answer := make(map[string]any, len(from)+1)
	for key, value := range from {
		if key == "description" && value == "" {
			continue
		}
		answer[key] = shown(key, value)
	}
	answer["digest"] = vm.digest()
	return answer, nil
}

func readPending(c *call) (any, error) {
	vm, err := c.vm()
	if err != nil {
		return nil, err
	}
	conf := vm.config()
	deletes := conf.pendingDeletes()
	rows := []any{map[string]any{"key": "digest", "value": vm.digest()}}
	for _, key := range sortedKeys(conf.main) {
		if key == "description" && conf.main[key] == "" {
			continue
		}
		row := map[string]any{"key": key, "value": shown(key, conf.main[key])}
		if value, ok := conf.pending[key]; ok {
			row["pending"] = shown(key, value)
		} else if force, ok := deletes[key]; ok {
			row["delete"] = 1
			if force {
				row["delete"] = 2
			}
		}
		rows = append(rows, row)
	}
	for _, key := range sortedKeys(conf.pending) {
		if _, both := conf.main[key]; key != "delete" && !both {
			rows = append(rows, map[string]any{"key": key, "pending": shown(key, conf.pending[key])})
		}
	}
	return rows, nil
}

func (s settings) number(key string, otherwise int64) int64 {
	if n, err := strconv.ParseInt(strings.TrimPrefix(s[key], "current="), 10, 64); err == nil {
		return n
	}
	return otherwise
}

// cpus is what a VM shows as its CPUs.
func (s settings) cpus(limit int) int64 {
	n := s.number("sockets", 1) * s.number("cores", 1)
	if s.number("vcpus", 0) > 0 {
		n = s.number("vcpus", 0)
	}
	return min(n, int64(limit))
}

// bootDisk is the slot and drive text a VM boots from (src: QemuServer::get_default_bootdisk and device_bootorder).
func (s settings) bootDisk() string {
	if order, ok := bootOrder(s); ok {
		for _, dev := range order {
			if isDrive(dev) && s[dev] != "" && !strings.Contains(s[dev], "media=cdrom") {
				return dev
			}
		}
	}
	if dev := s["bootdisk"]; dev != "" {
		return dev
	}
	return ""
}

// bootDisks are the drives in the boot order (src: Drive::get_bootdisks).
func (s settings) bootDisks() []string {
	order, ok := bootOrder(s)
	if !ok {
		order = []string{s["bootdisk"]}
	}
	var drives []string
	for _, dev := range order {
		if isDrive(dev) {
			drives = append(drives, dev)
		}
	}
	return drives
}

// vmStatus is what lists and status/current share (src: QemuServer::vmstatus).
func (c *call) vmStatus(vm *VM, full bool) map[string]any {
	conf := vm.config().main
	name := conf["name"]
	if name == "" {
		name = "VM " + itoa(vm.ID)
	}
	row := map[string]any{
		"vmid": vm.ID, "name": name, "status": "stopped", "cpus": conf.cpusOn(c.w.Node(vm.Node)), "cpu": 0, "mem": 0,
		"maxmem": conf.number("memory", 512) << 20, "disk": 0, "maxdisk": 0, "uptime": 0, "netin": 0, "netout": 0,
	}
	if c.w.nine() {
		row["memhost"] = 0
	}
	if slot := conf.bootDisk(); slot != "" {
		if n, err := parseBytes(parsePlain(conf[slot], "file")["size"]); err == nil {
			row["maxdisk"] = n
		}
	}
	for _, key := range []string{"tags", "lock"} {
		if conf[key] != "" {
			row[key] = conf[key]
		}
	}
	if conf["template"] == "1" {
		row["template"] = 1
	}
	if _, ok := conf["serial0"]; ok {
		row["serial"] = 1
	}
	if balloon := conf.number("balloon", 0); balloon > 0 {
		row["balloon_min"] = balloon << 20
		row["shares"] = conf.number("shares", 1000)
	}
	if vm.isRunning() {
		row["status"], row["pid"] = "running", vm.PID
		row["uptime"] = max(0, int64(c.s.clock.Now().Sub(vm.Started).Seconds()))
		if c.w.nine() {
			for _, key := range []string{"pressurecpufull", "pressurecpusome", "pressureiofull", "pressureiosome", "pressurememoryfull", "pressurememorysome"} {
				row[key] = 0
			}
		}
	}
	if full {
		row["qmpstatus"] = vm.State
	}
	return row
}

func (s settings) cpusOn(n *Node) int64 {
	limit := 1 << 20
	if n != nil && s.number("vcpus", 0) == 0 {
		limit = n.CPUs
	}
	return s.cpus(limit)
}

func listVMs(c *call) (any, error) {
	rows := []any{}
	for _, id := range c.w.vmids() {
		vm := c.w.VMs[id]
		if vm.Node == c.node.Name && c.may(vmPath(id), "VM.Audit") {
			rows = append(rows, c.vmStatus(vm, c.flag("full")))
		}
	}
	return rows, nil
}

func statusCurrent(c *call) (any, error) {
	vm, err := c.vm()
	if err != nil {
		return nil, err
	}
	conf := vm.config().main
	row := c.vmStatus(vm, true)
	row["ha"] = map[string]any{"managed": 0}
	vga := parsePlain(conf["vga"], "type")
	if strings.HasPrefix(vga["type"], "qxl") || strings.HasPrefix(vga["type"], "virtio") {
		row["spice"] = 1
	}
	if conf["vga"] != "" {
		row["clipboard"] = nil
		if vga["clipboard"] != "" {
			row["clipboard"] = vga["clipboard"]
		}
	}
	if agentOn(conf["agent"]) {
		row["agent"] = 1
	}
	if vm.isRunning() {
		nics := map[string]any{}
		for key := range conf {
			if netSlot.MatchString(key) {
				nics["tap"+itoa(vm.ID)+"i"+key[3:]] = map[string]any{"netin": 0, "netout": 0}
			}
		}
		if len(nics) > 0 {
			row["nics"] = nics
		}
	}
	return row, nil
}

func agentOn(text string) bool { return plainBoolean(parsePlain(text, "enabled")["enabled"]) == "1" }
