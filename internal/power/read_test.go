package power

import (
	"fmt"
	"testing"
	"time"

	"github.com/ustclug/pve-reconcile/schema"
)

// TestRead reads what systemctl, virsh, qm and commands of one's own say.
func TestRead(t *testing.T) {
	unit := schema.SourcePower{Systemd: "docker2.service"}
	qmp := schema.SourcePower{Systemd: "docker2.service", QMP: "/run/docker2.qmp"}
	domain := schema.SourcePower{Libvirt: "docker2"}
	guest := schema.SourcePower{PVE: &schema.PVEPower{VMID: 117}}
	own := schema.SourcePower{Command: &schema.PowerCommand{Status: "x", Mask: "y"}}
	bare := schema.SourcePower{Command: &schema.PowerCommand{Status: "x"}}
	const stop = "ExecStop={ path=/usr/local/bin/powerdown ; argv[]=/usr/local/bin/powerdown docker2 ; ignore_errors=no }\n"
	for _, c := range []struct {
		p    schema.SourcePower
		text string
		want string // state, masked, graceful or text, and what masking changes
	}{
		{unit, "LoadState=loaded\nActiveState=active\nUnitFileState=enabled\n" + stop + "TimeoutStopUSec=10min\nRestart=no\nDropInPaths=\n", "running false "},
		{unit, "LoadState=loaded\nActiveState=active\n" + stop + "TimeoutStopUSec=1min 30s\n", "running false docker2.service is killed after TimeoutStopSec=1m30s, and the guest may take 5m0s: raise it, or give qmp"},
		{unit, "LoadState=loaded\nActiveState=active\n" + stop + "TimeoutStopUSec=infinity\n", "running false "},
		{unit, "LoadState=loaded\nActiveState=active\nExecStop=\nTimeoutStopUSec=1min 30s\n", "running false docker2.service has no ExecStop: stopping it kills QEMU; give qmp, or an ExecStop that asks the guest and waits"},
		{unit, "LoadState=loaded\nActiveState=deactivating\n" + stop, "running false "},
		{unit, "LoadState=loaded\nActiveState=failed\n", "stopped false "},
		{unit, "LoadState=masked\nActiveState=inactive\nUnitFileState=masked\n", "stopped true "},
		{unit, "LoadState=loaded\nActiveState=inactive\nUnitFileState=masked-runtime\n", "stopped true "},
		{unit, "LoadState=loaded\nActiveState=inactive\nDropInPaths=/etc/systemd/system/docker2.service.d/zz-pve-reconcile-migration.conf\n", "stopped true "},
		{unit, "LoadState=not-found\nActiveState=inactive\n", "unknown false there is no unit docker2.service"},
		{unit, "System has not been booted with systemd as init system\n", "unknown false System has not been booted with systemd as init system"},
		{unit, "", "unknown false no answer"},
		{qmp, "LoadState=loaded\nActiveState=active\nExecStop=\nRestart=always\n", "running false docker2.service has Restart=always: systemd would start the guest again after its shutdown; set Restart=no or on-failure"},
		{qmp, "LoadState=loaded\nActiveState=active\nExecStop=\nRestart=on-failure\nTimeoutStopUSec=5s\n", "running false "},
		{domain, "running\n\nId: 3\nAutostart:      enable\n", "running false autostart=enable"},
		{domain, "paused\n\nAutostart:      disable\n", "running true autostart=disable"},
		{domain, "shut off\n\nAutostart:      disable\n", "stopped true autostart=disable"},
		{domain, "error: failed to connect to the hypervisor\n", "unknown false error: failed to connect to the hypervisor"},
		{guest, "status: running\nname: docker2\nonboot: 1\n", "running false onboot=1,protection=0"},
		{guest, "status: running\nlock: backup\nname: docker2\n", "running true PVE holds the lock backup on the guestonboot=0,protection=0"},
		{guest, "status: stopped\nname: docker2\nonboot: 0\nprotection: 1\n", "stopped true onboot=0,protection=1"},
		{guest, "Configuration file 'nodes/x/qemu-server/117.conf' does not exist\n", "unknown false Configuration file 'nodes/x/qemu-server/117.conf' does not exist"},
		{own, "some banner\nrunning\n", "running false "},
		{own, "stopped\n", "stopped false "},
		{own, "stopped masked\n", "stopped true "},
		{own, "stopped perhaps\n", "unknown false stopped perhaps"},
		{bare, "stopped\n", "stopped true "},
		{schema.SourcePower{}, "", "unknown false the manifest does not say how the guest is looked at"},
	} {
		have := Read(c.p, c.text, 5*time.Minute)
		if text := fmt.Sprintf("%s %v %s", have.State, have.Masked, have.Graceful+have.Text+have.Autostart); text != c.want {
			t.Errorf("%q:\nwant %s\nhave %s", c.text, c.want, text)
		}
	}
}

func TestSpan(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"1min 30s": 90 * time.Second, "5s": 5 * time.Second, "1h 1min": 61 * time.Minute, "2d": 48 * time.Hour, "500ms": 500 * time.Millisecond, "infinity": 0, "": 0, "soon": 0,
	} {
		have, ok := span(text)
		if have != want || ok != (want != 0) {
			t.Errorf("%q: want %v, have %v, %v", text, want, have, ok)
		}
	}
}

// FuzzRead: whatever is answered, a guest is only stopped when something says so.
func FuzzRead(f *testing.F) {
	f.Add("LoadState=loaded\nActiveState=inactive\n")
	f.Add("shut off\n\nAutostart: disable\n")
	f.Add("status: stopped\n")
	f.Add("stopped masked")
	f.Fuzz(func(t *testing.T, text string) {
		for _, p := range []schema.SourcePower{
			{Systemd: "x.service"},
			{Libvirt: "x"},
			{PVE: &schema.PVEPower{VMID: 1}},
			{Command: &schema.PowerCommand{Status: "x"}},
		} {
			if have := Read(p, text, time.Minute); have.State != Running && have.State != Stopped && (have.State != Unknown || have.Text == "") {
				t.Errorf("%+v: %q: %+v", p, text, have)
			}
		}
	})
}
