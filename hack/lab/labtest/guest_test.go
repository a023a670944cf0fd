//go:build lab

package labtest

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// guest is a guest of the lab.
type guest struct {
	name         string
	port         int // SSH on 127.0.0.1, from the lab's base port
	pool, parent string
}

var (
	mirrors2 = guest{"mirrors2", 22, "pool0", "qemu"}
	pve5     = guest{"pve-5", 25, "rpool", "data"}
)

// labDir is where the scripts keep keys, images and sockets.
func labDir() string {
	if dir := os.Getenv("LAB_DIR"); dir != "" {
		return dir
	}
	home, err := os.UserHomeDir()
	if err != nil {
		panic(err)
	}
	return filepath.Join(home, ".cache", "pve-reconcile-lab")
}

// runDir is where the scripts keep what belongs to the pair of guests under test: LAB_PAIR numbers them.
func runDir() string { return filepath.Join(labDir(), "run"+cmp.Or(os.Getenv("LAB_PAIR"), "0")) }

func (g guest) address() string {
	base := 22000
	if text := os.Getenv("LAB_PORT"); text != "" {
		if _, err := fmt.Sscan(text, &base); err != nil {
			panic(fmt.Sprintf("LAB_PORT=%s: %v", text, err))
		}
	}
	var pair int
	if text := os.Getenv("LAB_PAIR"); text != "" {
		if _, err := fmt.Sscan(text, &pair); err != nil {
			panic(fmt.Sprintf("LAB_PAIR=%s: %v", text, err))
		}
	}
	return fmt.Sprintf("127.0.0.1:%d", base+100*pair+g.port)
}

// ssh is a command in the guest, over a connection that is kept: in software emulation a new one takes a second.
func (g guest) ssh(script string) *exec.Cmd {
	return exec.Command("ssh", "-F", sshConfig(), "-o", "ControlMaster=auto", "-o", "ControlPersist=120",
		"-o", "ControlPath="+filepath.Join(runDir(), g.name, "mux"), g.name, script)
}

// hangUp drops the connection that is kept.
func (g guest) hangUp() {
	cmd := g.ssh("")
	cmd.Args = append(cmd.Args[:len(cmd.Args)-2], "-O", "exit", g.name)
	_ = cmd.Run() // there may be none
}

// try runs a shell script in the guest.
func (g guest) try(script string) (string, error) {
	cmd := g.ssh(script)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%s: %s: %w\n%s%s", g.name, script, err, out.String(), errs.String())
	}
	return out.String(), nil
}

// sh is try that must succeed; blanks around the output are cut off.
func (g guest) sh(t *testing.T, script string, args ...any) string {
	t.Helper()
	if len(args) > 0 {
		script = fmt.Sprintf(script, args...)
	}
	out, err := g.try(script)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(out)
}

// install puts the guest's process into the guest, whose root is lost with its power.
func (g guest) install() error {
	in, err := os.Open(binaries.docker2)
	if err != nil {
		return err
	}
	defer in.Close()
	cmd := g.ssh("cat >/usr/local/sbin/docker2.new && chmod 755 /usr/local/sbin/docker2.new && mv /usr/local/sbin/docker2.new /usr/local/sbin/docker2")
	cmd.Stdin = in
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: install docker2: %w: %s", g.name, err, out)
	}
	return nil
}

// cut takes the power away at once; boot gives it back and waits for the pools.
func (g guest) cut(t *testing.T) {
	t.Helper()
	g.hangUp()
	if err := script("down", g.name); err != nil {
		t.Fatal(err)
	}
}

func (g guest) boot(t *testing.T) {
	t.Helper()
	if err := errors.Join(script("up", g.name), g.install()); err != nil {
		t.Fatal(err)
	}
}

// link pulls the cable over which the guest is reached, or plugs it in.
func (g guest) link(t *testing.T, state string) {
	t.Helper()
	g.hangUp()
	monitor, err := net.Dial("unix", filepath.Join(runDir(), g.name, "monitor"))
	if err != nil {
		t.Fatal(err)
	}
	defer monitor.Close()
	if _, err := fmt.Fprintf(monitor, "set_link ssh %s\n", state); err != nil {
		t.Fatal(err)
	}
	time.Sleep(300 * time.Millisecond) // the monitor has no answer to wait for
}

// pristine gives both guests empty pools and nothing that an earlier test left.
func pristine(t *testing.T) {
	t.Helper()
	var wg sync.WaitGroup
	for _, g := range []guest{mirrors2, pve5} {
		wg.Go(func() {
			_, err := g.try("docker2 kill; docker2 unmask; rm -rf /run/docker2 /run/pve-reconcile* /run/lock/pve-reconcile*; for p in $(pidof zfs); do kill $p; done; pools --reset " + g.pool + " " + g.parent)
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
}

// report is what docker2 says of itself.
type report struct {
	State  string
	Files  int
	Bytes  int64
	Bad    []string
	Found  int
	Last   int
	Clean  bool
	Device string
}

func (g guest) report(t *testing.T) (r report) {
	t.Helper()
	if err := json.Unmarshal([]byte(g.sh(t, "docker2 report")), &r); err != nil {
		t.Fatal(err)
	}
	return r
}

// checked waits until docker2 has compared all its files.
func (g guest) checked(t *testing.T) report {
	t.Helper()
	for range 120 {
		if r := g.report(t); r.State != "checking" {
			return r
		}
		time.Sleep(time.Second)
	}
	t.Fatalf("%s: docker2 is still checking its files after two minutes", g.name)
	return report{}
}

// wrote waits until docker2 has written so many files.
func (g guest) wrote(t *testing.T, n int) report {
	t.Helper()
	for range 240 {
		if r := g.report(t); r.Last >= n {
			return r
		}
		time.Sleep(500 * time.Millisecond)
	}
	t.Fatalf("%s: docker2 has not written file %d within two minutes: %+v", g.name, n, g.report(t))
	return report{}
}

// datasets are all datasets, snapshots and bookmarks of the guest by name, with their guids.
func (g guest) datasets(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, line := range strings.Split(g.sh(t, "zfs list -Hp -t all -o name,guid"), "\n") {
		name, guid, _ := strings.Cut(line, "\t")
		found[name] = guid
	}
	return found
}

// number reads a property as a number of bytes.
func (g guest) number(t *testing.T, property, dataset string) (n int64) {
	t.Helper()
	if _, err := fmt.Sscan(g.sh(t, "zpool sync; zfs get -Hp -o value %s %s", property, dataset), &n); err != nil {
		t.Fatalf("%s of %s: %v", property, dataset, err)
	}
	return n
}

func sshConfig() string { return filepath.Join(runDir(), "ssh_config") }
