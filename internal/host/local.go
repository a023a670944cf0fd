package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"sync"

	"golang.org/x/sys/unix"
)

// Local is the machine this program runs on, under the name the config file gives it.
func Local(name string) *Host { return &Host{Name: name, Here: true, transport: local{}} }

type local struct{}

func (local) close() error { return nil }

func (local) dial(ctx context.Context, socket string) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", socket)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ECONNREFUSED) {
		err = fmt.Errorf("%w: %w", ErrNobodyListens, err)
	}
	return conn, err
}

// start does not bind the process to the context: Run kills the process group, and then waits for it.
func (local) start(_ context.Context, line string, s streams, _ bool) (process, error) {
	cmd := exec.Command("/bin/sh", "-c", line)
	cmd.SysProcAttr = &unix.SysProcAttr{Setpgid: true} // a Ctrl-C on the terminal is for this program, which then kills in order
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &localProcess{cmd: cmd, pipes: []io.Closer{stdin, stdout, stderr}}
	// Who feeds standard input may block for ever after the command has ended, so nobody waits for it.
	go func() { feed(stdin, s.stdin) }()
	p.outputs.Go(func() { drain(s.stdout, stdout) })
	p.outputs.Go(func() { drain(s.stderr, stderr) })
	return p, nil
}

// copyBuffer is large because a pipe of the kernel holds 64 KiB, and SSH packets 32 KiB.
const copyBuffer = 256 << 10

// feed writes a stream to a process, and tells it the end of it.
func feed(to io.WriteCloser, from io.Reader) {
	if _, err := io.CopyBuffer(struct{ io.Writer }{to}, struct{ io.Reader }{from}, make([]byte, copyBuffer)); err != nil {
		// A broken pipe: the process does not want more, and its exit code says why. Or the stream broke: its owner knows.
		if c, ok := from.(interface{ CloseWithError(error) error }); ok {
			_ = c.CloseWithError(err)
		}
	}
	_ = to.Close()
}

// drain writes the output of a process to its reader. When that does not want more, the pipe is closed, so that the process
// is told.
func drain(to io.Writer, from io.ReadCloser) {
	_, _ = io.CopyBuffer(struct{ io.Writer }{to}, struct{ io.Reader }{from}, make([]byte, copyBuffer))
	_ = from.Close()
}

type localProcess struct {
	cmd     *exec.Cmd
	outputs sync.WaitGroup
	pipes   []io.Closer
	once    sync.Once
}

func (p *localProcess) wait() error {
	p.outputs.Wait()
	err := p.cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		if ws, ok := exit.Sys().(interface {
			Signaled() bool
			Signal() os.Signal
		}); ok && ws.Signaled() {
			return status{code: 255, signal: exit.String()}
		}
		if code := exit.ExitCode(); code > 0 {
			return status{code: code}
		}
		return status{code: 255, signal: exit.ProcessState.String()}
	}
	return err
}

func (p *localProcess) stop() {
	p.once.Do(func() {
		_ = unix.Kill(-p.cmd.Process.Pid, unix.SIGKILL)
		for _, c := range p.pipes {
			_ = c.Close()
		}
	})
}
