package sim

import (
	"strings"
	"testing"
	"time"
)

// Tasks take the time of the world, hold the config lock, and end in order.
func TestTasksTakeTime(t *testing.T) {
	w := readWorld(t, "testdata/pve-5.world")
	clock := NewManualClock(w.Clock)
	w.Settings.TaskTime["qmstop"] = 4 * time.Second
	w.Settings.HoldAfterStop = 3 * time.Second
	c := clientOf(t, New(w, Options{Clock: clock}))
	upid := c.ok("POST", qemu+"/117/status/stop", "")
	if have := c.exit(upid); have != "running" {
		t.Fatalf("right after: %s", have)
	}
	if log := c.ok("GET", "/nodes/pve-5/tasks/"+upid.(string)+"/log", "").([]any); log[0].(map[string]any)["t"] != "no content" {
		t.Errorf("log of a running task: %v", log)
	}
	if rows := c.ok("GET", "/nodes/pve-5/tasks?source=active", "").([]any); len(rows) != 1 {
		t.Errorf("active tasks: %v", rows)
	}
	c.ok("PUT", qemu+"/117/config", "cores=3") // waits for the lock, which the stop and its cleanup hold
	if have := c.exit(upid); have != "OK" {
		t.Errorf("after the wait: %s", have)
	}
	c.ok("POST", qemu+"/117/status/start", "")
	c.s.Edit(func(w *World) { w.Settings.HoldAfterStop = 25 * time.Second })
	c.ok("POST", qemu+"/117/status/stop", "")
	clock.Jump(5 * time.Second)
	c.refused("500 can't lock file '/var/lock/qemu-server/lock-117.conf' - got timeout", "PUT", qemu+"/117/config", "cores=2")
	clock.Jump(5 * time.Second)
	c.ok("PUT", qemu+"/117/config", "cores=2")
}

// A volume may sit in two slots; only the last one that leaves makes an unused entry. Its own names are kept apart
// from those of other VMs.
func TestVolumesInTwoSlots(t *testing.T) {
	c := newClient(t, Options{})
	c.ok("POST", qemu, "vmid=200&scsi0=local-zfs:1")
	c.ok("PUT", qemu+"/200/config", "virtio1=local-zfs:vm-200-disk-0")
	c.ok("PUT", qemu+"/200/config", "delete=scsi0")
	if conf := c.config("200"); conf["unused0"] != nil || conf["scsi0"] != nil {
		t.Errorf("one slot left: %v", conf)
	}
	c.ok("PUT", qemu+"/200/config", "delete=virtio1")
	if have := c.config("200")["unused0"]; have != "local-zfs:vm-200-disk-0" {
		t.Errorf("no slot left: unused0 %v", have)
	}
	c.ok("PUT", qemu+"/200/config", "scsi3=local-lvm:vm-117-disk-0")
	c.ok("PUT", qemu+"/200/config", "delete=scsi3")
	if conf := c.config("200"); conf["unused1"] != nil {
		t.Errorf("a foreign volume became ours: %v", conf)
	}
	c.ok("PUT", qemu+"/200/unlink", "idlist=unused0&force=1")
	if c.s.Dump().Node("pve-5").dataset("rpool/data/vm-200-disk-0") != nil {
		t.Error("unlink force=1 left the volume")
	}
}

// revert drops pending changes; a pending new disk becomes unused.
func TestRevert(t *testing.T) {
	c := newClient(t, Options{})
	c.ok("PUT", qemu+"/117/config", "memory=8192&cores=8&sata0=local-lvm:1&delete=ide2")
	c.ok("PUT", qemu+"/117/config", "revert=memory,ide2,sata0")
	conf := c.config("117")
	if conf["memory"] != "4096" || conf["cores"] != float64(8) || conf["ide2"] == nil || conf["sata0"] != nil || conf["unused0"] != "local-lvm:vm-117-disk-1" {
		t.Errorf("after the revert: %v", conf)
	}
	c.ok("PUT", qemu+"/117/config", "revert=onboot")
	body := c.refused("400 Parameter verification failed.", "PUT", qemu+"/117/config", "revert=nosuch")
	if have := body["errors"].(map[string]any)["revert"]; have != "unknown option 'nosuch'" {
		t.Errorf("have %v", have)
	}
}

