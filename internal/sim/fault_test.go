package sim

import (
	"strings"
	"testing"
	"time"
)

func faults(t *testing.T, text string) []Fault {
	t.Helper()
	list, err := ReadFaults(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestFaultFileErrors(t *testing.T) {
	for text, want := range map[string]string{
		"PUT /x":                           "faults: line 1: \"PUT /x\": want METHOD PATH KIND",
		"\n# c\nPUT /x explode":            "faults: line 3: unknown kind \"explode\"; known are latency",
		"PUT /x error status=many":         "faults: line 1: status=many:",
		"PUT /x latency wait=2s":           "unknown key; known are skip",
		"PUT /x latency delay=2 times=x y": "faults: line 1: delay=2:",
	} {
		_, err := ReadFaults(strings.NewReader(text))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: have %v, want %q", text, err, want)
		}
	}
}

// An error before the call leaves the world as it was, one after the call does not.
func TestErrorsBeforeAndAfterTheEffect(t *testing.T) {
	c := newClient(t, Options{Faults: faults(t, `
		PUT /nodes/*/qemu/117/config error skip=1 status=500 text="got timeout"
		PUT /nodes/*/qemu/117/config error-after skip=2 status=596 text="Connection timed out"
	`)})
	c.ok("PUT", qemu+"/117/config", "cores=3")
	c.refused("500 got timeout", "PUT", qemu+"/117/config", "cores=4&onboot=0")
	if have := c.config("117")["onboot"]; have != float64(1) {
		t.Errorf("an error before the effect took effect: onboot %v", have)
	}
	c.refused("596 Connection timed out", "PUT", qemu+"/117/config", "onboot=0")
	if have := c.config("117")["onboot"]; have != float64(0) {
		t.Errorf("an error after the effect had none: onboot %v", have)
	}
	c.ok("PUT", qemu+"/117/config", "onboot=1")
}

// A cut connection is an error of the transport; the effect may have happened.
func TestDroppedConnections(t *testing.T) {
	c := newClient(t, Options{Faults: faults(t, `
		PUT * drop
		PUT * drop-after skip=1
	`)})
	for i, want := range []float64{1, 0} {
		if status, _ := c.call("PUT", qemu+"/117/config", "onboot=0"); !strings.Contains(status, "EOF") {
			t.Errorf("drop %d: have %s, want an end of the connection", i, status)
		}
		if have := c.config("117")["onboot"]; have != want {
			t.Errorf("drop %d: onboot %v, want %v", i, have, want)
		}
	}
}

// A node that is down answers 595 with an empty body, until it is up again.
func TestNodeDown(t *testing.T) {
	c := newClient(t, Options{Faults: faults(t, "GET /version node-down node=pve-5\nGET /version node-up skip=1 node=pve-5")})
	c.ok("GET", "/version", "")
	if body := c.refused("595 Connection refused", "GET", qemu+"/117/config", ""); body != nil {
		t.Errorf("body %v", body)
	}
	rows := c.ok("GET", "/cluster/resources?type=vm", "").([]any)
	if row := rows[0].(map[string]any); row["status"] != "unknown" {
		t.Errorf("resources still know the VM of a dead node: %v", row)
	}
	c.ok("GET", "/version", "")
	c.config("117")
}

// Tasks fail before or after their effect, or hang with the config lock until they are stopped.
func TestTaskFaults(t *testing.T) {
	c := newClient(t, Options{Faults: faults(t, `
		TASK qmstop task-fail text="qmp command 'quit' failed"
		TASK qmstop task-fail-after skip=1
		TASK qmstart task-hang
	`)})
	if have := c.exit(c.ok("POST", qemu+"/117/status/stop", "")); have != "qmp command 'quit' failed" {
		t.Errorf("have %s", have)
	}
	state := func() any { return c.ok("GET", qemu+"/117/status/current", "").(map[string]any)["status"] }
	if state() != "running" {
		t.Error("a task that failed before its effect had one")
	}
	if have := c.exit(c.ok("POST", qemu+"/117/status/stop", "")); !strings.Contains(have, "fault injected") || state() != "stopped" {
		t.Errorf("have %s and %v", have, state())
	}
	upid := c.ok("POST", qemu+"/117/status/start", "").(string)
	if have := c.exit(upid); have != "running" {
		t.Errorf("a hanging task: %s", have)
	}
	before := c.s.Now()
	c.refused("500 can't lock file '/var/lock/qemu-server/lock-117.conf' - got timeout", "PUT", qemu+"/117/config", "cores=1")
	if waited := c.s.Now().Sub(before); waited < lockWait {
		t.Errorf("the lock timed out after %s", waited)
	}
	c.ok("DELETE", "/nodes/pve-5/tasks/"+upid, "")
	if have := c.exit(upid); have != "unexpected status" {
		t.Errorf("a stopped task: %s", have)
	}
	c.ok("PUT", qemu+"/117/config", "cores=1")
}

// Somebody edits the VM between our read and our write: the digest says so.
func TestConcurrentEdit(t *testing.T) {
	c := newClient(t, Options{Faults: faults(t, "PUT /nodes/pve-5/qemu/117/config edit")})
	digest := c.config("117")["digest"].(string)
	c.refused("500 checksum mismatch (file change by other user?)", "PUT", qemu+"/117/config", "cores=8&digest="+digest)
	if have := c.config("117")["description"]; have != "made by hand, ask Li before touching\nedited by another user" {
		t.Errorf("description %q", have)
	}
}

// A storage that is full refuses new volumes and shows no space; a stale list misses new VMs.
func TestFullStorageAndStaleList(t *testing.T) {
	c := newClient(t, Options{Faults: faults(t, "* * full storage=local-zfs\nGET /cluster/nextid stale")})
	if have := c.exit(c.ok("POST", qemu, "vmid=200&scsi0=local-zfs:1")); have != "unable to create VM 200 - zfs error: cannot create 'rpool/data/vm-200-disk-0': out of space" {
		t.Errorf("have %s", have)
	}
	if row := c.ok("GET", "/nodes/pve-5/storage/local-zfs/status", "").(map[string]any); row["avail"] != float64(0) {
		t.Errorf("avail %v", row["avail"])
	}
	c.ok("GET", "/cluster/nextid", "")
	c.ok("POST", qemu, "vmid=201&name=late")
	name := func() any { return c.ok("GET", "/cluster/resources?type=vm", "").([]any)[1].(map[string]any)["name"] }
	if have := name(); have != nil {
		t.Errorf("the stale list knows the new VM: %v", have)
	}
	c.s.ClearFaults()
	if have := name(); have != "late" {
		t.Errorf("the fresh list: %v", have)
	}
}

// A client waits for latency also where nothing else takes time.
func TestLatencyIsReal(t *testing.T) {
	c := newClient(t, Options{Faults: faults(t, "GET /version latency delay=80ms")})
	began := time.Now()
	c.ok("GET", "/version", "")
	if have := time.Since(began); have < 80*time.Millisecond {
		t.Errorf("the answer came after %s", have)
	}
}

// With latency and clock jumps a clock that is moved by hand moves, and nothing waits.
func TestLatencyAndClockJumps(t *testing.T) {
	c := newClient(t, Options{Clock: NewManualClock(time.Unix(1e9, 0)), Faults: faults(t, "GET /version latency delay=2s\nGET /version clock skip=1 delay=-1h")})
	c.ok("GET", "/version", "")
	if have := c.s.Now().Unix() - 1e9; have != 2 {
		t.Errorf("after the latency: %d s", have)
	}
	c.ok("GET", "/version", "")
	if have := c.s.Now().Unix() - 1e9; have != 2-3600 {
		t.Errorf("after the jump: %d s", have)
	}
}
