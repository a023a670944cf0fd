package sim

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
)

// A world read from a running simulator answers as that simulator does.
func TestFromLive(t *testing.T) {
	c := newClient(t, Options{})
	c.ok("POST", "/pools", "poolid=prod&comment=c")
	c.ok("PUT", "/pools", "poolid=prod&vms=117&storage=local-zfs")
	c.ok("POST", qemu, "vmid=200&scsi0=local-zfs:4&net0=virtio,bridge=vmbr0&description=two%0Alines")
	c.ok("POST", qemu+"/200/snapshot", "snapname=s1&description=before")
	c.ok("PUT", qemu+"/117/config", "memory=8192&delete=numa")
	c.ok("PUT", "/cluster/options", "tag-style=ordering=config,shape=full&registered-tags=prod&http_proxy=http://u:p@proxy:1")
	get := func(_ context.Context, path string) (json.RawMessage, error) {
		raw, err := json.Marshal(c.ok("GET", path, ""))
		return raw, err
	}
	w, err := FromLive(context.Background(), get)
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []int{117, 200} {
		have, want := w.VMs[id], c.s.w.VMs[id]
		if have.Config() != want.Config() || have.State != want.State {
			t.Errorf("vm %d: %s\nhave\n%s\nwant %s\n%s", id, have.State, have.Config(), want.State, want.Config())
		}
	}
	again := clientOf(t, New(w, Options{}))
	again.token = "PVEAPIToken=root@pam!sim=00000000-0000-4000-8000-000000000000"
	for _, path := range []string{
		"/version", "/nodes/pve-5/network", "/nodes/pve-5/storage/local-zfs/content", "/nodes/pve-5/storage/local-lvm/content",
		"/nodes/pve-5/storage/local/content", "/pools/prod", "/nodes/pve-5/disks/zfs",
		"/nodes/pve-5/disks/zfs/rpool", "/nodes/pve-5/disks/list", "/nodes/pve-5/services", "/nodes/pve-5/dns", "/nodes/pve-5/hosts", "/nodes/pve-5/certificates/info",
		"/nodes/pve-5/apt/repositories", "/storage", "/cluster/firewall/options", qemu + "/117/pending", qemu + "/200/config", qemu + "/200/snapshot",
	} {
		have, want := again.ok("GET", path, ""), c.ok("GET", path, "")
		p := &replay{t: t, known: map[string]string{}, taken: map[string]bool{}}
		if diff := p.compare("", "", want, have); diff != "" {
			t.Errorf("GET %s: %s", path, diff)
		}
	}
	style := again.ok("GET", "/cluster/options", "")
	if text, _ := json.Marshal(style); !strings.Contains(string(text), `"tag-style":{"ordering":"config","shape":"full"}`) || strings.Contains(string(text), "proxy") {
		t.Errorf("options: %s", text)
	}
	if _, err := parseWorldText(w.String()); err != nil {
		t.Error(err)
	}
}
