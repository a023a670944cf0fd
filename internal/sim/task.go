package sim

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

func itoa(n int) string { return strconv.Itoa(n) }

// parseUPID reads "UPID:NODE:PID:PSTART:START:TYPE:ID:USER:".
func parseUPID(text string) (*Task, error) {
	f := strings.Split(text, ":")
	if len(f) < 9 || f[0] != "UPID" || f[len(f)-1] != "" {
		return nil, fmt.Errorf("unable to parse worker upid")
	}
	t := &Task{UPID: text, Node: f[1], Type: f[5], ID: strings.Join(f[6:len(f)-2], ":"), User: f[len(f)-2]}
	var err error
	hex := func(text string) (n int64) {
		if err == nil {
			n, err = strconv.ParseInt(text, 16, 64)
		}
		return n
	}
	t.PID, t.PStart = hex(f[2]), hex(f[3])
	t.Start = time.Unix(hex(f[4]), 0).UTC()
	if err != nil {
		return nil, fmt.Errorf("unable to parse worker upid")
	}
	return t, nil
}

// job is what a task does, and what it holds while it runs.
type job struct {
	kind, id string
	vm       *VM // whose config lock it holds
	work     func(*Task) error
	undo     func()        // takes back what was made before the task, when the task fails before its work
	time     time.Duration // beyond the usual time of its kind
}

// fork starts a task and returns its UPID. A task that takes time does its work at its end.
func (c *call) fork(j job) (any, error) {
	s, now := c.s, c.s.clock.Now()
	s.pid++
	t := &Task{
		Node: c.node.Name, Type: j.kind, ID: j.id, User: c.who.id(), PID: s.pid, Start: now,
		PStart: int64(now.Sub(c.node.Booted).Seconds() * 100),
	}
	t.UPID = fmt.Sprintf("UPID:%s:%08X:%08X:%08X:%s:%s:%s:", t.Node, t.PID, max(t.PStart, 0), now.Unix(), j.kind, j.id, t.User)
	fault := s.faultFor("TASK", j.kind)
	t.finish = func(t *Task) {
		err := fault.beforeTask()
		switch {
		case err == nil:
			err = j.work(t)
		case j.undo != nil:
			j.undo()
		}
		if err == nil {
			err = fault.afterTask()
		}
		t.outcome(err)
	}
	c.w.Tasks = append(c.w.Tasks, t)
	if n := len(c.w.Tasks); n > 5000 {
		c.w.Tasks = append(c.w.Tasks[:0:0], c.w.Tasks[n-4000:]...)
	}
	length := s.w.Settings.TaskTime[j.kind] + j.time
	switch {
	case fault.hangs():
		t.End = time.Time{}
		if j.vm != nil {
			j.vm.LockedUntil = now.AddDate(10, 0, 0)
		}
	case length <= 0:
		t.End = now
		s.finish(t)
	default:
		t.End = now.Add(length)
		if j.vm != nil {
			j.vm.LockedUntil = t.End
		}
	}
	return t.UPID, nil
}

func (s *Server) finish(t *Task) {
	t.Finished = true
	if t.finish == nil { // one that the world file started
		if t.Exit == "" || t.Exit == "OK" {
			t.outcome(nil)
			return
		}
		t.outcome(dief("%s", t.Exit))
		return
	}
	t.finish(t)
	t.finish = nil
}

// settle does what has become due: tasks end in the order of their times.
func (s *Server) settle() {
	for next := s.nextDue(); next != nil; next = s.nextDue() {
		s.finish(next)
	}
}

// due tells whether a task waits to be ended.
func (s *Server) due() bool { return s.nextDue() != nil }

func (s *Server) nextDue() *Task {
	now := s.clock.Now()
	var next *Task
	for _, t := range s.w.Tasks {
		if !t.Finished && !t.End.IsZero() && !t.End.After(now) && (next == nil || t.End.Before(next.End)) {
			next = t
		}
	}
	return next
}

func (t *Task) logf(format string, args ...any) {
	t.Log = append(t.Log, strings.Split(strings.TrimRight(fmt.Sprintf(format, args...), "\n"), "\n")...)
}

// outcome writes the last line and the exit status. Lines that begin with "WARN: " count as warnings.
func (t *Task) outcome(err error) {
	if t.cancelled {
		err = fmt.Errorf("unexpected status")
	}
	warnings := 0
	for _, line := range t.Log {
		if strings.HasPrefix(line, "WARN: ") {
			warnings++
		}
	}
	switch {
	case err != nil:
		t.Exit = strings.TrimRight(taskText(err), "\n")
		t.logf("TASK ERROR: %s", t.Exit)
	case warnings > 0:
		t.Exit = fmt.Sprintf("WARNINGS: %d", warnings)
		t.logf("TASK %s", t.Exit)
	default:
		t.Exit = "OK"
		t.logf("TASK OK")
	}
}

// lockWait is how long PVE waits for a config lock.
const lockWait = 10 * time.Second

// lockConfig waits for the config lock of a VM, as PVE does; the server's lock is let go while it waits.
// The VM may have changed or vanished afterwards: the caller looks again.
func (c *call) lockConfig(vm *VM) error {
	deadline := c.s.clock.Now().Add(lockWait)
	for {
		now := c.s.clock.Now()
		switch {
		case !vm.LockedUntil.After(now):
			return nil
		case !now.Before(deadline):
			return dief("can't lock file '/var/lock/qemu-server/lock-%d.conf' - got timeout", vm.ID)
		}
		wait := min(vm.LockedUntil.Sub(now), deadline.Sub(now))
		c.s.mu.Unlock()
		c.s.clock.Sleep(wait)
		c.s.mu.Lock()
		c.s.settle()
	}
}
