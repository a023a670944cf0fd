package zfs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/ustclug/pve-reconcile/internal/host"
	"github.com/ustclug/pve-reconcile/reconciler/step"
)

// TestBlame: of two failures, the one that is the cause.
func TestBlame(t *testing.T) {
	ended := func(code int, text string) error {
		return &host.Error{Host: "h", Code: code, Stderr: text}
	}
	lost := fmt.Errorf("host: %w", step.ErrUnreachable)
	incomplete := ended(1, "cannot receive new filesystem stream: checksum mismatch or incomplete stream.")
	full := ended(1, "cannot receive new filesystem stream: out of space")
	gone := ended(1, "cannot open 'p/v@a': dataset does not exist")
	pipe := ended(141, "")
	for _, c := range []struct {
		name           string
		sent, received error
		refused        bool
		want           error
	}{
		{"both ended well", nil, nil, false, nil},
		{"the receiver had everything already", pipe, nil, false, nil},
		{"the receiver had everything already, over SSH", lost, nil, true, nil},
		{"the target is full", pipe, full, false, full},
		{"the target is full, over SSH", lost, full, true, full},
		{"the snapshot is gone", gone, ended(1, "cannot receive: failed to read from stream"), false, gone},
		{"the source is lost", lost, incomplete, false, lost},
		{"the target is lost", pipe, lost, false, lost},
		{"damaged on the way", nil, incomplete, false, incomplete},
		{"the sender fails after the last byte", gone, nil, false, gone},
	} {
		if have := blame(c.sent, c.received, c.refused); !errors.Is(have, c.want) || (have == nil) != (c.want == nil) {
			t.Errorf("%s: want %v, have %v", c.name, c.want, have)
		}
	}
}

// TestPaceHoldsARate: bytes never pass faster than they may.
func TestPaceHoldsARate(t *testing.T) {
	const rate, size = 4 << 20, 1 << 20
	var last Progress
	p := newPace(t.Context(), rate, Progress{Step: "send", Done: 7, Total: 7 + size/2}, func(now Progress) { last = now })
	var out bytes.Buffer
	began := time.Now()
	n, err := p.writer(&out).Write(make([]byte, size))
	took := time.Since(began)
	p.end()
	if err != nil || n != size || out.Len() != size || took < 200*time.Millisecond {
		t.Errorf("%d bytes in %v, %v", n, took, err)
	}
	if !last.Final || last.Done != 7+size || last.Total != last.Done || last.Step != "send" {
		t.Errorf("%+v", last)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("stop")
	cancel(why)
	p = newPace(ctx, 1, Progress{}, func(Progress) {})
	defer p.end()
	p.next = time.Now().Add(time.Hour)
	if _, err := p.writer(&out).Write(make([]byte, size)); !errors.Is(err, why) {
		t.Errorf("have %v", err)
	}
}
