package zhost

import (
	"maps"
	"slices"
	"strings"
)

func (c *call) get(o options, args []string) int {
	if len(args) == 0 {
		return c.misused(verbs()["get"], "missing property argument")
	}
	names := strings.Split(args[0], ",")
	if bad := checkProps(names); bad != "" && args[0] != "all" {
		return c.misused(verbs()["get"], "bad property list: invalid property '%s'", bad)
	}
	fields := strings.Split("name,property,value,source", ",")
	if text := o.last('o'); text == "all" {
		fields = strings.Split("name,property,value,received,source", ",")
	} else if text != "" {
		fields = strings.Split(text, ",")
	}
	found, ok := c.objects(choose(o, args[1:], "fvsb"))
	var rows [][]string
	if !o.has('H') && len(found) > 0 {
		rows = append(rows, fields)
		for i := range fields {
			fields[i] = strings.ToUpper(fields[i])
		}
	}
	for _, obj := range found {
		for _, name := range obj.asked(names) {
			if row := obj.row(name, fields, o); row != nil {
				rows = append(rows, row)
			}
		}
	}
	c.columns(rows, o.has('H'))
	if !ok {
		return 1
	}
	return 0
}

// asked is the list of properties, "all" written out.
func (o object) asked(names []string) []string {
	if len(names) != 1 || names[0] != "all" {
		return names
	}
	var all []string
	for _, n := range natives {
		if !strings.Contains(n.kinds, o.kind()) {
			continue
		}
		if value, _ := o.value(n.name); strings.Contains(onlyAsked, " "+n.name+" ") && value == "-" {
			continue
		}
		all = append(all, n.name)
	}
	user := map[string]bool{}
	note := func(set map[string]string) {
		for name := range set {
			if userName.MatchString(name) {
				user[name] = true
			}
		}
	}
	for d := o.d; d != nil; d = d.parent() {
		note(d.local)
		note(d.received)
	}
	if o.s != nil {
		note(o.s.local)
	}
	for _, name := range slices.Sorted(maps.Keys(user)) {
		if value, _ := o.value(name); value != "-" {
			all = append(all, name)
		}
	}
	return all
}

// row is one property in the fields that were asked for, or nil when its source was not asked for.
func (o object) row(name string, fields []string, opts options) []string {
	value, source := o.value(name)
	if n := nativeOf(name); n != nil {
		name = n.name
	}
	if only := opts.last('s'); only != "" && !sourceMatches(only, source) {
		return nil
	}
	received := "-"
	if at, ok := o.d.received[name]; ok && o.s == nil {
		received = at
	} else if o.s != nil {
		if at, ok := o.d.receivedOf(o.s, name); ok {
			received = at
		}
	}
	row := make([]string, len(fields))
	for i, f := range fields {
		switch strings.ToLower(f) {
		case "name":
			row[i] = o.name()
		case "property":
			row[i] = name
		case "value":
			row[i] = shown(name, value, opts.has('p'))
		case "received":
			row[i] = received
		case "source":
			row[i] = source
		}
	}
	return row
}

func sourceMatches(only, source string) bool {
	for want := range strings.SplitSeq(only, ",") {
		if want == "none" {
			want = "-"
		}
		if source == want || want == "inherited" && strings.HasPrefix(source, "inherited") {
			return true
		}
	}
	return false
}

// columns prints rows with tabs, or aligned to the left.
func (c *call) columns(rows [][]string, tabs bool) {
	var width []int
	for _, row := range rows {
		for i, cell := range row {
			if i == len(width) {
				width = append(width, 0)
			}
			width[i] = max(width[i], len(cell))
		}
	}
	var b strings.Builder
	for _, row := range rows {
		if tabs {
			b.WriteString(strings.Join(row, "\t") + "\n")
			continue
		}
		for i, cell := range row {
			b.WriteString(cell)
			if i < len(row)-1 {
				b.WriteString(strings.Repeat(" ", width[i]-len(cell)+2))
			}
		}
		b.WriteString("\n")
	}
	c.say("%s", b.String())
}

func (c *call) set(_ options, args []string) int {
	var pairs []string
	for len(args) > 0 && strings.Contains(args[0], "=") {
		pairs, args = append(pairs, args[0]), args[1:]
	}
	if len(pairs) == 0 || len(args) == 0 {
		return c.misused(verbs()["set"], "missing arguments")
	}
	code := 0
	for _, name := range args {
		o, ok := c.host.object(name)
		if !ok || o.b != nil {
			code = c.fail("cannot open '%s': dataset does not exist", name)
			continue
		}
		if err := o.assign(pairs); err != nil {
			code = c.fail("cannot set property for '%s': %v", name, err)
		}
	}
	return code
}

// inherit drops what was set here.
func (c *call) inherit(o options, args []string) int {
	if len(args) < 2 {
		return c.misused(verbs()["inherit"], "missing dataset argument")
	}
	name := args[0]
	if n := nativeOf(name); n != nil {
		name = n.name
		if !n.inherit && n.def == "" {
			return c.fail("'%s' property cannot be inherited", name)
		}
	} else if !userName.MatchString(name) {
		return c.misused(verbs()["inherit"], "invalid property '%s'", name)
	}
	code := 0
	for _, what := range args[1:] {
		obj, ok := c.host.object(what)
		if !ok {
			code = c.fail("cannot open '%s': dataset does not exist", what)
			continue
		}
		if obj.s != nil {
			delete(obj.s.local, name)
			continue
		}
		sets := []*dataset{obj.d}
		if o.has('r') {
			sets = obj.d.below()
		}
		for _, d := range sets {
			if name == "volmode" && d.local[name] == "none" {
				d.stuck, d.stirred = false, d.pool.tick()
			}
			delete(d.local, name)
			if _, came := d.received[name]; came {
				d.excluded[name] = !o.has('S')
			}
			d.pool.tick()
			d.guard()
		}
	}
	return code
}
