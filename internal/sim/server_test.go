package sim

import (
	"bufio"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"strings"
	"testing"
)

const rootToken = "PVEAPIToken=root@pam!recon=2b4d7c1e-0000-4000-8000-000000000001"

// client asks one server over real HTTPS.
type client struct {
	t     testing.TB
	s     *Server
	url   string
	token string
	http  *http.Client
	trace *httptrace.ClientTrace
}

// newClient starts a server with the example world.
func newClient(t testing.TB, c Options) *client {
	t.Helper()
	return clientOf(t, New(readWorld(t, "testdata/pve-5.world"), c))
}

func clientOf(t testing.TB, s *Server) *client {
	t.Helper()
	url, err := s.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(s.CertPEM())
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, MaxIdleConnsPerHost: 32}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return &client{t: t, s: s, url: url, token: rootToken, http: &http.Client{Transport: transport}}
}

// call sends "k=v&..." as the body of PUT and POST; the answer is the status line and the decoded body.
func (c *client) call(method, path, form string) (string, map[string]any) {
	c.t.Helper()
	var in io.Reader
	if method == "PUT" || method == "POST" {
		in = strings.NewReader(form)
	}
	r, err := http.NewRequest(method, c.url+"/api2/json"+path, in)
	if err != nil {
		c.t.Fatal(err)
	}
	if c.trace != nil {
		r = r.WithContext(httptrace.WithClientTrace(r.Context(), c.trace))
	}
	r.Header.Set("Authorization", c.token)
	if in != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	answer, err := c.http.Do(r)
	if err != nil {
		return err.Error(), nil
	}
	defer answer.Body.Close()
	raw, err := io.ReadAll(bufio.NewReader(answer.Body))
	if err != nil {
		return err.Error(), nil
	}
	var decoded map[string]any
	if len(raw) > 0 {
		if err := json.Unmarshal(raw, &decoded); err != nil {
			c.t.Fatalf("%s %s: %v: %s", method, path, err, raw)
		}
	}
	return answer.Status, decoded
}

// ok is call that must succeed; the answer is "data".
func (c *client) ok(method, path, form string) any {
	c.t.Helper()
	status, decoded := c.call(method, path, form)
	if status != "200 OK" {
		c.t.Fatalf("%s %s %s: %s %v", method, path, form, status, decoded)
	}
	return decoded["data"]
}

// refused is call that must fail with a status line.
func (c *client) refused(want, method, path, form string) map[string]any {
	c.t.Helper()
	status, decoded := c.call(method, path, form)
	if status != want {
		c.t.Fatalf("%s %s %s: have %s, want %s", method, path, form, status, want)
	}
	return decoded
}

// exit is the outcome of a task.
func (c *client) exit(upid any) string {
	c.t.Helper()
	row := c.ok("GET", "/nodes/pve-5/tasks/"+upid.(string)+"/status", "").(map[string]any)
	if row["status"] != "stopped" {
		return "running"
	}
	return row["exitstatus"].(string)
}

func (c *client) config(id string) map[string]any {
	c.t.Helper()
	return c.ok("GET", "/nodes/pve-5/qemu/"+id+"/config", "").(map[string]any)
}

const qemu = "/nodes/pve-5/qemu"

// A VM's life: created, read, changed, started, stopped, destroyed, over one HTTPS connection kept alive.
func TestLifeOfAVM(t *testing.T) {
	c := newClient(t, Options{})
	upid := c.ok("POST", qemu, "vmid=200&name=docker2&memory=4096&scsi0=local-zfs:300,discard=on&net0=virtio,bridge=vmbr0&scsihw=virtio-scsi-pci")
	if have := c.exit(upid); have != "OK" {
		t.Fatalf("create: %s", have)
	}
	conf := c.config("200")
	if conf["scsi0"] != "local-zfs:vm-200-disk-0,discard=on,size=300G" || conf["boot"] != "order=scsi0;net0" || conf["memory"] != "4096" {
		t.Errorf("created: %v", conf)
	}
	w := c.s.Dump()
	if d := w.Node("pve-5").dataset("rpool/data/vm-200-disk-0"); d == nil || d.Volsize != 300<<30 || d.Blocksize != "16k" {
		t.Errorf("zvol: %+v", d)
	}
	c.ok("PUT", qemu+"/200/config", "cores=4&digest="+conf["digest"].(string))
	c.refused("500 checksum mismatch (file change by other user?)", "PUT", qemu+"/200/config", "cores=2&digest="+conf["digest"].(string))
	if have := c.exit(c.ok("POST", qemu+"/200/status/start", "")); have != "OK" {
		t.Errorf("start: %s", have)
	}
	c.ok("PUT", qemu+"/200/config", "memory=8192&description=live")
	now := c.ok("GET", qemu+"/200/config?current=1", "").(map[string]any)
	if c.config("200")["memory"] != "8192" || now["memory"] != "4096" || now["description"] != "live" {
		t.Errorf("pending memory: %v", now)
	}
	c.refused("500 VM 200 is running - destroy failed", "DELETE", qemu+"/200", "")
	if have := c.exit(c.ok("POST", qemu+"/200/status/shutdown", "")); have != "OK" {
		t.Errorf("shutdown: %s", have)
	}
	if now := c.ok("GET", qemu+"/200/config?current=1", "").(map[string]any); now["memory"] != "8192" {
		t.Errorf("after the stop: %v", now)
	}
	if have := c.exit(c.ok("DELETE", qemu+"/200?purge=1", "")); have != "OK" {
		t.Errorf("destroy: %s", have)
	}
	if c.s.Dump().Node("pve-5").dataset("rpool/data/vm-200-disk-0") != nil {
		t.Error("the zvol outlived its VM")
	}
	c.refused("500 Configuration file 'nodes/pve-5/qemu-server/200.conf' does not exist", "GET", qemu+"/200/config", "")
}

