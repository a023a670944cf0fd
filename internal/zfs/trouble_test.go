package zfs_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/ustclug/pve-reconcile/internal/zfs"
	"github.com/ustclug/pve-reconcile/reconciler/step"
)

// TestCutAndContinue cuts the stream, at the source and then at the target, and goes on from where it was.
func TestCutAndContinue(t *testing.T) {
	s := newStand(t)
	s.staging()
	first := s.snapshot("1")
	s.fault(s.source, "cut bytes=2M")
	s.fails(sending(first, step.SnapshotRef{}, ""), step.ErrUnreachable, "mirrors2")
	staged := s.dataset("pve-5", stage+"/scsi0")
	if staged.Token == nil || staged.Volsize != 0 {
		t.Fatalf("nothing to continue: %+v", staged)
	}
	token := zfs.AskToken(t.Context(), s.machines.Hosts["mirrors2"], staged.Token.Text)
	if token.Error != "" || token.ToGUID != first.GUID || token.FromGUID != "" || token.Bytes == 0 || token.Left == 0 {
		t.Errorf("token %+v", token)
	}
	s.fault(s.target, "cut bytes=1M")
	s.fails(sending(first, step.SnapshotRef{}, token.Text), step.ErrUnreachable, "pve-5")
	// The receiver at the lost host ends by itself: sshd sees the end of the connection.
	var next string
	for next == "" || next == token.Text {
		if next = ""; s.dataset("pve-5", stage+"/scsi0").Token != nil {
			next = s.dataset("pve-5", stage+"/scsi0").Token.Text
		}
		time.Sleep(50 * time.Millisecond)
	}
	f := s.do(sending(first, step.SnapshotRef{}, next))
	if f.Resumed <= token.Bytes {
		t.Errorf("continued at %d, was at %d before", f.Resumed, token.Bytes)
	}
	if got := s.ref("pve-5", stage+"/scsi0", first.Name); got.GUID != first.GUID {
		t.Errorf("received %s, sent %s", got.GUID, first.GUID)
	}
}

// stopAt is a context that ends when a step has come so far.
func (s *stand) stopAt(name string, done int64, why error) context.Context {
	ctx, stop := context.WithCancelCause(s.t.Context())
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watch = func(p zfs.Progress) {
		if p.Step == name && p.Done >= done {
			stop(why)
		}
	}
	return ctx
}

// TestStopAndContinue stops the program in the middle of a stream and of a copy.
func TestStopAndContinue(t *testing.T) {
	s := newStand(t)
	s.staging()
	first := s.snapshot("1")
	slow := sending(first, step.SnapshotRef{}, "")
	slow.Rate = 1 << 20
	why := errors.New("SIGTERM")
	ctx := s.stopAt("send", 1<<20, why)
	if _, err := s.machines.Do(ctx, slow); !errors.Is(err, why) {
		t.Fatalf("have %v", err)
	}
	staged := s.dataset("pve-5", stage+"/scsi0")
	if staged.Token == nil {
		t.Fatalf("nothing to continue: %+v", staged)
	}
	if f := s.do(sending(first, step.SnapshotRef{}, staged.Token.Text)); f.Resumed == 0 {
		t.Errorf("not continued: %+v", f)
	}

	target := s.dataset("pve-5", disk)
	copying := step.CopyDisk{
		Disk: "scsi0", Host: "pve-5", Snapshot: s.ref("pve-5", stage+"/scsi0", first.Name), Target: disk, TargetGUID: target.GUID, Size: 24 << 20, Fresh: true,
		Set: map[string]string{step.PropCopied: first.GUID}, Mark: uid, Tag: tag, Rate: 2 << 20,
	}
	ctx = s.stopAt("copy", 1<<20, why)
	if _, err := s.machines.Do(ctx, copying); !errors.Is(err, why) {
		t.Fatalf("have %v", err)
	}
	// What was killed has let go, and the target says that it holds a mixture.
	if d := s.dataset("pve-5", disk); d.Local[step.PropCopying] != first.GUID || d.Local[step.PropCopied] != "" {
		t.Errorf("target says %v", d.Local)
	}
	copying.Rate = 0
	s.do(copying)
	s.equal(first)
}

