//go:build lab

package labtest

import (
	"context"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	stagingZvol = "rpool/data/migrations/docker2/scsi0"
	targetZvol  = "rpool/data/vm-200-disk-0"
)

// interrupt runs the program until something is seen, and kills it then. Nothing is seen: the test fails, with what it said.
func (s *scene) interrupt(what string, seen func() bool) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ended := make(chan result, 1)
	go func() { ended <- s.reconcileUntil(ctx, syscall.SIGKILL, "--once", "--wait", moved) }()
	for {
		select {
		case r := <-ended:
			s.t.Fatalf("ended before %s was seen, exit status %d\n%s%s", what, r.code, r.out, r.errs)
		case <-time.After(500 * time.Millisecond):
			if seen() {
				cancel()
				r := <-ended
				s.t.Logf("killed after %s: %s", r.took, what)
				return
			}
		}
	}
}

// settle gives what the killed program left behind the time to end: its connections are cut, and with them its commands.
func settle(t *testing.T) {
	t.Helper()
	for range 120 {
		if !pve5.runs("(zfs |/run/pve-reconcile/)") && !mirrors2.runs("(zfs |/run/pve-reconcile/)") {
			return
		}
		time.Sleep(time.Second)
	}
	t.Fatalf("still at work two minutes after the program was killed: %s", pve5.sh(t, "ps -eo pid,args | grep -E 'zfs|reconcile'"))
}

// finish runs the program until the migration is through.
func (s *scene) finish() result {
	s.t.Helper()
	r := s.reconcile("--once", "--wait", moved)
	s.t.Logf("%s to the end", r.took)
	return r.want(s.t, 0)
}

// runs tells whether a process runs whose command line begins so.
func (g guest) runs(command string) bool {
	_, err := g.try("pgrep -f '^" + command + "'")
	return err == nil
}

func (g guest) value(property, dataset string) string {
	out, err := g.try("zfs get -Hp -o value " + property + " " + dataset)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(out)
}

// partial tells whether a stream that came in part waits to be gone on with.
func partial() bool {
	token := pve5.value("receive_resume_token", stagingZvol)
	return token != "" && token != "-"
}

// receiving tells whether a stream is under way and has brought something.
func receiving() bool {
	return pve5.runs("zfs recv") && partial()
}

var ours = []string{"pool0/qemu/docker2", "rpool/data/migrations/docker2", targetZvol}

// incremental tells whether an incremental stream is under way.
func incremental() bool {
	if !receiving() {
		return false
	}
	out, err := pve5.try("zfs list -H -o name -t snapshot -d 1 " + stagingZvol)
	return err == nil && out != ""
}

// copying tells whether the program copies on the target's host.
func copying() bool {
	return pve5.runs("/run/pve-reconcile/reconcile-[^ ]* copy")
}

// during runs the program, does something once something is seen, and lets the program come to its end.
func (s *scene) during(what string, seen func() bool, do func()) result {
	s.t.Helper()
	ended := make(chan result, 1)
	go func() { ended <- s.reconcile("--once", "--wait", moved) }()
	done := false
	for {
		select {
		case r := <-ended:
			s.t.Logf("%s: exit status %d after %s", what, r.code, r.took)
			if !done {
				s.t.Fatalf("it ended before that was seen\n%s%s", r.out, r.errs)
			}
			return r
		case <-time.After(500 * time.Millisecond):
			if !done && seen() {
				done = true
				do()
			}
		}
	}
}

// restart boots mirrors2 after a power cut, and docker2 on it, which finds all that it had written.
func (s *scene) restart() {
	s.t.Helper()
	mirrors2.boot(s.t)
	mirrors2.sh(s.t, "docker2 start --rate 120000 /dev/zvol/pool0/qemu/docker2")
	if r := mirrors2.checked(s.t); len(r.Bad) > 0 {
		s.t.Fatalf("the source itself is damaged after its power cut: %+v", r)
	}
}

// The program is killed, a cable pulled, and either host loses its power, in the full stream, in the copy and in an increment.
// It goes on where it was, and what arrives is what was sent.
func TestInterrupted(t *testing.T) {
	m := move{create: "-s -b 8k", size: "64Mi", rate: 120000, cutover: usual, spec: "  precopy: {maxPasses: 1, untilDelta: 1Mi}\n"}
	fast := m
	m.spec += "  transfer: {rate: 300KiB/s}\n"
	s := m.begin(t)
	s.interrupt("a full stream under way", receiving)
	settle(t)
	if !partial() {
		t.Fatal("the stream left no token")
	}
	r := s.during("the cable of mirrors2 pulled in the full stream", receiving, func() { mirrors2.link(t, "off") })
	if r.code == 0 {
		t.Fatalf("exit status 0 without a cable\n%s%s", r.out, r.errs)
	}
	mirrors2.link(t, "on")
	settle(t)

	s.commit("migration.yaml", fast.migration()) // the rate would hold for the copy too
	s.interrupt("a copy under way", copying)
	settle(t)
	r = s.during("the power of pve-5 cut in the copy", copying, func() { pve5.cut(t) })
	if r.code == 0 {
		t.Fatalf("exit status 0 with pve-5 off\n%s%s", r.out, r.errs)
	}
	pve5.boot(t)

	s.interrupt("an increment under way", incremental)
	settle(t)
	r = s.during("the power of mirrors2 cut in an increment", incremental, func() { mirrors2.cut(t) })
	if r.code == 0 {
		t.Fatalf("exit status 0 with mirrors2 off\n%s%s", r.out, r.errs)
	}
	s.restart()
	s.finish()
	s.arrived()
	s.untouched(ours...)
}

// After several increments, somebody writes into staging, lets a hold go, and destroys a snapshot.
func TestMeddled(t *testing.T) {
	s := move{
		create: "-s -b 8k", size: "64Mi", rate: 120000, spec: "  precopy: {maxPasses: 2, untilDelta: 1Mi}\n",
		cutover: `{mode: Approve, approve: ""}`,
	}.begin(t)
	r := s.reconcile("--once", "--wait", moved).want(t, 3)
	t.Logf("%s until a person has to approve", r.took)
	if n := strings.Count(r.out, "zfs send -e -c -i"); n < 2 {
		t.Errorf("%d increments were sent while docker2 wrote, want 2 or more\n%s", n, r.out)
	}
	if have := mirrors2.sh(t, "docker2 status"); have != "running" {
		t.Fatalf("docker2 is %s before the cutover was approved", have)
	}
	pve5.sh(t, "zfs set readonly=off volmode=dev %[1]s; udevadm settle; for n in 1 2 3 4 5 6 7 8 9; do [ -b /dev/zvol/%[1]s ] && break; sleep 1; done; head -c 64k /dev/urandom | dd of=/dev/zvol/%[1]s bs=4k seek=512 conv=notrunc,fsync 2>/dev/null; zfs set volmode=none readonly=on %[1]s; zfs set volmode=none %[1]s", stagingZvol)
	mirrors2.sh(t, "for s in $(zfs list -H -o name -t snapshot -r pool0/qemu/docker2); do zfs holds -H $s | while read -r n t rest; do zfs release $t $n; done; done; zfs destroy $(zfs list -H -o name -t snapshot -r pool0/qemu/docker2 | head -n 1)")
	s.commit("migration.yaml", move{size: "64Mi", cutover: usual, spec: "  precopy: {maxPasses: 2, untilDelta: 1Mi}\n"}.migration())
	s.finish()
	s.arrived()
	s.untouched(ours...)
}
