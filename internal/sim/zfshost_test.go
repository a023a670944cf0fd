package sim

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// host is a far host made of a list of datasets: it takes the commands that zfsHost sends, and runs guests.
type host struct {
	t       *testing.T
	node    *Node
	running bool
	down    bool
	log     []string
}

func (h *host) shell(command string) (string, error) {
	if h.down {
		return "", errors.New("connection refused")
	}
	if command == zfsListing {
		return h.listing(), nil
	}
	if command == hostReads["zfs"].command {
		return h.pools(), nil
	}
	h.log = append(h.log, command)
	words := strings.Fields(strings.ReplaceAll(command, "'", ""))
	z := listed{h.node}
	switch strings.Join(words[:min(2, len(words))], " ") {
	case "zfs create":
		d := &Dataset{Name: words[len(words)-1], Created: h.node.Datasets[0].Created}
		sparse := words[2] == "-s"
		d.Volsize = exact(words[len(words)-2])
		d.Blocksize = words[len(words)-4]
		return "", z.Create(d, sparse)
	case "zfs set":
		return "", z.Resize(words[3], exact(strings.TrimPrefix(words[2], "volsize=")))
	case "zfs destroy":
		if name, snap, ok := strings.Cut(words[2], "@"); ok {
			return "", z.DestroySnapshot(name, snap)
		}
		return "", z.Destroy(words[3])
	case "zfs rename":
		return "", z.Rename(words[2], words[3])
	case "zfs snapshot":
		name, snap, _ := strings.Cut(words[2], "@")
		return "", z.Snapshot(name, snap)
	case "zfs rollback":
		name, snap, _ := strings.Cut(words[2], "@")
		return "", z.Rollback(name, snap)
	case "zfs clone":
		return "", z.Clone(words[2], words[3], h.node.Datasets[0].Created)
	}
	return h.guest(command)
}

func (h *host) guest(command string) (string, error) {
	switch {
	case strings.HasPrefix(command, "if guest status"):
		return map[bool]string{true: "running\n", false: "stopped\n"}[h.running], nil
	case strings.HasPrefix(command, "guest start"):
		h.running = true
		return "", nil
	case command == "guest shutdown", command == "guest stop":
		h.running = false
		return "", nil
	case command == "guest agent 'fstrim'":
		return `{"paths":[{"path":"/","trimmed":4096,"minimum":0}]}`, nil
	}
	h.t.Errorf("unexpected command: %s", command)
	return "", errors.New("command not found")
}

// listing is what zfsListing prints: here all of a pool's space is free that its datasets do not use.
func (h *host) listing() string {
	var b strings.Builder
	avail := map[string]int64{}
	for _, d := range h.node.Datasets {
		pool, _, _ := strings.Cut(d.Name, "/")
		avail[pool] += d.Quota - d.Used
		if d.Name == pool {
			fmt.Fprintf(&b, "%s\t%d\n", d.Name, d.Raw)
		}
	}
	dash := func(text string) string {
		if text == "" || text == "0" {
			return "-"
		}
		return text
	}
	for _, d := range h.node.Datasets {
		pool, _, _ := strings.Cut(d.Name, "/")
		block := "-"
		if n, err := parseBytes(strings.ToUpper(d.Blocksize)); err == nil && d.Volsize != 0 {
			block = fmt.Sprint(n)
		}
		fmt.Fprintf(&b, "%s\t%s\t%s\t%d\t0\t0\t%d\t%d\t%s\n", d.Name, dash(fmt.Sprint(d.Volsize)), block, d.Used, avail[pool], d.Created.Unix(), dash(d.Origin))
		for _, snap := range d.Snapshots {
			fmt.Fprintf(&b, "%s@%s\t%d\t-\t-\t-\t-\t-\t%d\t-\n", d.Name, snap.Name, snap.Volsize, d.Created.Unix())
		}
	}
	return b.String()
}

func (h *host) pools() string {
	var b strings.Builder
	for _, d := range h.node.Datasets {
		var used int64
		for _, other := range h.node.Datasets {
			if other == d || strings.HasPrefix(other.Name, d.Name+"/") {
				used += other.Used
			}
		}
		if d.Quota != 0 {
			fmt.Fprintf(&b, "%s\t%d\t%d\t%d\t0\t1.00\tONLINE\n", d.Name, d.Raw, used, d.Raw-used)
		}
	}
	return b.String()
}

// newHost has the datasets of a node of the example world.
func newHost(t *testing.T) *host {
	n := readWorld(t, "testdata/pve-5.world").Node("pve-5")
	for _, d := range n.Datasets {
		d.Created, d.Raw = n.Booted, d.Quota
		if d.Volsize == 0 {
			d.Blocksize = ""
		}
	}
	return &host{t: t, node: n}
}

