package zhost

import (
	"errors"
	"strings"
	"time"
)

// unitTimeout is how long systemctl stop waits before systemd kills the unit (TimeoutStopSec). Shorter than the real 90 s.
const unitTimeout = 3 * time.Second

func (h *Host) byUnit(unit string) *Guest {
	if !strings.Contains(unit, ".") {
		unit += ".service"
	}
	for _, g := range h.guests {
		if g.Systemd == unit {
			return g
		}
	}
	return nil
}

// systemctl knows the units that run guests.
func (c *call) systemctl() int {
	var words []string
	flags := map[string]string{}
	for i := 0; i < len(c.args); i++ {
		word := c.args[i]
		switch {
		case word == "-p" || word == "-P":
			i++
			if i < len(c.args) {
				flags[word[1:]] = c.args[i]
			}
		case strings.HasPrefix(word, "-"):
			key, value, _ := strings.Cut(strings.TrimLeft(word, "-"), "=")
			flags[key] = value
		default:
			words = append(words, word)
		}
	}
	if len(words) < 2 {
		return 0 // daemon-reload, list-units and the like
	}
	unit := words[1]
	c.host.mu.Lock()
	g := c.host.byUnit(unit)
	c.host.mu.Unlock()
	if g == nil {
		return c.noUnit(words[0], unit, flags)
	}
	return c.unit(g, words[0], flags)
}

func (c *call) noUnit(verb, unit string, flags map[string]string) int {
	switch verb {
	case "is-active":
		c.say("inactive\n")
		return 4
	case "is-enabled":
		return c.fail("Failed to get unit file state for %s: No such file or directory", unit)
	case "show":
		c.showUnit(map[string]string{"LoadState": "not-found", "ActiveState": "inactive", "SubState": "dead", "UnitFileState": ""}, flags)
		return 0
	case "start":
		return 5 + c.fail("Failed to start %s: Unit %s not found.", unit, unit) - 1
	case "stop":
		return 5 + c.fail("Failed to stop %s: Unit %s not loaded.", unit, unit) - 1
	}
	return c.fail("Unit %s does not exist", unit)
}

func (c *call) showUnit(values map[string]string, flags map[string]string) {
	only := flags["p"] + flags["property"] + flags["P"]
	for _, key := range []string{"LoadState", "ActiveState", "SubState", "UnitFileState", "MainPID", "ExecStop", "KillSignal", "Type", "Result"} {
		value, known := values[key]
		if !known || only != "" && !strings.Contains(","+only+",", ","+key+",") {
			continue
		}
		if _, bare := flags["value"]; bare || flags["P"] != "" {
			c.say("%s\n", value)
		} else {
			c.say("%s=%s\n", key, value)
		}
	}
}

func (c *call) unit(g *Guest, verb string, flags map[string]string) int {
	h := c.host
	h.mu.Lock()
	defer h.mu.Unlock()
	masked := h.units[g.Systemd]
	state := map[bool]string{true: "active", false: "inactive"}[g.Running()]
	switch verb {
	case "is-active":
		c.say("%s\n", state)
		return map[bool]int{true: 0, false: 3}[g.Running()]
	case "is-enabled":
		if masked {
			c.say("masked\n")
			return 1
		}
		c.say("enabled\n")
	case "status":
		c.say("* %s - guest %s\n     Active: %s\n", g.Systemd, g.Name, state)
		return map[bool]int{true: 0, false: 3}[g.Running()]
	case "show":
		c.showUnit(g.properties(masked, state), flags)
	case "mask":
		h.units[g.Systemd] = true
		c.warn("Created symlink /etc/systemd/system/%s -> /dev/null.", g.Systemd)
	case "unmask":
		if masked {
			c.warn("Removed \"/etc/systemd/system/%s\".", g.Systemd)
		}
		delete(h.units, g.Systemd)
	case "start":
		if masked {
			return c.fail("Failed to start %s: Unit %s is masked.", g.Systemd, g.Systemd)
		}
		if err := g.start(); err != nil {
			return c.fail("Job for %s failed because the control process exited with error code.\n%v", g.Systemd, err)
		}
	case "stop":
		return c.stopUnit(g)
	case "kill":
		g.halt(false)
	}
	return 0
}

