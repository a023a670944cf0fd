package adopt_test

import (
	"maps"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/ustclug/pve-reconcile/reconciler/adopt"
	"github.com/ustclug/pve-reconcile/reconciler/vm"
	"github.com/ustclug/pve-reconcile/schema"
)

// pve writes configs as PVE might hold them: any setting of the field table, in any of the spellings PVE keeps, some of
// them wrong, and keys the table does not have.
type pve struct{ *rapid.T }

// often is true so many times of 100. rapid likes small numbers, so these are spread over the whole range.
func (g pve) often(percent int, label string) bool {
	n := rapid.IntRange(0, 999).Draw(g.T, label)
	return (n*7919+500)%1000 < 10*percent
}

func (g pve) one(label string, of ...string) string { return rapid.SampledFrom(of).Draw(g.T, label) }

// config is a whole config, identity included.
func (g pve) config(share int) map[string]string {
	c := map[string]string{}
	props := map[string][]part{}
	g.fields(c, props, reflect.TypeFor[schema.VMSpec](), share)
	for _, key := range slices.Sorted(maps.Keys(props)) {
		c[key] = g.property(key, props[key])
	}
	if g.often(30, "unknown") {
		c[g.one("unknown key", "bootdisk", "unused3", "x-odd", "usb14", "net99", "lock", "parent", "template", "meta", "vmgenid", "scsi", "numa8")] = g.garbage()
	}
	return c
}

type part struct {
	prop, text string
	bare       bool
}

func (g pve) fields(c map[string]string, props map[string][]part, t reflect.Type, share int) {
	for i := range t.NumField() {
		f := t.Field(i)
		key, elem := f.Tag.Get("pve"), f.Type
		if elem.Kind() == reflect.Pointer {
			elem = elem.Elem()
		}
		switch {
		case key == "" && elem.Kind() == reflect.Struct && elem != reflect.TypeFor[schema.Size]():
			g.fields(c, props, elem, share)
		case key == "" || !g.often(share, f.Name):
		case elem.Kind() == reflect.Map:
			g.family(c, key, f)
		case elem.Kind() == reflect.Struct && elem != reflect.TypeFor[schema.Size]():
			props[key] = append(props[key], g.parts(elem, 40)...)
		case f.Tag.Get("prop") != "":
			props[key] = append(props[key], g.part(f))
		default:
			c[key] = g.text(f)
		}
	}
}

var slots = regexp.MustCompile(`([a-z]+)\[0-(\d+)\]`)

func (g pve) family(c map[string]string, tag string, f reflect.StructField) {
	families := slots.FindAllStringSubmatch(tag, -1)
	for range rapid.IntRange(1, 3).Draw(g.T, "devices") {
		m := rapid.SampledFrom(families).Draw(g.T, "bus")
		last, _ := strconv.Atoi(m[2])
		key := m[1] + strconv.Itoa(rapid.IntRange(0, last).Draw(g.T, "slot"))
		if f.Type.Elem().Kind() == reflect.Pointer {
			c[key] = g.property(key, g.parts(f.Type.Elem().Elem(), 25))
		} else {
			c[key] = g.text(f)
		}
	}
}

// parts are sub-keys of a property string; those PVE demands are there nearly always.
func (g pve) parts(t reflect.Type, share int) []part {
	var out []part
	for i := range t.NumField() {
		f := t.Field(i)
		chance := share
		if !strings.Contains(f.Tag.Get("json"), "omitempty") || strings.HasSuffix(f.Tag.Get("prop"), ",bare") {
			chance = 95
		}
		if f.Tag.Get("prop") != "" && g.often(chance, f.Name) {
			out = append(out, g.part(f))
		}
	}
	return out
}

func (g pve) part(f reflect.StructField) part {
	prop, option, _ := strings.Cut(f.Tag.Get("prop"), ",")
	if alias := f.Tag.Get("alias"); alias != "" && g.often(20, "alias") {
		prop = strings.Split(alias, ",")[0]
	}
	return part{prop, g.text(f), option == "bare"}
}

// property joins sub-keys, in any order; the default key by its name or without.
func (g pve) property(key string, parts []part) string {
	row, ok := schema.RowOf(key)
	if ok && row.Drive() {
		parts = append([]part{{"file", g.file(), true}}, parts...)
		if g.often(70, "sized") {
			parts = append(parts, part{"size", g.one("size", "32G", "300G", "1536M", "528K", "0T", "1.5G", "1T", "307201", "1e3", "G", "99999999999T", "4194303K"), false})
		}
	}
	if g.often(5, "odd") {
		parts = append(parts, part{g.one("odd prop", "odd", "x-y", "file", "base64", "size"), g.garbage(), false})
	}
	var bare string
	var out []string
	for _, p := range parts {
		switch {
		case p.bare && g.often(70, "bare"):
			bare = p.text
		case strings.HasPrefix(key, "net") && p.prop == "macaddr" && bare != "" && g.often(80, "model=mac"):
			bare += "=" + p.text
		default:
			out = append(out, p.prop+"="+p.text)
		}
	}
	if len(out) > 1 {
		out = rapid.Permutation(out).Draw(g.T, "order")
	}
	if bare != "" {
		out = append([]string{bare}, out...)
	}
	return strings.Join(out, ",")
}

