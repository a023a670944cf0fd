package node

import (
	"cmp"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/ustclug/pve-reconcile/schema"
)

// pool is one of GET /nodes/N/disks/zfs.
type pool struct {
	Name, Health string
	Size, Alloc  number
}

// vdev is GET /nodes/N/disks/zfs/NAME, which repeats `zpool status -P`: the pool, below it its root vdev and sections (logs,
// cache, spares), below these the vdevs and their disks.
type vdev struct {
	Name, State          string
	Status, Scan, Errors string // of the pool only
	Msg                  string
	Children             []vdev
}

func zpoolReads(node string, a *schema.Assertions) []string {
	if len(a.Zpools) == 0 {
		return nil
	}
	out := []string{"/nodes/" + node + "/disks/zfs"}
	for name, w := range a.Zpools {
		out = append(out, "/nodes/"+node+"/disks/zfs/"+name)
		if w.Scrub != nil {
			out = append(out, "/nodes/"+node+"/time")
		}
	}
	return out
}

func checkZpools(want *schema.Assertions, a *answers) {
	var all []pool
	if !a.read("/disks/zfs", &all) {
		return
	}
	var names []string
	for _, p := range all {
		names = append(names, p.Name)
	}
	slices.Sort(names)
	for _, name := range slices.Sorted(maps.Keys(want.Zpools)) {
		i := slices.IndexFunc(all, func(p pool) bool { return p.Name == name })
		if i < 0 {
			a.fail("."+name, "there is no such pool; imported are: %s", listed(names))
			continue
		}
		a.zpool("."+name, want.Zpools[name], all[i])
	}
}

func (a *answers) zpool(below string, w *schema.ZpoolAssertion, p pool) {
	a.atMost(below+".used", w.Used, p.Alloc, p.Size)
	var v vdev
	told := a.read("/disks/zfs/"+p.Name, &v)
	if state := cmp.Or(v.State, p.Health); state != "ONLINE" {
		text := "is " + state
		if bad := broken(v.Children); len(bad) > 0 {
			text += ": " + strings.Join(bad, "; ")
		}
		a.fail(below, "%s", text)
	}
	if !told {
		return
	}
	if v.Errors != "" && v.Errors != "No known data errors" {
		a.fail(below, "has data errors: %s: `zpool status -v %s` on the node lists the files", v.Errors, p.Name)
	}
	a.layout(below, w, v)
	if w.Scrub != nil {
		a.scrub(below+".scrub", *w.Scrub, v.Scan)
	}
}

// broken lists vdevs and disks that are not as they should be, the innermost ones, which say most.
func broken(all []vdev) []string {
	var out []string
	for _, v := range all {
		inner := broken(v.Children)
		good := slices.Contains([]string{"", "ONLINE", "AVAIL", "INUSE"}, v.State)
		if len(inner) == 0 && !good && len(v.Children) == 0 {
			inner = []string{v.Name + " is " + v.State + after(", ", v.Msg)}
		}
		out = append(out, inner...)
	}
	return out
}

// layout checks the data vdevs: those below the root vdev, which is called like the pool.
func (a *answers) layout(below string, w *schema.ZpoolAssertion, v vdev) {
	i := slices.IndexFunc(v.Children, func(c vdev) bool { return c.Name == v.Name })
	if i < 0 {
		if w.Layout != "" || w.Vdevs != nil || w.Disks != nil {
			a.fail(below+".layout", "PVE does not tell the vdevs of the pool")
		}
		return
	}
	kinds := map[string]bool{}
	disks := 0
	for _, d := range v.Children[i].Children {
		kinds[layoutOf(d)] = true
		disks += leaves(d)
	}
	have := slices.Sorted(maps.Keys(kinds))
	if w.Layout != "" && !slices.Equal(have, []string{w.Layout}) {
		a.fail(below+".layout", "declared is %s, the data vdevs are %s", w.Layout, listed(have))
	}
	a.count(below+".vdevs", w.Vdevs, number{float64(len(v.Children[i].Children)), true})
	a.count(below+".disks", w.Disks, number{float64(disks), true})
}

