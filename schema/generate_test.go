package schema

import (
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"

	"pgregory.net/rapid"
)

// byKind are generators of text for the kinds whose form the tags do not say.
var byKind = map[string]*rapid.Generator[string]{
	"mac":         rapid.StringMatching(`[0-9A-Fa-f][02468ACEace](:[0-9A-Fa-f]{2}){5}`),
	"uuid":        rapid.StringMatching(`[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}`),
	"name":        rapid.StringMatching(`[A-Za-z0-9]([A-Za-z0-9-]{0,5}[A-Za-z0-9])?(\.[a-z0-9]{1,5}){0,2}`),
	"storage":     rapid.StringMatching(`[A-Za-z][A-Za-z0-9_.-]{0,5}[A-Za-z0-9]`),
	"volid":       rapid.StringMatching(`[A-Za-z][a-z0-9_.-]{0,5}[a-z0-9]:[a-z0-9/=;._-]{0,12}[a-z]`),
	"addresses":   rapid.SampledFrom([]string{"10.0.0.53", "2001:db8::53", "ns1.example.org"}),
	"ip4":         rapid.SampledFrom([]string{"10.0.0.1", "192.0.2.254"}),
	"ip6":         rapid.SampledFrom([]string{"2001:db8::1", "FE80::1"}),
	"cidr4":       rapid.SampledFrom([]string{"10.0.0.2/24", "192.0.2.0/31"}),
	"cidr6":       rapid.SampledFrom([]string{"2001:db8::2/64", "FE80::2/10"}),
	"description": rapid.StringMatching(`[ -~\n\täöü€%#:"']{0,40}[a-z]\s{0,3}`),
	"base64":      rapid.StringMatching(`[ -~ä]{1,20}`),
	"urlencoded":  rapid.StringMatching(`[!-~]{1,20}`),
	"sshkeys":     rapid.StringMatching(`ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI[A-P][A-Za-z0-9+/]{42}( [a-z@+]{1,9})?`),
	"secret":      rapid.StringMatching(`\$6\$[a-z]{3}\$[A-Za-z0-9./]{5}`),
}

// maker draws values for the fields of a struct, by their types and tags.
type maker struct {
	t    *rapid.T
	seen map[string]bool // MACs and volumes, which are unique in a guest
}

// fill draws every field that must be given, and some of the others.
func (m maker) fill(v reflect.Value, path string) {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if !f.IsExported() || jsonName(f) == "" {
			continue
		}
		at := path + "." + jsonName(f)
		if required(f) || rapid.IntRange(0, 3).Draw(m.t, at+"?") == 0 {
			m.value(v.Field(i), f, at)
		}
	}
}

func (m maker) value(v reflect.Value, f reflect.StructField, at string) {
	switch {
	case v.Kind() == reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		m.value(v.Elem(), f, at)
	case v.Type() == reflect.TypeFor[Size]():
		v.Set(reflect.ValueOf(m.size(f, at)))
	case v.Kind() == reflect.Struct:
		m.fill(v, at)
	case f.Name == "Overrule":
		name := rapid.SampledFrom([]string{"discard", "agent", "onboot", "mac", "vmid"}).Draw(m.t, at)
		v.Set(reflect.ValueOf(map[string]string{name: "it has its reasons"}))
	case v.Kind() == reflect.Map:
		m.slots(v, f, at)
	case v.Type() == reflect.TypeFor[[]Ignored]():
		path := rapid.SampledFrom([]string{"spec.description", "spec.networks", "spec.cpu.flags", "spec.disks.scsi1.size"}).Draw(m.t, at)
		v.Set(reflect.ValueOf([]Ignored{{Path: path, Reason: "others look after it"}}))
	case v.Kind() == reflect.Slice:
		words := rapid.SliceOfNDistinct(m.text(f), 1, 3, rapid.ID[string]).Draw(m.t, at)
		v.Set(reflect.ValueOf(words))
	case v.Kind() == reflect.String:
		v.SetString(m.text(f).Draw(m.t, at))
	case v.Kind() == reflect.Bool:
		v.SetBool(rapid.Bool().Draw(m.t, at))
	default:
		m.number(v, f, at)
	}
}

func (m maker) number(v reflect.Value, f reflect.StructField, at string) {
	lo, hi := 0.0, 5000.0
	_, _ = fmt.Sscan(f.Tag.Get("min"), &lo) // absent: as above
	_, _ = fmt.Sscan(f.Tag.Get("max"), &hi)
	if v.Kind() == reflect.Int {
		v.SetInt(int64(rapid.IntRange(int(lo), int(hi)).Draw(m.t, at)))
		return
	}
	v.SetFloat(math.Round(rapid.Float64Range(lo, hi).Draw(m.t, at)*100) / 100)
}

func (m maker) size(f reflect.StructField, at string) Size {
	mib := rapid.Int64Range(16, 1<<20).Draw(m.t, at)
	s := Size{Bytes: mib * MiB, Text: fmt.Sprint(mib) + "Mi"}
	switch {
	case f.Tag.Get("kind") == "mebibytes" && mib >= 128 && rapid.Bool().Draw(m.t, at+" bare"):
		s.Text, s.Bare = fmt.Sprint(mib), true
	case mib%1024 == 0:
		s.Text = fmt.Sprint(mib/1024) + "Gi"
	}
	return s
}

