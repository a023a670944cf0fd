package sim

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// Fault is one thing that goes wrong. It strikes calls whose method and path match.
type Fault struct {
	Method string // GET, POST, PUT, DELETE, TASK (the path is the task's type then), or "" for any call
	Path   string // without /api2/json; "*" stands for any text
	Kind   string // see ReadFaults
	Skip   int    // so many matching calls go through first
	Times  int    // how often it strikes; 0: once, -1: always

	Status  int           // of an error; 0: 500
	Text    string        // of an error
	Delay   time.Duration // latency, or how far the clock jumps
	Storage string        // full: which storage
	Node    string        // node-down: which node
	Change  func(*World)  // edit: what somebody else does; nil: appends to the VM's description

	seen, struck int
}

var faultKinds = []string{
	"latency", "error", "error-after", "drop", "drop-after", "node-down", "node-up", "task-fail", "task-fail-after",
	"task-hang", "edit", "clock", "stale", "fresh", "full",
}

// ReadFaults reads a fault file: one a line, "METHOD PATH KIND [key=value ...]"; keys are skip, times, status, text,
// delay, storage and node; text="..." may hold blanks. Kinds:
//
//	latency delay=2s           the answer comes later, in real time unless --speed says how fast time goes
//	error, error-after         an error before or after the effect (status=, text=)
//	drop, drop-after           the connection is cut before or after the effect
//	node-down, node-up node=N  N answers 595 from now on, or answers again
//	task-fail, task-fail-after a task (method TASK, path its type) fails before or after its effect (text=)
//	task-hang                  a task never ends and keeps the config lock
//	edit                       somebody changes the VM just before the call
//	clock delay=1h             the world's clock jumps
//	stale, fresh               cluster/resources stops following, or follows again
//	full storage=S             S has no space left
func ReadFaults(r io.Reader) ([]Fault, error) {
	var all []Fault
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		f, err := readFault(line)
		if err != nil {
			return nil, fmt.Errorf("faults: line %d: %w", n, err)
		}
		all = append(all, f)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("faults: %w", err)
	}
	return all, nil
}

func readFault(line string) (Fault, error) {
	words := quotedWords(line)
	if len(words) < 3 {
		return Fault{}, fmt.Errorf("%q: want METHOD PATH KIND", line)
	}
	f := Fault{Method: words[0], Path: words[1], Kind: words[2]}
	if f.Method == "*" {
		f.Method = ""
	}
	if !contains(faultKinds, f.Kind) {
		return f, fmt.Errorf("unknown kind %q; known are %s", f.Kind, strings.Join(faultKinds, ", "))
	}
	for _, word := range words[3:] {
		key, value, _ := strings.Cut(word, "=")
		var err error
		switch key {
		case "skip":
			f.Skip, err = strconv.Atoi(value)
		case "times":
			f.Times, err = strconv.Atoi(value)
		case "status":
			f.Status, err = strconv.Atoi(value)
		case "delay":
			f.Delay, err = time.ParseDuration(value)
		case "text":
			f.Text = value
		case "storage":
			f.Storage = value
		case "node":
			f.Node = value
		default:
			err = fmt.Errorf("unknown key; known are skip, times, status, text, delay, storage, node")
		}
		if err != nil {
			return f, fmt.Errorf("%s: %w", word, err)
		}
	}
	return f, nil
}

// quotedWords splits at blanks outside double quotes and drops the quotes.
func quotedWords(line string) []string {
	var words []string
	var b strings.Builder
	quoted := false
	flush := func() {
		if b.Len() > 0 {
			words = append(words, b.String())
			b.Reset()
		}
	}
	for _, r := range line {
		switch {
		case r == '"':
			quoted = !quoted
		case r == ' ' && !quoted || r == '\t' && !quoted:
			flush()
		default:
			b.WriteRune(r)
		}
	}
	flush()
	return words
}

// AddFault makes something go wrong from now on.
func (s *Server) AddFault(f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, &f)
}

