package zfs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/ustclug/pve-reconcile/internal/blockcopy"
	"github.com/ustclug/pve-reconcile/internal/host"
	"github.com/ustclug/pve-reconcile/reconciler/step"
)

// ReadClone is the name of the clone through which a snapshot of a zvol is read. A zvol that was received has no device, and
// its snapshots get none either (OpenZFS 2.1); a read-only clone has one, and keeps its content whatever is received
// meanwhile. The name is none that PVE would take for a disk of a guest.
func ReadClone(dataset string) string {
	return path.Join(path.Dir(dataset), "reconcile-read-"+path.Base(dataset))
}

// openClone makes the clone anew; one that a crash has left is ours by its mark, and goes.
func openClone(r step.SnapshotRef, mark string) string {
	c := ReadClone(r.Dataset)
	return expect(r) + closeClone(r.Dataset, mark) + "\n" +
		zfs("clone", "-o", "volmode=dev", "-o", "readonly=on", "-o", step.PropMark+"="+mark, r.String(), c) + " || exit 1\n" + settle
}

// leftover removes a clone of ours that a crash has left; one that is being read is busy.
func leftover(dataset, mark string) string {
	c := ReadClone(dataset)
	return "if ! " + words("gone", c) + " && " + words("mine", c, mark) + "; then " + words("patient", "zfs", "destroy", c) + "; fi\n"
}

// closeClone removes the clone; one that is not ours is in the way.
func closeClone(dataset, mark string) string {
	c := ReadClone(dataset)
	return "if ! " + words("gone", c) + "; then " + words("mine", c, mark) + " || say 77 " + step.Quote(c+" is in the way and does not carry the mark of this migration") +
		"; " + words("patient", "zfs", "destroy", c) + "; fi"
}

// copyDisk copies a received snapshot into the target's zvol, on the host that has both.
func (m *Machines) copyDisk(ctx context.Context, s step.CopyDisk) (step.Figures, error) {
	h, err := m.host(s.Host)
	if err != nil {
		return step.Figures{}, err
	}
	program, err := m.program(ctx, h)
	if err != nil {
		return step.Figures{}, err
	}
	began := time.Now()
	var result blockcopy.Result
	if err := m.run(ctx, h, copyScript(s, program), s.Mark, s.Disk, "copy", &result); err != nil {
		return step.Figures{}, err
	}
	if result.Size != s.Size {
		return step.Figures{}, fmt.Errorf("%s: copy of %s: it copied %d bytes of %d", s.Host, s.Snapshot, result.Size, s.Size)
	}
	if _, err := h.Text(ctx, copiedScript(s)); err != nil {
		return step.Figures{}, explain(err)
	}
	return step.Figures{Bytes: result.Size, Written: result.Written, Seconds: time.Since(began).Seconds(), Resumed: result.Resumed}, nil
}

// copyScript notes on the target that a pass runs, and runs it. The lock and the clone are gone when it ends; the hold stays
// until the snapshot is destroyed by us.
func copyScript(s step.CopyDisk, program string) string {
	uid := s.Mark
	args := []string{
		"copy", "/dev/zvol/" + ReadClone(s.Snapshot.Dataset), "/dev/zvol/" + s.Target,
		"--source-id", "guid:" + s.Snapshot.GUID, "--target-id", "guid:" + s.TargetGUID,
		"--source-size", strconv.FormatInt(s.Size, 10),
		"--checkpoint", "zfs:" + s.Target, "--delta", "--ours", "--restart", "--verify", "none", "--progress", "json", "-o", "json",
	}
	if s.Rate > 0 {
		args = append(args, "--rate", strconv.FormatInt(s.Rate, 10))
	}
	return titled("reconcile copy "+s.Snapshot.String(), lock(uid, s.Disk),
		words("same", s.Target, s.TargetGUID), hold(s.Tag, s.Snapshot.String()), openClone(s.Snapshot, uid),
		fresh(s),
		zfs("set", step.PropCopying+"="+s.Snapshot.GUID, s.Target)+" || exit 1",
		"trap : TERM", command(program, args...)+" $fresh", "c=$?", closeClone(s.Snapshot.Dataset, uid), "exit $c")
}

