package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"pgregory.net/rapid"

	"github.com/ustclug/pve-reconcile/schema"
)

// draft draws manifests that a person could write, from the tags of the field table. old is a manifest already drawn:
// about half of what it says is kept, so that two drafts are an edit of each other.
type draft struct{ t *rapid.T }

// skipped are fields that need something this world has not, or say who the guest is. The cloud-init drive has goldens of
// its own.
var skipped = map[string]bool{
	"cluster": true, "node": true, "vmid": true, "uuid": true, "state": true, "driftPolicy": true, "maintenanceWindows": true, "ignore": true, "hostpci": true, "virtiofs": true, "name": true,
}

func (d draft) chance(n int, label string) bool { return rapid.IntRange(0, n-1).Draw(d.t, label) == 0 }

func (d draft) object(t reflect.Type, old map[string]any, at string) map[string]any {
	out := map[string]any{}
	for i := range t.NumField() {
		f := t.Field(i)
		name, rest, _ := strings.Cut(f.Tag.Get("json"), ",")
		must := !strings.Contains(rest, "omitempty")
		switch {
		case at == "spec" && skipped[name], f.Tag.Get("root") == "true", name == "":
			continue
		}
		before, had := old[name]
		if had && rapid.Bool().Draw(d.t, at+"."+name+" kept") {
			out[name] = before
			continue
		}
		rare := 6
		if at == "spec" && slices.Contains([]string{"power", "disks", "networks", "memory", "restartPolicy", "cloudInit", "cpu"}, name) {
			rare = 2
		}
		if !must && !d.chance(rare, at+"."+name+"?") {
			continue
		}
		if v := d.value(f.Type, f, before, at+"."+name); v != nil {
			out[name] = v
		}
	}
	d.sense(t, out, old, at)
	return out
}

func (d draft) value(t reflect.Type, f reflect.StructField, old any, at string) any {
	switch {
	case t.Kind() == reflect.Pointer:
		return d.value(t.Elem(), f, old, at)
	case t == reflect.TypeFor[schema.Size]():
		return fmt.Sprint(rapid.IntRange(16, 6000).Draw(d.t, at)) + "Mi"
	case t.Kind() == reflect.Struct:
		o, _ := old.(map[string]any)
		out := d.object(t, o, at)
		if len(out) == 0 {
			return nil
		}
		return out
	case t.Kind() == reflect.Map:
		return d.slots(t, f, old, at)
	case t.Kind() == reflect.Slice:
		return d.list(f, at)
	case t.Kind() == reflect.String:
		return d.text(f, at)
	case t.Kind() == reflect.Bool:
		return rapid.Bool().Draw(d.t, at)
	}
	lo, hi := 0.0, 2000.0
	_, _ = fmt.Sscan(f.Tag.Get("min"), &lo)
	_, _ = fmt.Sscan(f.Tag.Get("max"), &hi)
	if strings.HasPrefix(at, "spec.cpu.") && hi == 2000 {
		hi = 3
	}
	n := rapid.IntRange(int(lo), int(min(hi, lo+5000))).Draw(d.t, at)
	if t.Kind() == reflect.Float64 && d.chance(2, at+" half") {
		return float64(n) / 2
	}
	return n
}

func (d draft) list(f reflect.StructField, at string) any {
	var out []any
	for _, w := range rapid.SliceOfNDistinct(rapid.Custom(func(t *rapid.T) string { return draft{t}.text(f, at) }), 1, 3, rapid.ID[string]).Draw(d.t, at) {
		out = append(out, w)
	}
	return out
}

