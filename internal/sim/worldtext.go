package sim

import (
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// section is one "-- NAME ARGS --" part of a world file.
type section struct {
	name string
	args []string
	line int // of the heading
	body string
}

var heading = regexp.MustCompile(`^-- (\S.*?) --\s*$`)

// ParseWorld reads a world file: "-- NAME ARGS --" headings, each followed by the text of a file as a PVE host
// has it. Text before the first heading is a comment. Errors name the line.
func ParseWorld(r io.Reader) (*World, error) {
	raw, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("read world: %w", err)
	}
	return parseWorldText(string(raw))
}

func parseWorldText(text string) (*World, error) {
	w := NewWorld()
	for _, s := range splitSections(text) {
		if err := w.readSection(s); err != nil {
			return nil, err
		}
	}
	if len(w.Nodes) == 0 {
		return nil, fmt.Errorf("world: no node: write a section \"-- node NAME --\"")
	}
	for id, vm := range w.VMs {
		if w.Node(vm.Node) == nil {
			return nil, fmt.Errorf("world: vm %d is on node %q, which has no section", id, vm.Node)
		}
	}
	return w, nil
}

func splitSections(text string) []*section {
	var all []*section
	var last *section
	for i, line := range strings.SplitAfter(text, "\n") {
		if m := heading.FindStringSubmatch(strings.TrimSuffix(line, "\n")); m != nil {
			words := strings.Fields(m[1])
			last = &section{name: words[0], args: words[1:], line: i + 1}
			all = append(all, last)
			continue
		}
		if last != nil {
			last.body += line
		}
	}
	return all
}

func (s *section) errorf(line int, format string, args ...any) error {
	return fmt.Errorf("world: line %d: %s: %s", s.line+line, s.name, fmt.Sprintf(format, args...))
}

func (s *section) arg(i int) (string, error) {
	if i >= len(s.args) {
		return "", s.errorf(0, "the heading needs %d words after the name", i+1)
	}
	return s.args[i], nil
}

func (w *World) readSection(s *section) error {
	switch s.name {
	case "world":
		return w.readHead(s)
	case "datacenter.cfg":
		w.Datacenter = parseDatacenter(s.body)
		return nil
	case "storage.cfg":
		w.Storages = parseStorageConfig(s.body)
		return nil
	case "user.cfg":
		return w.Access.readUsers(s)
	case "token.cfg", "shadow.cfg":
		return w.Access.readSecrets(s)
	case "node":
		return w.readNode(s)
	case "interfaces", "interfaces.new", "volumes", "zfs":
		return w.readNodeFile(s)
	case "vm":
		return w.readVM(s)
	case "guest":
		return w.readProcess(s)
	case "task":
		return w.readTask(s)
	case "host":
		name, err := s.arg(0)
		w.Hosts[name] = s.body
		return err
	case "read":
		path, err := s.arg(0)
		if err != nil {
			return err
		}
		if !json.Valid([]byte(s.body)) {
			return s.errorf(1, "the body of %s is no JSON", path)
		}
		w.Reads[path] = json.RawMessage(strings.TrimSpace(s.body))
		return nil
	}
	return s.errorf(0, "unknown section; known are world, datacenter.cfg, storage.cfg, user.cfg, token.cfg, shadow.cfg, node, interfaces, interfaces.new, volumes, zfs, vm, guest, host, task, read")
}

// pairs calls f for each "key: value" line of a body.
func (s *section) pairs(f func(key, value string) error) error {
	for i, line := range strings.Split(s.body, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		key, value, ok := strings.Cut(line, ":")
		if !ok {
			return s.errorf(i+1, "%q is no \"key: value\"", line)
		}
		if err := f(strings.TrimSpace(key), strings.TrimSpace(value)); err != nil {
			return s.errorf(i+1, "%s: %v", key, err)
		}
	}
	return nil
}

func (w *World) readHead(s *section) error {
	return s.pairs(func(key, value string) (err error) {
		switch key {
		case "version":
			w.Version = value
		case "local":
			w.Local = value
		case "clock":
			w.Clock, err = time.Parse(time.RFC3339, value)
		case "resource-lag":
			w.Settings.ResourceLag, err = time.ParseDuration(value)
		case "hold-after-stop":
			w.Settings.HoldAfterStop, err = time.ParseDuration(value)
		default:
			kind, ok := strings.CutPrefix(key, "time ")
			if !ok {
				return fmt.Errorf("unknown key; known are version, local, clock, resource-lag, hold-after-stop, \"time TASKTYPE\"")
			}
			w.Settings.TaskTime[kind], err = time.ParseDuration(value)
		}
		return err
	})
}

