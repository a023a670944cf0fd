package zhost

import (
	"sort"
	"strconv"
	"strings"
	"time"
)

// selection is what zfs get and zfs list are asked about.
type selection struct {
	kinds string // of f, v, s, b
	depth int    // -1: all the way down
	names []string
}

// choose reads -t, -r and -d.
func choose(o options, names []string, usual string) selection {
	s := selection{kinds: usual, names: names}
	if t := o.last('t'); t != "" {
		s.kinds = ""
		for kind := range strings.SplitSeq(t, ",") {
			s.kinds += map[string]string{"filesystem": "f", "fs": "f", "volume": "v", "vol": "v", "snapshot": "s", "snap": "s", "bookmark": "b", "all": "fvsb"}[kind]
		}
	}
	switch {
	case o.has('r'):
		s.depth = -1
	case o.has('d'):
		s.depth, _ = strconv.Atoi(o.last('d'))
	case len(names) == 0:
		s.depth = -1
	case strings.Trim(s.kinds, "sb") == "" && s.kinds != "" && o.has('t'):
		s.depth = 1
	}
	return s
}

// objects lists what is selected, in zfs's order; missing names are told one by one.
func (c *call) objects(s selection) (found []object, ok bool) {
	ok = true
	names := s.names
	if len(names) == 0 {
		names = c.host.poolNames()
	}
	seen := map[string]bool{}
	add := func(o object) {
		if !seen[o.name()] && strings.Contains(s.kinds, o.kind()) {
			seen[o.name()] = true
			found = append(found, o)
		}
	}
	for _, name := range names {
		o, there := c.host.object(strings.TrimSuffix(name, "/%recv"))
		if !there || strings.HasSuffix(name, "/%recv") && (o.d.partial == nil || o.d.inconsistent) {
			c.warn("cannot open '%s': dataset does not exist", name)
			ok = false
			continue
		}
		if o.s != nil || o.b != nil {
			if !strings.Contains(s.kinds, o.kind()) {
				s.kinds += o.kind()
			}
			add(o)
			continue
		}
		o.d.walk(s.depth, add)
	}
	sort.SliceStable(found, func(i, j int) bool { return objectLess(found[i], found[j]) })
	return found, ok
}

// walk goes down so many levels; snapshots are one level below their dataset.
func (d *dataset) walk(depth int, add func(object)) {
	add(object{d: d})
	if depth == 0 {
		return
	}
	for _, s := range d.snaps {
		add(object{d: d, s: s})
	}
	for _, b := range d.marks {
		add(object{d: d, b: b})
	}
	for _, child := range d.children() {
		child.walk(depth-1, add)
	}
}

func objectLess(a, b object) bool {
	if a.d != b.d {
		return nameLess(a.d.name, b.d.name)
	}
	rank := func(o object) (int, uint64) {
		switch {
		case o.s != nil:
			return 1, o.s.txg
		case o.b != nil:
			return 2, o.b.txg
		}
		return 0, 0
	}
	ka, ta := rank(a)
	kb, tb := rank(b)
	return ka < kb || ka == kb && ta < tb
}

// shown is a value as it is printed.
func shown(name, value string, exact bool) string {
	if exact {
		return value
	}
	n := nativeOf(name)
	bytes, err := strconv.ParseInt(value, 10, 64)
	switch {
	case err != nil:
		return value
	case strings.HasPrefix(name, "written@"):
		return human(bytes)
	case n == nil:
		return value
	case n.name == "creation":
		return time.Unix(bytes, 0).UTC().Format("Mon Jan _2 15:04 2006")
	case n.size && bytes == 0 && n.edit:
		return "none"
	case n.size:
		return human(bytes)
	case strings.HasSuffix(n.name, "compressratio"):
		return value + "x"
	}
	return value
}

func checkProps(names []string) string {
	for _, name := range names {
		if nativeOf(name) == nil && name != "name" && !userName.MatchString(name) && !strings.HasPrefix(name, "written@") && !strings.HasPrefix(name, "written#") {
			return name
		}
	}
	return ""
}

func (c *call) list(o options, args []string) int {
	columns := strings.Split("name,used,available,referenced,mountpoint", ",")
	if text := o.last('o'); text != "" {
		columns = strings.Split(text, ",")
	}
	if bad := checkProps(columns); bad != "" {
		c.warn("bad property list: invalid property '%s'", bad)
		return 2
	}
	found, ok := c.objects(choose(o, args, "fv"))
	order(found, o)
	var rows [][]string
	if !o.has('H') && len(found) > 0 {
		var head []string
		for _, col := range columns {
			head = append(head, strings.ToUpper(heading(col)))
		}
		rows = append(rows, head)
	}
	for _, obj := range found {
		var row []string
		for _, col := range columns {
			value := obj.name()
			if col != "name" {
				value, _ = obj.value(col)
				value = shown(col, value, o.has('p'))
			}
			row = append(row, value)
		}
		rows = append(rows, row)
	}
	c.table(rows, o.has('H'), columns)
	if !ok {
		return 1
	}
	if len(found) == 0 && !o.has('H') && len(args) == 0 {
		c.warn("no datasets available")
	}
	return 0
}

// heading is the short name of a property over its column.
func heading(col string) string {
	switch col {
	case "available":
		return "avail"
	case "referenced":
		return "refer"
	}
	return col
}

// order sorts by -s and -S.
func order(found []object, o options) {
	for _, opt := range o {
		if opt.name != 's' && opt.name != 'S' {
			continue
		}
		sort.SliceStable(found, func(i, j int) bool {
			a, b := i, j
			if opt.name == 'S' {
				a, b = j, i
			}
			va, _ := found[a].value(opt.value)
			vb, _ := found[b].value(opt.value)
			na, erra := strconv.ParseUint(va, 10, 64)
			nb, errb := strconv.ParseUint(vb, 10, 64)
			if opt.value == "name" {
				return objectLess(found[a], found[b])
			}
			if erra == nil && errb == nil {
				return na < nb
			}
			return va < vb
		})
	}
}

// table prints rows with tabs, or aligned.
func (c *call) table(rows [][]string, tabs bool, columns []string) {
	width := make([]int, len(columns))
	for _, row := range rows {
		for i, cell := range row {
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
			pad := strings.Repeat(" ", width[i]-len(cell))
			n := nativeOf(columns[i])
			switch {
			case n != nil && n.size:
				b.WriteString(pad + cell)
			case i == len(row)-1:
				b.WriteString(cell)
			default:
				b.WriteString(cell + pad)
			}
			if i < len(row)-1 {
				b.WriteString("  ")
			}
		}
		b.WriteString("\n")
	}
	c.say("%s", b.String())
}
