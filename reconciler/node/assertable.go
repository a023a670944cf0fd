package node

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"

	"github.com/ustclug/pve-reconcile/schema"
)

// What a draft asserts where the manifest needs a number that nobody has said.
const (
	usualUse   = 80 // percent in use or worn, at most
	usualScrub = 40 // days, since Debian scrubs pools once a month
	usualWarn  = 14 // days that a certificate must still be valid
)

// drawAssertions asserts what is seen: numbers that hold now, and health that should.
func (d *drafting) drawAssertions() {
	a := &schema.Assertions{}
	d.drawStatus(a)
	d.drawDisks(a)
	d.drawPools(a)
	d.drawLVM(a)
	d.drawServices(a)
	if !reflect.ValueOf(*a).IsZero() {
		d.Node.Spec.Assert = a
	}
}

func (d *drafting) drawStatus(a *schema.Assertions) {
	d.field = "assert.status"
	s, ok := d.status()
	if !ok {
		return
	}
	if c := s.CPUInfo; c.Model != "" || c.Sockets.known {
		a.CPU = &schema.CPUAssertion{Model: literal(c.Model), Sockets: counted(c.Sockets), Cores: counted(c.Cores), Threads: counted(c.CPUs)}
	}
	a.Memory, a.Swap = floored(s.Memory.Total), floored(s.Swap.Total)
	a.Root = &schema.RootAssertion{Size: floored(s.RootFS.Total), Used: limit(percent(s.RootFS.Used, s.RootFS.Total))}
	if a.Root.Size == nil && a.Root.Used == nil {
		a.Root = nil
	}
	version, _, _ := strings.Cut(strings.TrimPrefix(s.PVEVersion, "pve-manager/"), "/")
	if v := numbers(version); len(v) > 1 {
		a.Version = fmt.Sprintf(">=%d.%d <%d", v[0], v[1], v[0]+1)
	}
	if v := numbers(s.CurrentKernel.Release); len(v) > 1 {
		a.Kernel = fmt.Sprintf(">=%d.%d", v[0], v[1])
	}
}

// counted is a number that can be asserted, if it is known.
func counted(n number) *int {
	if !n.known || n.int() < 1 {
		return nil
	}
	return new(n.int())
}

// floored is a size in the largest unit that leaves something, rounded down.
func floored(n number) *schema.Size {
	for _, unit := range []int64{1 << 30, schema.MiB} {
		if whole := int64(n.value) / unit; n.known && whole > 0 {
			return &schema.Size{Bytes: whole * unit}
		}
	}
	return nil
}

// limit is what may be in use: the usual, or a little more than there is.
func limit(used int, known bool) *int {
	if !known {
		return nil
	}
	return new(min(100, max(usualUse, (used+4)/5*5)))
}