// fresh is a script that sets $fresh where the target reads as zeros: no pass was ever begun on it, whatever was planned.
func fresh(s step.CopyDisk) string {
	if !s.Fresh {
		return "fresh="
	}
	return "fresh=--fresh; for p in copying copied progress; do [ \"$(zfs get -Hpo source " + step.PropPrefix + "$p " + step.Quote(s.Target) + ")\" != local ] || fresh=; done"
}

// copiedScript notes what the target holds now, in one transaction group, and then that no pass is under way any more. The
// proof is another step's: it reads a snapshot of the target.
func copiedScript(s step.CopyDisk) string {
	lines := []string{words("same", s.Target, s.TargetGUID)}
	if len(s.Set) > 0 {
		lines = append(lines, zfs(append(append([]string{"set"}, settings(s.Set)...), s.Target)...)+" || exit")
	}
	return titled("note the copy on "+s.Target, append(lines, zfs("inherit", step.PropCopying, s.Target))...)
}

// hashSnapshot reads a snapshot of the source on a path of its own and notes the hash on it.
func (m *Machines) hashSnapshot(ctx context.Context, s step.HashSnapshot) (step.Figures, error) {
	h, err := m.host(s.Host)
	if err != nil {
		return step.Figures{}, err
	}
	program, err := m.program(ctx, h)
	if err != nil {
		return step.Figures{}, err
	}
	var result blockcopy.Hashed
	if err := m.run(ctx, h, hashScript(s, program), s.Mark, s.Disk, "hash", &result); err != nil {
		return step.Figures{}, err
	}
	_, err = h.Text(ctx, titled("note the hash on "+s.Snapshot.String(), expect(s.Snapshot), zfs("set", step.PropHash+"="+result.Tree, s.Snapshot.String())))
	return step.Figures{Bytes: result.Size, Seconds: result.Seconds, Hash: result.Tree}, explain(err)
}

func hashScript(s step.HashSnapshot, program string) string {
	args := []string{"hash", "/dev/zvol/" + ReadClone(s.Snapshot.Dataset), "--size", strconv.FormatInt(s.Volsize, 10), "--first", strconv.FormatInt(s.Size, 10), "--progress", "json", "-o", "json"}
	if s.Rate > 0 {
		args = append(args, "--rate", strconv.FormatInt(s.Rate, 10))
	}
	return titled("reconcile hash "+s.Snapshot.String(), lock(s.Mark, "hash-"+s.Disk), openClone(s.Snapshot, s.Mark),
		"trap : TERM", command(program, args...), "c=$?", closeClone(s.Snapshot.Dataset, s.Mark), "exit $c")
}

// run runs this program on a host, passes its progress on, and reads its result.
func (m *Machines) run(ctx context.Context, h *host.Host, text, mark, disk, name string, result any) error {
	var out strings.Builder
	var complaints []string
	began := time.Now()
	err := h.Run(ctx, host.Command{Script: text, Stdout: &out, OnStderr: func(line string) {
		var p struct {
			blockcopy.Progress
			ETASeconds float64 `json:"etaSeconds"`
		}
		if !strings.HasPrefix(line, "{") || json.Unmarshal([]byte(line), &p) != nil {
			if strings.TrimSpace(line) != "" {
				complaints = append(complaints[max(0, len(complaints)-5):], line)
			}
			return
		}
		m.report(Progress{
			Mark: mark, Step: string(p.Phase), Disk: disk, Done: p.Done, Total: p.Size, Rate: p.Rate, Final: p.Final,
			ETA: time.Duration(p.ETASeconds * float64(time.Second)), Seconds: time.Since(began).Seconds(),
		})
	}})
	var failed *host.Error
	if errors.As(err, &failed) {
		failed.Stderr = strings.Join(complaints, " ") // without the progress
	}
	if err != nil {
		return explain(err)
	}
	if err := json.Unmarshal([]byte(out.String()), result); err != nil {
		return fmt.Errorf("%s: reconcile %s: its result cannot be read: %w", h.Name, name, err)
	}
	return nil
}
