package zhost

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/ustclug/pve-reconcile/internal/sim/zhost/stub"
)

// socketVar names the socket of the host whose command a process is. It is set in the shells of simulated hosts only.
const socketVar = stub.SocketVar

// IsStub tells whether this process was started as a command of a simulated host: by a name that hosts have commands of, and
// in one of their shells. main has to call Stub then and do nothing else.
func IsStub() bool {
	return os.Getenv(socketVar) != "" && programs[filepath.Base(os.Args[0])] != nil
}

// Stub asks the simulated host to run the command that this process stands for, and ends like it.
func Stub() { stub.Main(filepath.Base(os.Args[0])) }

// BuildStub builds the small program that stands for the commands of hosts, for Options.Stub. It needs the go command; the
// caller removes the directory.
func BuildStub(dir string) (string, error) {
	path := filepath.Join(dir, "zhoststub")
	cmd := exec.Command("go", "build", "-trimpath", "-o", path, "github.com/ustclug/pve-reconcile/internal/sim/zhost/stub/zhoststub")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w: %s", err, out)
	}
	return path, nil
}

// stubServer runs the commands of a host's stubs.
type stubServer struct {
	host   *Host
	listen *net.UnixListener
	path   string
	wg     sync.WaitGroup
}

func (h *Host) serveStubs() error {
	s := &stubServer{host: h, path: filepath.Join(h.dir, "stub")}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: s.path, Net: "unix"})
	if err != nil {
		return err
	}
	s.listen = l
	go func() {
		for {
			conn, err := l.AcceptUnix()
			if err != nil {
				return // closed
			}
			s.wg.Add(1)
			go func() {
				defer s.wg.Done()
				s.serve(conn)
			}()
		}
	}()
	h.stub = s
	return h.install()
}

// install puts the commands into the host's bin: links to this program, which finds its part by their names.
func (h *Host) install() error {
	self := h.program
	if self == "" {
		var err error
		if self, err = os.Executable(); err != nil {
			return err
		}
	}
	for name := range programs {
		if err := os.Symlink(self, filepath.Join(h.dir, "bin", name)); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
	}
	return nil
}

func (s *stubServer) close() {
	_ = s.listen.Close() // it ends with the process at the latest
}

func (s *stubServer) serve(conn *net.UnixConn) {
	defer conn.Close()
	args, files, err := receiveQuestion(conn)
	for _, f := range files {
		defer f.Close()
	}
	if err != nil || len(files) != 3 {
		return // a stub that died before it asked
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	go func() {
		_, _ = conn.Read(make([]byte, 1)) // the end of the connection is the end of the stub
		cancel(errors.New("killed"))
	}()
	code := s.host.command(ctx, args, patient{ctx, files[0]}, patient{ctx, files[1]}, patient{ctx, files[2]})
	for _, f := range files {
		_ = f.Close() // before the answer: who reads our output sees its end when the stub ends, not later
	}
	_, _ = fmt.Fprintf(conn, "%d\n", code) // a stub that was killed does not wait for it
}

func receiveQuestion(conn *net.UnixConn) ([]string, []*os.File, error) {
	text, rights := make([]byte, 1<<20), make([]byte, 1024)
	n, oobn, _, _, err := conn.ReadMsgUnix(text, rights)
	if err != nil {
		return nil, nil, err
	}
	var files []*os.File
	messages, err := unix.ParseSocketControlMessage(rights[:oobn])
	for _, m := range messages {
		fds, err := unix.ParseUnixRights(&m)
		if err != nil {
			return nil, files, err
		}
		for _, fd := range fds {
			unix.CloseOnExec(fd)
			files = append(files, os.NewFile(uintptr(fd), "stub"))
		}
	}
	if err != nil {
		return nil, files, err
	}
	args, err := stub.Decode(text[:n], conn)
	return args, files, err
}

// command runs one command and returns its exit code.
func (h *Host) command(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	j := &job{name: args[0], cancel: cancel}
	h.mu.Lock()
	h.running[j] = true
	h.log = append(h.log, strings.Join(args, " "))
	h.mu.Unlock()
	defer func() {
		h.mu.Lock()
		delete(h.running, j)
		h.mu.Unlock()
	}()
	c := &call{ctx: ctx, host: h, name: args[0], args: args[1:], stdin: stdin, stdout: stdout, stderr: stderr}
	run := programs[args[0]]
	if run == nil {
		return c.fail("%s: not found", args[0])
	}
	if code, done := h.strike(c); done {
		return code
	}
	return run(c)
}

// job is one command that runs.
type job struct {
	name   string
	cancel context.CancelCauseFunc
}
