package schema

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// parameter is one parameter of PVE's API, or one sub-key of a property string.
type parameter struct {
	Type        string      `json:"type"`
	Format      any         `json:"format"`
	Default     any         `json:"default"`
	Enum        []string    `json:"enum"`
	Minimum     json.Number `json:"minimum"`
	Maximum     json.Number `json:"maximum"`
	MaxLength   int         `json:"maxLength"`
	Alias       string      `json:"alias"`
	KeyAlias    string      `json:"keyAlias"`
	Optional    bool        `json:"optional"`
	Description string      `json:"description"`
}

// published is PVE's description of its own API, as far as the config of a guest goes.
type published struct {
	version int
	config  map[string]parameter
	formats map[string]map[string]parameter
}

// recordings opens a file of the recorded API; PVE_API_DIR names their folder.
func recordings(t *testing.T, name string) []byte {
	t.Helper()
	dir := os.Getenv("PVE_API_DIR")
	if dir == "" {
		dir = filepath.Join("..", "..", "shared", "pve-api")
	}
	text, err := os.ReadFile(filepath.Join(dir, name))
	if errors.Is(err, fs.ErrNotExist) && os.Getenv("PVE_API_DIR") == "" {
		t.Skipf("no recordings of PVE's API: set PVE_API_DIR to the folder with %s", name)
	}
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func publications(t *testing.T) []published {
	var out []published
	for version, file := range map[int]string{8: "schema-8.json", 9: "schema.json"} {
		var all struct {
			Formats map[string]map[string]parameter `json:"formats"`
			Paths   map[string]struct {
				PUT struct {
					Parameters map[string]parameter `json:"parameters"`
				}
			} `json:"paths"`
		}
		if err := json.Unmarshal(recordings(t, file), &all); err != nil {
			t.Fatal(file, err)
		}
		p := published{version, all.Paths["/nodes/{node}/qemu/{vmid}/config"].PUT.Parameters, all.Formats}
		if len(p.config) < 50 {
			t.Fatalf("%s lists %d parameters of a config", file, len(p.config))
		}
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b published) int { return a.version - b.version })
	return out
}

// subKeys are the sub-keys of a parameter that holds a property string, its create variant included; nil for other parameters.
func (p published) subKeys(name string) map[string]parameter {
	format := ""
	switch f := p.config[name].Format.(type) {
	case string:
		format = "format:" + f
	case map[string]any:
		format = fmt.Sprint(f["$format"])
	}
	if p.formats[format] == nil {
		return nil
	}
	keys := map[string]parameter{}
	for _, variant := range []string{format, format + "#2"} {
		for k, v := range p.formats[variant] {
			keys[k] = v
		}
	}
	return keys
}

// notDeclared are the parameters no manifest may hold.
var notDeclared = map[string]string{
	"node":      "part of the address",
	"vmid":      "part of the address",
	"digest":    "sent with every write, never wanted",
	"delete":    "an order, not a setting",
	"revert":    "an order, not a setting",
	"force":     "an order, not a setting: it would destroy disks",
	"skiplock":  "an order, not a setting",
	"lock":      "PVE's own bookkeeping",
	"template":  "a one-way conversion of the disks, not a setting",
	"unused[n]": "detached disks are PVE's bookkeeping, and deleting one destroys it",
	"cdrom":     "alias of ide2",
	"smp":       "alias of sockets, kept for old configs",
	"bootdisk":  "replaced by boot: order=",
	"autostart": "ignored by PVE",
}

// notDeclaredSubKeys are the sub-keys no manifest may hold, by parameter.sub-key or *.sub-key.
var notDeclaredSubKeys = map[string]string{
	"*.file":             "the volume: storage, volume and cdrom of a disk",
	"*.volume":           "alias of file",
	"*.import-from":      "importFrom of a disk, sent once when the disk is made",
	"*.size":             "PVE sets it from the volume",
	"*.media":            "follows from cdrom and cloudInit",
	"cpu.reported-model": "of custom types only: PVE refuses it in a guest",
	"*.cyls":             "disk geometry, gone in PVE 9",
	"*.heads":            "disk geometry, gone in PVE 9",
	"*.secs":             "disk geometry, gone in PVE 9",
	"*.trans":            "disk geometry, gone in PVE 9",
	"boot.legacy":        "replaced by the order",
	"boot.order":         "the whole value of spec.boot",
	"smbios1.base64":     "follows from the values",
}