// literal is a pattern that matches the text: what patterns take as signs becomes any one character.
func literal(text string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if strings.ContainsRune(`*?[]\`, r) {
			return '?'
		}
		return r
	}, text))
}

func (d *drafting) drawDisks(a *schema.Assertions) {
	d.field = "assert.disks"
	var all []disk
	if !d.read("/disks/list", &all) {
		return
	}
	models := map[string][]disk{}
	for _, k := range all {
		models[strings.TrimSpace(k.Model)] = append(models[strings.TrimSpace(k.Model)], k)
	}
	for _, model := range slices.Sorted(maps.Keys(models)) {
		if name := slug(model); model == "" || a.Disks[name] != nil {
			d.leave("assert.disks", "", model, "%s: no group of disks tells them apart", plural(len(models[model]), "disk"))
		} else {
			if a.Disks == nil {
				a.Disks = map[string]*schema.DisksAssertion{}
			}
			a.Disks[name] = disksOf(model, models[model])
		}
	}
}

// slug is a model as the name of a group: letters and digits, in small.
func slug(model string) string {
	return strings.Join(strings.FieldsFunc(strings.ToLower(model), func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') }), "-")
}

func disksOf(model string, group []disk) *schema.DisksAssertion {
	w := &schema.DisksAssertion{Model: literal(model), Count: new(len(group)), Size: labelled(group[0].Size)}
	worn, told := 0, true
	for _, k := range group {
		if size := labelBytes(w.Size); size == 0 || math.Abs(k.Size.value-size) > size*0.01 {
			w.Size = ""
		}
		told = told && k.Wearout.known
		worn = max(worn, 100-k.Wearout.int())
		if k.Health == "PASSED" || k.Health == "OK" {
			w.SMART = "Passed" // they can tell, and should
		}
	}
	w.Wearout = limit(worn, told)
	return w
}

func (d *drafting) drawPools(a *schema.Assertions) {
	d.field = "assert.zpools"
	var all []pool
	if !d.read(poolsPath, &all) || len(all) == 0 {
		return
	}
	a.Zpools = map[string]*schema.ZpoolAssertion{}
	for _, p := range all {
		w := &schema.ZpoolAssertion{Used: limit(percent(p.Alloc, p.Size))}
		a.Zpools[p.Name] = w
		var v vdev
		if !d.read(poolsPath+"/"+p.Name, &v) {
			continue
		}
		i := slices.IndexFunc(v.Children, func(c vdev) bool { return c.Name == v.Name })
		if i >= 0 {
			kinds, disks := map[string]bool{}, 0
			for _, c := range v.Children[i].Children {
				kinds[layoutOf(c)] = true
				disks += leaves(c)
			}
			if len(kinds) == 1 {
				w.Layout = slices.Collect(maps.Keys(kinds))[0]
			}
			w.Vdevs, w.Disks = counted(number{float64(len(v.Children[i].Children)), true}), counted(number{float64(disks), true})
		}
		if scanEnd.MatchString(v.Scan) {
			w.Scrub = new(usualScrub)
		}
	}
}

func (d *drafting) drawLVM(a *schema.Assertions) {
	d.field = "assert.volumeGroups"
	var groups struct{ Children []group }
	if d.read("/disks/lvm", &groups) && len(groups.Children) > 0 {
		a.VolumeGroups = map[string]*schema.VolumeGroupAssertion{}
		for _, g := range groups.Children {
			a.VolumeGroups[g.Name] = &schema.VolumeGroupAssertion{Disks: counted(number{float64(len(g.Children)), true})}
		}
	}
	d.field = "assert.thinPools"
	var thins []thin
	if d.read("/disks/lvmthin", &thins) && len(thins) > 0 {
		a.ThinPools = map[string]*schema.ThinPoolAssertion{}
		for _, t := range thins {
			a.ThinPools[t.VG+"/"+t.LV] = &schema.ThinPoolAssertion{Used: limit(percent(t.Used, t.Size)), Metadata: limit(percent(t.MetadataUsed, t.Metadata))}
		}
	}
}

// drawServices asserts services, repositories, firewall and certificates.
func (d *drafting) drawServices(a *schema.Assertions) {
	d.field = "assert.services"
	var services []service
	if d.read("/services", &services) {
		for _, s := range services {
			if s.State == "running" {
				a.Services = append(a.Services, cmp.Or(s.Service, s.Name))
			}
		}
		slices.Sort(a.Services)
	}
	d.field = "assert.repositories"
	var apt repositories
	if d.read("/apt/repositories", &apt) {
		mirrors := map[string]bool{}
		for _, f := range apt.Files {
			for _, r := range f.Repositories {
				for _, uri := range r.URIs {
					if r.Enabled.value != 0 {
						mirrors[mirror(uri)] = true
					}
				}
			}
		}
		if len(mirrors) > 0 {
			a.Repositories = &schema.RepositoriesAssertion{Mirrors: slices.Sorted(maps.Keys(mirrors))}
		}
	}
	d.field = "assert.firewall"
	if all, here, told := d.switches(); told {
		a.Firewall = map[bool]string{true: "Enabled", false: "Disabled"}[all && here]
	}
	d.field = "assert.certificates"
	var all []certificate
	if d.read(certificatesPath, &all) && len(all) > 0 {
		a.Certificates = new(usualWarn)
	}
}

// mirror is the beginning of an address: scheme and host.
func mirror(uri string) string {
	scheme, rest, _ := strings.Cut(uri, "://")
	host, _, _ := strings.Cut(rest, "/")
	return scheme + "://" + host + "/"
}
