package zhost

import (
	"slices"
)

func (c *call) hold(_ options, args []string) int {
	if len(args) < 2 {
		return c.misused(verbs()["hold"], "missing snapshot argument")
	}
	tag, code := args[0], 0
	for _, name := range args[1:] {
		s := c.host.findSnapshot(name)
		switch {
		case s == nil:
			code = c.fail("cannot hold snapshot '%s': dataset does not exist", name)
		case s.held(tag):
			code = c.fail("cannot hold snapshot '%s': tag already exists on this dataset", name)
		default:
			s.holds = append(s.holds, hold{tag, c.host.now()})
		}
	}
	return code
}

func (s *snapshot) held(tag string) bool {
	return slices.ContainsFunc(s.holds, func(h hold) bool { return h.tag == tag })
}

func (c *call) release(_ options, args []string) int {
	if len(args) < 2 {
		return c.misused(verbs()["release"], "missing snapshot argument")
	}
	tag, code := args[0], 0
	for _, name := range args[1:] {
		s := c.host.findSnapshot(name)
		switch {
		case s == nil:
			code = c.fail("cannot release hold from snapshot '%s': dataset does not exist", name)
		case !s.held(tag):
			code = c.fail("cannot release hold from snapshot '%s': no such tag on this dataset", name)
		default:
			s.holds = slices.DeleteFunc(s.holds, func(h hold) bool { return h.tag == tag })
			if s.defers && len(s.holds) == 0 {
				s.remove()
			}
		}
	}
	return code
}

func (c *call) holds(o options, args []string) int {
	rows := [][]string{{"NAME", "TAG", "TIMESTAMP"}}
	code := 0
	for _, name := range args {
		s := c.host.findSnapshot(name)
		if s == nil {
			code = c.fail("cannot open '%s': dataset does not exist", name)
			continue
		}
		for _, h := range s.holds {
			when := h.at.UTC().Format("Mon Jan _2 15:04 2006")
			rows = append(rows, []string{s.full(), h.tag, when})
		}
	}
	if o.has('H') || len(rows) == 1 {
		rows = rows[1:]
	}
	c.columns(rows, o.has('H'))
	return code
}

// loadKey makes the key of an encrypted dataset available, or takes it away.
func (c *call) loadKey(_ options, args []string) int {
	if len(args) != 1 {
		return c.fail("missing dataset argument")
	}
	d := c.host.find(args[0])
	if d == nil || d.key == nil {
		return c.fail("cannot open '%s': dataset does not exist", args[0])
	}
	load := c.args[0] == "load-key"
	verb := map[bool]string{true: "load", false: "unload"}[load]
	if d.key.root != d {
		return c.fail("Key %s error: Keys must be %sed for encryption root of '%s' (%s).", verb, verb, d.name, d.key.root.name)
	}
	for _, at := range d.below() {
		if !load && at.key == d.key && at.busy() {
			return c.fail("Key unload error: '%s' is busy.", d.name)
		}
	}
	d.key.loaded = load
	return 0
}
