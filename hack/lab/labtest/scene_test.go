//go:build lab

package labtest

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	token     = "reconcile@pve!git=2b4d7c1e-0000-4000-8000-000000000002"
	rootToken = "root@pam!lab=2b4d7c1e-0000-4000-8000-000000000001"
)

// world is a PVE of one node, on which the pool of the guest pve-5 is the storage and docker2 is what runs in VM 200.
const world = `-- world --
version: 9.2.11
-- storage.cfg --
zfspool: local-zfs
	pool rpool/data
	blocksize 16k
	content images,rootdir
	sparse 1
	nodes pve-5

lvmthin: local-lvm
	thinpool data
	vgname pve
	content images,rootdir
	nodes pve-5
-- user.cfg --
user:reconcile@pve:1:0::::::
user:root@pam:1:0:::root@pve-5.example:::
token:reconcile@pve!git:0:1::
token:root@pam!lab:0:0::
role:Reconcile:Datastore.Allocate,Datastore.AllocateSpace,Datastore.Audit,Pool.Audit,SDN.Use,Sys.Audit,VM.Allocate,VM.Audit,VM.Config.CDROM,VM.Config.CPU,VM.Config.Cloudinit,VM.Config.Disk,VM.Config.HWType,VM.Config.Memory,VM.Config.Network,VM.Config.Options,VM.GuestAgent.Audit,VM.GuestAgent.FileSystemMgmt,VM.PowerMgmt:
acl:1:/:reconcile@pve:Reconcile:
acl:1:/:reconcile@pve!git:Reconcile:
-- token.cfg --
reconcile@pve!git 2b4d7c1e-0000-4000-8000-000000000002
root@pam!lab 2b4d7c1e-0000-4000-8000-000000000001
-- node pve-5 --
cpus: 12
memory: 128G
-- interfaces pve-5 --
auto vmbr1
iface vmbr1 inet manual
	bridge-ports none
-- guest 200 --
start: docker2 start {scsi0}
shutdown: docker2 stop
stop: docker2 kill
status: docker2 status
agent: docker2 agent {command}
`

// scene is what one test plays in: a simulated PVE over the guest pve-5, a repository of manifests, and a config file.
type scene struct {
	t             *testing.T
	dir, repo     string
	config        string
	endpoint, sum string
	http          *http.Client
	before        map[guest]map[string]string // datasets and guids before the migration
	stopSimulator func()
}

// newScene starts from pristine pools.
func newScene(t *testing.T) *scene {
	t.Helper()
	pristine(t)
	dir := t.TempDir()
	s := &scene{t: t, dir: dir, repo: filepath.Join(dir, "infra"), config: filepath.Join(dir, "config.yaml")}
	s.http = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} // a server of this test, on loopback
	s.write("lab.world", world)
	s.simulate()
	t.Cleanup(func() { s.stopSimulator() })
	s.write("token", token+"\n")
	if err := os.Chmod(filepath.Join(dir, "token"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.write("config.yaml", fmt.Sprintf(`apiVersion: pve.ustclug.org/v1alpha1
kind: Config
owner: lab
stateDir: %[1]s/state
source: {url: %[1]s/infra, branch: main}
clusters:
  lab: {endpoint: %[2]q, fingerprint: %[3]q, tokenFile: %[1]s/token}
hosts:
  mirrors2: {address: %[4]q, user: root, keyFile: %[6]s/keys/id_ed25519, knownHostsFile: %[7]s/known_hosts}
  pve-5: {address: %[5]q, user: root, keyFile: %[6]s/keys/id_ed25519, knownHostsFile: %[7]s/known_hosts}
`, dir, s.endpoint, s.sum, mirrors2.address(), pve5.address(), labDir(), runDir()))
	if err := os.MkdirAll(s.repo, 0o755); err != nil {
		t.Fatal(err)
	}
	s.git("init", "-q", "-b", "main")
	return s
}

func (s *scene) write(name, text string) {
	s.t.Helper()
	name = filepath.Join(s.dir, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(text), 0o644)); err != nil {
		s.t.Fatal(err)
	}
}