// One and the same sequence of calls leaves the same datasets, whether a world file keeps them or a host.
func TestHostKeepsTheDatasets(t *testing.T) {
	far := newHost(t)
	kept := newClient(t, Options{})
	backed := newClient(t, Options{Hosts: map[string]Shell{"pve-5": far.shell}})
	for _, step := range []struct{ method, path, form string }{
		{"POST", qemu, "vmid=200&scsi0=local-zfs:1&scsi1=local-zfs:2"},
		{"PUT", qemu + "/200/resize", "disk=scsi0&size=%2B1G"},
		{"POST", qemu + "/200/snapshot", "snapname=one"},
		{"PUT", qemu + "/200/resize", "disk=scsi0&size=%2B1G"},
		{"POST", qemu + "/200/snapshot/one/rollback", ""},
		{"DELETE", qemu + "/200/snapshot/one", ""},
		{"PUT", qemu + "/200/unlink", "idlist=scsi1&force=1"},
		{"POST", "/nodes/pve-5/storage/local-zfs/content", "vmid=200&filename=vm-200-disk-7&size=4M"},
		{"DELETE", "/nodes/pve-5/storage/local-zfs/content/vm-200-disk-7", ""},
		{"POST", qemu + "/200/template", ""},
		{"POST", qemu + "/200/clone", "newid=201"},
	} {
		kept.ok(step.method, step.path, step.form)
		backed.ok(step.method, step.path, step.form)
		want, have := names(kept.s.Dump().Node("pve-5")), names(far.node)
		if want != have {
			t.Fatalf("%s %s %s:\nin the world: %s\non the host:  %s", step.method, step.path, step.form, want, have)
		}
	}
	for _, path := range []string{"/nodes/pve-5/storage/local-zfs/status", "/nodes/pve-5/storage/local-zfs/content", "/nodes/pve-5/disks/zfs"} {
		if want, have := fmt.Sprint(kept.ok("GET", path, "")), fmt.Sprint(backed.ok("GET", path, "")); want != have {
			t.Errorf("GET %s:\nof the world: %s\nof the host:  %s", path, want, have)
		}
	}
	for _, command := range far.log {
		if strings.HasPrefix(command, "zfs 'create'") && !strings.Contains(command, "'-s' '-b' '16k'") {
			t.Errorf("storage.cfg says sparse and 16k: %s", command)
		}
	}
}

func names(n *Node) string {
	var all []string
	for _, d := range n.Datasets {
		if d.Volsize == 0 {
			continue
		}
		line := fmt.Sprintf("%s %d %s", d.Name, d.Volsize, d.Origin)
		for _, snap := range d.Snapshots {
			line += fmt.Sprintf(" @%s %d", snap.Name, snap.Volsize)
		}
		all = append(all, line)
	}
	return strings.Join(all, "; ")
}

// What the host refuses is what the API says; a host that is off takes the API with it.
func TestHostRefusesAndDies(t *testing.T) {
	far := newHost(t)
	c := newClient(t, Options{Hosts: map[string]Shell{"pve-5": far.shell}})
	listed{far.node}.Create(&Dataset{Name: "rpool/data/vm-200-disk-3", Volsize: 1 << 20}, true)
	c.refused("500 zfs error: cannot create 'rpool/data/vm-200-disk-3': dataset already exists",
		"POST", "/nodes/pve-5/storage/local-zfs/content", "vmid=200&filename=vm-200-disk-3&size=4M")
	far.down = true
	if status, _ := c.call("GET", "/nodes/pve-5/storage/local-zfs/content", ""); !strings.Contains(status, "EOF") {
		t.Errorf("a host that is off answered: %s", status)
	}
	far.down = false
	c.ok("GET", "/nodes/pve-5/storage/local-zfs/content", "")
}

// A guest is a process on the host: started and ended through the API or behind its back, and its agent asked.
func TestGuestIsAProcessOfTheHost(t *testing.T) {
	far := newHost(t)
	w := readWorld(t, "testdata/pve-5.world")
	text := w.String() + "-- guest 200 --\nstart: guest start {scsi0}\nshutdown: guest shutdown\nstop: guest stop\nstatus: guest status\nagent: guest agent {command}\n"
	w, err := ParseWorld(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if again := w.String(); !strings.Contains(again, "-- guest 200 --\nstart: guest start {scsi0}\n") {
		t.Errorf("the section is not printed:\n%s", again)
	}
	c := clientOf(t, New(w, Options{Hosts: map[string]Shell{"pve-5": far.shell}}))
	c.ok("POST", qemu, "vmid=200&scsi0=local-zfs:1&agent=1")
	state := func() string {
		return c.ok("GET", qemu+"/200/status/current", "").(map[string]any)["status"].(string)
	}
	c.ok("POST", qemu+"/200/status/start", "")
	if !slices.Contains(far.log, "guest start '/dev/zvol/rpool/data/vm-200-disk-0'") {
		t.Errorf("the start did not name the device: %q", far.log)
	}
	if state() != "running" || !far.running {
		t.Error("not running after the start")
	}
	trim := c.ok("POST", qemu+"/200/agent/fstrim", "").(map[string]any)
	if have := fmt.Sprint(trim["result"]); have != "map[paths:[map[minimum:0 path:/ trimmed:4096]]]" {
		t.Errorf("fstrim answered %s", have)
	}
	c.ok("POST", qemu+"/200/status/shutdown", "")
	if state() != "stopped" || far.running {
		t.Error("not stopped after the shutdown")
	}
	far.running = true // somebody starts it by hand
	if state() != "running" {
		t.Error("PVE does not see the guest that was started by hand")
	}
	far.running = false // the host lost power
	if state() != "stopped" {
		t.Error("PVE still sees a guest whose process is gone")
	}
}

// What a host said a moment ago is good enough for an answer; a write looks again.
func TestFreshLooksAreKept(t *testing.T) {
	far := newHost(t)
	looks := 0
	c := newClient(t, Options{Fresh: time.Hour, Hosts: map[string]Shell{"pve-5": func(command string) (string, error) {
		if command == zfsListing {
			looks++
		}
		return far.shell(command)
	}}})
	c.ok("GET", "/nodes/pve-5/storage/local-zfs/content", "")
	first := looks
	c.ok("GET", "/nodes/pve-5/storage/local-zfs/content", "")
	if first == 0 || looks != first {
		t.Errorf("%d looks for the first answer, %d with the second", first, looks)
	}
	c.ok("POST", "/nodes/pve-5/storage/local-zfs/content", "vmid=200&filename=vm-200-disk-7&size=4M")
	if looks == first {
		t.Error("a write did not look")
	}
}