var texts = map[string][]string{
	"name": {"web", "a.example.org", "X1"}, "storage": {"local-zfs", "local-lvm"}, "ip4": {"10.0.0.1"}, "ip6": {"2001:db8::1", "2001:DB8::1"},
	"cidr4": {"10.0.0.2/24", "dhcp"}, "cidr6": {"2001:db8::2/64", "2001:DB8:0::2/64", "auto", "dhcp"},
	"description": {"a", "two\nlines", "ümlaut # % [x]\n\n", "trailing  \n", "  leading", "tab\there", "a: b", "# h"},
	"base64":      {"abc", "USTC LUG", "a,b=c", "ä", "42"}, "urlencoded": {"a b", "a%20b", "x,y", "A+B"},
	"sshkeys": {"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBGx3VT2dWxoLx0ouLfqOqBYxTYqNFzGQ0LwF0R5y8bN a+b@lug", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBGx3VT2dWxoLx0ouLfqOqBYxTYqNFzGQ0LwF0R5y8bM"},
	"secret":  {"$6$abc$abcdefghijklmnop", "$6$xyz$zzzzzzzzzzzz"},
	"volid":   {"local:import/debian-13.qcow2"},
}

var ours = map[string][]string{
	"bridge": {"vmbr0", "vmbr1"}, "startdate": {"now", "2020-01-02", "2020-01-02T03:04:05"}, "serial": {"socket"},
	"host": {"spice"}, "cdrom": {"none", "local:iso/debian-13.1.0-amd64-netinst.iso"}, "format": {"raw"},
	"nameserver": {"10.0.0.53", "2001:db8::53", "ns.lug.example"},
	"mac":        {"BC:24:11:00:00:01", "bc:24:11:00:00:01", "00:50:56:9f:00:22", "BC:24:11:00:00:03"}, "tags": {"a", "B", "b", "c-1", "z"}, "searchdomain": {"lug.example", "a b"},
	"machine": {"q35", "pc", "pc-q35-9.2"}, "trunks": {"1", "2-4", "9"},
}

func (d draft) text(f reflect.StructField, at string) string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	from := texts[f.Tag.Get("kind")]
	switch {
	case ours[name] != nil && !(name == "serial" && strings.Contains(at, "disks")) && !strings.Contains(at, "smbios"):
		from = ours[name]
	case strings.HasPrefix(at, "spec.machine") && name == "type":
		from = ours["machine"]
	case strings.HasPrefix(at, "spec.cpu") && name == "type":
		from = []string{"host", "kvm64", "x86-64-v2-AES", "qemu64"}
	case strings.HasPrefix(at, "spec.cpu") && name == "flags":
		from = []string{"+aes", "-pcid", "+pdpe1gb"}
	case f.Tag.Get("enum") != "":
		from = strings.Split(f.Tag.Get("enum"), "|")
	case from == nil && f.Tag.Get("pattern") != "":
		return rapid.StringMatching(f.Tag.Get("pattern")).Filter(func(s string) bool {
			return s != "" && strings.TrimSpace(s) == s && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' })
		}).Draw(d.t, at)
	case from == nil:
		from = []string{"x", "Y2", "a b"}
	}
	return rapid.SampledFrom(from).Draw(d.t, at)
}

var family = regexp.MustCompile(`([a-z]+)\[0-(\d+)\]`)