func (m maker) text(f reflect.StructField) *rapid.Generator[string] {
	l := leaf(f, nil, "")
	switch {
	case f.Name == "MaintenanceWindows":
		return rapid.SampledFrom([]string{"daily 02:00-06:00", "Sat,Sun 22:00-04:00 UTC", "Mon-Fri 00:00-24:00 Asia/Shanghai"})
	case f.Name == "Start":
		return rapid.SampledFrom([]string{"now", "2020-01-02", "2020-01-02T03:04:05"})
	case l.Enum != nil:
		return rapid.SampledFrom(l.Enum)
	case l.Pattern != nil && l.kind.name != "secret" && l.kind.name != "urlencoded" && l.kind.name != "addresses":
		return rapid.StringMatching(f.Tag.Get("pattern")).Filter(func(s string) bool {
			return s != "" && strings.TrimSpace(s) == s && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' })
		})
	case byKind[l.kind.name] != nil:
		return byKind[l.kind.name]
	}
	return rapid.StringMatching(`[!-+\--~]{1,12}`)
}

func (m maker) slots(v reflect.Value, f reflect.StructField, at string) {
	v.Set(reflect.MakeMap(v.Type()))
	for range rapid.IntRange(1, 3).Draw(m.t, at+" slots") {
		s := rapid.SampledFrom(slotsOf(f.Tag.Get("pve"))).Draw(m.t, at+" family")
		key := s.Prefix + itoa(rapid.IntRange(0, s.Max).Draw(m.t, at+" slot"))
		elem := reflect.New(v.Type().Elem()).Elem()
		m.value(elem, f, at+"."+key)
		v.SetMapIndex(reflect.ValueOf(key), elem)
	}
}

// vms draws valid guests, of any fields.
func vms() *rapid.Generator[VM] {
	return rapid.Custom(func(t *rapid.T) VM {
		m := maker{t, map[string]bool{}}
		v := VM{TypeMeta: TypeMeta{APIVersion, KindVM}, Metadata: Metadata{Name: byKind["name"].Draw(t, "name")}}
		m.fill(reflect.ValueOf(&v.Spec).Elem(), "spec")
		m.drives(&v.Spec)
		m.sense(&v.Spec)
		return v
	})
}

// drives gives each drive one thing to hold, and only options of its bus.
func (m maker) drives(s *VMSpec) {
	for key, d := range s.Disks {
		bus, _ := cutNumber(key)
		v := reflect.ValueOf(d).Elem()
		for i := range v.NumField() {
			prop, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("prop"), ",")
			if on := busOptions[prop]; on != nil && !slices.Contains(on, bus) {
				v.Field(i).SetZero()
			}
		}
		size := m.size(reflect.StructField{}, key+" size")
		d.Storage, d.Size, d.Volume, d.ImportFrom, d.CDROM, d.CloudInit = "", nil, "", "", "", nil
		switch rapid.SampledFrom([]string{"new", "import", "volume", "cdrom", "none", "cloudinit"}).Draw(m.t, key) {
		case "new":
			d.Storage, d.Size = "local-zfs", &size
		case "import":
			d.Storage, d.ImportFrom = "local-zfs", "local:import/a.qcow2"
		case "volume":
			d.Volume = "local-zfs:extra-" + key
		case "cdrom":
			d.CDROM = "local:iso/a.iso"
		case "none":
			d.CDROM = "none"
		default:
			if m.seen["cloud-init drive"] {
				d.CDROM = "none"
				break
			}
			on := true
			d.Storage, d.CloudInit, m.seen["cloud-init drive"] = "local-zfs", &on, true
		}
	}
	if e := s.EFIDisk; e != nil {
		e.Storage, e.Volume = "local-zfs", ""
	}
	if e := s.TPMState; e != nil {
		e.Storage, e.Volume = "", "local-zfs:extra-tpm"
	}
}

// sense takes away what does not go together.
func (m maker) sense(s *VMSpec) {
	if s.State == "Absent" && s.UUID == "" {
		s.State = ""
	}
	if s.Balloon != nil && s.Memory != nil && s.Balloon.Bytes > s.Memory.Bytes {
		s.Balloon = nil
	}
	if s.CPU != nil {
		s.CPU.VCPUs = nil
	}
	if s.Machine != nil {
		s.Machine.VIOMMU, s.Machine.AWBits = "", nil
	}
	if s.VGA != nil {
		s.VGA.Clipboard = ""
	}
	if slices.Contains(s.Hotplug, "0") || slices.Contains(s.Hotplug, "1") {
		s.Hotplug = []string{"1"}
	}
	for _, u := range s.USB {
		if u.Host == "" {
			u.Mapping = "stick"
		} else {
			u.Mapping = ""
		}
	}
	for _, p := range s.HostPCI {
		if p.Host == "" {
			p.Mapping = "gpu"
		} else {
			p.Mapping = ""
		}
	}
	for _, n := range s.Networks {
		if mac := strings.ToUpper(n.MAC); m.seen[mac] {
			n.MAC = ""
		} else {
			m.seen[mac] = true
		}
	}
	s.Boot = nil
	if len(s.Disks) > 0 && rapid.Bool().Draw(m.t, "boot") {
		s.Boot = slices.Sorted(maps.Keys(s.Disks))
	}
	if s.Init != nil {
		for _, ip := range s.Init.IPConfig {
			if ip.IP == "" {
				ip.GW = ""
			}
			if ip.IP6 == "" {
				ip.GW6 = ""
			}
		}
	}
}
