package zfs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"
	"sync/atomic"
	"time"

	"github.com/ustclug/pve-reconcile/internal/host"
	"github.com/ustclug/pve-reconcile/reconciler/step"
)

// receiverPatience is how long a receive gets, after its stream ended early, to save what it has.
const receiverPatience = 60 * time.Second

// send sends a snapshot from one host into a staging zvol of another. The bytes take one hop when this program runs on
// either end, and two otherwise.
func (m *Machines) send(ctx context.Context, s step.SendSnapshot) (step.Figures, error) {
	from, err := m.host(s.From)
	if err != nil {
		return step.Figures{}, err
	}
	to, err := m.host(s.To)
	if err != nil {
		return step.Figures{}, err
	}
	if s.Proving {
		if _, err := m.program(ctx, from); err != nil {
			return step.Figures{}, err
		}
	}
	began := time.Now()
	estimate, err := from.Text(ctx, sendEstimate(s))
	if err != nil {
		return step.Figures{}, explain(err)
	}
	total := max(parseSize(estimate), 0)
	var before int64
	if s.Token != "" {
		before = parseToken(s.Token, estimate).Bytes
		total += before
	}
	pace := newPace(ctx, s.Rate, Progress{Mark: s.Mark, Step: "send", Disk: s.Disk, Done: before, Total: total}, m.report)
	err = pipe(ctx, from, sendScript(s), to, receiveScript(s), pace)
	pace.end()
	return step.Figures{Bytes: pace.moved(), Seconds: time.Since(began).Seconds(), Resumed: before}, err
}

// sendEstimate looks at the snapshots again, and asks how long the stream will be.
func sendEstimate(s step.SendSnapshot) string {
	return titled("zfs send -nvP", sendGuards(s), send(s, "-nvP"))
}

func sendScript(s step.SendSnapshot) string {
	return titled("zfs send", sendGuards(s), "exec "+send(s))
}

func sendGuards(s step.SendSnapshot) string {
	guards := expect(s.Snapshot)
	if s.Base.Name != "" {
		guards += expect(s.Base)
	}
	return guards
}

// Staged are the native properties of everything that is received: nobody writes to it, and it has no device that something
// could import or mount.
var Staged = map[string]string{"readonly": "on", "volmode": "none", "snapdev": "hidden"}

// receiveScript receives under a lock that the receiving process itself holds, so that it lasts as long as the dataset is
// busy. The first receive finds nothing, later ones find a dataset with the mark.
func receiveScript(s step.SendSnapshot) string {
	d, uid := s.Dataset, s.Mark
	first := words("gone", d) + " || say 77 " + step.Quote(d+" is there already: a first stream goes nowhere else than where nothing is")
	if s.Base.Name != "" || s.Token != "" {
		first = words("mine", d, uid) + " || say 77 " + step.Quote(d+" does not carry the mark of this migration: nothing is received into it")
	}
	set := maps.Clone(s.Set)
	maps.Copy(set, Staged)
	recv := append([]string{"recv", "-s", "-u"}, options(set)...)
	return titled("zfs recv", apart, lock(uid, s.Disk), first, "exec "+zfs(append(recv, d)...)+" <&8 8<&-")
}

// lock takes the lock of one disk of a migration on a host; it is held while any process of the script runs. Two programs
// that work on the same disk are told apart by it.
func lock(uid, disk string) string {
	file := "pve-reconcile-" + strings.Map(func(r rune) rune {
		if r == '/' || r == '\'' || r < ' ' {
			return '_'
		}
		return r
	}, uid+"-"+disk) + ".lock"
	return "exec 9>" + step.Quote("/run/lock/"+file) + " || exit 1\nflock -n 9 || say 75 'another receive or copy of this disk is at work here (" + file + ")'"
}

// pipe connects two commands on two hosts and says whose failure it was. A receiver whose stream ends early saves what it
// has; that it complains about the end is then not the point.
func pipe(ctx context.Context, from *host.Host, sender string, to *host.Host, receiver string, pace *pace) error {
	reader, writer := io.Pipe()
	receiving, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stop(nil)
	sending, enough := context.WithCancel(ctx)
	defer enough()
	received := make(chan error, 1)
	go func() {
		err := to.Run(receiving, host.Command{Script: receiver, Stdin: reader, Bulk: true})
		_ = reader.CloseWithError(errReceiverEnded)
		received <- err
		time.AfterFunc(receiverPatience, enough) // a sender that has nothing to write does not notice
	}()
	out := &noting{to: pace.writer(writer)}
	sent := from.Run(sending, host.Command{Script: sender, Stdout: out, Bulk: true})
	if sent != nil {
		_ = writer.CloseWithError(fmt.Errorf("the sender ended: %w", sent))
		patience := time.AfterFunc(receiverPatience, func() { stop(errors.New("the receiver did not end with its stream")) })
		defer patience.Stop()
	} else {
		_ = writer.Close()
	}
	err := <-received
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return explain(blame(sent, err, out.refused.Load() || sending.Err() != nil))
}

var errReceiverEnded = errors.New("the receiver ended")

// noting notes that nobody took the stream any more.
type noting struct {
	to      io.Writer
	refused atomic.Bool
}

func (n *noting) Write(p []byte) (int, error) {
	k, err := n.to.Write(p)
	if errors.Is(err, errReceiverEnded) {
		n.refused.Store(true)
	}
	return k, err
}

// blame picks the failure that is the cause of the other one. refused tells that the sender failed because the receiver had
// ended before.
func blame(sent, received error, refused bool) error {
	switch {
	case received == nil && (refused || broken(sent)):
		return nil // it had everything it wanted
	case sent != nil && !refused && !broken(sent) && (received == nil || errors.Is(explain(received), ErrDamaged)):
		return sent
	case received != nil:
		return received
	}
	return sent
}

// broken tells whether a sender ended only because nobody took its stream: killed by SIGPIPE.
func broken(err error) bool {
	var e *host.Error
	return errors.As(err, &e) && e.Code == 141
}

// Stream connects the output of a script on one host with the input of one on another, on the path that disks take, and
// returns the bytes that passed.
func Stream(ctx context.Context, from *host.Host, sender string, to *host.Host, receiver string) (int64, error) {
	pace := newPace(ctx, 0, Progress{}, func(Progress) {})
	err := pipe(ctx, from, sender, to, receiver, pace)
	pace.end()
	return pace.moved(), err
}