// commit writes a manifest and commits.
func (s *scene) commit(name, text string) {
	s.t.Helper()
	s.write(filepath.Join("infra", name), text)
	s.git("add", "-A")
	s.git("commit", "-qm", "Describe "+name)
}

func (s *scene) git(args ...string) {
	s.t.Helper()
	cmd := exec.Command("git", append([]string{"-C", s.repo, "-c", "user.name=lab", "-c", "user.email=lab@pve-5.example", "-c", "commit.gpgsign=false"}, args...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		s.t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// simulate serves the API of pve-5 over the real host.
func (s *scene) simulate() {
	s.t.Helper()
	where := fmt.Sprintf("pve-5=ssh://root@%s?key=%s/keys/id_ed25519&known_hosts=%s/known_hosts", pve5.address(), labDir(), runDir())
	cmd := exec.Command(binaries.reconcile, "sim", "--world", filepath.Join(s.dir, "lab.world"), "--listen", "127.0.0.1:0", "--host", where, "--speed", "1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // a test that is ended leaves nothing behind
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.stopSimulator = func() { _ = cmd.Process.Signal(syscall.SIGTERM); _ = cmd.Wait() }
	line, err := bufio.NewReader(out).ReadString('\n')
	m := regexp.MustCompile(`(https://\S+) fingerprint (\S+)`).FindStringSubmatch(line)
	if m == nil {
		s.stopSimulator()
		s.t.Fatalf("the simulator did not start: %q %v %s", line, err, errs.String())
	}
	s.endpoint, s.sum = m[1], m[2]
}

// api calls PVE as an operator beside the program; form is the body of what changes something.
func (s *scene) api(method, path, form string) any {
	s.t.Helper()
	r, err := http.NewRequest(method, s.endpoint+"/api2/json"+path, strings.NewReader(form))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Authorization", "PVEAPIToken="+rootToken)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	answer, err := s.http.Do(r)
	if err != nil {
		s.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer answer.Body.Close()
	raw, err := io.ReadAll(answer.Body)
	var decoded struct{ Data any }
	if err = errors.Join(err, json.Unmarshal(raw, &decoded)); err != nil || answer.StatusCode != http.StatusOK {
		s.t.Fatalf("%s %s: %s %s %v", method, path, answer.Status, raw, err)
	}
	return decoded.Data
}

// done waits for a task and wants it to end well.
func (s *scene) done(upid any) {
	s.t.Helper()
	for range 300 {
		row := s.api("GET", "/nodes/pve-5/tasks/"+upid.(string)+"/status", "").(map[string]any)
		if row["status"] == "stopped" {
			if row["exitstatus"] != "OK" {
				s.t.Fatalf("%v: %v", upid, row["exitstatus"])
			}
			return
		}
		time.Sleep(200 * time.Millisecond)
	}
	s.t.Fatalf("%v still runs after a minute", upid)
}

// result is how a run of the program ended.
type result struct {
	code        int
	out, errs   string
	took        time.Duration
	interrupted bool
}

// reconcile runs the program to its end.
func (s *scene) reconcile(args ...string) result {
	s.t.Helper()
	return s.reconcileUntil(context.Background(), syscall.SIGKILL, args...)
}

// reconcileUntil runs the program, and ends it with a signal when the context does.
func (s *scene) reconcileUntil(ctx context.Context, how syscall.Signal, args ...string) result {
	s.t.Helper()
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		args = append([]string{args[0], "--config", s.config}, args[1:]...)
	} else {
		args = append([]string{"--config", s.config}, args...)
	}
	cmd := exec.Command(binaries.reconcile, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	began := time.Now()
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	r := result{}
	var err error
	select {
	case err = <-ended:
	case <-ctx.Done():
		r.interrupted = true
		_ = cmd.Process.Signal(how)
		err = <-ended
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		s.t.Fatal(err)
	}
	r.code, r.out, r.errs, r.took = cmd.ProcessState.ExitCode(), out.String(), errs.String(), since(began)
	return r
}

// want fails the test unless the run ended with that code.
func (r result) want(t *testing.T, code int) result {
	t.Helper()
	if r.code != code {
		t.Fatalf("exit status %d, want %d\n%s%s", r.code, code, r.out, r.errs)
	}
	return r
}
