package pve

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ustclug/pve-reconcile/reconciler/step"
	"github.com/ustclug/pve-reconcile/schema"
)

const (
	configPath = "/nodes/pve1/qemu/110/config"
	statusGET  = "GET " + taskPath + "/status"
	logGET     = "GET " + taskPath + "/log"
)

var (
	started = ok(`"` + someTask + `"`)
	running = ok(`{"status":"running","upid":"` + someTask + `"}`)
	ended   = func(exit string) reply { return ok(`{"status":"stopped","exitstatus":"` + exit + `"}`) }
)

func setOf(kv ...string) step.SetConfig {
	s := step.SetConfig{ID: docker2, Digest: "abc", Set: map[string]string{}}
	for i := 0; i < len(kv); i += 2 {
		s.Set[kv[i]] = kv[i+1]
	}
	return s
}

// stepCalls is each step, and the call it is.
var stepCalls = []struct {
	step step.Step
	want string
}{
	{step.CreateVM{ID: docker2, Set: map[string]string{"name": "runner", "scsi0": "tank-a:1.5,discard=on"}}, "POST /nodes/pve1/qemu name=runner&scsi0=tank-a%3A1.5%2Cdiscard%3Don&vmid=110"},
	{setOf("memory", "512", "description", "a b+c%\nü"), "PUT " + configPath + " description=a%20b%2Bc%25%0A%C3%BC&digest=abc&memory=512"},
	{setOf("sshkeys", "ssh-ed25519%20AAAA%2B%20me%40host%0A"), "PUT " + configPath + " digest=abc&sshkeys=ssh-ed25519%2520AAAA%252B%2520me%2540host%250A"},
	{step.SetConfig{ID: docker2, Delete: []string{"net1", "scsi1"}, Revert: []string{"cpu", "memory"}}, "PUT " + configPath + " delete=net1%2Cscsi1&revert=cpu%2Cmemory"},
	{setOf("scsi0", "tank-a:110/vm-110-disk-0.raw,discard=on"), "PUT " + configPath + " digest=abc&scsi0=tank-a%3A110%2Fvm-110-disk-0.raw%2Cdiscard%3Don"},
	{setOf("scsi0", "local-zfs:vm-110-disk-0"), "PUT " + configPath + " digest=abc&scsi0=local-zfs%3Avm-110-disk-0"},
	{setOf("ide2", "none,media=cdrom"), "PUT " + configPath + " digest=abc&ide2=none%2Cmedia%3Dcdrom"},
	{setOf("net0", "virtio,bridge=1"), "PUT " + configPath + " digest=abc&net0=virtio%2Cbridge%3D1"},
	{setOf("scsi1", "tank-a:32"), "POST " + configPath + " digest=abc&scsi1=tank-a%3A32"},
	{setOf("virtio0", "tank-a:0.5,iothread=0"), "POST " + configPath + " digest=abc&virtio0=tank-a%3A0.5%2Ciothread%3D0"},
	{setOf("ide2", "tank-a:cloudinit"), "POST " + configPath + " digest=abc&ide2=tank-a%3Acloudinit"},
	{setOf("efidisk0", "tank-a:1,efitype=4m"), "POST " + configPath + " digest=abc&efidisk0=tank-a%3A1%2Cefitype%3D4m"},
	{setOf("scsi1", "tank-a:0,import-from=local:import/debian.qcow2"), "POST " + configPath + " digest=abc&scsi1=tank-a%3A0%2Cimport-from%3Dlocal%3Aimport%2Fdebian.qcow2"},
	{step.ResizeDisk{ID: docker2, Digest: "abc", Disk: "scsi0", Size: schema.Size{Bytes: 64 << 30}}, "PUT /nodes/pve1/qemu/110/resize digest=abc&disk=scsi0&size=64G"},
	{step.StartVM{ID: docker2}, "POST /nodes/pve1/qemu/110/status/start"},
	{step.ShutdownVM{ID: docker2}, "POST /nodes/pve1/qemu/110/status/shutdown timeout=90"},
	{step.DeleteVM{ID: docker2}, "DELETE /nodes/pve1/qemu/110?destroy-unreferenced-disks=0&purge=1"},
}

