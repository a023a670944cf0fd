package step

import (
	"fmt"
	"strings"

	"github.com/ustclug/pve-reconcile/schema"
)

// qmp are the commands a QEMU takes on its socket.
var qmp = map[string]string{"status": "query-status", "shutdown": "system_powerdown", "kill": "quit"}

// PowerCommand is what an operator would type on the source host to do one of status, shutdown, kill, start, mask, unmask; ":"
// where a guest switched that way has no such command.
func PowerCommand(p schema.SourcePower, verb string) string {
	switch {
	case p.Command != nil:
		text := map[string]string{"status": p.Command.Status, "shutdown": p.Command.Shutdown, "start": p.Command.Start, "kill": p.Command.Kill, "mask": p.Command.Mask, "unmask": p.Command.Unmask}[verb]
		if text == "" {
			return ":"
		}
		return text
	case p.QMP != "" && qmp[verb] != "" && (p.Systemd == "" || verb == "shutdown"):
		return "echo '{\"execute\":\"qmp_capabilities\"}{\"execute\":\"" + qmp[verb] + "\"}' | socat - UNIX:" + Quote(p.QMP)
	case p.Systemd != "":
		words := map[string]string{"status": "is-active", "kill": "kill -s KILL", "shutdown": "stop", "start": "start", "mask": "mask", "unmask": "unmask"}
		return "systemctl " + words[verb] + " " + Quote(p.Systemd)
	case p.Libvirt != "":
		words := map[string]string{"status": "domstate ", "kill": "destroy ", "shutdown": "shutdown ", "start": "start ", "mask": "autostart --disable ", "unmask": "autostart "}
		return "virsh " + words[verb] + Quote(p.Libvirt)
	case p.PVE != nil:
		switch verb {
		case "kill":
			return fmt.Sprintf("qm stop %d", p.PVE.VMID)
		case "mask":
			return fmt.Sprintf("qm set %d --onboot 0 --protection 1", p.PVE.VMID)
		case "unmask":
			return fmt.Sprintf("qm set %d --onboot 1 --delete protection", p.PVE.VMID)
		}
		return fmt.Sprintf("qm %s %d", verb, p.PVE.VMID)
	}
	return ":"
}

// Unmask is the command that takes a mask back. was is what the guest's host had set before, as PropAutostart keeps it; "" where
// that was not noted: then the guest started with its host.
func Unmask(p schema.SourcePower, was string) string {
	switch {
	case p.Libvirt != "" && strings.Contains(was, "autostart=disable"):
		return PowerCommand(p, "mask")
	case p.PVE != nil && was != "":
		text := fmt.Sprintf("qm set %d --onboot 0", p.PVE.VMID)
		if strings.Contains(was, "onboot=1") {
			text = fmt.Sprintf("qm set %d --onboot 1", p.PVE.VMID)
		}
		if strings.Contains(was, "protection=1") {
			return text + " --protection 1"
		}
		return text + " --delete protection"
	}
	return PowerCommand(p, "unmask")
}
