package host

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ustclug/pve-reconcile/reconciler/step"
)

const (
	leashAfter   = time.Second      // commands that end sooner need no leash
	leashBeat    = 10 * time.Second // how often a leash is pulled
	leashTimeout = 60               // seconds after which a leash nobody pulls kills the command
	killPatience = 15 * time.Second // until a command that was killed is left to itself
	graceful     = 5                // seconds between TERM and KILL
)

// run is a command under way. Over there it has a process group of its own, whose number is the first thing it says on
// standard error; a mark in its environment tells that a group of that number is still the one that was started.
type run struct {
	host    *Host
	command Command
	mark    string
	process process
	stderr  *tail

	mu   sync.Mutex
	rope io.Closer // the leash, nil while there is none
	off  bool      // ended: no leash is needed any more
}

// wrap is the line that runs a script in a process group of its own. The shell that waits gives away its standard input, so
// that the script sees the end of it.
func wrap(script, mark string) string {
	inner := "export LC_ALL=C PATH=\"$PATH:/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin\"; exec 3<&0 0</dev/null; " +
		"RECONCILE_RUN=" + mark + " setsid sh -c " + step.Quote(script) + " <&3 3<&- & p=$!; exec 3<&-; echo \"reconcile-run " + mark + " $p\" >&2; wait $p"
	return "exec sh -c " + step.Quote(inner)
}

// killing is the script that ends a process group, if it still is the one with the mark.
func killing(group int, mark string) string {
	g := strconv.Itoa(group)
	ours := "grep -qz RECONCILE_RUN=" + mark + " /proc/" + g + "/environ 2>/dev/null"
	return ours + " || exit 0; kill -s TERM -- -" + g + " 2>/dev/null || kill -s TERM " + g + "; n=0; while [ $n -lt " +
		strconv.Itoa(graceful) + " ] && " + ours + "; do n=$((n+1)); sleep 1; done; " + ours + " && kill -s KILL -- -" + g + "; :"
}

// watching is the script that kills a group when nobody says for a while that all is well, or when the connection ends. "q"
// says that the group has ended.
func watching(group int, mark string) string {
	return "while c=$(timeout " + strconv.Itoa(leashTimeout) + " dd bs=1 count=1 2>/dev/null); [ \"$c\" = . ]; do :; done; [ \"$c\" = q ] && exit 0; " +
		"trap '' HUP TERM PIPE; " + killing(group, mark)
}

func (h *Host) begin(ctx context.Context, c Command) (*run, error) {
	r := &run{host: h, command: c, mark: strings.ToLower(rand.Text())}
	r.stderr = newTail(r.mark, c.OnStderr)
	s := streams{stdin: c.Stdin, stdout: c.Stdout, stderr: r.stderr}
	if s.stdin == nil {
		s.stdin = strings.NewReader("")
	}
	if s.stdout == nil {
		s.stdout = io.Discard
	}
	started := make(chan error, 1)
	go func() {
		var err error
		r.process, err = h.transport.start(ctx, wrap(c.Script, r.mark), s, c.Bulk)
		started <- err
	}()
	select {
	case err := <-started:
		return r, err
	case <-ctx.Done():
		// The server may have gone away unnoticed, and take its time to say so; other commands share the connection.
		go func() {
			if <-started == nil {
				r.kill(ctx)
				r.process.stop()
				_ = r.process.wait()
			}
		}()
		return nil, context.Cause(ctx)
	}
}

// result is the error of a run that has ended.
func (r *run) result(ctx context.Context, err error) error {
	var bad status
	switch {
	case err == nil:
		return nil
	case errors.As(err, &bad):
		text := r.stderr.text()
		if bad.signal != "" {
			text = cmp.Or(text, bad.Error())
		}
		return &Error{Host: r.host.Name, Script: r.command.Script, Code: cmp.Or(bad.code, 255), Stderr: text}
	default:
		return r.host.explain(ctx, fmt.Errorf("%s: %w", shortened(r.command.Script), err))
	}
}

// leash makes the command end when the connection does: neither sshd nor the kernel would end it (a zfs receive without a
// sender keeps its dataset busy for hours).
func (r *run) leash(ctx context.Context) {
	group := r.stderr.pid()
	if group == 0 {
		return
	}
	reader, writer := io.Pipe()
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	rope, err := r.host.transport.start(ctx, "exec sh -c "+step.Quote(watching(group, r.mark)), streams{reader, io.Discard, io.Discard}, false)
	if err != nil {
		cancel()
		return // the connection is lost already, or the host is short of everything: the command itself will tell
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.off {
		go release(writer, rope, cancel)
		return
	}
	ended := make(chan struct{})
	go pull(ctx, writer)
	go func() { _ = rope.wait(); close(ended); _ = reader.Close() }()
	r.rope = closer(func() error {
		defer cancel()
		_, err := writer.Write([]byte("q"))
		_ = writer.Close()
		select {
		case <-ended:
		case <-time.After(killPatience):
			rope.stop()
		}
		return err
	})
}

type closer func() error

func (c closer) Close() error { return c() }

func release(writer *io.PipeWriter, rope process, cancel func()) {
	defer cancel()
	_, _ = writer.Write([]byte("q"))
	_ = writer.Close()
	_ = rope.wait()
}

// pull says again and again that all is well.
func pull(ctx context.Context, writer io.Writer) {
	beat := time.NewTicker(leashBeat)
	defer beat.Stop()
	for {
		if _, err := writer.Write([]byte(".")); err != nil {
			return
		}
		select {
		case <-beat.C:
		case <-ctx.Done():
			return
		}
	}
}

// unleash says that the command has ended.
func (r *run) unleash() {
	r.mu.Lock()
	rope := r.rope
	r.rope, r.off = nil, true
	r.mu.Unlock()
	if rope != nil {
		go func() { _ = rope.Close() }()
	}
}

// kill ends the command over there. Its context is over, so it gets time of its own.
func (r *run) kill(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), killPatience)
	defer cancel()
	group := r.stderr.waitPid(ctx)
	if group == 0 {
		r.process.stop()
		return
	}
	p, err := r.host.transport.start(ctx, "exec sh -c "+step.Quote(killing(group, r.mark)), streams{strings.NewReader(""), io.Discard, io.Discard}, false)
	if err != nil {
		r.process.stop()
		return
	}
	defer context.AfterFunc(ctx, p.stop)()
	_ = p.wait()
}
