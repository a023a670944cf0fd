package sim

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// Process is what runs in a guest whose node a real host stands for: commands on that host. In all of them "{scsi0}"
// is the device of that slot.
type Process struct {
	Start    string // boots; returns at once
	Shutdown string // ends the guest as ACPI would; fails when the guest does not react
	Stop     string // ends it at once
	Status   string // succeeds while it runs
	Agent    string // a call of the guest agent, "{command}"; prints the JSON of its result. Empty: no agent
}

func (p *Process) keys() []struct {
	name    string
	command *string
} {
	return []struct {
		name    string
		command *string
	}{{"start", &p.Start}, {"shutdown", &p.Shutdown}, {"stop", &p.Stop}, {"status", &p.Status}, {"agent", &p.Agent}}
}

func (p *Process) print(b *strings.Builder, vmid int) {
	var lines strings.Builder
	for _, key := range p.keys() {
		if *key.command != "" {
			fmt.Fprintf(&lines, "%s: %s\n", key.name, *key.command)
		}
	}
	body(b, "guest "+itoa(vmid), lines.String())
}

// readProcess reads a section "guest VMID"; the VM need not exist yet.
func (w *World) readProcess(s *section) error {
	text, err := s.arg(0)
	if err != nil {
		return err
	}
	id := atoi(text)
	if id < 100 {
		return s.errorf(0, "%q is no VMID", text)
	}
	p := &Process{}
	w.Guests[id] = p
	return s.pairs(func(name, value string) error {
		for _, key := range p.keys() {
			if key.name == name {
				*key.command = value
				return nil
			}
		}
		return fmt.Errorf("unknown key; known are start, shutdown, stop, status, agent")
	})
}

// command runs one of a guest's commands on its node's host.
func (s *Server) command(vm *VM, text string) (string, error) {
	n := s.w.Node(vm.Node)
	if n.shell == nil {
		return "", dief("simulator: guest %d has commands, but no host stands for node '%s' (--host %s=ssh://...)", vm.ID, n.Name, n.Name)
	}
	c := &call{s: s, w: s.w, node: n}
	for slot, value := range vm.config().main {
		if !isDrive(slot) || !strings.Contains(text, "{"+slot+"}") {
			continue
		}
		st, name, err := c.volume(driveFile(value))
		if err != nil {
			return "", err
		}
		text = strings.ReplaceAll(text, "{"+slot+"}", quoted(st.path(name.name)))
	}
	return n.shell(text)
}

// watch tells which guests run, by their hosts; they may have been started, stopped or lost behind PVE's back.
func (s *Server) watch() error {
	for _, id := range sortedKeys(s.w.Guests) {
		vm, p := s.w.VMs[id], s.w.Guests[id]
		if vm == nil || p.Status == "" || s.w.Node(vm.Node).shell == nil {
			continue
		}
		out, err := s.command(vm, "if "+p.Status+" >/dev/null; then echo running; else echo stopped; fi")
		if err != nil {
			return err
		}
		running := strings.TrimSpace(out) == "running"
		switch {
		case running && !vm.isRunning():
			s.pid++
			vm.State, vm.PID, vm.Started, vm.Plugged = "running", s.pid, s.clock.Now(), nil
		case !running && vm.isRunning():
			(&call{s: s, w: s.w, node: s.w.Node(vm.Node)}).stopVM(vm)
		}
	}
	s.watched = time.Now()
	return nil
}

// boot starts the guest's process; PVE tells what QEMU said.
func (s *Server) boot(vm *VM) error {
	p := s.w.Guests[vm.ID]
	if p == nil || p.Start == "" {
		return nil
	}
	if _, err := s.command(vm, p.Start); err != nil {
		return dief("start failed: %v", err)
	}
	return nil
}

// halt ends the guest's process, gracefully or not.
func (s *Server) halt(vm *VM, gracefully bool) error {
	p := s.w.Guests[vm.ID]
	if p == nil || !vm.isRunning() {
		return nil
	}
	text := p.Stop
	if gracefully {
		text = p.Shutdown
	}
	if text == "" {
		return nil
	}
	_, err := s.command(vm, text)
	return err
}

func (p *Process) hasAgent() bool { return p != nil && p.Agent != "" }

// ask puts a call to the agent of a guest with a process.
func (c *call) ask(vm *VM, command string) (any, error) {
	out, err := c.s.command(vm, strings.ReplaceAll(c.w.Guests[vm.ID].Agent, "{command}", quoted(command)))
	switch {
	case err != nil:
		return nil, dief("QEMU guest agent is not running")
	case !json.Valid([]byte(out)):
		return nil, dief("simulator: the agent of guest %d answered %s with no JSON: %q", vm.ID, command, out)
	}
	return map[string]any{"result": json.RawMessage(strings.TrimSpace(out))}, nil
}