// layoutOf reads the kind off a vdev's name: raidz2-0, mirror-1, draid2:8d:10c:0s-0; a path is a disk by itself.
func layoutOf(v vdev) string {
	if strings.HasPrefix(v.Name, "/") || len(v.Children) == 0 {
		return "single"
	}
	kind, _, _ := strings.Cut(v.Name, "-")
	kind, _, _ = strings.Cut(kind, ":")
	if kind == "raidz" || kind == "draid" {
		kind += "1"
	}
	return kind
}

// leaves counts disks. A disk that is being replaced, or whose spare is at work, counts once.
func leaves(v vdev) int {
	if len(v.Children) == 0 || strings.HasPrefix(v.Name, "replacing-") || strings.HasPrefix(v.Name, "spare-") {
		return 1
	}
	n := 0
	for _, c := range v.Children {
		n += leaves(c)
	}
	return n
}

// scanEnd is how zpool status ends the line of a scrub or a resilver that is over.
var scanEnd = regexp.MustCompile(`^(scrub repaired|resilvered) .* with (\d+) errors on (\w+ +\w+ +\d+ [0-9:]+ \d+)`)

// scrub compares the end of the last scan with the node's own clock: both are local times of the node.
func (a *answers) scrub(below string, days int, scan string) {
	var clock struct{ LocalTime number }
	if !a.read("/time", &clock) {
		return
	}
	m := scanEnd.FindStringSubmatch(scan)
	switch {
	case strings.HasPrefix(scan, "scrub in progress"), strings.HasPrefix(scan, "resilver in progress"):
		return
	case m == nil:
		a.fail(below, "declared is one within %s, PVE tells of none%s", plural(days, "day"), after(": ", scan))
		return
	case m[2] != "0":
		a.fail(below, "the last one found errors: %s", scan)
	}
	end, err := time.Parse("Mon Jan 2 15:04:05 2006", strings.Join(strings.Fields(m[3]), " "))
	if err != nil || !clock.LocalTime.known {
		a.fail(below, "the time of the last one cannot be read: %q", scan)
		return
	}
	now := time.Unix(int64(clock.LocalTime.value), 0).UTC()
	if age := int(now.Sub(end).Hours() / 24); age > days {
		a.fail(below, "declared is one within %s, the last ended on %s", plural(days, "day"), end.Format(time.DateOnly))
	}
}

// group is one of GET /nodes/N/disks/lvm, its physical volumes below it.
type group struct {
	Name       string
	Size, Free number
	Children   []struct{ Name string }
}

func checkVolumeGroups(want *schema.Assertions, a *answers) {
	var all struct{ Children []group }
	if !a.read("/disks/lvm", &all) {
		return
	}
	var names []string
	for _, g := range all.Children {
		names = append(names, g.Name)
	}
	slices.Sort(names)
	for _, name := range slices.Sorted(maps.Keys(want.VolumeGroups)) {
		w, below := want.VolumeGroups[name], "."+name
		i := slices.IndexFunc(all.Children, func(g group) bool { return g.Name == name })
		if i < 0 {
			a.fail(below, "there is no such volume group; there are: %s", listed(names))
			continue
		}
		g := all.Children[i]
		a.count(below+".disks", w.Disks, number{float64(len(g.Children)), true})
		a.atLeast(below+".size", w.Size, g.Size)
		a.atLeast(below+".free", w.Free, g.Free)
	}
}

// thin is one of GET /nodes/N/disks/lvmthin. Sizes are bytes.
type thin struct {
	VG, LV       string
	Size         number `json:"lv_size"`
	Used         number
	Metadata     number `json:"metadata_size"`
	MetadataUsed number `json:"metadata_used"`
}

func checkThinPools(want *schema.Assertions, a *answers) {
	var all []thin
	if !a.read("/disks/lvmthin", &all) {
		return
	}
	var names []string
	for _, t := range all {
		names = append(names, t.VG+"/"+t.LV)
	}
	slices.Sort(names)
	for _, name := range slices.Sorted(maps.Keys(want.ThinPools)) {
		w, below := want.ThinPools[name], "."+name
		i := slices.IndexFunc(all, func(t thin) bool { return t.VG+"/"+t.LV == name })
		if i < 0 {
			a.fail(below, "there is no such thin pool; there are: %s", listed(names))
			continue
		}
		a.atLeast(below+".size", w.Size, all[i].Size)
		a.atMost(below+".used", w.Used, all[i].Used, all[i].Size)
		a.atMost(below+".metadata", w.Metadata, all[i].MetadataUsed, all[i].Metadata)
	}
}
