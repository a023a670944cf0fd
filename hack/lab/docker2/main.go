// Command docker2 is the guest of the lab: a process that owns a block device as a virtual machine would. It mounts the
// ext4 on it, checks every file that it ever wrote there against the hash it noted then, and goes on writing until it is
// told to stop. It runs inside the lab's hosts and touches nothing but its device, /mnt/docker2 and /run/docker2.
package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	stateDir = "/run/docker2"
	mountDir = "/mnt/docker2"
	mask     = "/etc/docker2.masked"
)

const usage = `usage: docker2 start [--format] [--rate BYTES] [--keep BYTES] DEVICE   boots in the background
       docker2 stop | kill          shuts it down and waits, or ends it at once
       docker2 status               prints running or stopped, and masked; exit status 1 when stopped
       docker2 report               prints what it found and did, as JSON
       docker2 agent COMMAND        answers as a guest agent does
       docker2 mask | unmask        forbids and allows the start`

func main() {
	if err := run(os.Args[1:]); err != nil {
		if !errors.Is(err, errStopped) {
			fmt.Fprintln(os.Stderr, "docker2:", err)
		}
		os.Exit(1)
	}
}

var errStopped = errors.New("stopped")

func run(args []string) error {
	if len(args) == 0 {
		return errors.New(usage)
	}
	verb, args := args[0], args[1:]
	switch {
	case verb == "start" && len(args) > 0:
		return start(args)
	case verb == "run" && len(args) > 0:
		o, err := parseOptions(args)
		if err != nil {
			return err
		}
		return live(o)
	case verb == "agent" && len(args) == 1:
		return agent(args[0])
	case len(args) > 0:
		return errors.New(usage)
	}
	switch verb {
	case "stop":
		return end(syscall.SIGTERM)
	case "kill":
		return end(syscall.SIGKILL)
	case "status":
		masked := ""
		if _, err := os.Stat(mask); err == nil {
			masked = " masked"
		}
		if pid() == 0 {
			fmt.Println("stopped" + masked)
			return errStopped
		}
		fmt.Println("running" + masked)
		return nil
	case "report":
		text, err := os.ReadFile(filepath.Join(stateDir, "report"))
		if err == nil {
			_, err = os.Stdout.Write(text)
		}
		return err
	case "mask":
		return os.WriteFile(mask, nil, 0o644)
	case "unmask":
		if err := os.Remove(mask); !errors.Is(err, os.ErrNotExist) {
			return err
		}
		return nil
	}
	return errors.New(usage)
}

// options are how a guest runs.
type options struct {
	device string
	format bool
	rate   int64 // bytes written a second
	keep   int64 // bytes of files; the oldest are deleted beyond
}

func parseOptions(args []string) (options, error) {
	o := options{rate: 256 << 10, keep: 24 << 20, device: args[len(args)-1]}
	for i := 0; i < len(args)-1; i++ {
		switch args[i] {
		case "--format":
			o.format = true
		case "--rate", "--keep":
			n, err := strconv.ParseInt(args[i+1], 10, 64)
			if err != nil || n <= 0 {
				return o, fmt.Errorf("%s: %q is no number of bytes", args[i], args[i+1])
			}
			if args[i] == "--rate" {
				o.rate = n
			} else {
				o.keep = n
			}
			i++
		default:
			return o, errors.New(usage)
		}
	}
	return o, nil
}

// start runs the guest in a session of its own and returns when the disk is mounted.
func start(args []string) error {
	if _, err := os.Stat(mask); err == nil {
		return errors.New("start is forbidden (docker2 mask)")
	}
	if pid() != 0 {
		return nil
	}
	if err := os.RemoveAll(stateDir); err != nil {
		return err
	}
	if err := os.MkdirAll(stateDir, 0o755); err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(stateDir, "log"))
	if err != nil {
		return err
	}
	defer log.Close()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(self, append([]string{"run"}, args...)...)
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = log, log, &syscall.SysProcAttr{Setsid: true}
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")} // nothing that would tie it to the caller
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		select {
		case err := <-ended:
			text, _ := os.ReadFile(log.Name())
			return fmt.Errorf("did not start: %s %w", strings.TrimSpace(string(text)), err)
		case <-time.After(20 * time.Millisecond):
			if _, err := os.Stat(filepath.Join(stateDir, "report")); err == nil {
				return nil
			}
		}
	}
}

// pid is that of the running guest, or 0.
func pid() int {
	text, err := os.ReadFile(filepath.Join(stateDir, "pid"))
	if err != nil {
		return 0
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0
	}
	words, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", n))
	if err != nil || !strings.Contains(string(words), "\x00run\x00") {
		return 0
	}
	return n
}

func end(how syscall.Signal) error {
	n := pid()
	if n == 0 {
		return nil
	}
	if err := syscall.Kill(n, how); err != nil {
		return err
	}
	for limit := time.Now().Add(2 * time.Minute); pid() == n; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(limit) {
			return fmt.Errorf("process %d did not end within two minutes", n)
		}
	}
	if how == syscall.SIGKILL { // nobody else takes the mount away
		return unmount()
	}
	return nil
}
