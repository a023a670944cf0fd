package zhost

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Fault is one thing that goes wrong on a host.
type Fault struct {
	Kind  string
	Match *regexp.Regexp // command lines it strikes; nil: all
	Skip  int            // so many matching commands go through first
	Times int            // how often it strikes; 0: once, -1: always
	Text  string         // what a command that fails says
	Code  int            // its exit code; 0: 1
	Delay time.Duration
	Bytes int64
	Hook  func() // of "call"

	seen, struck int
}

// FaultKinds are what can go wrong:
//
//	fail match=RE text=.. code=N   a command fails before it does anything
//	fail-after match=RE ...        a command fails after it has done its work
//	kill match=RE                  a command is killed before it does anything
//	slow match=RE delay=D          a command begins later
//	cut bytes=N                    the connection is cut after N bytes to or from the host
//	freeze bytes=N                 the connection stands still after N bytes, and nobody is told
//	cut-at match=RE                the connection is cut when a command that matches begins; the command goes on
//	link-late delay=D times=N      the next N device links come later
//	link-lost                      device links come no more
//	call match=RE                  Hook is called when a command begins; the command goes on
//	full pool=NAME                 the pool is full (text= is its name)
//	key                            the host has another host key
var FaultKinds = []string{"fail", "fail-after", "kill", "slow", "cut", "freeze", "cut-at", "link-late", "link-lost", "full", "key", "call"}

// ReadFault reads "KIND key=value ...", the words of a fault.
func ReadFault(words []string) (*Fault, error) {
	if len(words) == 0 {
		return nil, errors.New("a fault needs a kind: " + strings.Join(FaultKinds, ", "))
	}
	f := &Fault{Kind: words[0]}
	if !contains(FaultKinds, f.Kind) {
		return nil, fmt.Errorf("unknown kind %q; known are %s", f.Kind, strings.Join(FaultKinds, ", "))
	}
	for _, word := range words[1:] {
		key, value, _ := strings.Cut(word, "=")
		var err error
		switch key {
		case "match":
			f.Match, err = regexp.Compile(value)
		case "skip":
			f.Skip, err = strconv.Atoi(value)
		case "times":
			f.Times, err = strconv.Atoi(value)
		case "code":
			f.Code, err = strconv.Atoi(value)
		case "delay":
			f.Delay, err = time.ParseDuration(value)
		case "bytes":
			f.Bytes, err = parseSize(value)
		case "text", "pool":
			f.Text = value
		default:
			err = errors.New("unknown word; known are match=, skip=, times=, code=, delay=, bytes=, text=, pool=")
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", word, err)
		}
	}
	return f, nil
}

func contains(list []string, one string) bool {
	for _, have := range list {
		if have == one {
			return true
		}
	}
	return false
}

// AddFault makes something go wrong from now on.
func (h *Host) AddFault(f *Fault) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch f.Kind {
	case "link-late":
		h.devices.late, h.devices.left = f.Delay, cmp.Or(f.Times, 1)
	case "link-lost":
		h.devices.lost = true
	case "full":
		p := h.pools[f.Text]
		if p == nil {
			return fmt.Errorf("host %s has no pool %q", h.Name, f.Text)
		}
		p.full = true
	case "key":
		return h.door.changeKey()
	default:
		h.faults = append(h.faults, f)
	}
	return nil
}

// ClearFaults ends all faults; a changed host key stays changed.
func (h *Host) ClearFaults() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.faults, h.devices.late, h.devices.lost = nil, 0, false
	for _, p := range h.pools {
		p.full = false
	}
	for name, n := range h.devices.links {
		if !n.linked {
			h.devices.link(name)
		}
	}
}

// pick finds the fault of some kinds that strikes a command line now.
func (h *Host) pick(line string, kinds ...string) *Fault {
	h.mu.Lock()
	defer h.mu.Unlock()
	var found *Fault
	for _, f := range h.faults {
		if !contains(kinds, f.Kind) || f.Match != nil && !f.Match.MatchString(line) {
			continue
		}
		f.seen++
		limit := f.Times
		if limit == 0 {
			limit = 1
		}
		if found == nil && f.seen > f.Skip && (limit < 0 || f.struck < limit) {
			f.struck++
			found = f
		}
	}
	return found
}

// strike lets a fault strike a command of the host's own; done says that the command is over.
func (h *Host) strike(c *call) (code int, done bool) {
	line := strings.Join(append([]string{c.name}, c.args...), " ")
	if f := h.pick(line, "call"); f != nil && f.Hook != nil {
		f.Hook()
	}
	f := h.pick(line, "fail", "fail-after", "kill", "slow", "cut-at")
	if f == nil {
		return 0, false
	}
	switch f.Kind {
	case "slow":
		select {
		case <-time.After(f.Delay):
		case <-c.ctx.Done():
		}
		return 0, false
	case "kill":
		return 137, true
	case "cut-at":
		h.door.cutAll()
		return 0, false
	case "fail-after":
		programs[c.name](c)
	}
	text := f.Text
	if text == "" {
		text = "fault injected by the simulator"
	}
	c.warn("%s", text)
	return max(f.Code, 1), true
}