func (g *Guest) properties(masked bool, state string) map[string]string {
	values := map[string]string{
		"LoadState": "loaded", "ActiveState": state, "SubState": map[bool]string{true: "running", false: "dead"}[g.Running()],
		"UnitFileState": "enabled", "MainPID": "0", "Type": "simple", "KillSignal": "15", "Result": "success",
		"ExecStop": "{ path=/usr/local/bin/powerdown ; argv[]=/usr/local/bin/powerdown " + g.Name + " ; ignore_errors=no ; start_time=[n/a] ; stop_time=[n/a] ; pid=0 ; code=(null) ; status=0/0 }",
	}
	if g.Running() {
		values["MainPID"] = itoa(g.cmd.Process.Pid)
	}
	if g.NoStop {
		values["ExecStop"] = ""
	}
	if masked {
		values["LoadState"], values["UnitFileState"] = "masked", "masked"
	}
	return values
}

// stopUnit asks the guest, and kills it when it does not react, as systemd does. The lock is held on entry and exit.
func (c *call) stopUnit(g *Guest) int {
	if !g.Running() {
		return 0
	}
	if g.NoStop {
		g.halt(false)
		return 0
	}
	err := g.powerdown()
	c.host.mu.Unlock()
	ended := err == nil && g.wait(unitTimeout)
	if !ended && err != nil {
		select {
		case <-c.ctx.Done(): // who gives up waiting does not stop systemd
		case <-time.After(unitTimeout):
		}
	}
	c.host.mu.Lock()
	if !ended {
		g.halt(false)
	}
	return 0
}

// virsh knows the domains that are guests of the host.
func (c *call) virsh() int {
	var words []string
	for _, word := range c.args {
		if !strings.HasPrefix(word, "-") {
			words = append(words, word)
		}
	}
	if len(words) < 2 {
		return c.fail("error: command needs a domain")
	}
	h := c.host
	h.mu.Lock()
	defer h.mu.Unlock()
	var g *Guest
	for _, have := range h.guests {
		if have.Libvirt == words[1] {
			g = have
		}
	}
	if g == nil {
		return c.fail("error: failed to get domain '%s'\nerror: Domain not found: no domain with matching name '%s'", words[1], words[1])
	}
	switch words[0] {
	case "domstate":
		c.say("%s\n\n", map[bool]string{true: "running", false: "shut off"}[g.Running()])
	case "dominfo":
		c.say("Name:           %s\nState:          %s\nAutostart:      %s\n", g.Libvirt, map[bool]string{true: "running", false: "shut off"}[g.Running()],
			map[bool]string{true: "enable", false: "disable"}[g.onboot])
	case "shutdown":
		if !g.Running() {
			return c.fail("error: Failed to shutdown domain '%s'\nerror: Requested operation is not valid: domain is not running", g.Libvirt)
		}
		c.say("Domain '%s' is being shutdown\n\n", g.Libvirt)
		_ = g.powerdown() // libvirt does not wait either
	case "start":
		if err := g.start(); err != nil {
			return c.fail("error: Failed to start domain '%s'\nerror: %v", g.Libvirt, err)
		}
		c.say("Domain '%s' started\n\n", g.Libvirt)
	case "destroy":
		g.halt(false)
	case "autostart":
		g.onboot = !strings.Contains(strings.Join(c.args, " "), "--disable")
	default:
		return c.fail("error: unknown command: '%s'", words[0])
	}
	return 0
}

// qm knows the guests of a PVE that runs on the host.
func (c *call) qm() int {
	if len(c.args) < 2 {
		return c.fail("400 not enough arguments")
	}
	h := c.host
	h.mu.Lock()
	defer h.mu.Unlock()
	var g *Guest
	for _, have := range h.guests {
		if have.VMID > 0 && itoa(have.VMID) == c.args[1] {
			g = have
		}
	}
	if g == nil {
		c.warn("Configuration file 'nodes/%s/qemu-server/%s.conf' does not exist", h.Name, c.args[1])
		return 2
	}
	switch c.args[0] {
	case "status":
		c.say("status: %s\n", map[bool]string{true: "running", false: "stopped"}[g.Running()])
	case "config":
		c.say("name: %s\nonboot: %d\nprotection: %d\n", g.Name, bit(g.onboot), bit(g.locked))
	case "set":
		text := strings.Join(c.args[2:], " ")
		g.locked = (g.locked || strings.Contains(text, "--protection 1")) && !strings.Contains(text, "--delete protection")
		g.onboot = (g.onboot || strings.Contains(text, "--onboot 1")) && !strings.Contains(text, "--onboot 0")
	case "shutdown":
		err := g.powerdown()
		if errors.Is(err, errDeaf) {
			return c.fail("VM quit/powerdown failed - got timeout")
		}
	case "stop":
		g.halt(false)
	case "start":
		if g.Running() {
			return c.fail("VM %d already running", g.VMID)
		}
		if err := g.start(); err != nil {
			return c.fail("start failed: %v", err)
		}
	}
	return 0
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}
