package zhost

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// zpool runs one zpool command.
func (c *call) zpool() int {
	if len(c.args) == 0 {
		c.warn("missing command\nusage: zpool command args ...")
		return 2
	}
	name, flags := c.args[0], "HpvPo:T:"
	if name == "status" {
		flags = "vxPLt"
	}
	o, args, err := parse(c.args[1:], flags)
	if err != nil {
		c.warn("%v\nusage: zpool %s", err, name)
		return 2
	}
	c.host.mu.Lock()
	defer c.host.mu.Unlock()
	if err := c.host.refresh(); err != nil {
		return c.fail("simulator: %v", err)
	}
	switch name {
	case "version":
		c.say("zfs-%s\nzfs-kmod-%s\n", c.host.Version, c.host.Version)
		return 0
	case "sync":
		return 0
	case "list":
		return c.poolList(o, args)
	case "get":
		return c.poolGet(o, args)
	case "status":
		return c.poolStatus(o, args)
	}
	c.warn("unrecognized command '%s'\nusage: zpool command args ...", name)
	return 2
}

// pools finds the pools that are named, or all.
func (c *call) pools(names []string) ([]*pool, int) {
	code := 0
	if len(names) == 0 {
		names = c.host.poolNames()
	}
	var found []*pool
	for _, name := range names {
		p := c.host.pools[name]
		if p == nil {
			code = c.fail("cannot open '%s': no such pool", name)
			continue
		}
		found = append(found, p)
	}
	return found, code
}

// poolProps are what zpool get all shows, in its order.
var poolProps = strings.Fields("size capacity altroot health guid version bootfs delegation autoreplace cachefile failmode listsnapshots autoexpand " +
	"dedupratio free allocated readonly ashift comment expandsize freeing fragmentation leaked multihost checkpoint load_guid autotrim compatibility")

var poolAliases = map[string]string{"alloc": "allocated", "cap": "capacity", "frag": "fragmentation", "dedup": "dedupratio", "ckpoint": "checkpoint", "expandsz": "expandsize", "ckpt": "checkpoint"}

func (p *pool) value(name string, exact bool) (value, source string, ok bool) {
	size := func(n int64) string { return sizeText(n, exact) }
	percent := func(n int64) string {
		if exact {
			return strconv.FormatInt(n, 10)
		}
		return fmt.Sprintf("%d%%", n)
	}
	if full, is := poolAliases[name]; is {
		name = full
	}
	raw, alloc := p.raw(), min(p.raw(), p.allocated())
	switch name {
	case "name":
		return p.name, "-", true
	case "size":
		return size(raw), "-", true
	case "allocated":
		return size(alloc), "-", true
	case "free":
		return size(raw - alloc), "-", true
	case "capacity":
		return percent(alloc * 100 / raw), "-", true
	case "fragmentation":
		return percent(0), "-", true
	case "health":
		return p.health, "-", true
	case "guid", "load_guid":
		return strconv.FormatUint(p.guid, 10), "-", true
	case "ashift":
		return strconv.Itoa(int(p.ashift)), "local", true
	case "dedupratio":
		return map[bool]string{true: "1.00", false: "1.00x"}[exact], "-", true
	case "readonly":
		return "off", "-", true
	case "freeing", "leaked":
		return "0", "-", true
	case "autotrim", "autoexpand", "autoreplace", "listsnapshots", "multihost", "compatibility":
		return "off", "default", true
	case "delegation":
		return "on", "default", true
	case "failmode":
		return "wait", "default", true
	}
	if f, is := strings.CutPrefix(name, "feature@"); is {
		if state, known := p.features[f]; known {
			return state, "local", true
		}
		return "-", "-", true
	}
	return "-", "-", slices.Contains(poolProps, name)
}

func (c *call) poolList(o options, args []string) int {
	columns := strings.Fields("name size alloc free ckpoint expandsz frag cap dedup health altroot")
	if text := o.last('o'); text != "" {
		columns = strings.Split(text, ",")
	}
	found, code := c.pools(args)
	var rows [][]string
	if !o.has('H') && len(found) > 0 {
		var head []string
		for _, col := range columns {
			head = append(head, strings.ToUpper(col))
		}
		rows = append(rows, head)
	}
	for _, p := range found {
		var row []string
		for _, col := range columns {
			value, _, ok := p.value(col, o.has('p'))
			if !ok {
				c.warn("bad property list: invalid property '%s'", col)
				return 2
			}
			row = append(row, value)
		}
		rows = append(rows, row)
		if o.has('v') {
			rows = append(rows, p.vdevRows(o.has('H'), o.has('p'), len(columns))...)
		}
	}
	c.columns(rows, o.has('H'))
	return code
}