// A guest that does not react keeps the NIC it booted with, and gives up one plugged later; the text of a MAC counts.
func TestDeafGuest(t *testing.T) {
	c := newClient(t, Options{})
	c.s.Edit(func(w *World) { w.VMs[117].Deaf = true })
	mac := "virtio=bc:24:11:4e:00:17,bridge=vmbr0,firewall=1"
	body := c.refused("400 Parameter verification failed.", "PUT", qemu+"/117/config", "net0="+mac)
	want := "hotplug problem - error on hot-unplugging device 'net0' - still busy in guest?\n"
	if have := body["errors"].(map[string]any)["net0"]; have != want {
		t.Errorf("have %q", have)
	}
	if have := c.config("117")["net0"]; have != mac {
		t.Errorf("the change is not pending: %v", have)
	}
	exit := c.exit(c.ok("POST", qemu+"/117/config", "net0=e1000=BC:24:11:4E:00:17,bridge=vmbr0"))
	if exit != "400 Parameter verification failed. net0: "+strings.TrimSpace(want) {
		t.Errorf("as a task: %q", exit)
	}
	c.ok("PUT", qemu+"/117/config", "net1=virtio,bridge=vmbr1")
	c.ok("PUT", qemu+"/117/config", "delete=net1")
	if have := c.ok("GET", qemu+"/117/config?current=1", "").(map[string]any)["net1"]; have != nil {
		t.Errorf("net1 stayed: %v", have)
	}
	if have := c.exit(c.ok("POST", qemu+"/117/status/shutdown", "timeout=3")); have != "VM quit/powerdown failed - got timeout" {
		t.Errorf("shutdown: %s", have)
	}
}

// What needs a running guest is refused at once on a stopped one; protection and a running guest keep a VM.
func TestPowerRefusals(t *testing.T) {
	c := newClient(t, Options{})
	c.refused("500 VM 117 is running - destroy failed", "DELETE", qemu+"/117", "")
	c.ok("PUT", qemu+"/117/config", "protection=1")
	c.refused("500 can't remove VM 117 - protection mode enabled", "DELETE", qemu+"/117", "")
	c.refused("500 can't remove drive 'scsi0' - protection mode enabled", "PUT", qemu+"/117/config", "delete=scsi0")
	c.ok("POST", qemu+"/117/status/stop", "")
	for _, verb := range []string{"reset", "suspend", "resume", "reboot"} {
		c.refused("500 VM 117 not running", "POST", qemu+"/117/status/"+verb, "")
	}
	for _, verb := range []string{"stop", "shutdown"} {
		if have := c.exit(c.ok("POST", qemu+"/117/status/"+verb, "")); have != "OK" {
			t.Errorf("%s: %s", verb, have)
		}
	}
}

// A paused guest is not asked to shut down: it would power off when somebody resumes it (src: API2::Qemu vm_shutdown).
func TestPausedGuest(t *testing.T) {
	c := newClient(t, Options{})
	status := qemu + "/117/status/"
	c.ok("POST", status+"suspend", "")
	for _, verb := range []string{"shutdown", "reboot"} {
		c.refused("500 VM is paused - cannot shutdown", "POST", status+verb, "")
	}
	c.refused("400 Parameter verification failed.", "POST", status+"stop", "keepActive=1")
	if have := c.exit(c.ok("POST", status+"shutdown", "forceStop=1")); have != "OK" || c.s.Dump().VMs[117].State != "stopped" {
		t.Errorf("forceStop=1: %s", have)
	}
}

// A stale digest: resize tells it in its task, move_disk at once and in its own words.
func TestStaleDigests(t *testing.T) {
	c := newClient(t, Options{})
	stale := "&digest=" + strings.Repeat("0", 40)
	if have := c.exit(c.ok("PUT", qemu+"/117/resize", "disk=scsi0&size=%2B1G"+stale)); have != "checksum mismatch (file change by other user?)" {
		t.Errorf("resize: %s", have)
	}
	c.refused("500 detected modified configuration - file changed by other user? Try again.", "POST", qemu+"/117/move_disk", "disk=scsi0&storage=local-zfs"+stale)
}

// A create that fails in its task leaves neither the config nor the disks it had made.
func TestFailedCreateLeavesNothing(t *testing.T) {
	c := newClient(t, Options{})
	if have := c.exit(c.ok("POST", qemu, "vmid=200&scsi0=local-zfs:1&scsi1=local-lvm:vm-999-disk-0")); have != "unable to create VM 200 - volume 'local-lvm:vm-999-disk-0' does not exist" {
		t.Errorf("have %s", have)
	}
	if c.s.Dump().Node("pve-5").dataset("rpool/data/vm-200-disk-0") != nil {
		t.Error("the first disk stayed")
	}
	if have := c.exit(c.ok("POST", qemu, "vmid=200")); have != "OK" {
		t.Errorf("the id is not free again: %s", have)
	}
}