// The least-privilege token may do what a reconciler does, and is told what it lacks.
func TestLeastPrivilege(t *testing.T) {
	c := newClient(t, Options{})
	c.token = "PVEAPIToken=reconcile@pve!git=2b4d7c1e-0000-4000-8000-000000000002"
	if have := c.exit(c.ok("POST", qemu, "vmid=300&scsi0=local-lvm:4&net0=virtio,bridge=vmbr0&onboot=1")); have != "OK" {
		t.Errorf("create: %s", have)
	}
	if have := c.config("300")["scsi0"]; have != "local-lvm:vm-300-disk-0,size=4G" {
		t.Errorf("disk: %v", have)
	}
	c.refused("403 Permission check failed (/, Sys.Modify)", "PUT", qemu+"/300/config", "startup=order=1")
	c.refused("403 Permission check failed (/storage, Datastore.Allocate)", "POST", "/storage", "storage=x1&type=dir&path=/x")
	c.refused("500 only root can set 'args' config", "PUT", qemu+"/300/config", "args=-x")
}

// Requests are counted with their parameters, without secrets.
func TestRequestsAreRecorded(t *testing.T) {
	c := newClient(t, Options{})
	c.ok("PUT", qemu+"/117/config", "cipassword=hunter2&ciuser=u")
	c.config("117")
	list := c.s.Requests()
	if len(list) != 2 || c.s.RequestCount() != 2 {
		t.Fatalf("have %d requests, want 2", len(list))
	}
	put := list[0]
	if put.Method != "PUT" || put.Path != qemu+"/117/config" || put.Params["cipassword"] != "<secret>" || put.Params["ciuser"] != "u" || put.Status != 200 || put.User != "root@pam!recon" {
		t.Errorf("recorded: %+v", put)
	}
	if list[1].Bytes == 0 {
		t.Error("no bytes counted")
	}
	c.s.ResetRequests()
	if c.s.RequestCount() != 0 || len(c.s.Requests()) != 0 {
		t.Error("reset left requests")
	}
}

// Behind net/http the server takes the connection over: reason phrases arrive, and the connection is kept.
func TestServeHTTPKeepsReasonAndConnection(t *testing.T) {
	s := New(readWorld(t, "testdata/pve-5.world"), Options{})
	web := httptest.NewTLSServer(s)
	defer web.Close()
	c := &client{t: t, s: s, url: web.URL, token: rootToken, http: web.Client()}
	var fresh int
	trace := &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
		if !info.Reused {
			fresh++
		}
	}}
	c.trace = trace
	c.refused("500 storage 'none' does not exist", "GET", "/storage/none", "")
	c.ok("PUT", qemu+"/117/config", "cores=3")
	c.ok("GET", "/version", "")
	if fresh != 1 {
		t.Errorf("3 calls took %d connections", fresh)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// The certificate is the one that Fingerprint and CertPEM tell; the server listens on loopback only.
func TestCertificate(t *testing.T) {
	c := newClient(t, Options{})
	block, _ := pem.Decode(c.s.CertPEM())
	sum := sha256.Sum256(block.Bytes)
	if have := strings.ReplaceAll(c.s.Fingerprint(), ":", ""); have != strings.ToUpper(hex.EncodeToString(sum[:])) {
		t.Errorf("fingerprint %s", have)
	}
	if _, err := c.s.Listen("0.0.0.0:0"); err == nil || !strings.Contains(err.Error(), "loopback addresses only") {
		t.Errorf("have %v", err)
	}
}

// TestNotCovered: what is not simulated says so at once with 501, and never starts a task that fails for a reason PVE does
// not have.
func TestNotCovered(t *testing.T) {
	c := newClient(t, Options{})
	for _, call := range [][4]string{
		{"suspend to disk", "POST", "/nodes/pve-5/qemu/117/status/suspend", "todisk=1"},
		{"restoring from an archive", "POST", "/nodes/pve-5/qemu", "vmid=900&archive=local:backup/vzdump-qemu-900-2026_01_01-00_00_00.vma.zst"},
		{"storage type 'iscsi'", "POST", "/storage", "storage=remote&type=iscsi&portal=10.0.0.9&target=iqn.2026-01.org.example:a"},
		{"POST /nodes/{node}/startall", "POST", "/nodes/pve-5/startall", ""},
	} {
		c.refused("501 simulator: "+call[0]+" is not covered", call[1], call[2], call[3])
	}
	if state := c.ok("GET", "/nodes/pve-5/qemu/117/status/current", "").(map[string]any)["status"]; state != "running" {
		t.Errorf("after a refused suspend the guest is %v", state)
	}
}