// slots are the highest numbers of the families whose range the descriptions leave out, or tell wrong.
var slots = map[string]struct {
	highest int
	source  string
}{
	"net[n]":      {31, "QemuServer.pm MAX_NETS"},
	"ipconfig[n]": {31, "QemuServer.pm MAX_NETS"},
	"numa[n]":     {7, "QemuServer/Memory.pm MAX_NUMA"},
	"hostpci[n]":  {15, "QemuServer/PCI.pm MAX_HOSTPCI_DEVICES"},
	"usb[n]":      {13, "QemuServer/USB.pm MAX_USB_DEVICES is 14, so that usb13 is the last one"},
	"virtiofs[n]": {9, "QemuServer/Virtiofs.pm max_virtiofs"},
}

var highest = regexp.MustCompile(`n is 0 to (\d+)`)

// rowsOf finds the row of a parameter and checks that a family has just the slots PVE has.
func rowOf(t *testing.T, name string, p parameter) (*Row, string) {
	t.Helper()
	prefix, family := strings.CutSuffix(name, "[n]")
	if !family {
		row, ok := RowOf(name)
		if !ok || row.Family() {
			t.Errorf("%s: not in the field table, and no reason given", name)
			return nil, ""
		}
		return row, name
	}
	row, ok := RowOf(prefix + "0")
	if !ok || !row.Family() {
		t.Errorf("%s: not a family of the field table, and no reason given", name)
		return nil, ""
	}
	want := slots[name].highest
	if m := highest.FindStringSubmatch(p.Description); m != nil && slots[name].source == "" {
		want, _ = strconv.Atoi(m[1])
	} else if slots[name].source == "" {
		t.Errorf("%s: no source for its range", name)
	}
	for _, s := range row.Slots {
		if s.Prefix == prefix && s.Max != want {
			t.Errorf("%s: the table ends at %d, PVE at %d", name, s.Max, want)
		}
	}
	return row, prefix
}

func TestEveryParameterOfPVE(t *testing.T) {
	for _, pve := range publications(t) {
		t.Run(fmt.Sprint("PVE ", pve.version), func(t *testing.T) {
			known := map[string]bool{}
			for name, p := range pve.config {
				if notDeclared[name] != "" {
					continue
				}
				row, prefix := rowOf(t, name, p)
				if row == nil {
					continue
				}
				known[row.Key] = true
				if sub := pve.subKeys(name); sub != nil && name != "boot" {
					compareSubKeys(t, pve, row, prefix, sub)
				} else if !row.Scalar() {
					// startup is a property string that the published schema does not describe.
					if name != "startup" {
						t.Errorf("%s: a property string in the table, one value in PVE", name)
					}
				} else {
					compare(t, name, &row.Leaves[0], p)
				}
			}
			for _, row := range Rows() {
				if !known[row.Key] && (pve.version == 9 || !strings.Contains(row.Doc, "(PVE 9)")) {
					t.Errorf("%s: in the table, but PVE %d does not know it", row.Key, pve.version)
				}
			}
		})
	}
	for what, reason := range differences {
		if !met[what] {
			t.Errorf("no difference: %s (%s)", what, reason)
		}
	}
}

func compareSubKeys(t *testing.T, pve published, row *Row, prefix string, sub map[string]parameter) {
	for key, p := range sub {
		name := prefix + "." + key
		if notDeclaredSubKeys[name]+notDeclaredSubKeys["*."+key] != "" || row.Key == "net" && p.KeyAlias == "model" && row.isModel(key) {
			continue
		}
		l := row.leaf(row.canonical(key))
		switch {
		case l == nil:
			t.Errorf("%s: not in the field table, and no reason given", name)
		case p.Alias != "":
			if sub[l.Prop].Alias == "" && l.Prop != p.Alias {
				t.Errorf("%s: PVE's alias of %s, the table's of %s", name, p.Alias, l.Prop)
			}
		default:
			compare(t, name, l, p)
		}
	}
	for i := range row.Leaves {
		l := &row.Leaves[i]
		_, known := sub[l.Prop]
		if on := busOptions[l.Prop]; row.drive && row.Family() && on != nil {
			if has := slices.Contains(on, prefix); has != known {
				t.Errorf("%s.%s: the table says %v, PVE %v", prefix, l.Prop, has, known)
			}
			continue
		}
		if !known && (pve.version == 9 || !strings.Contains(l.Doc+row.Doc, "(PVE 9)")) {
			t.Errorf("%s.%s: in the table, but PVE %d does not know it", prefix, l.Prop, pve.version)
		}
	}
}

