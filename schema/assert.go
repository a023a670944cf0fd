package schema

import (
	"maps"
	"path"
	"reflect"
	"regexp"
	"slices"
	"strings"
)

// Assertions are what must be true of a node itself. They are looked at and never made true: what fails is reported, and
// nothing is written.
type Assertions struct {
	CPU          *CPUAssertion                    `json:"cpu,omitempty" doc:"processors"`
	Memory       *Size                            `json:"memory,omitempty" doc:"memory as the kernel counts it, at least; a little less than what is plugged in"`
	Swap         *Size                            `json:"swap,omitempty" doc:"swap space, at least"`
	Root         *RootAssertion                   `json:"root,omitempty" doc:"file system of the node itself"`
	Version      string                           `json:"version,omitempty" pattern:"(?:(?:>=|<|=) ?[0-9]+(?:[.-][0-9]+)*(?:[, ] ?|$))+" doc:"version of PVE (pve-manager): bounds that all hold, such as '>=9.1 <10'; =9.1 means any 9.1"`
	Kernel       string                           `json:"kernel,omitempty" pattern:"(?:(?:>=|<|=) ?[0-9]+(?:[.-][0-9]+)*(?:[, ] ?|$))+" doc:"release of the running kernel, in bounds like those of version"`
	Disks        map[string]*DisksAssertion       `json:"disks,omitempty" doc:"physical disks, in groups with a name of your own; a group is the disks that its model matches"`
	Zpools       map[string]*ZpoolAssertion       `json:"zpools,omitempty" doc:"ZFS pools by name; each must be there, ONLINE and without data errors"`
	VolumeGroups map[string]*VolumeGroupAssertion `json:"volumeGroups,omitempty" doc:"LVM volume groups by name; each must be there"`
	ThinPools    map[string]*ThinPoolAssertion    `json:"thinPools,omitempty" doc:"LVM thin pools by VG/LV; each must be there"`
	Services     []string                         `json:"services,omitempty" kind:"set" pattern:"[A-Za-z0-9@_.-]+" doc:"services of PVE's list that must be running"`
	Repositories *RepositoriesAssertion           `json:"repositories,omitempty" doc:"where APT gets packages from"`
	Certificates *int                             `json:"certificates,omitempty" min:"1" doc:"days that each certificate of the node must still be valid, at least"`
	Firewall     string                           `json:"firewall,omitempty" enum:"Disabled|Enabled" doc:"whether PVE's firewall filters on this node: it does when both the cluster's and the node's own switch are on"`
}

// CPUAssertion is about the processors.
type CPUAssertion struct {
	Model   string `json:"model,omitempty" doc:"model name or pattern, such as '*E5-2603 v4*'"`
	Sockets *int   `json:"sockets,omitempty" min:"1" doc:"processors in sockets"`
	Cores   *int   `json:"cores,omitempty" min:"1" doc:"physical cores, of all sockets together"`
	Threads *int   `json:"threads,omitempty" min:"1" doc:"logical processors"`
}

// RootAssertion is about the file system of the node itself.
type RootAssertion struct {
	Size *Size `json:"size,omitempty" doc:"size, at least"`
	Used *int  `json:"used,omitempty" min:"1" max:"100" doc:"percent in use, at most"`
}

// DisksAssertion is about a group of physical disks.
type DisksAssertion struct {
	Model   string `json:"model,omitempty" doc:"which disks are meant: a model or pattern; left out: every disk"`
	Count   *int   `json:"count,omitempty" min:"0" doc:"how many there are"`
	Size    string `json:"size,omitempty" pattern:"[0-9]+(?:\\.[0-9]+)?[GT]B" doc:"size of each as its label gives it, such as 1.92TB; one percent more or less is the same"`
	Wearout *int   `json:"wearout,omitempty" min:"0" max:"100" doc:"percent of each one's life that is worn, at most, as the web page shows it"`
	SMART   string `json:"smart,omitempty" enum:"Passed" doc:"SMART health of each"`
}

// ZpoolAssertion is about a ZFS pool.
type ZpoolAssertion struct {
	Layout string `json:"layout,omitempty" enum:"single|mirror|raidz1|raidz2|raidz3|draid1|draid2|draid3" doc:"kind of every data vdev"`
	Vdevs  *int   `json:"vdevs,omitempty" min:"1" doc:"data vdevs"`
	Disks  *int   `json:"disks,omitempty" min:"1" doc:"disks in all data vdevs together; logs, caches and spares do not count"`
	Used   *int   `json:"used,omitempty" min:"1" max:"100" doc:"percent allocated, at most"`
	Scrub  *int   `json:"scrub,omitempty" min:"1" doc:"days since the pool was last scrubbed or resilvered without an error, at most"`
}

