package zhost

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"golang.org/x/sys/unix"
)

const partlyDone = "destination %s contains partially-complete state from \"zfs receive -s\"."

// admit refuses what zfs refuses before it takes the first block.
func (r *receiving) admit() *refusal {
	p := r.host.poolOf(r.dataset)
	d := r.host.find(r.dataset)
	up := r.dataset
	if i := strings.LastIndex(r.dataset, "/"); i >= 0 {
		up = r.dataset[:i]
	}
	switch {
	case r.head.Resume:
		return r.admitResume(d)
	case r.head.From != 0 && d == nil:
		return refuse("%sdestination '%s' does not exist", r.title(), r.dataset)
	case r.head.From != 0:
		return r.admitIncrement(d)
	case p == nil || p.sets[up] == nil:
		return refuse("cannot open '%s': dataset does not exist\n%sunable to restore to destination", up, r.title())
	case d == nil && p.sets[up].key != nil && !p.sets[up].key.loaded && r.head.Cipher == "":
		return refuse("%sinherited key must be loaded", r.title())
	case d == nil && p.sets[up].key != nil && r.head.Cipher == "" && strings.Contains(r.head.Flags, "e"):
		return refuse("%sincompatible embedded data stream feature with encrypted receive.", r.title())
	case d == nil:
		return r.roomFor(p.sets[up])
	case !r.o.has('F'):
		return refuse("%sdestination '%s' exists\nmust specify -F to overwrite it", r.title(), r.dataset)
	case d.partial != nil:
		return refuse(r.title()+partlyDone, r.dataset)
	case len(d.snaps) > 0:
		return refuse("%sdestination has snapshots (eg. %s)\nmust destroy them to overwrite it", r.title(), d.snaps[0].full())
	}
	return nil
}

// roomFor refuses what cannot even begin.
func (r *receiving) roomFor(up *dataset) *refusal {
	if up.available() < 7*up.pool.unit() {
		return refuse("%sout of space", r.title())
	}
	return nil
}

func (r *receiving) admitResume(d *dataset) *refusal {
	switch {
	case d == nil:
		return refuse("%sdestination '%s' does not exist", r.title(), r.dataset)
	case d.partial == nil:
		return refuse("%skernel modules must be upgraded to receive this stream.", r.title())
	case d.partial.running:
		return refuse(r.title()+partlyDone, r.dataset)
	case d.partial.to != r.head.GUID || d.partial.from != r.head.From || d.partial.offset != r.head.Offset:
		return refuse("%skernel modules must be upgraded to receive this stream.", r.title())
	}
	return nil
}

func (r *receiving) admitIncrement(d *dataset) *refusal {
	const modified = "%sdestination %s has been modified\nsince most recent snapshot"
	if d.partial != nil {
		return refuse(r.title()+partlyDone, r.dataset)
	}
	if d.key != nil && !d.key.loaded && r.head.Cipher == "" {
		return refuse("%sinherited key must be loaded", r.title())
	}
	for _, s := range d.snaps {
		if s.guid == r.head.GUID {
			return &refusal{fmt.Sprintf("snap %s@%s already exists; ignoring", r.dataset, r.snap), 0}
		}
	}
	var base *snapshot
	for _, s := range d.snaps {
		if s.guid == r.head.From {
			base = s
		}
	}
	switch {
	case base == nil:
		return refuse("%smost recent snapshot of %s does not\nmatch incremental source", r.title(), r.dataset)
	case d.snapshot(r.snap) != nil:
		return refuse("cannot restore to %s@%s: destination already exists", r.dataset, r.snap)
	case !d.volume:
		return nil
	case !r.o.has('F') && d.live.since(base.txg) > 0:
		return refuse(modified, r.title(), r.dataset)
	case r.o.has('F'):
		for d.last() != base {
			if d.last().mayGo() != "" {
				return refuse(modified, r.title(), r.dataset)
			}
			d.last().remove()
		}
		if d.live.since(base.txg) > 0 {
			if err := d.revert(base); err != nil {
				return refuse("%s%v", r.title(), err)
			}
		}
	}
	return nil
}

const saved = "checksum mismatch or incomplete stream.\nPartially received snapshot is saved.\n" +
	"A resuming stream can be generated on the sending system by running:\n    zfs send -t %s"

// interrupted keeps what has come when it can be continued, and drops it otherwise.
func (r *receiving) interrupted(err error) int {
	quota := errors.Is(err, errSpace) && r.overQuota()
	keep := r.part.resumable && r.part.offset > 0 && (!errors.Is(err, errSpace) || quota)
	text := err.Error()
	switch {
	case quota:
		text = fmt.Sprintf("destination %s space quota exceeded.", r.dataset)
	case keep && !errors.Is(err, errOff):
		text = fmt.Sprintf(saved, r.part.token())
	case errors.Is(err, io.ErrUnexpectedEOF):
		text = "incomplete stream"
	}
	if !keep {
		r.d.dropPartial()
	}
	return r.fail("%s%s", r.title(), text)
}

func (r *receiving) overQuota() bool {
	for up := r.d; up != nil; up = up.parent() {
		if up.number("quota") > 0 {
			return true
		}
	}
	return false
}

// dropPartial forgets an interrupted receive; a first one takes the dataset with it.
func (d *dataset) dropPartial() {
	if d.inconsistent {
		d.remove()
		return
	}
	d.partial.into.drop()
	d.partial = nil
}

func (c *call) abortReceive(name string) int {
	d := c.host.find(name)
	switch {
	case d == nil:
		return c.misused(verbs()["receive"], "cannot open '%s': dataset does not exist", name)
	case d.partial == nil || !d.partial.resumable:
		return c.fail("'%s' does not have any resumable receive state to abort", name)
	case d.partial.running:
		return c.fail("cannot destroy '%s': dataset is busy", name)
	}
	d.dropPartial()
	return 0
}

// finish makes the snapshot of what has come.
func (r *receiving) finish() error {
	d := r.d
	if !r.head.File {
		if d.live != r.part.into {
			d.live.drop()
		}
		d.live, d.volsize = r.part.into, r.part.volsize
	}
	d.inconsistent, d.partial = false, nil
	d.guard()
	d.pool.tick()
	if err := d.refresh(); err != nil {
		return err
	}
	s, err := d.take(r.snap, d.pool.tick())
	if err != nil {
		return err
	}
	s.guid = r.head.GUID
	for name, value := range r.head.SnapProps {
		d.received["@"+r.snap+"@"+name] = value
	}
	for _, tag := range r.head.Holds {
		s.holds = append(s.holds, hold{tag, r.host.now()})
	}
	return nil
}

// counter counts what is read.
type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

func isPipe(err error) bool { return errors.Is(err, unix.EPIPE) || errors.Is(err, io.ErrClosedPipe) }
