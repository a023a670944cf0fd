package zhost

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
)

// mapped are the paths of the machine that are the host's own in every script. What is not here is the machine's.
var mapped = regexp.MustCompile(`(^|[^A-Za-z0-9_./-])(/dev/zvol|/dev/zd|/run|/var/run|/var/lock|/root|/etc/systemd|/var/lib)\b`)

// programPath is a program of the host that a script names with its full path.
var programPath = regexp.MustCompile(`(^|[^A-Za-z0-9_./-])((?:/usr/local|/usr)?/s?bin|/lib/udev)/([a-z_-]+)\b`)

// searchPath is where a script sets its own.
var searchPath = regexp.MustCompile(`\bPATH=`)

// blockTest is a test for block devices; the host's are regular files.
var blockTest = regexp.MustCompile(`(\[|\btest)( !)? -b `)

// ddTarget is where dd writes: opening a device never truncates it.
var ddTarget = regexp.MustCompile(`\bof=[^ ]*/dev/z(vol/|d[0-9])`)

// script is a command line as it is run on this machine: paths of the host are in its directory, and its commands come first.
func (h *Host) script(line string) string {
	line = mapped.ReplaceAllString(line, "${1}"+h.dir+"${2}")
	line = programPath.ReplaceAllStringFunc(line, func(word string) string {
		m := programPath.FindStringSubmatch(word)
		if programs[m[3]] == nil {
			return word
		}
		return m[1] + filepath.Join(h.dir, "bin", m[3])
	})
	line = searchPath.ReplaceAllString(line, "PATH="+filepath.Join(h.dir, "bin")+":")
	line = ddTarget.ReplaceAllString(line, "conv=notrunc $0")
	return blockTest.ReplaceAllString(line, "$1$2 -f ")
}

// shell is one command line that runs on the host.
type shell struct {
	host *Host
	cmd  *exec.Cmd
}

// begin runs a command line with the machine's shell, in a process group of its own.
func (h *Host) begin(ctx context.Context, line string, env []string, stdin io.Reader, stdout, stderr io.Writer) (*shell, error) {
	cmd := exec.CommandContext(ctx, h.shell, "-c", h.script(line))
	cmd.Dir = filepath.Join(h.dir, "tmp")
	cmd.Env = append([]string{
		socketVar + "=" + filepath.Join(h.dir, "stub"), "PATH=" + filepath.Join(h.dir, "bin") + ":" + os.Getenv("PATH"),
		"HOME=" + filepath.Join(h.dir, "root"), "RECONCILE_LOCKS=" + filepath.Join(h.dir, "run/lock"), "TMPDIR=" + filepath.Join(h.dir, "tmp"), "LANG=C",
	}, env...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, stdout, stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return &shell{h, cmd}, nil
}

// exit is how the command ended: an exit code, or the signal that killed it.
func exit(err error) (code int, signal string) {
	var bad *exec.ExitError
	if err == nil {
		return 0, ""
	}
	if !errors.As(err, &bad) {
		return 255, ""
	}
	status, ok := bad.Sys().(syscall.WaitStatus)
	if ok && status.Signaled() {
		return 0, strings.TrimPrefix(signalName(status.Signal()), "SIG")
	}
	return bad.ExitCode(), ""
}

func signalName(s syscall.Signal) string {
	switch s {
	case syscall.SIGKILL:
		return "KILL"
	case syscall.SIGTERM:
		return "TERM"
	case syscall.SIGPIPE:
		return "PIPE"
	case syscall.SIGINT:
		return "INT"
	case syscall.SIGHUP:
		return "HUP"
	}
	return "ABRT"
}

// Run runs a command line on the host as somebody who sits there would, and returns what it wrote and its exit code.
func (h *Host) Run(ctx context.Context, line string, stdin io.Reader) (stdout, stderr string, code int) {
	var out, errs strings.Builder
	sh, err := h.begin(ctx, line, nil, stdin, &out, &errs)
	if err != nil {
		return "", err.Error(), 255
	}
	code, signal := exit(sh.cmd.Wait())
	if signal != "" {
		code = 255
	}
	return out.String(), errs.String(), code
}
