package sim

import (
	"fmt"
	"strconv"
	"strings"
)

// hostReads are the API paths below /nodes/NAME/disks that a real host answers: the command, and how PVE shows what it prints
// (src: API2/Disks/ZFS.pm, LVM.pm, LVMThin.pm). "POOL" in a command is the end of the path.
var hostReads = map[string]struct {
	command string
	show    func(text string) (any, error)
}{
	"zfs":      {"zpool list -Hp -o name,size,alloc,free,frag,dedup,health", showPools},
	"zfs/POOL": {"zpool status -P POOL", showPool},
	"lvm": {"vgs --noheadings --units b --nosuffix --separator '\t' -o vg_name,vg_size,vg_free,lv_count && echo && " +
		"pvs --noheadings --units b --nosuffix --separator '\t' -o vg_name,pv_name,pv_size,pv_free", showGroups},
	"lvmthin": {"lvs --noheadings --units b --nosuffix --separator '\t' -S segtype=thin-pool " +
		"-o vg_name,lv_name,lv_size,data_percent,lv_metadata_size,metadata_percent", showThin},
}

// readDisks is the answer of a real host for a path, if it has one.
func (n *Node) readDisks(path string) (answer any, ok bool, err error) {
	what, under := strings.CutPrefix(path, "/nodes/"+n.Name+"/disks/")
	if !under || n.shell == nil {
		return nil, false, nil
	}
	pool, isPool := strings.CutPrefix(what, "zfs/")
	if isPool {
		what = "zfs/POOL"
	}
	read, ok := hostReads[what]
	if !ok {
		return nil, false, nil
	}
	text, err := n.shell(strings.ReplaceAll(read.command, "POOL", quoted(pool)))
	if err != nil {
		return nil, true, dief("%v", err)
	}
	answer, err = read.show(text)
	return answer, true, err
}

// fieldsOf splits lines of tab-separated fields; others than so many are an error.
func fieldsOf(text string, count int) ([][]string, error) {
	var rows [][]string
	for _, line := range strings.Split(text, "\n") {
		if strings.TrimSpace(line) == "" {
			continue
		}
		fields := strings.Split(strings.TrimLeft(line, " "), "\t")
		if len(fields) != count {
			return nil, fmt.Errorf("%q has %d fields instead of %d", line, len(fields), count)
		}
		rows = append(rows, fields)
	}
	return rows, nil
}

func showPools(text string) (any, error) {
	rows := []any{}
	lines, err := fieldsOf(text, 7)
	for _, f := range lines {
		dedup, _ := strconv.ParseFloat(f[5], 64) // "-" on a pool that cannot be read
		rows = append(rows, map[string]any{"name": f[0], "size": exact(f[1]), "alloc": exact(f[2]), "free": exact(f[3]), "frag": exact(f[4]), "dedup": dedup, "health": f[6]})
	}
	return rows, err
}

// vdev is a line of `zpool status` with what is below it.
type vdev struct {
	Name     string  `json:"name"`
	State    string  `json:"state,omitempty"`
	Read     int64   `json:"read"`
	Write    int64   `json:"write"`
	Cksum    int64   `json:"cksum"`
	Msg      string  `json:"msg"`
	Leaf     int     `json:"leaf"`
	Children []*vdev `json:"children,omitempty"`
}

// showPool reads `zpool status`: "key: text" lines, and a table whose indentation is the tree.
func showPool(text string) (any, error) {
	answer := map[string]any{"leaf": 0}
	root, last, table := &vdev{}, "", false
	stack := []*vdev{root}
	for _, line := range strings.Split(text, "\n") {
		key, value, isKey := strings.Cut(strings.TrimSpace(line), ":")
		switch {
		case strings.TrimSpace(line) == "":
		case !strings.HasPrefix(line, "\t") && isKey:
			last, table = key, key == "config"
			if !table {
				answer[key] = strings.TrimSpace(value)
			}
		case !table:
			answer[last] = fmt.Sprint(answer[last], "\n", strings.TrimSpace(line))
		case !strings.HasPrefix(line, "\tNAME "):
			var err error
			if stack, err = grow(stack, line); err != nil {
				return nil, err
			}
		}
	}
	answer["name"] = answer["pool"]
	delete(answer, "pool")
	markLeaves(root.Children)
	answer["children"] = root.Children
	return answer, nil
}

// grow hangs a line of the table into the tree; stack is the way to the last one.
func grow(stack []*vdev, line string) ([]*vdev, error) {
	text := strings.TrimPrefix(line, "\t")
	depth := (len(text) - len(strings.TrimLeft(text, " "))) / 2
	f := strings.Fields(text)
	if depth >= len(stack) {
		return nil, fmt.Errorf("zpool status: %q is too deep", line)
	}
	d := &vdev{Name: f[0]}
	if len(f) >= 5 {
		d.State, d.Read, d.Write, d.Cksum, d.Msg = f[1], exact(f[2]), exact(f[3]), exact(f[4]), strings.Join(f[5:], " ")
	}
	above := stack[depth]
	above.Children = append(above.Children, d)
	return append(stack[:depth+1:depth+1], d), nil
}

func markLeaves(list []*vdev) {
	for _, d := range list {
		if len(d.Children) == 0 {
			d.Leaf = 1
		}
		markLeaves(d.Children)
	}
}

// showGroups reads volume groups, an empty line, and their physical volumes.
func showGroups(text string) (any, error) {
	first, second, _ := strings.Cut(text, "\n\n")
	groups, err := fieldsOf(first, 4)
	if err != nil {
		return nil, err
	}
	volumes, err := fieldsOf(second, 4)
	if err != nil {
		return nil, err
	}
	rows := []any{}
	for _, g := range groups {
		children := []any{}
		for _, v := range volumes {
			if v[0] == g[0] {
				children = append(children, map[string]any{"name": v[1], "size": exact(v[2]), "free": exact(v[3]), "leaf": 1})
			}
		}
		rows = append(rows, map[string]any{"name": g[0], "size": exact(g[1]), "free": exact(g[2]), "lvcount": exact(g[3]), "leaf": 0, "children": children})
	}
	return map[string]any{"leaf": 0, "children": rows}, nil
}

func showThin(text string) (any, error) {
	rows := []any{}
	lines, err := fieldsOf(text, 6)
	for _, f := range lines {
		rows = append(rows, map[string]any{
			"vg": f[0], "lv": f[1], "lv_size": exact(f[2]), "used": share(f[2], f[3]),
			"metadata_size": exact(f[4]), "metadata_used": share(f[4], f[5]),
		})
	}
	return rows, err
}

// share is so many percent of a size.
func share(size, percent string) int64 {
	p, err := strconv.ParseFloat(percent, 64)
	if err != nil {
		return 0
	}
	return int64(float64(exact(size)) * p / 100)
}
