package sim

import (
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// VM is one virtual machine: its config file and what its process does.
type VM struct {
	ID    int
	Node  string
	State string // running, paused, stopped

	Deaf        bool     // the guest does not react to ACPI: no shutdown, no unplug of what it booted with
	Plugged     []string // devices plugged since the start; those come out without the guest's help
	AgentUp     bool     // a guest agent answers
	PID         int64
	Started     time.Time
	LockedUntil time.Time // a cleanup holds the config lock (PVE: lock-ID.conf)

	text     string // the config file
	conf     *config
	sum      string
	seenLate bool // too new for cluster/resources
}

// config is a parsed config file: the running values, the pending ones, and the snapshots.
type config struct {
	main    settings
	pending settings // with "delete": a list, "!" before a forced one
	snaps   map[string]settings
}

type settings map[string]string

func (s settings) clone() settings {
	c := make(settings, len(s))
	for key, value := range s {
		c[key] = value
	}
	return c
}

func (c *config) clone() *config {
	n := &config{main: c.main.clone(), pending: c.pending.clone(), snaps: map[string]settings{}}
	for name, snap := range c.snaps {
		n.snaps[name] = snap.clone()
	}
	return n
}

// Config returns the text of the config file, as /etc/pve/qemu-server/ID.conf holds it.
func (vm *VM) Config() string { return vm.text }

// SetConfig replaces the config file, as an editor on the host would.
func (vm *VM) SetConfig(text string) { vm.setText(text) }

// NewVM puts a stopped VM with a config text into the world.
func (w *World) NewVM(id int, node, text string) *VM {
	vm := &VM{ID: id, Node: node, State: "stopped"}
	vm.setText(pastedConfig(text))
	w.VMs[id] = vm
	return vm
}

func (vm *VM) setText(text string) {
	vm.text, vm.conf, vm.sum = text, nil, ""
}

func (vm *VM) config() *config {
	if vm.conf == nil {
		vm.conf = parseConfig(vm.text)
	}
	return vm.conf
}

// digest is the SHA-1 of the whole file (FACTS §4).
func (vm *VM) digest() string {
	if vm.sum == "" {
		sum := sha1.Sum([]byte(vm.text))
		vm.sum = hex.EncodeToString(sum[:])
	}
	return vm.sum
}

// write stores a changed config and reads it back, as every step of PVE does; what the file cannot hold is lost.
func (vm *VM) write(c *config) *config {
	vm.setText(c.text())
	return vm.config().clone()
}

func (vm *VM) isRunning() bool { return vm.State != "stopped" }

var (
	settingLine   = regexp.MustCompile(`^([a-z][a-z_\-]*\d*):\s*(.+?)\s*$`)
	snapshotLine  = regexp.MustCompile(`^\[([a-zA-Z][a-zA-Z0-9_\-]+)\]\s*$`)
	specialHeader = regexp.MustCompile(`^\[special:[a-z]+\]\s*$`)
)

// parseConfig reads a config file (src: QemuServer::parse_vm_config).
func parseConfig(text string) *config {
	c := &config{main: settings{}, pending: settings{}, snaps: map[string]settings{}}
	into := c.main
	descr := map[string]*strings.Builder{}
	name := ""
	finish := func() {
		if b := descr[name]; b != nil {
			into["description"] = strings.TrimRight(b.String(), " \t\r\n\f")
		}
	}
	for _, line := range strings.Split(text, "\n") {
		if strings.TrimSpace(line) == "" {
			continue
		}
		switch {
		case strings.EqualFold(strings.TrimSpace(line), "[PENDING]"):
			finish()
			into, name = c.pending, "[PENDING]"
			continue
		case specialHeader.MatchString(line):
			finish()
			into, name = settings{}, strings.TrimSpace(line)
			continue
		case snapshotLine.MatchString(line):
			finish()
			name = snapshotLine.FindStringSubmatch(line)[1]
			into = settings{}
			c.snaps[name] = into
			continue
		case strings.HasPrefix(line, "#"):
			if descr[name] == nil {
				descr[name] = &strings.Builder{}
			}
			descr[name].WriteString(decodeText(line[1:]) + "\n")
			continue
		}
		readSetting(into, line, name == "[PENDING]")
	}
	finish()
	return c
}

func readSetting(into settings, line string, pending bool) {
	if strings.HasPrefix(line, "digest:") {
		return
	}
	m := settingLine.FindStringSubmatch(line)
	if m == nil {
		return
	}
	key, value := m[1], m[2]
	switch {
	case key == "description":
		into[key] = decodeText(value)
	case key == "delete":
		if pending {
			into[key] = value
		}
	case key == "cdrom":
		into["ide2"] = value
	default:
		if value, ok := typed(key, value); ok {
			into[key] = value
		}
	}
}

// typed checks a value of a config file against the option's type; an unknown option or a wrong type is dropped.
func typed(key, value string) (string, bool) {
	p := configOption(key)
	if p == nil {
		return "", false
	}
	switch p.kind {
	case "boolean":
		if b := plainBoolean(value); b == "0" || b == "1" {
			return b, true
		}
		return "", false
	case "integer":
		if n, err := strconv.ParseInt(value, 10, 64); err == nil {
			return strconv.FormatInt(n, 10), true
		}
		return "", false
	case "number":
		return value, numberText.MatchString(value)
	}
	return value, true
}

// storedOnly are options of a config file that the API does not take.
var storedOnly = map[string]*property{
	"meta": {kind: "string"}, "parent": {kind: "string"}, "snaptime": {kind: "integer"}, "vmstate": {kind: "string"},
	"runningmachine": {kind: "string"}, "runningcpu": {kind: "string"}, "snapstate": {kind: "string"},
	"running-nets-host-mtu": {kind: "string"}, "lock": {kind: "string"},
}

// apiOnly are parameters of PUT /config that are no options.
var apiOnly = map[string]bool{
	"node": true, "vmid": true, "digest": true, "delete": true, "revert": true, "force": true, "skiplock": true,
	"background_delay": true, "cdrom": true, "import-working-storage": true,
}

// configOption returns the option of a config file with that name, or nil.
func configOption(key string) *property {
	if p := storedOnly[key]; p != nil {
		return p
	}
	if apiOnly[key] {
		return nil
	}
	return schemaFor("9").endpoints["/nodes/{node}/qemu/{vmid}/config"]["PUT"].params.find(key)
}

// text prints a config file (src: QemuServer::write_vm_config).
func (c *config) text() string {
	var b strings.Builder
	c.main.print(&b, false)
	if len(c.pending) > 0 {
		b.WriteString("\n[PENDING]\n")
		c.pending.print(&b, true)
	}
	for _, name := range sortedKeys(c.snaps) {
		fmt.Fprintf(&b, "\n[%s]\n", name)
		c.snaps[name].print(&b, false)
	}
	return b.String()
}

func (s settings) print(b *strings.Builder, pending bool) {
	if descr, ok := s["description"]; ok {
		if descr != "" && descr != "0" {
			for _, line := range strings.Split(strings.TrimRight(descr, "\n"), "\n") {
				if strings.Trim(descr, "\n") == "" {
					break
				}
				b.WriteString("#" + encodeText(line) + "\n")
			}
		} else if pending {
			b.WriteString("#\n")
		}
	}
	for _, key := range sortedKeys(s) {
		if key != "description" {
			fmt.Fprintf(b, "%s: %s\n", key, s[key])
		}
	}
}

// encodeText escapes what a comment line cannot hold (src: PVE::Tools::encode_text).
func encodeText(text string) string {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if ch := text[i]; ch < 0x20 || ch >= 0x7f || ch == '%' || ch == ':' {
			fmt.Fprintf(&b, "%%%02X", ch)
		} else {
			b.WriteByte(ch)
		}
	}
	return b.String()
}