// VolumeGroupAssertion is about an LVM volume group.
type VolumeGroupAssertion struct {
	Disks *int  `json:"disks,omitempty" min:"1" doc:"physical volumes in it"`
	Size  *Size `json:"size,omitempty" doc:"size, at least"`
	Free  *Size `json:"free,omitempty" doc:"space not given to any volume, at least"`
}

// ThinPoolAssertion is about an LVM thin pool.
type ThinPoolAssertion struct {
	Size     *Size `json:"size,omitempty" doc:"size, at least"`
	Used     *int  `json:"used,omitempty" min:"1" max:"100" doc:"percent of its data space in use, at most"`
	Metadata *int  `json:"metadata,omitempty" min:"1" max:"100" doc:"percent of its metadata space in use, at most; a pool whose metadata is full stops every guest on it"`
}

// RepositoriesAssertion is about APT.
type RepositoriesAssertion struct {
	Mirrors []string `json:"mirrors" kind:"set" pattern:"[a-z+]+://[^ ]+" doc:"beginnings of addresses, such as https://mirrors.ustc.edu.cn/; every enabled repository must be at one of them"`
}

var (
	zpoolName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.:-]*$`)
	lvmName   = regexp.MustCompile(`^[A-Za-z0-9_+.][A-Za-z0-9_+.-]*$`)
	thinPool  = regexp.MustCompile(`^[A-Za-z0-9_+.][A-Za-z0-9_+.-]*/[A-Za-z0-9_+.][A-Za-z0-9_+.-]*$`)
)

// check finds what the tags cannot say.
func (a *Assertions) check(f *faults, at string) {
	if a == nil {
		return
	}
	empty := func(below string, set, says bool) {
		if set && !says {
			f.add(at+below, "says nothing: leave it out, or fill it")
		}
	}
	v := reflect.ValueOf(*a)
	empty("", true, !v.IsZero())
	for i := range v.NumField() {
		if k := v.Field(i).Kind(); k == reflect.Map || k == reflect.Slice {
			empty("."+jsonName(v.Type().Field(i)), !v.Field(i).IsNil(), v.Field(i).Len() > 0)
		}
	}
	if a.CPU != nil {
		checkGlob(f, at+".cpu.model", a.CPU.Model)
		empty(".cpu", true, *a.CPU != CPUAssertion{})
	}
	empty(".root", a.Root != nil, a.Root != nil && *a.Root != RootAssertion{})
	a.checkStorage(f, at)
	sizesWithUnits(f, reflect.ValueOf(a).Elem(), at)
}

func (a *Assertions) checkStorage(f *faults, at string) {
	for _, name := range slices.Sorted(maps.Keys(a.Disks)) {
		if d := a.Disks[name]; d != nil {
			here := at + ".disks." + name
			checkGlob(f, here+".model", d.Model)
			if d.Count == nil && d.Size == "" && d.Wearout == nil && d.SMART == "" {
				f.add(here, "says nothing of the disks: count, size, wearout or smart")
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(a.Zpools)) {
		if !zpoolName.MatchString(name) {
			f.add(at+".zpools."+name, "%q is not the name of a pool", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(a.VolumeGroups)) {
		if !lvmName.MatchString(name) {
			f.add(at+".volumeGroups."+name, "%q is not the name of a volume group", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(a.ThinPools)) {
		if !thinPool.MatchString(name) {
			f.add(at+".thinPools."+name, "%q does not name volume group and thin pool: write VG/LV, such as pve/data", name)
		}
	}
}

// sizesWithUnits: a bare number, which counts MiB, is no size a person means of a disk or of a host's memory.
func sizesWithUnits(f *faults, v reflect.Value, at string) {
	switch {
	case v.Kind() == reflect.Pointer && !v.IsNil():
		sizesWithUnits(f, v.Elem(), at)
	case v.Kind() == reflect.Map:
		m := mapOf(v)
		for _, k := range slices.Sorted(maps.Keys(m)) {
			sizesWithUnits(f, m[k], at+"."+k)
		}
	case v.Kind() == reflect.Struct && v.Type() == reflect.TypeFor[Size]():
		if s := v.Interface().(Size); s.Bare {
			f.add(at, "%q has no unit: write %sGi (or Mi, Ti)", s.Text, s.Text)
		}
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			sizesWithUnits(f, v.Field(i), at+"."+jsonName(v.Type().Field(i)))
		}
	}
}

func checkGlob(f *faults, at, pattern string) {
	if _, err := path.Match(pattern, ""); err != nil {
		f.add(at, "%q is not a pattern: %v", pattern, err)
	}
	if strings.TrimSpace(pattern) != pattern {
		f.add(at, "%q begins or ends with a blank", pattern)
	}
}