func TestSteps(t *testing.T) {
	for _, c := range stepCalls {
		t.Run(c.step.String(), func(t *testing.T) {
			state := "running"
			if _, down := c.step.(step.ShutdownVM); down {
				state = "stopped"
			}
			s := serve(t, map[string][]reply{
				"POST /nodes/pve1/qemu": {started}, "PUT " + configPath: {ok("null")}, "POST " + configPath: {started},
				"PUT /nodes/pve1/qemu/110/resize": {started}, "POST /nodes/pve1/qemu/110/status/start": {started},
				"POST /nodes/pve1/qemu/110/status/shutdown": {started}, "DELETE /nodes/pve1/qemu/110": {started},
				statusGET: {running, ended("OK")}, currentPath: {ok(`{"status":"` + state + `"}`)},
			})
			out, err := s.cluster(t, func(o *Options) { o.ShutdownTimeout = 90 * time.Second }).Do(t.Context(), c.step)
			if err != nil {
				t.Fatal(err)
			}
			if asked := s.requests(); asked[0] != c.want {
				t.Errorf("have %s\nwant %s", asked[0], c.want)
			}
			task := !strings.HasPrefix(c.want, "PUT "+configPath)
			if task != slices.Equal(out.Tasks, []string{someTask}) || len(out.Warnings) > 0 {
				t.Errorf("outcome %+v", out)
			}
			for _, token := range s.tokens {
				if token != "PVEAPIToken="+"root@pam!recon="+secret {
					t.Errorf("authorization %q", token)
				}
			}
		})
	}
}

// start runs StartVM against the ends of its task.
func start(t *testing.T, answers map[string][]reply, change ...func(*Options)) (step.Outcome, *script, error) {
	s := serve(t, map[string][]reply{"POST /nodes/pve1/qemu/110/status/start": {started}, currentPath: {ok(`{"status":"running"}`)}})
	for call, list := range answers {
		s.answers[call] = list
	}
	out, err := s.cluster(t, change...).Do(t.Context(), step.StartVM{ID: docker2})
	return out, s, err
}

func TestTaskWarnings(t *testing.T) {
	out, _, err := start(t, map[string][]reply{
		statusGET: {ended("WARNINGS: 1")},
		logGET:    {ok(`[{"n":1,"t":"WARN: iothread is only valid with virtio disk or virtio-scsi-single controller, ignoring"},{"n":2,"t":"TASK WARNINGS: 1"}]`)},
	})
	want := step.Outcome{Tasks: []string{someTask}, Warnings: []string{"iothread is only valid with virtio disk or virtio-scsi-single controller, ignoring"}}
	if err != nil || !reflect.DeepEqual(out, want) {
		t.Errorf("%+v, %v", out, err)
	}
	out, _, err = start(t, map[string][]reply{statusGET: {ended("WARNINGS: 2")}, logGET: {refusal("no log")}})
	if err != nil || !slices.Equal(out.Warnings, []string{"task " + someTask + " ended with WARNINGS: 2"}) {
		t.Errorf("without a log: %+v, %v", out, err)
	}
}