func decodeText(text string) string {
	if !strings.Contains(text, "%") {
		return text
	}
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] == '%' && i+2 < len(text) {
			if one, err := url.PathUnescape(text[i : i+3]); err == nil {
				b.WriteString(one)
				i += 2
				continue
			}
		}
		b.WriteByte(text[i])
	}
	return b.String()
}

// pastedConfig accepts what `qm config` prints (a "description:" line, a digest) beside the file's own form.
func pastedConfig(text string) string {
	if !strings.HasPrefix(text, "description:") && !strings.Contains(text, "\ndescription:") && !strings.Contains(text, "digest:") {
		return text
	}
	return parseConfig(text).text()
}

// pendingDeletes lists what [PENDING] delete: names; true is a forced one.
func (c *config) pendingDeletes() map[string]bool {
	found := map[string]bool{}
	for _, key := range splitList(c.pending["delete"]) {
		name, forced := strings.CutPrefix(key, "!")
		found[name] = forced
	}
	return found
}

func (c *config) setPendingDeletes(deletes map[string]bool) {
	var parts []string
	for _, key := range sortedKeys(deletes) {
		if deletes[key] {
			key = "!" + key
		}
		parts = append(parts, key)
	}
	if len(parts) == 0 {
		delete(c.pending, "delete")
		return
	}
	c.pending["delete"] = strings.Join(parts, ",")
}

func (c *config) addPendingDelete(key string, force bool) {
	deletes := c.pendingDeletes()
	deletes[key] = force
	delete(c.pending, key)
	c.setPendingDeletes(deletes)
}

func (c *config) dropPendingDelete(key string) {
	deletes := c.pendingDeletes()
	if _, ok := deletes[key]; ok {
		delete(deletes, key)
		c.setPendingDeletes(deletes)
	}
}

// cleanupPending drops pending changes that change nothing (src: GuestHelpers / AbstractConfig::cleanup_pending).
func (c *config) cleanupPending() bool {
	changed := false
	for key, value := range c.pending {
		if have, ok := c.main[key]; key != "delete" && ok && have == value {
			delete(c.pending, key)
			changed = true
		}
	}
	deletes := c.pendingDeletes()
	for key := range deletes {
		if _, ok := c.main[key]; !ok {
			delete(deletes, key)
			changed = true
		}
	}
	if changed {
		c.setPendingDeletes(deletes)
	}
	return changed
}

// desired is the config with the pending changes applied: what GET /config answers.
func (c *config) desired() settings {
	if len(c.pending) == 0 {
		return c.main
	}
	d := c.main.clone()
	for key := range c.pendingDeletes() {
		delete(d, key)
	}
	for key, value := range c.pending {
		if key != "delete" {
			d[key] = value
		}
	}
	return d
}
