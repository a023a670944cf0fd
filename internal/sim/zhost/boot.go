package zhost

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// qemuProgram is the process of a guest: it is there until it is killed.
func (c *call) qemuProgram() int {
	<-c.ctx.Done()
	return 137
}

// guest is how the API simulator runs a guest of PVE on this host: "guest start NAME DEVICE...", status, shutdown, stop, and
// "guest agent NAME COMMAND".
func (c *call) guest() int {
	if len(c.args) < 2 {
		return c.fail("guest: want start, status, shutdown, stop or agent, and a name")
	}
	h := c.host
	if c.args[0] == "start" {
		h.devices.await() // as PVE does
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	g := h.Guest(c.args[1])
	if g == nil {
		return c.fail("guest: the host's text has no guest %s", c.args[1])
	}
	switch c.args[0] {
	case "status":
		return 1 - bit(g.Running())
	case "start":
		g.Disks = nil
		for _, device := range c.args[2:] {
			g.Disks = append(g.Disks, strings.TrimPrefix(device, "/dev/zvol/"))
		}
		if len(g.Disks) == 0 {
			return c.fail("guest: %s has no disk to boot from", g.Name)
		}
		h.devices.settle()
		if err := g.start(); err != nil {
			return c.fail("%v", err)
		}
	case "shutdown":
		if err := g.powerdown(); errors.Is(err, errDeaf) {
			return c.fail("VM quit/powerdown failed - got timeout")
		}
	case "stop":
		g.halt(false)
	case "agent":
		return c.agent(g)
	default:
		return c.fail("guest: unknown verb %s", c.args[0])
	}
	return 0
}

// agent answers for the guest agent.
func (c *call) agent(g *Guest) int {
	if !g.Running() || g.NoAgent || time.Since(g.since) < g.Late {
		return c.fail("QEMU guest agent is not running")
	}
	if len(c.args) > 2 && c.args[2] == "fstrim" {
		freed, err := g.trim()
		if err != nil {
			return c.fail("%v", err)
		}
		c.say("{\"paths\":[{\"path\":\"/\",\"trimmed\":%d,\"minimum\":0}]}\n", freed)
		return 0
	}
	c.say("{}\n")
	return 0
}

// trim frees the end of each disk, which the guest's file systems do not use any more, and returns how many bytes held data.
func (g *Guest) trim() (int64, error) {
	freed := int64(0)
	for i, f := range g.files {
		d := g.host.find(g.Disks[i])
		if d == nil {
			return freed, fmt.Errorf("zvol %s is gone", g.Disks[i])
		}
		from := int64(float64(d.volsize)*(1-g.Trim)) / d.blocksize * d.blocksize
		if from >= d.volsize {
			continue
		}
		err := extents(f, d.volsize, func(start, end int64) error {
			freed += max(0, end-max(start, from))
			return nil
		})
		if err == nil {
			err = unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, from, d.volsize-from)
		}
		if err != nil {
			return freed, err
		}
	}
	return freed, nil
}

// Same tells whether the bytes of one zvol are how another one begins; for tests.
func Same(a *Host, short string, b *Host, long string) (bool, error) {
	var files [2]string
	for i, at := range []struct {
		h    *Host
		zvol string
	}{{a, short}, {b, long}} {
		at.h.mu.Lock()
		d := at.h.find(at.zvol)
		at.h.mu.Unlock()
		if d == nil || d.live == nil {
			return false, fmt.Errorf("host %s: there is no zvol %s", at.h.Name, at.zvol)
		}
		files[i] = d.live.file
	}
	return samePrefix(files[0], files[1])
}

// Hash is the content of a zvol as it is now; for tests that compare ends.
func (h *Host) Hash(zvol string) (string, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	d := h.find(zvol)
	if d == nil || d.live == nil {
		return "", fmt.Errorf("host %s: there is no zvol %s", h.Name, zvol)
	}
	return hashFile(d.live.file)
}

// Power does to a guest what a person at the host's console would: start, stop (hard), shutdown.
func (h *Host) Power(name, verb string) error {
	h.mu.Lock()
	g := h.Guest(name)
	if g == nil {
		h.mu.Unlock()
		return fmt.Errorf("host %s has no guest %s", h.Name, name)
	}
	defer h.mu.Unlock()
	switch verb {
	case "start":
		return g.start()
	case "stop":
		g.halt(false)
		return nil
	case "shutdown":
		return g.powerdown()
	}
	return fmt.Errorf("%s: a guest knows start, stop and shutdown", verb)
}

// machineProgram runs a command of the machine, for what a stub does not know itself.
func (c *call) machineProgram(path string) int {
	if _, err := os.Stat(path); err != nil {
		return c.fail("%s: not found", c.name)
	}
	cmd := exec.CommandContext(c.ctx, path, c.args...)
	cmd.Stdout, cmd.Stderr = c.stdout, c.stderr // standard input is for who comes after it in the script
	code, _ := exit(cmd.Run())
	return code
}