// ClearFaults ends all faults; storages that were full have their space again, and lists follow again.
func (s *Server) ClearFaults() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
	s.snapshot.frozen = false
}

// faultFor picks the fault that strikes now, or nil. Every fault counts all its calls, also those that another strikes.
func (s *Server) faultFor(method, path string) *Fault {
	var striking *Fault
	for _, f := range s.faults {
		if f.Kind == "full" || f.Method != "" && f.Method != method || f.Method == "" && method == "TASK" || !glob(f.Path, path) {
			continue
		}
		f.seen++
		limit := f.Times
		if limit == 0 {
			limit = 1
		}
		if striking == nil && f.seen > f.Skip && (limit < 0 || f.struck < limit) {
			f.struck++
			striking = f
		}
	}
	return striking
}

// glob matches with "*" for any text.
func glob(pattern, text string) bool {
	if pattern == "" {
		return true
	}
	first, rest, star := strings.Cut(pattern, "*")
	if !star {
		return pattern == text
	}
	if !strings.HasPrefix(text, first) {
		return false
	}
	text = text[len(first):]
	for i := 0; i <= len(text); i++ {
		if rest == "" || glob(rest, text[i:]) {
			return true
		}
	}
	return false
}

func (f *Fault) failure() reply {
	status, text := f.Status, f.Text
	if status == 0 {
		status = 500
	}
	if text == "" {
		text = "fault injected by the simulator"
	}
	if status == 401 || status >= 595 {
		return emptyReply(status, text)
	}
	return errorReply(&failure{status: status, text: text})
}

// before does what a fault does ahead of the call; an answer ends it.
func (s *Server) before(f *Fault, c *call) *reply {
	if f == nil {
		return nil
	}
	switch f.Kind {
	case "latency":
		s.mu.Unlock()
		s.linger(f.Delay)
		s.mu.Lock()
		s.settle()
	case "error":
		rep := f.failure()
		return &rep
	case "drop":
		return &reply{drop: true}
	case "node-down", "node-up":
		if n := s.w.Node(f.Node); n != nil {
			n.Status = map[string]string{"node-down": "refused", "node-up": "online"}[f.Kind]
		}
	case "edit":
		s.meddle(f, c)
	case "clock":
		if clock, ok := s.clock.(interface{ Jump(time.Duration) }); ok {
			clock.Jump(f.Delay)
		}
		s.settle()
	case "stale", "fresh":
		s.snapshot.take(s)
		s.snapshot.frozen = f.Kind == "stale"
	}
	return nil
}

func (s *Server) meddle(f *Fault, c *call) {
	if f.Change != nil {
		f.Change(s.w)
		return
	}
	if vm := s.w.VMs[atoi(c.params["vmid"])]; vm != nil {
		conf := vm.config().clone()
		conf.main["description"] = strings.TrimLeft(conf.main["description"]+"\nedited by another user", "\n")
		vm.write(conf)
	}
}

func (s *Server) after(f *Fault, rep reply) reply {
	if f == nil {
		return rep
	}
	switch f.Kind {
	case "error-after":
		return f.failure()
	case "drop-after":
		return reply{drop: true}
	}
	return rep
}

func (f *Fault) beforeTask() error {
	if f == nil || f.Kind != "task-fail" {
		return nil
	}
	return f.taskError()
}

func (f *Fault) afterTask() error {
	if f == nil || f.Kind != "task-fail-after" {
		return nil
	}
	return f.taskError()
}

func (f *Fault) taskError() error {
	text := f.Text
	if text == "" {
		text = "fault injected by the simulator"
	}
	return dief("%s", text)
}

func (f *Fault) hangs() bool { return f != nil && f.Kind == "task-hang" }

// full tells whether a storage has no space left.
func (s *Server) full(storage string) bool {
	for _, f := range s.faults {
		if f.Kind == "full" && f.Storage == storage {
			return true
		}
	}
	return false
}