func TestTaskFails(t *testing.T) {
	call := "pve-5: POST /nodes/pve1/qemu/110/status/start: task " + someTask + ": "
	for exit, want := range map[string]string{
		"bridge 'vmbr66' does not exist":                 "other " + call + "bridge 'vmbr66' does not exist (log: one | two | three | four | five)",
		"VM 110 already running":                         "ErrStale " + call + "VM 110 already running (log: one | two | three | four | five): somebody else started it",
		"VM is locked (backup)":                          "ErrBusy " + call + "VM is locked (backup) (log: one | two | three | four | five): wait for that to end; if nothing is running any more, `qm unlock`",
		"checksum mismatch (file change by other user?)": "ErrStale " + call + "checksum mismatch (file change by other user?) (log: one | two | three | four | five): somebody else changed the config: nothing was written",
	} {
		out, s, err := start(t, map[string][]reply{
			statusGET: {ended(exit)},
			logGET:    {ok(`[{"t":"zero"},{"t":"one"},{"t":"two"},{"t":"three"},{"t":"four"},{"t":"five"},{"t":"TASK ERROR: ` + exit + `"}]`)},
		})
		if err == nil || kindOf(err)+" "+err.Error() != want {
			t.Errorf("have %s %v\nwant %s", kindOf(err), err, want)
		}
		if len(out.Tasks) != 1 {
			t.Errorf("outcome %+v", out)
		}
		if last := s.requests()[len(s.requests())-1]; !strings.HasPrefix(last, logGET) {
			t.Errorf("went on after the failure: %s", last)
		}
	}
}

// A node that is away for a while does not end the wait, nor does one odd answer.
func TestTaskBlips(t *testing.T) {
	out, _, err := start(t, map[string][]reply{statusGET: {
		running,
		{status: "595 Connection refused"},
		{},
		{status: "502 Bad Gateway", body: "<html>"},
		refusal("odd"),
		{status: "400 Parameter verification failed.", body: `{"errors":{"upid":"no such task"}}`},
		{status: "599 x"},
		ok("null"), running, ended("OK"),
	}})
	if err != nil || len(out.Tasks) != 1 {
		t.Errorf("%+v, %v", out, err)
	}
}

func TestTaskOfWhichNothingIsKnown(t *testing.T) {
	for name, c := range map[string]struct {
		answer reply
		limit  time.Duration
		want   string
	}{
		"never ends":    {running, 20 * time.Millisecond, "the task still runs after 20ms: `pvenode task log " + someTask + "` on pve1"},
		"node away":     {reply{status: "595 Connection refused"}, 20 * time.Millisecond, "how the task ended is not known after 20ms: pve-5: GET " + taskPath + "/status: 595 Connection refused"},
		"no such task":  {reply{status: "400 Parameter verification failed.", body: `{"message":"Parameter verification failed.\n","errors":{"upid":"no such task"}}`}, time.Hour, "how the task ended is not known: pve-5: GET " + taskPath + "/status: Parameter verification failed: upid: no such task"},
		"no exit":       {ok(`{"status":"stopped"}`), time.Hour, "the task is stopped without an exit status"},
		"another shape": {ok(`["x"]`), time.Hour, "another shape"},
	} {
		t.Run(name, func(t *testing.T) {
			out, s, err := start(t, map[string][]reply{statusGET: {c.answer}}, func(o *Options) { o.TaskTimeout = c.limit })
			if !errors.Is(err, step.ErrUnfinished) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), someTask) {
				t.Errorf("%s %v", kindOf(err), err)
			}
			if len(out.Tasks) != 1 {
				t.Errorf("outcome %+v", out)
			}
			if n := count(s, "POST "); n != 1 {
				t.Errorf("%d writes", n)
			}
		})
	}
}

func TestTaskInterrupted(t *testing.T) {
	s := serve(t, map[string][]reply{"POST /nodes/pve1/qemu/110/status/start": {started}, statusGET: {running}})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, err := s.cluster(t).Do(ctx, step.StartVM{ID: docker2})
		done <- err
	}()
	for count(s, statusGET) == 0 {
		time.Sleep(time.Millisecond)
	}
	cancel()
	if err := <-done; !errors.Is(err, step.ErrUnfinished) || !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// A task that ended well is believed only when the guest agrees.