func sizeText(n int64, exact bool) string {
	if exact {
		return strconv.FormatInt(n, 10)
	}
	return human(n)
}

// vdevRows are the lines of zpool list -v under the pool's.
func (p *pool) vdevRows(tabs, exact bool, columns int) [][]string {
	indent := "  "
	if tabs {
		indent = "\t"
	}
	var rows [][]string
	line := func(name, size, health string) {
		row := slices.Repeat([]string{"-"}, columns)
		row[0] = name
		if columns > 9 {
			row[1], row[9] = size, health
		}
		rows = append(rows, row[:min(columns, 10)])
	}
	disk := 0
	for i, v := range p.vdevs {
		if v.kind != "disk" {
			line(fmt.Sprintf("%s%s-%d", indent, v.kind, i), sizeText(v.size(p.disk), exact), "ONLINE")
		}
		for range v.disks {
			line(indent+p.diskName(disk), "-", "ONLINE")
			disk++
		}
	}
	return rows
}

func (p *pool) diskName(n int) string { return fmt.Sprintf("virtio-pool%d-part1", n) }

func (c *call) poolGet(o options, args []string) int {
	if len(args) == 0 {
		c.warn("missing property argument\nusage: zpool get")
		return 2
	}
	names := strings.Split(args[0], ",")
	fields := strings.Split("name,property,value,source", ",")
	if text := o.last('o'); text != "" {
		fields = strings.Split(text, ",")
	}
	found, code := c.pools(args[1:])
	var rows [][]string
	if !o.has('H') {
		rows = append(rows, []string{"NAME", "PROPERTY", "VALUE", "SOURCE"})
	}
	for _, p := range found {
		asked := names
		if args[0] == "all" {
			asked = slices.Clone(poolProps)
			for _, f := range slices.Sorted(maps.Keys(p.features)) {
				asked = append(asked, "feature@"+f)
			}
		}
		for _, name := range asked {
			value, source, ok := p.value(name, o.has('p'))
			if !ok {
				c.warn("bad property list: invalid property '%s'", name)
				return 2
			}
			var row []string
			for _, f := range fields {
				row = append(row, map[string]string{"name": p.name, "property": name, "value": value, "source": source}[f])
			}
			rows = append(rows, row)
		}
	}
	c.columns(rows, o.has('H'))
	return code
}

func (c *call) poolStatus(o options, args []string) int {
	found, code := c.pools(args)
	if o.has('x') {
		sick := slices.DeleteFunc(slices.Clone(found), func(p *pool) bool { return p.health == "ONLINE" })
		if len(sick) == 0 {
			c.say("all pools are healthy\n")
			return code
		}
		found = sick
	}
	for i, p := range found {
		if i > 0 {
			c.say("\n")
		}
		c.say("%s", p.status())
	}
	return code
}

func (p *pool) status() string {
	var names []string
	add := func(depth int, name string) { names = append(names, strings.Repeat("  ", depth)+name) }
	add(0, p.name)
	disk := 0
	for i, v := range p.vdevs {
		depth := 1
		if v.kind != "disk" {
			add(1, fmt.Sprintf("%s-%d", v.kind, i))
			depth = 2
		}
		for range v.disks {
			add(depth, p.diskName(disk))
			disk++
		}
	}
	width := 4
	for _, n := range names {
		width = max(width, len(n))
	}
	var b strings.Builder
	fmt.Fprintf(&b, "  pool: %s\n state: %s\nconfig:\n\n\t%-*s  STATE     READ WRITE CKSUM\n", p.name, p.health, width, "NAME")
	for i, n := range names {
		state := "ONLINE"
		if i == 0 {
			state = p.health
		}
		fmt.Fprintf(&b, "\t%-*s  %-8s     0     0     0\n", width, n, state)
	}
	b.WriteString("\nerrors: No known data errors\n")
	return b.String()
}