func (w *World) readNode(s *section) error {
	name, err := s.arg(0)
	if err != nil {
		return err
	}
	n := &Node{Name: name, Status: "online", IP: "127.0.0.1", CPUs: 4, Memory: 32 << 30, RootDisk: 100 << 30, RootUsed: 10 << 30, Volumes: map[string][]*Volume{}}
	w.Nodes = append(w.Nodes, n)
	return s.pairs(func(key, value string) (err error) {
		switch key {
		case "status":
			n.Status = value
			if !contains([]string{"online", "offline", "refused", "unresolvable"}, value) {
				err = fmt.Errorf("%q: want online, offline, refused or unresolvable", value)
			}
		case "ip":
			n.IP = value
		case "booted":
			n.Booted, err = parseEpoch(value)
		case "cpus":
			n.CPUs, err = strconv.Atoi(value)
		case "memory":
			n.Memory, err = parseBytes(value)
		case "memory-used":
			n.MemoryUsed, err = parseBytes(value)
		case "root":
			n.RootDisk, err = parseBytes(value)
		case "root-used":
			n.RootUsed, err = parseBytes(value)
		default:
			err = fmt.Errorf("unknown key; known are status, ip, booted, cpus, memory, memory-used, root, root-used")
		}
		return err
	})
}

func (w *World) readNodeFile(s *section) error {
	last := len(s.args) - 1
	if s.name == "volumes" && last < 1 {
		return s.errorf(0, "the heading is \"-- volumes STORAGE NODE --\"")
	}
	name, err := s.arg(max(last, 0))
	if err != nil {
		return err
	}
	n := w.Node(name)
	if n == nil {
		return s.errorf(0, "node %q has no section before this one", name)
	}
	switch s.name {
	case "interfaces":
		n.Interfaces = s.body
	case "interfaces.new":
		n.InterfacesNew = &s.body
	case "zfs":
		return n.readDatasets(s)
	case "volumes":
		return n.readVolumes(s, s.args[0])
	}
	return nil
}

func (w *World) readVM(s *section) error {
	idText, err := s.arg(0)
	if err != nil {
		return err
	}
	node, err := s.arg(1)
	if err != nil {
		return err
	}
	id, err := strconv.Atoi(idText)
	if err != nil || id < 100 {
		return s.errorf(0, "%q is no VMID", idText)
	}
	if w.VMs[id] != nil {
		return s.errorf(0, "vm %d is there twice", id)
	}
	vm := &VM{ID: id, Node: node, State: "stopped"}
	for _, word := range s.args[2:] {
		key, value, _ := strings.Cut(word, "=")
		switch key {
		case "running", "stopped", "paused":
			vm.State = key
		case "deaf":
			vm.Deaf = true
		case "agent":
			vm.AgentUp = true
		case "plugged":
			vm.Plugged = splitList(value)
		case "pid":
			vm.PID, err = strconv.ParseInt(value, 10, 64)
		case "started":
			vm.Started, err = parseEpoch(value)
		case "locked-until":
			vm.LockedUntil, err = parseEpoch(value)
		case "seen":
			vm.seenLate = value == "late"
		default:
			return s.errorf(0, "unknown word %q; known are running, stopped, paused, deaf, agent, plugged=, pid=, started=, locked-until=", word)
		}
		if err != nil {
			return s.errorf(0, "%s: %v", word, err)
		}
	}
	vm.setText(pastedConfig(s.body))
	w.VMs[id] = vm
	return nil
}

func (w *World) readTask(s *section) error {
	upid, err := s.arg(0)
	if err != nil {
		return err
	}
	t, err := parseUPID(upid)
	if err != nil {
		return s.errorf(0, "%v", err)
	}
	t.Finished = true
	inLog := false
	for i, line := range strings.Split(strings.TrimSuffix(s.body, "\n"), "\n") {
		if inLog {
			t.Log = append(t.Log, strings.TrimPrefix(line, "  "))
			continue
		}
		key, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		switch key {
		case "exit":
			t.Exit = value
		case "end":
			t.End, err = parseEpoch(value)
		case "running":
			t.Finished = false
		case "log":
			inLog = true
		case "":
		default:
			err = fmt.Errorf("unknown key %q; known are exit, end, running, log", key)
		}
		if err != nil {
			return s.errorf(i+1, "%v", err)
		}
	}
	w.Tasks = append(w.Tasks, t)
	return nil
}

func parseEpoch(text string) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t, nil
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("%q is neither seconds since 1970 nor a time like 2026-11-22T17:40:09Z", text)
	}
	return time.UnixMilli(int64(n * 1000)).UTC(), nil
}

// parseBytes reads "4096", "528K", "1.5G".
func parseBytes(text string) (int64, error) {
	m := sizeText.FindStringSubmatch(text)
	if m == nil {
		return 0, fmt.Errorf("%q is no size like 4096, 528K, 1.5G or 2T", text)
	}
	n, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		return 0, err
	}
	return int64(n * float64(unitBytes(m[2]))), nil
}

func unitBytes(unit string) int64 {
	switch unit {
	case "K":
		return 1 << 10
	case "M":
		return 1 << 20
	case "G":
		return 1 << 30
	case "T":
		return 1 << 40
	}
	return 1
}