// PVE 8.4 refuses what only 9 has, and says less.
func TestOlderVersion(t *testing.T) {
	c := newClient(t, Options{Version: "8.4.21"})
	for form, name := range map[string]string{"allow-ksm=1": "allow-ksm", "agent=yes": "agent"} {
		body := c.refused("400 Parameter verification failed.", "PUT", qemu+"/117/config", form)
		if body["errors"].(map[string]any)[name] == nil {
			t.Errorf("%s: %v", form, body)
		}
	}
	c.refused("500 no sdn vnet ID specified", "PUT", qemu+"/117/config", "net3=virtio")
	if row := c.ok("GET", qemu+"/117/status/current", "").(map[string]any); row["memhost"] != nil || row["pressurecpusome"] != nil {
		t.Errorf("status: %v", row)
	}
	for _, row := range c.ok("GET", "/nodes/pve-5/storage?format=1", "").([]any) {
		if row.(map[string]any)["formats"] != nil {
			t.Errorf("storage: %v", row)
		}
	}
	c.ok("POST", "/access/roles", "roleid=Old&privs=VM.Audit,VM.Monitor")
	nine := newClient(t, Options{})
	nine.refused("400 Parameter verification failed.", "POST", "/access/roles", "roleid=Old&privs=VM.Audit,VM.Monitor")
	nine.ok("PUT", qemu+"/117/config", "allow-ksm=1&agent=yes&net3=virtio")
}

// cluster/resources lags behind by the broadcast.
func TestResourceLag(t *testing.T) {
	w := readWorld(t, "testdata/pve-5.world")
	w.Settings.ResourceLag = 10 * time.Second
	clock := NewManualClock(w.Clock)
	c := clientOf(t, New(w, Options{Clock: clock}))
	c.ok("POST", qemu, "vmid=200&name=new")
	c.ok("POST", qemu+"/117/status/stop", "")
	look := func() (old, fresh map[string]any) {
		rows := c.ok("GET", "/cluster/resources?type=vm", "").([]any)
		return rows[0].(map[string]any), rows[1].(map[string]any)
	}
	if old, fresh := look(); old["status"] != "running" || fresh["status"] != "unknown" || fresh["name"] != nil {
		t.Errorf("at once: %v %v", old, fresh)
	}
	clock.Jump(11 * time.Second)
	if old, fresh := look(); old["status"] != "stopped" || fresh["status"] != "stopped" || fresh["name"] != "new" {
		t.Errorf("11 s later: %v %v", old, fresh)
	}
}

// Rescan finds volumes laid down by hand and mends sizes, as `qm disk rescan` does.
func TestRescan(t *testing.T) {
	c := newClient(t, Options{})
	c.ok("POST", qemu, "vmid=500&scsi0=local-zfs:0.3")
	c.ok("POST", "/nodes/pve-5/storage/local-zfs/content", "vmid=500&filename=vm-500-data2&size=2G")
	have, err := c.s.Rescan(500)
	want := "rescan volumes...\n" +
		"VM 500 (scsi0): size of disk 'local-zfs:vm-500-disk-0' updated from 314573K to 308M\n" +
		"VM 500 add unreferenced volume 'local-zfs:vm-500-data2' as 'unused0' to config"
	if err != nil || strings.Join(have, "\n") != want {
		t.Errorf("have %q, %v", have, err)
	}
	if conf := c.config("500"); conf["unused0"] != "local-zfs:vm-500-data2" || conf["scsi0"] != "local-zfs:vm-500-disk-0,size=308M" {
		t.Errorf("config: %v", conf)
	}
}

// A new pool is looked for where its storage is to be used, and only if the node that is asked is one of these.
func TestPoolOfAnotherNode(t *testing.T) {
	for form, want := range map[string]string{
		"storage=tank&type=zfspool&pool=tank":             "500 create storage failed: could not activate storage 'tank', zfs error: cannot import 'tank': no such pool available",
		"storage=tank&type=zfspool&pool=tank&nodes=pve-6": "200 OK",
		"storage=tank&type=zfspool&pool=tank&disable=1":   "200 OK",
	} {
		c := newClient(t, Options{})
		if have, _ := c.call("POST", "/storage", form); have != want {
			t.Errorf("%s: have %s, want %s", form, have, want)
		}
	}
}