func (d draft) slots(t reflect.Type, f reflect.StructField, old any, at string) any {
	had, _ := old.(map[string]any)
	out := map[string]any{}
	for _, k := range slices.Sorted(maps.Keys(had)) {
		if d.chance(2, at+"."+k+" kept") {
			out[k] = had[k]
		}
	}
	fams := family.FindAllStringSubmatch(f.Tag.Get("pve"), -1)
	for range rapid.IntRange(0, 2).Draw(d.t, at+" slots") {
		m := rapid.SampledFrom(fams).Draw(d.t, at+" family")
		top, _ := strconv.Atoi(m[2])
		key := m[1] + strconv.Itoa(rapid.IntRange(0, min(top, 3)).Draw(d.t, at+" slot"))
		if v := d.value(t.Elem(), f, had[key], at+"."+key); v != nil {
			out[key] = v
		}
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

var notOn = map[string][]string{
	"ssd": {"virtio"}, "iothread": {"sata", "ide"}, "readOnly": {"sata", "ide"}, "queues": {"virtio", "sata", "ide"}, "scsiblock": {"virtio", "sata", "ide", "scsi"},
	"wwn": {"virtio"}, "vendor": {"virtio", "sata", "ide"}, "product": {"virtio", "sata", "ide"}, "model": {"virtio", "scsi", "sata"},
}

// sense makes what was drawn fit together.
func (d draft) sense(t reflect.Type, m, old map[string]any, at string) {
	switch t {
	case reflect.TypeFor[schema.Disk]():
		slot := at[strings.LastIndex(at, ".")+1:]
		for name, buses := range notOn {
			if slices.Contains(buses, strings.TrimRight(slot, "0123456789")) {
				delete(m, name)
			}
		}
		for _, k := range []string{"storage", "size", "volume", "importFrom", "cdrom", "cloudInit", "format", "shared"} {
			delete(m, k)
		}
		form := rapid.SampledFrom([]string{"new", "new", "new", "import", "cdrom", "none", "same", "same"}).Draw(d.t, at+" form")
		if form == "same" && old == nil {
			form = "new"
		}
		switch form {
		case "new":
			m["storage"], m["size"] = rapid.SampledFrom([]string{"local-zfs", "local-zfs", "local-lvm"}).Draw(d.t, at), fmt.Sprint(rapid.IntRange(1, 5000).Draw(d.t, at))+"Mi"
		case "import":
			m["storage"], m["importFrom"] = "local-zfs", "local:import/debian-13.qcow2"
			if d.chance(2, at) {
				m["size"] = "4Gi"
			}
		case "cdrom":
			m["cdrom"] = "local:iso/debian-13.1.0-amd64-netinst.iso"
		case "none":
			m["cdrom"] = "none"
		case "same":
			for _, k := range []string{"storage", "size", "importFrom", "cdrom", "cloudInit"} {
				if v, ok := old[k]; ok {
					m[k] = v
				}
			}
		}
	case reflect.TypeFor[schema.EFIDisk](), reflect.TypeFor[schema.TPMState]():
		for _, k := range []string{"volume", "format"} {
			delete(m, k)
		}
		m["storage"] = "local-zfs"
	case reflect.TypeFor[schema.USB]():
		delete(m, "mapping")
		m["host"] = "spice"
	case reflect.TypeFor[schema.Machine]():
		delete(m, "awBits")
		if m["viommu"] == "intel" {
			m["type"] = "q35"
		}
	case reflect.TypeFor[schema.VGA]():
		delete(m, "clipboard")
	case reflect.TypeFor[schema.CPU]():
		delete(m, "vcpus")
		delete(m, "affinity")
	case reflect.TypeFor[schema.VMSpec]():
		m["node"], m["vmid"] = "pve-5", 300
		devices := []any{}
		for _, k := range []string{"disks", "networks"} {
			slots, _ := m[k].(map[string]any)
			for _, s := range slices.Sorted(maps.Keys(slots)) {
				devices = append(devices, s)
			}
		}
		delete(m, "boot")
		if len(devices) > 0 && d.chance(2, "boot") {
			m["boot"] = rapid.Permutation(devices).Draw(d.t, "order")[:rapid.IntRange(1, len(devices)).Draw(d.t, "boots")]
		}
		if h, _ := m["hotplug"].([]any); slices.Contains(h, any("0")) || slices.Contains(h, any("1")) {
			m["hotplug"] = h[:1]
		}
		if m["balloon"] != nil && m["memory"] == nil {
			delete(m, "balloon")
		}
	}
}

// manifestOf writes a manifest as JSON, which is YAML.
func manifestOf(spec map[string]any) string {
	text, _ := json.MarshalIndent(map[string]any{"apiVersion": schema.APIVersion, "kind": "VirtualMachine", "metadata": map[string]any{"name": "web"}, "spec": spec}, "", " ")
	return string(text)
}