func TestRefusals(t *testing.T) {
	s := newStand(t)
	first := s.snapshot("1")
	other := first
	other.GUID = "1"
	s.fails(sending(other, step.SnapshotRef{}, ""), step.ErrStale, "it is not the one that was meant")
	s.fails(step.HoldSnapshots{Host: "mirrors2", Snapshots: []step.SnapshotRef{other}, Tag: tag}, step.ErrStale)
	s.do(step.HoldSnapshots{Host: "mirrors2", Snapshots: []step.SnapshotRef{first}, Tag: tag}) // it is there already
	s.fails(step.SnapshotDisks{Host: "mirrors2", Datasets: []string{zvol}, Name: first.Name, Tag: tag}, zfs.ErrExists)

	// Where the stream should go, something else is.
	s.on(s.target, "zfs create -p "+stage)
	s.fails(step.CreateStaging{Host: "pve-5", Dataset: stage, Set: map[string]string{step.PropMark: uid}}, nil, "does not carry the mark")
	s.on(s.target, "zfs set "+step.PropMark+"="+uid+" "+stage)
	s.on(s.target, "zfs create -s -V 24M "+stage+"/scsi0")
	s.fails(sending(first, step.SnapshotRef{}, ""), nil, "is there already")
	s.on(s.target, "zfs destroy "+stage+"/scsi0")

	s.fault(s.target, "full pool=rpool")
	s.fails(sending(first, step.SnapshotRef{}, ""), zfs.ErrSpace, "pve-5", "free space in the pool")
	s.target.ClearFaults()

	s.do(sending(first, step.SnapshotRef{}, ""))
	staged := s.ref("pve-5", stage+"/scsi0", first.Name)
	second := s.snapshot("2")

	// Somebody wrote to what was received: an increment is refused, and taken back it goes.
	s.on(s.target, "zfs set readonly=off volmode=dev "+stage+"/scsi0 && zvol_wait >/dev/null && dd if=/dev/urandom of=/dev/zvol/"+stage+"/scsi0 bs=8k count=1 conv=notrunc 2>/dev/null; zfs set readonly=on volmode=none "+stage+"/scsi0")
	s.fails(sending(second, first, ""), zfs.ErrModified)
	s.do(step.RollbackStaging{Host: "pve-5", Snapshot: staged, Mark: uid})
	s.do(sending(second, first, ""))

	// Destroying asks again what it destroys.
	s.fails(step.DestroySnapshots{Host: "pve-5", Snapshots: []step.SnapshotRef{staged}, Tag: tag, Mark: "another"}, nil, "does not carry the mark")
	s.on(s.target, "zfs hold backup "+staged.String())
	s.fails(step.DestroySnapshots{Host: "pve-5", Snapshots: []step.SnapshotRef{staged}, Tag: tag, Mark: uid}, nil, "held by others", "backup")
	s.on(s.target, "zfs release backup "+staged.String())
	destroy := step.DestroySnapshots{Host: "pve-5", Snapshots: []step.SnapshotRef{staged}, Tag: tag, Mark: uid}
	s.do(destroy)
	s.do(destroy) // gone: nothing to do
	s.do(step.DestroySnapshots{Host: "mirrors2", Snapshots: []step.SnapshotRef{first}, Tag: tag, Mark: uid})

	zvolStaged := s.dataset("pve-5", stage+"/scsi0")
	away := step.DestroyDataset{Host: "pve-5", Dataset: stage + "/scsi0", GUID: zvolStaged.GUID, Mark: uid, Snapshots: true, Tag: tag}
	wrong := away
	wrong.GUID = "1"
	s.fails(wrong, step.ErrStale)
	s.on(s.target, "zfs set "+step.PropStarted+"=now "+away.Dataset)
	s.fails(away, nil, "started")
	s.on(s.target, "zfs inherit "+step.PropStarted+" "+away.Dataset)
	s.on(s.target, "zfs snapshot "+away.Dataset+"@autosnap")
	s.fails(away, nil, "autosnap", "somebody else's snapshot")
	s.on(s.target, "zfs destroy "+away.Dataset+"@autosnap")
	s.do(away)
	s.do(away)
	parent := s.dataset("pve-5", stage)
	s.on(s.target, "zfs create "+stage+"/child")
	s.fails(step.DestroyDataset{Host: "pve-5", Dataset: stage, GUID: parent.GUID, Mark: uid}, nil, "has children", "child")
	s.on(s.target, "zfs destroy "+stage+"/child")
	s.do(step.DestroyDataset{Host: "pve-5", Dataset: stage, GUID: parent.GUID, Mark: uid})

	// The source is not ours, whatever it inherits.
	src := s.dataset("mirrors2", zvol)
	s.fails(step.DestroyDataset{Host: "mirrors2", Dataset: zvol, GUID: src.GUID, Mark: uid, Snapshots: true, Tag: tag}, nil, "does not carry the mark")
	s.fails(step.AbortReceive{Host: "nowhere"}, nil, `host "nowhere" is not in the config file`)
}

// TestTokenIsRefused: the snapshot of an interrupted stream is gone, and the receive is dropped.
func TestTokenIsRefused(t *testing.T) {
	s := newStand(t)
	s.staging()
	first := s.snapshot("1")
	s.fault(s.target, "cut bytes=2M")
	s.fails(sending(first, step.SnapshotRef{}, ""), step.ErrUnreachable)
	var token string
	for token == "" {
		if d := s.dataset("pve-5", stage+"/scsi0"); d.Token != nil {
			token = d.Token.Text
		}
		time.Sleep(50 * time.Millisecond)
	}
	s.on(s.source, "zfs release "+tag+" "+first.String()+" && zfs destroy "+first.String())
	asked := zfs.AskToken(t.Context(), s.machines.Hosts["mirrors2"], token)
	if !strings.Contains(asked.Error, "no longer exists") || asked.ToGUID != first.GUID {
		t.Errorf("%+v", asked)
	}
	if asked := zfs.AskToken(t.Context(), s.machines.Hosts["mirrors2"], "1-nonsense"); !strings.Contains(asked.Error, "corrupt") {
		t.Errorf("%+v", asked)
	}
	s.fails(sending(first, step.SnapshotRef{}, token), zfs.ErrGone)
	abort := step.AbortReceive{Host: "pve-5", Dataset: stage + "/scsi0"}
	s.do(abort)
	s.do(abort)
	if d := s.dataset("pve-5", stage+"/scsi0"); d.Exists {
		t.Errorf("left: %+v", d)
	}
}

// TestOneWriter: while one program receives, another one is told that it is busy.
func TestOneWriter(t *testing.T) {
	s := newStand(t)
	s.staging()
	first := s.snapshot("1")
	slow := sending(first, step.SnapshotRef{}, "")
	slow.Rate = 128 << 10 // it is at work for as long as the test looks
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := s.machines.Do(ctx, slow)
		done <- err
	}()
	for s.dataset("pve-5", stage+"/scsi0").Token == nil {
		time.Sleep(50 * time.Millisecond)
	}
	s.fails(slow, step.ErrBusy, "at work here")
	stop()
	<-done
}
