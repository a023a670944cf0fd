package power_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/ustclug/pve-reconcile/internal/host"
	"github.com/ustclug/pve-reconcile/internal/power"
	"github.com/ustclug/pve-reconcile/internal/sim/zhost"
	"github.com/ustclug/pve-reconcile/internal/sim/zhost/reach"
	"github.com/ustclug/pve-reconcile/reconciler/step"
	"github.com/ustclug/pve-reconcile/schema"
)

func TestMain(m *testing.M) { os.Exit(reach.Main(m)) }

// machine is a simulated host with guests switched in every way.
func machine(t *testing.T, more string) (*zhost.Host, *host.Host) {
	t.Helper()
	t.Parallel()
	fleet, hosts := reach.Hosts(t, map[string]string{"mirrors2": `pool p layout=disk:1 disk=2T
zvol p/a volsize=1M
zvol p/b volsize=1M
zvol p/c volsize=1M
zvol p/d volsize=1M
guest a disks=p/a systemd=qemu@a.service qmp=/run/a.qmp running ` + more + `
guest b disks=p/b libvirt=b running ` + more + `
guest c disks=p/c vmid=117 running ` + more + `
guest d disks=p/d qmp=/run/d.qmp running ` + more + "\n"})
	return fleet.Host("mirrors2"), hosts["mirrors2"]
}

var ways = map[string]schema.SourcePower{
	"a":  {Systemd: "qemu@a.service", QMP: "/run/a.qmp"},
	"a2": {Systemd: "qemu@a.service"},
	"b":  {Libvirt: "b"},
	"c":  {PVE: &schema.PVEPower{VMID: 117}},
	"d":  {QMP: "/run/d.qmp"},
}

func TestEveryWay(t *testing.T) {
	for name, p := range ways {
		t.Run(name, func(t *testing.T) {
			sim, h := machine(t, "")
			guest := sim.Guest(name[:1])
			limit := time.Second
			wants := func(state string, masked bool) {
				t.Helper()
				have, err := power.State(t.Context(), h, p, limit)
				if err != nil || have.State != state || have.Masked != masked || have.Graceful != "" {
					t.Errorf("want %s, masked %v; have %+v, %v", state, masked, have, err)
				}
			}
			do := func(s step.OnHost) {
				t.Helper()
				if err := power.Do(t.Context(), h, s); err != nil {
					t.Errorf("%s: %v", s, err)
				}
			}
			wants(power.Running, false)
			shutdown := step.ShutdownSource{Host: "mirrors2", Power: p, Timeout: 10 * time.Second}
			do(shutdown)
			do(shutdown)
			if guest.Running() {
				t.Error("it runs on")
			}
			do(step.MaskSource{Host: "mirrors2", Power: p})
			do(step.MaskSource{Host: "mirrors2", Power: p})
			wants(power.Stopped, true)
			start := step.StartSource{Host: "mirrors2", Power: p}
			if name[0] == 'a' {
				if err := power.Do(t.Context(), h, start); err == nil || !strings.Contains(err.Error(), "masked") {
					t.Errorf("a masked unit starts: %v", err)
				}
			}
			do(step.MaskSource{Host: "mirrors2", Power: p, Off: true})
			if name == "d" {
				if err := power.Do(t.Context(), h, start); err == nil || !strings.Contains(err.Error(), "power.systemd") {
					t.Errorf("have %v", err)
				}
				return
			}
			wants(power.Stopped, false)
			do(start)
			if !guest.Running() {
				t.Error("it does not run")
			}
		})
	}
}

// A guest that does not react goes on running, unless it may be stopped hard.
func TestDeafGuest(t *testing.T) {
	for _, name := range []string{"a", "b", "c", "d"} {
		t.Run(name, func(t *testing.T) {
			p := ways[name]
			sim, h := machine(t, "deaf")
			s := step.ShutdownSource{Host: "mirrors2", Power: p, Timeout: 2 * time.Second}
			err := power.Do(t.Context(), h, s)
			if err == nil || !strings.Contains(err.Error(), "did not shut down within 2s and goes on running") || !sim.Guest(name).Running() {
				t.Errorf("running %v, %v", sim.Guest(name).Running(), err)
			}
			s.Kill = true
			if err := power.Do(t.Context(), h, s); err != nil || sim.Guest(name).Running() {
				t.Errorf("running %v, %v", sim.Guest(name).Running(), err)
			}
		})
	}
}

// A unit without ExecStop would be killed by its stop.
func TestUnitThatKills(t *testing.T) {
	sim, h := machine(t, "hard")
	s := step.ShutdownSource{Host: "mirrors2", Power: ways["a2"], Timeout: time.Second}
	if err := power.Do(t.Context(), h, s); err == nil || !strings.Contains(err.Error(), "no ExecStop") || !sim.Guest("a").Running() {
		t.Errorf("running %v, %v", sim.Guest("a").Running(), err)
	}
}

func TestUnknownIsNotStopped(t *testing.T) {
	sim, h := machine(t, "")
	for _, p := range []schema.SourcePower{
		{Systemd: "none.service"},
		{Libvirt: "none"},
		{PVE: &schema.PVEPower{VMID: 118}},
		{Command: &schema.PowerCommand{Status: "echo perhaps"}},
		{Command: &schema.PowerCommand{Status: "exit 1"}},
	} {
		have, err := power.State(t.Context(), h, p, time.Second)
		if err != nil || have.State != power.Unknown || have.Text == "" {
			t.Errorf("%+v: have %+v, %v", p, have, err)
		}
		if err := power.Do(t.Context(), h, step.ShutdownSource{Host: "mirrors2", Power: p, Timeout: time.Second}); err == nil || !strings.Contains(err.Error(), "not known") {
			t.Errorf("%+v: have %v", p, err)
		}
	}
	_ = h.Close()
	if have, err := power.State(t.Context(), h, ways["b"], time.Second); err == nil || have.State != power.Unknown {
		t.Errorf("a host that is not there says %+v", have)
	}
	_ = sim
}

func TestOwnCommands(t *testing.T) {
	sim, h := machine(t, "")
	dir := sim.Dir()
	p := schema.SourcePower{Command: &schema.PowerCommand{
		Status: "echo login banner; cat " + dir + "/state", Shutdown: "echo stopped >" + dir + "/state", Start: "echo running >" + dir + "/state",
		Kill: "echo stopped >" + dir + "/state", Mask: "echo stopped masked >" + dir + "/state", Unmask: "echo stopped >" + dir + "/state",
	}}
	for _, s := range []step.OnHost{
		step.StartSource{Host: "mirrors2", Power: p}, step.ShutdownSource{Host: "mirrors2", Power: p, Timeout: time.Second}, step.MaskSource{Host: "mirrors2", Power: p},
	} {
		if err := power.Do(t.Context(), h, s); err != nil {
			if _, ok := s.(step.StartSource); !ok || !strings.Contains(err.Error(), "No such file") {
				t.Errorf("%s: %v", s, err)
			}
		}
	}
	if have, err := power.State(t.Context(), h, p, 0); err != nil || have.State != power.Stopped || !have.Masked {
		t.Errorf("have %+v, %v", have, err)
	}
}
