// Package power looks at, shuts down, starts and masks a guest that runs outside of PVE's API: a systemd unit, a QEMU with a
// QMP socket, a libvirt domain, a guest of a PVE on another host, or commands of one's own.
//
// It never stops a guest hard unless it is told to, and never takes silence for "stopped".
package power

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/ustclug/pve-reconcile/reconciler/migration"
	"github.com/ustclug/pve-reconcile/reconciler/step"
	"github.com/ustclug/pve-reconcile/schema"
)

// The states of a guest.
const (
	Running = "running"
	Stopped = "stopped"
	Unknown = "unknown"
)

// Scripted tells whether Look's script sees the guest. A guest of which only the QMP socket is known is seen by State alone.
func Scripted(p schema.SourcePower) bool {
	return p.Systemd != "" || p.Command != nil || p.Libvirt != "" || p.PVE != nil
}

// Look is a script whose answer Read understands. It is run with other questions to the same host.
func Look(p schema.SourcePower) string {
	switch {
	case p.Command != nil:
		return p.Command.Status
	case p.Systemd != "":
		return words("systemctl", "show", "-p", "LoadState,ActiveState,UnitFileState,ExecStop,Restart,TimeoutStopUSec,DropInPaths", "--", p.Systemd)
	case p.Libvirt != "":
		return words("virsh", "domstate", p.Libvirt) + "; " + words("virsh", "dominfo", p.Libvirt)
	case p.PVE != nil:
		return fmt.Sprintf("qm status %d; qm config %d --current 1", p.PVE.VMID, p.PVE.VMID)
	}
	return ":"
}

// Read makes sense of what Look's script said, on both outputs. shutdown is how long a graceful shutdown may take; a unit
// that kills sooner is not graceful.
func Read(p schema.SourcePower, text string, shutdown time.Duration) migration.Power {
	switch {
	case p.Command != nil:
		return readCommand(p, text)
	case p.Systemd != "":
		return readSystemd(p, text, shutdown)
	case p.Libvirt != "":
		return readLibvirt(text)
	case p.PVE != nil:
		return readPVE(text)
	}
	return migration.Power{State: Unknown, Text: "the manifest does not say how the guest is looked at"}
}

// readCommand takes the last line: "running", "stopped", or either with "masked".
func readCommand(p schema.SourcePower, text string) migration.Power {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	f := strings.Fields(lines[len(lines)-1])
	if len(f) == 0 || f[0] != Running && f[0] != Stopped || len(f) == 2 && f[1] != "masked" || len(f) > 2 {
		return unknown(text)
	}
	// Without a command that masks, nothing more can be done than to fence the disks.
	return migration.Power{State: f[0], Masked: len(f) == 2 || p.Command.Mask == "" && f[0] == Stopped}
}

func unknown(text string) migration.Power {
	text = strings.Join(strings.Fields(text), " ")
	if r := []rune(text); len(r) > 300 {
		text = string(r[:299]) + "…"
	}
	if text == "" {
		text = "no answer"
	}
	return migration.Power{State: Unknown, Text: text}
}

// pairs are lines "key<separator>value".
func pairs(text, separator string) map[string]string {
	out := map[string]string{}
	for line := range strings.Lines(text) {
		if k, v, ok := strings.Cut(strings.TrimSpace(line), separator); ok {
			out[k] = strings.TrimSpace(v)
		}
	}
	return out
}

// dropIn keeps a unit from starting whose file lies in /etc/systemd/system, where a mask cannot be put.
const dropIn = "zz-pve-reconcile-migration.conf"

func readSystemd(p schema.SourcePower, text string, shutdown time.Duration) migration.Power {
	v := pairs(text, "=")
	out := migration.Power{State: Unknown}
	switch v["ActiveState"] {
	case "active", "activating", "reloading", "deactivating", "refreshing":
		out.State = Running
	case "inactive", "failed":
		out.State = Stopped
	default:
		return unknown(text)
	}
	if v["LoadState"] == "not-found" {
		return unknown("there is no unit " + p.Systemd)
	}
	out.Masked = v["LoadState"] == "masked" || strings.HasPrefix(v["UnitFileState"], "masked") || strings.Contains(v["DropInPaths"], dropIn)
	if out.State == Running {
		out.Graceful = graceful(p, v, shutdown)
	}
	return out
}

// graceful is why stopping a unit would not ask the guest, or would not wait for it.
func graceful(p schema.SourcePower, v map[string]string, shutdown time.Duration) string {
	if p.QMP != "" {
		if r := v["Restart"]; r == "always" || r == "on-success" {
			return fmt.Sprintf("%s has Restart=%s: systemd would start the guest again after its shutdown; set Restart=no or on-failure", p.Systemd, r)
		}
		return ""
	}
	if v["ExecStop"] == "" {
		return p.Systemd + " has no ExecStop: stopping it kills QEMU; give qmp, or an ExecStop that asks the guest and waits"
	}
	if limit, ok := span(v["TimeoutStopUSec"]); ok && limit < shutdown {
		return fmt.Sprintf("%s is killed after TimeoutStopSec=%v, and the guest may take %v: raise it, or give qmp", p.Systemd, limit, shutdown)
	}
	return ""
}

// span reads a time as systemctl show prints it: "1min 30s", "infinity".
func span(text string) (time.Duration, bool) {
	if text == "infinity" || text == "" {
		return 0, false
	}
	units := map[string]string{"min": "m", "s": "s", "ms": "ms", "us": "us", "h": "h"}
	var total time.Duration
	for f := range strings.FieldsSeq(text) {
		digits := strings.TrimRight(f, "abcdefghijklmnopqrstuvwxyz")
		unit := f[len(digits):]
		scale, days := units[unit], time.Duration(1)
		if unit == "d" {
			scale, days = "h", 24
		}
		part, err := time.ParseDuration(digits + scale)
		if err != nil {
			return 0, false
		}
		total += part * days
	}
	return total, true
}

func readLibvirt(text string) migration.Power {
	state, rest, _ := strings.Cut(strings.TrimSpace(text), "\n")
	v := pairs(rest, ":")
	out := migration.Power{State: Unknown, Masked: v["Autostart"] == "disable", Autostart: "autostart=" + cmp.Or(v["Autostart"], "disable")}
	switch strings.TrimSpace(state) {
	case "running", "idle", "paused", "in shutdown", "pmsuspended":
		out.State = Running
	case "shut off", "crashed":
		out.State = Stopped
	default:
		return unknown(text)
	}
	return out
}

func readPVE(text string) migration.Power {
	v := pairs(text, ":")
	out := migration.Power{Masked: v["onboot"] != "1", Autostart: "onboot=" + cmp.Or(v["onboot"], "0") + ",protection=" + cmp.Or(v["protection"], "0")}
	switch v["status"] {
	case Running:
		out.State = Running
	case Stopped:
		out.State = Stopped
	default:
		return unknown(text)
	}
	if v["lock"] != "" {
		out.Graceful = "PVE holds the lock " + v["lock"] + " on the guest"
	}
	return out
}

func words(w ...string) string {
	out := make([]string, len(w))
	for i, s := range w {
		out[i] = step.Quote(s)
	}
	return strings.Join(out, " ")
}