func (g pve) file() string {
	return g.one("file", "local-zfs:vm-101-disk-0", "local-zfs:vm-101-disk-1", "local:101/vm-101-disk-0.qcow2", "none,media=cdrom", "none", "cdrom,media=cdrom",
		"local:iso/debian-12.iso,media=cdrom", "local:iso/cloudinit.iso,media=cdrom", "local-zfs:vm-101-cloudinit,media=cdrom", "local:101/vm-101-cloudinit.qcow2,media=cdrom",
		"/dev/sdb", "/dev/disk/by-id/ata-x", "/var/lib/a:b.raw", "x:y", "local-zfs:", ":vm", "local-lvm:vm-101-disk-2,media=disk", "nfs:101/a b.raw", "ceph:base-1-disk-0/vm-101-disk-0")
}

// text is a value of a field, mostly a sound one.
func (g pve) text(f reflect.StructField) string {
	if g.often(4, "garbage") {
		return g.garbage()
	}
	if e := f.Tag.Get("enum"); e != "" {
		return g.one("enum", strings.Split(e, "|")...)
	}
	kind, t := f.Tag.Get("kind"), f.Type
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if list, ok := g.list(kind, f.Tag.Get("pattern")); ok {
		return list
	}
	switch {
	case kind == "onoff":
		return g.one("onoff", "on", "ignore")
	case t.Kind() == reflect.Bool:
		return g.one("bool", "0", "1", "on", "off", "yes", "no", "true", "false", "True")
	case t.Kind() == reflect.Int, kind == "mebibytes":
		n := rapid.IntRange(0, 70000).Draw(g.T, "int")
		return g.one("int form", strconv.Itoa(n), strconv.Itoa(n%64), strconv.Itoa(n%8), "0"+strconv.Itoa(n))
	case t.Kind() == reflect.Float64:
		return g.one("float", "0", "0.1", "1.50", "1", "100", "12.345", "1e2", ".5", "NaN", "inf")
	case kinds[kind] != nil:
		return g.one(kind, kinds[kind]...)
	case f.Tag.Get("pattern") != "":
		return rapid.StringMatching(f.Tag.Get("pattern")).Draw(g.T, "pattern")
	}
	return g.one("text", "a", "two words", "200", "yes", "#5", "ä", "-device foo,bar=1", "$6$salt$hash", "x: y", "no")
}

// kinds are values by kind tag, sound ones and others that somebody may have written.
var kinds = map[string][]string{
	"uuid":        {"11111111-2222-3333-4444-55555555abcd", "11111111-2222-3333-4444-55555555ABCD", "none"},
	"name":        {"web", "Norm.Example.TEST", "200", "1e3", "no", "x_y"},
	"description": {"one line", "two\nlines\n", "  indented\nmore", "# Title\n\n- a\n\t- b\n", "cr\r\nlf", "tab\tinside", "trailing  \nblanks \n", "\n\nblank first", "---\n...", "ünï 🎉 \u2028", "\x1b[31m", "a: b # c", " ", "%41", strings.Repeat("long ", 300)},
	"storage":     {"local-zfs", "x"},
	"volid":       {"local:snippets/a.yaml", "nonsense"},
	"mac":         {"BC:24:11:00:00:01", "bc:24:11:00:00:02", "00:50:56:09:00:22", "01:00:00:00:00:00", "BC-24-11-00-00-01"},
	"ip4":         {"10.0.0.1", "::1"},
	"ip6":         {"2001:db8::1", "fe80::1", "10.0.0.1"},
	"cidr4":       {"10.0.0.2/24", "dhcp", "10.0.0.2"},
	"cidr6":       {"2001:db8::2/64", "auto", "dhcp"},
	"base64":      {"USTC", "VVNUQyBMVUc=", "/w==", "x=y"},
	"urlencoded":  {"SN%2F1", "plain", "%zz", "a b", "%00", "%ff"},
	"secret":      {"**********"},
	"nocase":      {"0x5000C500", "0x5000c500A0B1C2D3", "0x10De", "spice", "1234:aBcd", "1-2.3"},
}