func TestTaskAndGuestDisagree(t *testing.T) {
	_, _, err := start(t, map[string][]reply{statusGET: {ended("OK")}, currentPath: {ok(`{"status":"stopped"}`)}})
	if err == nil || !strings.Contains(err.Error(), "the guest is stopped, not running") {
		t.Error(err)
	}
	_, _, err = start(t, map[string][]reply{statusGET: {ended("OK")}, currentPath: {ok(`{"status":"stopped"}`), ok(`{"status":"running"}`)}})
	if err != nil {
		t.Errorf("a guest that takes a moment: %v", err)
	}
}

func TestShutdownNotHeeded(t *testing.T) {
	s := serve(t, map[string][]reply{
		"POST /nodes/pve1/qemu/110/status/shutdown": {started}, statusGET: {ended("VM quit/powerdown failed - got timeout")},
		logGET: {ok(`[{"n":1,"t":"QEMU Guest Agent is not running - VM 110 qga command 'guest-ping' failed - got timeout"}]`)},
	})
	_, err := s.cluster(t).Do(t.Context(), step.ShutdownVM{ID: docker2})
	if err == nil || kindOf(err) != "other" || !strings.Contains(err.Error(), "goes on running") || !strings.Contains(err.Error(), "guest-ping") {
		t.Error(kindOf(err), err)
	}
	for _, asked := range s.requests() {
		if strings.Contains(asked, "status/stop") || strings.Contains(asked, "forceStop") {
			t.Error("a guest was stopped hard:", asked)
		}
	}
}

func TestHotplugLeftPending(t *testing.T) {
	const problem = "hotplug problem - error on hot-unplugging device 'net0' - still busy in guest?"
	refused := reply{status: "400 Parameter verification failed.", body: `{"data":null,"errors":{"net0":"` + problem + `\n"},"message":"Parameter verification failed.\n"}`}
	pending := ok(`[{"key":"net0","value":"virtio=A,bridge=vmbr0","pending":"virtio=B,bridge=vmbr1"}]`)
	settled := ok(`[{"key":"net0","value":"virtio=A,bridge=vmbr0"}]`)
	failed := ended("400 Parameter verification failed. net0: " + problem)
	for name, c := range map[string]struct {
		set     map[string]string
		answers map[string][]reply
		want    string
	}{
		"written at once":     {map[string]string{"net0": "x"}, map[string][]reply{"PUT " + configPath: {refused}, pendingPath: {pending}}, "net0: written, but it takes a restart of the guest: error on hot-unplugging"},
		"written by a task":   {map[string]string{"net0": "x", "scsi1": "tank:1"}, map[string][]reply{"POST " + configPath: {started}, statusGET: {failed}, logGET: {ok("[]")}, pendingPath: {pending}}, "net0: written, but it takes a restart of the guest: "},
		"not written":         {map[string]string{"net0": "x"}, map[string][]reply{"PUT " + configPath: {refused}, pendingPath: {settled}}, ""},
		"not written, task":   {map[string]string{"net0": "x", "scsi1": "tank:1"}, map[string][]reply{"POST " + configPath: {started}, statusGET: {failed}, logGET: {ok("[]")}, pendingPath: {settled}}, ""},
		"no way to find out":  {map[string]string{"net0": "x"}, map[string][]reply{"PUT " + configPath: {refused}, pendingPath: {{status: "595 x"}}}, ""},
		"another failed task": {map[string]string{"scsi1": "tank:1"}, map[string][]reply{"POST " + configPath: {started}, statusGET: {ended("out of space")}, logGET: {ok("[]")}, pendingPath: {pending}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := serve(t, c.answers).cluster(t).Do(t.Context(), step.SetConfig{ID: docker2, Set: c.set})
			if c.want == "" {
				if err == nil {
					t.Errorf("no error, %+v", out)
				}
				return
			}
			if err != nil || len(out.Warnings) != 1 || !strings.HasPrefix(out.Warnings[0], c.want) {
				t.Errorf("%+v, %v", out, err)
			}
		})
	}
}

func count(s *script, prefix string) int {
	n := 0
	for _, asked := range s.requests() {
		if strings.HasPrefix(asked, prefix) {
			n++
		}
	}
	return n
}
