package zhost

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// dial serves a host over SSH and connects to it.
func dial(t *testing.T, h *Host) *ssh.Client {
	t.Helper()
	signer, _, err := newSigner()
	if err != nil {
		t.Fatal(err)
	}
	if h.door == nil {
		if _, err := h.ListenSSH("127.0.0.1:0", signer.PublicKey()); err != nil {
			t.Fatal(err)
		}
	}
	h.door.client = signer.PublicKey()
	client, err := ssh.Dial("tcp", h.door.addr, &ssh.ClientConfig{
		User: "root", Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)}, HostKeyCallback: ssh.FixedHostKey(h.HostKey()), Timeout: 5 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// on runs a command over SSH and fails the test when it fails.
func on(t *testing.T, c *ssh.Client, line string) string {
	t.Helper()
	out, err := over(c, line)
	if err != nil {
		t.Fatalf("%s: %v\n%s", line, err, out)
	}
	return out
}

func over(c *ssh.Client, line string) (string, error) {
	s, err := c.NewSession()
	if err != nil {
		return "", err
	}
	defer s.Close()
	var errs bytes.Buffer
	s.Stderr = &errs
	out, err := s.Output(line)
	return string(out) + errs.String(), err
}

const (
	sourceText = "pool pool0 layout=raidz2:6,raidz2:6 disk=2T\nzvol pool0/qemu/docker2 volsize=64M volblocksize=8k data=30%\n" +
		"guest docker2 disks=pool0/qemu/docker2 systemd=qemu@docker2.service qmp=/run/docker2.qmp running writes=16K every=5ms\n"
	targetText = "pool rpool layout=raidz2:10 disk=2T\nfilesystem rpool/data\n"
)

// transfer relays a stream between two hosts, cut after a number of bytes.
func transfer(t *testing.T, from, to *ssh.Client, send, recv string, most int64) (string, error) {
	t.Helper()
	a, err := from.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	b, err := to.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	out, err := a.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	b.Stdin = out
	if most > 0 {
		b.Stdin = io.LimitReader(out, most)
	}
	var errs bytes.Buffer
	b.Stderr = &errs
	if err := a.Start(send); err != nil {
		t.Fatal(err)
	}
	err = b.Run(recv)
	return errs.String(), err
}

func hashOf(t *testing.T, c *ssh.Client, device string) string {
	t.Helper()
	return strings.Fields(on(t, c, "sha256sum <"+device))[0]
}

// TestMove moves a zvol that is written to: full, interrupted, resumed, incremental while the guest is off.
func TestMove(t *testing.T) {
	source, target := newHost(t, "mirrors2", sourceText), newHost(t, "pve-5", targetText)
	from, to := dial(t, source), dial(t, target)
	on(t, to, "zfs create -p -o canmount=off -o mountpoint=none rpool/data/migrations/docker2")
	on(t, from, "zfs snapshot -o org.example:migration=x pool0/qemu/docker2@one && zfs hold reconcile-1 pool0/qemu/docker2@one")
	const recv = "zfs recv -s -u -o readonly=on -o volmode=none -o org.example:migration=x rpool/data/migrations/docker2/scsi0"
	text, err := transfer(t, from, to, "zfs send -L -e -c pool0/qemu/docker2@one", recv, 8<<20)
	if err == nil || !strings.Contains(text, "A resuming stream can be generated") {
		t.Fatalf("a cut receive: %v\n%s", err, text)
	}
	token := strings.TrimSpace(on(t, to, "zfs get -H -o value receive_resume_token rpool/data/migrations/docker2/scsi0"))
	if text, err := transfer(t, from, to, "zfs send -t "+token, recv, 0); err != nil {
		t.Fatalf("resume: %v\n%s", err, text)
	}
	if got := on(t, from, "zfs get -Hp -o value written pool0/qemu/docker2"); strings.TrimSpace(got) == "0" {
		t.Error("the guest writes, but nothing was written since the snapshot")
	}
	on(t, from, "systemctl stop qemu@docker2.service")
	on(t, from, "zfs set readonly=on volmode=none pool0/qemu/docker2 && systemctl mask qemu@docker2.service && zfs snapshot pool0/qemu/docker2@final")
	if text, err := transfer(t, from, to, "zfs send -c -i @one pool0/qemu/docker2@final", recv, 0); err != nil {
		t.Fatalf("incremental: %v\n%s", err, text)
	}
	want, err := source.Hash("pool0/qemu/docker2")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := over(to, "test -e /dev/zvol/rpool/data/migrations/docker2/scsi0"); err == nil {
		t.Error("a zvol with volmode=none has a device")
	}
	on(t, to, "zfs clone -o volmode=dev -o readonly=on rpool/data/migrations/docker2/scsi0@final rpool/data/migrations/docker2/look")
	if got := hashOf(t, to, "/dev/zvol/rpool/data/migrations/docker2/look"); got != want {
		t.Errorf("the received snapshot differs from the source: %s, %s", got, want)
	}
	if out, err := over(from, "systemctl start qemu@docker2.service"); err == nil || !strings.Contains(out, "masked") {
		t.Errorf("a masked unit starts: %v %s", err, out)
	}
	on(t, from, "systemctl unmask qemu@docker2.service")
	if out, err := over(from, "systemctl start qemu@docker2.service"); err == nil {
		t.Errorf("a guest starts on a fenced zvol: %s", out)
	}
	on(t, from, "zfs inherit readonly pool0/qemu/docker2 && zfs inherit volmode pool0/qemu/docker2 && systemctl start qemu@docker2.service")
}

// TestKilledReceive kills the receiving process: what came is kept, and its token goes on from there.
func TestKilledReceive(t *testing.T) {
	source, target := newHost(t, "mirrors2", strings.Replace(sourceText, " running", "", 1)), newHost(t, "pve-5", targetText)
	from, to := dial(t, source), dial(t, target)
	on(t, from, "zfs snapshot pool0/qemu/docker2@a")
	stream := []byte(on(t, from, "zfs send pool0/qemu/docker2@a"))
	s, err := to.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	in, err := s.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := s.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start("echo $$; exec zfs recv -s -u rpool/data/x"); err != nil {
		t.Fatal(err)
	}
	var pid int
	if _, err := fmt.Fscan(out, &pid); err != nil {
		t.Fatal(err)
	}
	if _, err := in.Write(stream[:4<<20]); err != nil {
		t.Fatal(err)
	}
	for {
		if text := on(t, to, "zfs get -H -o value receive_resume_token rpool/data/x 2>/dev/null || echo -"); strings.HasPrefix(text, "1-") {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if text, err := over(to, "zfs destroy -r rpool/data/x"); err == nil || !strings.Contains(text, "dataset is busy") {
		t.Errorf("destroy of what is being received: %v %s", err, text)
	}
	on(t, to, fmt.Sprint("kill -9 ", pid))
	_ = s.Wait()
	for {
		if text, err := over(to, "zfs recv -A rpool/none 2>&1; zfs snapshot rpool/data/x@y 2>&1"); err != nil && strings.Contains(text, "busy") {
			break
		}
	}
	token := strings.TrimSpace(on(t, to, "zfs get -H -o value receive_resume_token rpool/data/x"))
	var text string
	for { // the receive that was killed may need a moment to let go
		if text, err = transfer(t, from, to, "zfs send -t "+token, "zfs recv -s -u rpool/data/x", 0); err == nil || !strings.Contains(text, "partially-complete") {
			break
		}
		token = strings.TrimSpace(on(t, to, "zfs get -H -o value receive_resume_token rpool/data/x"))
	}
	if err != nil {
		t.Fatalf("resume: %v\n%s", err, text)
	}
	want, err := source.Hash("pool0/qemu/docker2")
	if err != nil {
		t.Fatal(err)
	}
	if got := hashOf(t, to, "/dev/zvol/rpool/data/x"); got != want {
		t.Error("the received zvol differs")
	}
}

// TestPowerCut takes the power from the receiving host: the connection dies, and after the boot the token is there.
func TestPowerCut(t *testing.T) {
	source, target := newHost(t, "mirrors2", sourceText), newHost(t, "pve-5", targetText)
	from, to := dial(t, source), dial(t, target)
	on(t, from, "zfs snapshot pool0/qemu/docker2@a")
	stream := on(t, from, "zfs send pool0/qemu/docker2@a")
	s, err := to.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	in, err := s.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start("zfs recv -s -u rpool/data/x"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(in, stream[:4<<20]); err != nil {
		t.Fatal(err)
	}
	for !strings.HasPrefix(on(t, to, "zfs get -H -o value receive_resume_token rpool/data/x 2>/dev/null || echo -"), "1-") {
		time.Sleep(10 * time.Millisecond)
	}
	target.Off()
	if err := s.Wait(); err == nil {
		t.Error("a session survived its host")
	}
	if _, err := net.DialTimeout("tcp", target.door.addr, time.Second); err == nil {
		t.Error("a host that is off answers")
	}
	if err := target.On(); err != nil {
		t.Fatal(err)
	}
	to = dial(t, target)
	token := strings.TrimSpace(on(t, to, "zfs get -H -o value receive_resume_token rpool/data/x"))
	if text, err := transfer(t, from, to, "zfs send -t "+token, "zfs recv -s -u rpool/data/x", 0); err != nil {
		t.Fatalf("resume: %v\n%s", err, text)
	}
	if got := fmt.Sprintf("%x", sha256.Sum256([]byte(on(t, from, "zfs send pool0/qemu/docker2@a")))); got != fmt.Sprintf("%x", sha256.Sum256([]byte(stream))) {
		t.Error("two streams of the same snapshot differ")
	}
}