// list is a value of a kind that holds several.
func (g pve) list(kind, pattern string) (string, bool) {
	separators := map[string][]string{"tags": {";", ",", " "}, "set": {",", ";"}, "flags": {";"}, "words": {" ", ", "}, "addresses": {" "}, "semicolons": {";"}}
	switch kind {
	case "bootorder":
		return g.one("boot", "order=scsi0;net0", "order=scsi0;scsi0", "cdn", "c", " ", "order=", "legacy=cdn,order=net0", "order=hostpci0;usb1;sata1;ide2", "order=net0"), true
	case "sshkeys":
		return g.one("keys", url.PathEscape("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAcUIS47SFVib3yJlqOwvcrX5PH+CxglMj9MWWZzgI2a a@b\nssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAIADDAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwd d\n"), "ssh-ed25519%20AAAAC3NzaC1lZDI1NTE5AAAAIMjJysvMzc7P0NHS09TV1tfY2drb3N3e3%2BDh4uPk5ebn%0A%0A%23%20comment%20line%0A", "ssh-rsa%20AAAA", "nokey", "ssh-rsa%20A%0D%0Assh-rsa%20B", "%ff%20x"), true
	}
	if separators[kind] == nil {
		return "", false
	}
	if kind == "addresses" {
		pattern = "10\\.0\\.0\\.[1-9]|2001:db8::[1-9]|name"
	}
	if pattern == "" {
		pattern = "network|disk|cpu|usb|1"
	}
	words := rapid.SliceOfN(rapid.StringMatching(pattern), 1, 3).Draw(g.T, "words")
	return strings.Join(words, g.one("separator", separators[kind]...)), true
}

func (g pve) garbage() string {
	return rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"", " ", "=", ",", "a,b=c", "1", "\n", "\x00", "\xff", "order=", "x=1,x=2", "../..", "no", "# x", "::"})).Draw(g.T, "garbage")
}

// observed is a guest as it may be found at any time.
func (g pve) observed(shares ...int) adopt.Guest {
	share := rapid.SampledFrom(shares).Draw(g.T, "share")
	o := vm.Observed{Exists: true, Node: "pve-5", Status: g.one("status", "running", "stopped"), Running: g.config(share), Pending: map[string]vm.Change{}}
	if g.often(90, "sound name") {
		delete(o.Running, "name")
		if g.often(80, "named") {
			o.Running["name"] = g.one("name", "web", "docker2.example", "200", "no", "1e3", "0x10")
		}
	}
	o.Running["smbios1"] = strings.Trim("uuid=8aa3132c-0dbb-5448-bf04-bf8b18ee05bc,"+withoutUUID(o.Running["smbios1"]), ",")
	if g.often(30, "pending") {
		later := g.config(5)
		for _, key := range slices.Sorted(maps.Keys(later)) {
			o.Pending[key] = vm.Change{Value: later[key]}
		}
		for _, key := range slices.Sorted(maps.Keys(o.Running)) {
			if g.often(10, "delete") {
				o.Pending[key] = vm.Change{Delete: true}
			}
		}
		delete(o.Pending, "smbios1")
	}
	if g.often(20, "sizes") {
		o.Sizes = map[string]int64{"local-zfs:vm-101-disk-0": 32 << 30, "local:101/vm-101-disk-0.qcow2": rapid.Int64Range(1, 1<<40).Draw(g.T, "real size")}
	}
	o.Facts = schema.Facts{TagsCaseSensitive: g.often(50, "case"), TagsInOrder: g.often(50, "ordering")}
	return adopt.Guest{ID: schema.ID{Cluster: "ustc", Node: "pve-5", VMID: 101}, Have: o}
}

// drifted is the guest after somebody worked on it: some keys changed, some gone, some new.
func (g pve) drifted(before adopt.Guest) adopt.Guest {
	after := before
	after.Have.Running, after.Have.Pending = maps.Clone(before.Have.Running), nil
	for _, key := range slices.Sorted(maps.Keys(before.Have.Running)) {
		if g.often(15, "gone") && key != "smbios1" && key != "name" {
			delete(after.Have.Running, key)
		}
	}
	changes := g.config(rapid.SampledFrom([]int{2, 5, 20}).Draw(g.T, "changes"))
	for _, key := range slices.Sorted(maps.Keys(changes)) {
		if key != "smbios1" && (key != "name" || g.often(10, "renamed")) {
			after.Have.Running[key] = changes[key]
		}
	}
	return after
}

func withoutUUID(smbios string) string {
	return strings.Join(slices.DeleteFunc(strings.Split(smbios, ","), func(p string) bool { return strings.HasPrefix(p, "uuid=") }), ",")
}

// TestAnyConfig: whatever a config holds, what is imported plans nothing. Refused is only what no manifest can mean. Each
// check of rapid counts 20 times.
func TestAnyConfig(t *testing.T) {
	imported, all := 0, 0
	for range rounds(20) {
		rapid.Check(t, func(t *rapid.T) {
			g := pve{t}.observed(5, 20, 60)
			all++
			switch why := law(t, g); {
			case why == "":
				imported++
			case strings.Contains(why, "is called") && g.Have.Desired()["name"] != "", strings.Contains(why, "PVE has locked"), strings.Contains(why, "uuid"):
			default:
				t.Errorf("refused: %s", why)
			}
		})
	}
	if imported*2 < all {
		t.Errorf("%d of %d were imported", imported, all)
	}
}
