// Package host runs shell commands on a machine: this one, or another over SSH. What runs there is killed when its context
// ends, and kills itself when the connection is lost. The package never trusts a host key on first sight, never repeats a
// command, and knows nothing of what the commands mean.
package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/ustclug/pve-reconcile/reconciler/step"
)

// Host is a machine on which commands are run.
type Host struct {
	Name string
	// Here tells that it is the machine this program runs on.
	Here bool

	transport transport
}

// transport starts processes on a machine.
type transport interface {
	// start runs a command line with a shell. The context is for the start only; the process ends in its own time.
	start(ctx context.Context, line string, io streams, bulk bool) (process, error)
	dial(ctx context.Context, socket string) (net.Conn, error)
	close() error
}

// streams are those of a process. None may be nil.
type streams struct {
	stdin          io.Reader
	stdout, stderr io.Writer
}

// process is a command line that was started.
type process interface {
	// wait returns when the command has ended and all its output was written. A command that ended with another code than
	// 0, or by a signal, is a status; every other error says that nobody knows how it ended.
	wait() error
	// stop closes the streams; wait returns soon afterwards.
	stop()
}

// status is how a command ended that did not end well.
type status struct {
	code   int    // 1 to 255
	signal string // "KILL", "" when it was not one
}

func (s status) Error() string {
	if s.signal != "" {
		return "killed by signal " + s.signal
	}
	return fmt.Sprintf("exit %d", s.code)
}

// Command is a POSIX shell script to run.
type Command struct {
	Script string
	Stdin  io.Reader // nil: empty
	Stdout io.Writer // nil: thrown away
	// OnStderr is given what the command writes to standard error, line by line, besides the error keeping its end; nil:
	// nobody listens.
	OnStderr func(line string)
	// Bulk says that much will pass: it gets a connection of its own, so that small commands need not queue behind it.
	Bulk bool
}

// Error is a command that ended with another code than 0.
type Error struct {
	Host   string
	Script string
	Code   int    // 1 to 255; 128+n when it was killed by signal n
	Stderr string // the end of what it wrote there
}

func (e *Error) Error() string {
	text := strings.TrimSpace(e.Stderr)
	if text == "" {
		text = fmt.Sprintf("exit %d", e.Code)
	} else {
		text = fmt.Sprintf("exit %d: %s", e.Code, strings.Join(strings.Fields(text), " "))
	}
	return fmt.Sprintf("%s: %s: %s", e.Host, shortened(e.Script), text)
}

// shortened is a script as it fits into an error: its first line, which may be a comment that says what it is for.
func shortened(script string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(script), "\n")
	line = strings.TrimPrefix(line, "# ")
	if r := []rune(line); len(r) > 120 {
		return string(r[:119]) + "…"
	}
	return line
}

// Run runs a command and waits for its end. Errors: *Error for a command that ran and ended with another code than 0; the
// context's, after the command was killed; step.ErrUnreachable when the host could not be asked, or was lost while the
// command ran, in which case it is killed over there too, but what it has done until then is not known.
func (h *Host) Run(ctx context.Context, c Command) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	run, err := h.begin(ctx, c)
	if err != nil {
		return h.explain(ctx, err)
	}
	ended := make(chan error, 1)
	go func() { ended <- run.process.wait() }()
	leashing := time.NewTimer(leashAfter)
	defer leashing.Stop()
	for {
		select {
		case err := <-ended:
			run.unleash()
			run.stderr.flush()
			return run.result(ctx, err)
		case <-leashing.C:
			run.leash(ctx)
		case <-ctx.Done():
			run.kill(ctx)
			select {
			case <-ended:
			case <-time.After(killPatience):
				run.process.stop()
				<-ended
			}
			run.unleash()
			return context.Cause(ctx)
		}
	}
}

// Text runs a script and returns what it wrote to standard output, at most 32 MiB.
func (h *Host) Text(ctx context.Context, script string) (string, error) {
	out := &limited{most: 32 << 20}
	err := h.Run(ctx, Command{Script: script, Stdout: out})
	if err == nil && out.over {
		err = fmt.Errorf("%s: %s: more than %d MiB of output", h.Name, shortened(script), out.most>>20)
	}
	return out.String(), err
}

// ErrNobodyListens says that the host was asked, and that there is no such socket or nobody behind it.
var ErrNobodyListens = errors.New("nobody listens there")

// Dial connects to a unix socket on the host. Errors: ErrNobodyListens; step.ErrForbidden when sshd does not forward to
// sockets; step.ErrUnreachable.
func (h *Host) Dial(ctx context.Context, socket string) (net.Conn, error) {
	conn, err := h.transport.dial(ctx, socket)
	if err != nil {
		return nil, h.explain(ctx, err)
	}
	return conn, nil
}

// Close ends all connections.
func (h *Host) Close() error { return h.transport.close() }

// explain makes one of our errors of why a command could not be started or its end was not seen.
func (h *Host) explain(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if errors.Is(err, step.ErrForbidden) || errors.Is(err, ErrNobodyListens) {
		return fmt.Errorf("host %s: %w", h.Name, err)
	}
	return fmt.Errorf("host %s: %w: %w", h.Name, step.ErrUnreachable, err)
}

// limited keeps what fits and drops the rest.
type limited struct {
	bytes.Buffer
	most int
	over bool
}

func (l *limited) Write(p []byte) (int, error) {
	if l.Len()+len(p) > l.most {
		l.over = true
		return len(p), nil
	}
	return l.Buffer.Write(p)
}