// differences are where the table says something else than PVE on purpose: by parameter.sub-key or *.sub-key, and aspect.
var differences = map[string]string{
	"hotplug enum":            "PVE checks the words in code (QemuServer.pm parse_hotplug_features)",
	"*.discard enum":          "a boolean of the manifest",
	"ostype default":          "PVE 8 means other without saying so",
	"*.backup default":        "QemuServer/Drive.pm: a disk is backed up unless told otherwise",
	"*.cache default":         "QemuServer/Drive.pm: no cache unless told otherwise",
	"*.discard default":       "an absent option ignores discards",
	"*.format enum":           "qcow, qed and cloop are formats PVE no longer makes",
	"watchdog.model default":  "without the key there is no watchdog at all, so that declaring the model is a change",
	"ipconfig.ip default":     "without the key the card is not configured at all, so that declaring dhcp is a change",
	"ipconfig.ip6 default":    "without the key the card is not configured at all, so that declaring dhcp is a change",
	"cpuunits default":        "depends on the host's cgroup version",
	"vcpus default":           "0 stands for all, and is below the minimum",
	"vmgenid default":         "1 stands for a new one at every write",
	"balloon minimum":         "a size is never negative",
	"memory.current minimum":  "in bytes: TestLimits",
	"memory.current required": "the only sub-key",
	"description maxLength":   "by the kind description: TestLimits",
	"net.bridge required":     "PVE 8 refuses a card without a bridge to a token",
	"*.bps minimum":           "a limit is never negative",
	"*.bps_rd minimum":        "a limit is never negative",
	"*.bps_wr minimum":        "a limit is never negative",
	"*.iops minimum":          "a limit is never negative",
	"*.iops_max minimum":      "a limit is never negative",
	"*.iops_rd minimum":       "a limit is never negative",
	"*.iops_rd_max minimum":   "a limit is never negative",
	"*.iops_wr minimum":       "a limit is never negative",
	"*.iops_wr_max minimum":   "a limit is never negative",
	"*.mbps minimum":          "a limit is never negative",
	"*.mbps_max minimum":      "a limit is never negative",
	"*.mbps_rd minimum":       "a limit is never negative",
	"*.mbps_rd_max minimum":   "a limit is never negative",
	"*.mbps_wr minimum":       "a limit is never negative",
	"*.mbps_wr_max minimum":   "a limit is never negative",
	"rng0.max_bytes minimum":  "0 is no limit, less is nothing",
	"rng0.period minimum":     "a period has a length",
	"*.serial maxLength":      "20 characters by the pattern, 60 when encoded: TestLimits",
	"*.model maxLength":       "40 characters by the pattern, 120 when encoded: TestLimits",
	"machine.type maxLength":  "no version is that long",
	"amd-sev.type maxLength":  "by the enumeration",
}

// met are the differences that were found.
var met = map[string]bool{}

// compare checks one value of the table against PVE's description of it.
func compare(t *testing.T, name string, l *Leaf, p parameter) {
	t.Helper()
	_, key, _ := strings.Cut(name, ".")
	differ := func(aspect, table, pve string) {
		t.Helper()
		if table == pve {
			return
		}
		for _, reason := range []string{name + " " + aspect, "*." + key + " " + aspect} {
			if differences[reason] != "" {
				met[reason] = true
				return
			}
		}
		t.Errorf("%s: %s: the table says %q, PVE %q", name, aspect, table, pve)
	}
	want := ""
	if p.Default != nil {
		want = fmt.Sprint(p.Default)
	}
	if want != "" || p.Type != "boolean" || l.Default != "0" { // an absent flag is off
		differ("default", l.Default, want)
	}
	enum, pveEnum := slices.Sorted(slices.Values(l.Enum)), slices.Sorted(slices.Values(p.Enum))
	differ("enum", strings.Join(enum, "|"), strings.Join(pveEnum, "|"))
	differ("minimum", l.Min, p.Minimum.String())
	differ("maximum", l.Max, p.Maximum.String())
	if p.MaxLength > 0 {
		differ("maxLength", "", fmt.Sprint(p.MaxLength))
	}
	if strings.Contains(name, ".") {
		differ("required", fmt.Sprint(l.Required), fmt.Sprint(!p.Optional))
	}
}
