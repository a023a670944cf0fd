package zhost

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// Off takes the power away: everything that runs dies, nobody is told, and receives lose what was not yet on disk.
func (h *Host) Off() {
	h.mu.Lock()
	h.off = true
	door := h.door
	for j := range h.running {
		j.cancel(errOff)
	}
	for _, g := range h.guests {
		g.lost = g.Running()
		g.halt(false)
	}
	h.mu.Unlock()
	if door != nil {
		door.shut()
	}
	h.killAll()
	h.settleDown()
}

// killAll kills what commands of this host have left running, also in sessions of their own: all that has the host's socket
// in its environment.
func (h *Host) killAll() {
	mark := []byte(socketVar + "=" + filepath.Join(h.dir, "stub") + "\x00")
	environs, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		return
	}
	for _, file := range environs {
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if text, rerr := os.ReadFile(file); err != nil || rerr != nil || !bytes.Contains(text, mark) || pid == os.Getpid() {
			continue
		}
		_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended meanwhile
	}
}

// settleDown waits until everything that was killed has ended.
func (h *Host) settleDown() {
	for range 500 {
		h.mu.Lock()
		n := len(h.running)
		h.mu.Unlock()
		if n == 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// On boots the host again. Guests start when their units are not masked; those of PVE when they ran.
func (h *Host) On() error {
	h.mu.Lock()
	h.off = false
	for _, g := range h.guests {
		byItself := g.Systemd != "" || g.Libvirt != "" || g.VMID != 0
		if byItself && g.onboot && !h.units[g.Systemd] || !byItself && g.lost {
			_ = g.start() // a guest that does not start is not the host's failure
		}
	}
	door := h.door
	h.mu.Unlock()
	if door == nil {
		return nil
	}
	return door.open()
}

// Log lists the command lines that ran since the last time asked: "$ SCRIPT" for what came over SSH.
func (h *Host) Log() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := h.log
	h.log = nil
	return all
}

func pipe() (*os.File, *os.File, error) { return os.Pipe() }
