package sim

import (
	"bufio"
	_ "embed"
	"encoding/json"
	"fmt"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"sync"
)

//go:embed schema9.txt
var schema9Text string

//go:embed schema8.txt
var schema8Text string

// property is one parameter of a call, or one key of a property string.
type property struct {
	name               string
	kind               string // string, integer, number, boolean, array
	optional           bool
	isDefault          bool // may be written as a bare value
	min, max           *float64
	minLen, maxLen     int // -1: none
	enum               []string
	requires           string
	alias, keyAlias    string
	format             string // a named check, or "@NAME" of a property string
	pattern            string
	compiled           *regexp.Regexp
	minText, maxText   string
	privateToSimulator bool
}

// properties are looked up by name; "net[n]" stands for net0, net1, ...
type properties struct {
	byName map[string]*property
	counts map[string]*property // "net" for "net[n]"
}

// endpoint is one path and method of the API.
type endpoint struct {
	path, method string
	params       properties
	anyParam     bool
	onNode       bool // runs on the node named in the path
	check        any  // the right it asks for, as the schema words it
}

type schema struct {
	formats   map[string]*properties
	endpoints map[string]map[string]*endpoint // path, method
	routes    *route
	defaults  map[string]*property // default key of a format

	privilegeList []string
	roleTable     map[string][]string
}

// indexLimit is how many of a numbered option exist (PVE: MAX_SCSI_DISKS and friends).
var indexLimit = map[string]int{
	"net": 32, "scsi": 31, "virtio": 16, "ide": 4, "sata": 6, "unused": 256, "usb": 14, "hostpci": 16,
	"serial": 4, "parallel": 3, "numa": 8, "ipconfig": 32, "virtiofs": 10, "acmedomain": 6, "link": 8,
}

// find returns the property that a given name means, or nil.
func (p *properties) find(name string) *property {
	if found := p.byName[name]; found != nil {
		return found
	}
	prefix := strings.TrimRight(name, "0123456789")
	found, number := p.counts[prefix], name[len(prefix):]
	if found == nil || number == "" || number[0] == '0' && number != "0" {
		return nil
	}
	if n, err := strconv.Atoi(number); err != nil || n >= limitOf(prefix) {
		return nil
	}
	return found
}

func limitOf(prefix string) int {
	if n, ok := indexLimit[prefix]; ok {
		return n
	}
	return 1
}

var schemas struct {
	once   sync.Once
	v8, v9 *schema
}

// schemaFor returns the table of a PVE version ("8.4.21", "9.2.11").
func schemaFor(version string) *schema {
	schemas.once.Do(func() {
		schemas.v8 = readSchema(schema8Text)
		schemas.v9 = readSchema(schema9Text)
		amend(schemas.v8, false)
		amend(schemas.v9, true)
		for _, s := range []*schema{schemas.v8, schemas.v9} {
			s.privilegeList = s.makePrivileges()
			s.roleTable = s.makeRoles()
		}
	})
	if strings.HasPrefix(version, "8.") {
		return schemas.v8
	}
	return schemas.v9
}

// readSchema reads the text that hack/simschema writes. The text is part of the program: a fault in it panics.
func readSchema(text string) *schema {
	s := &schema{formats: map[string]*properties{}, endpoints: map[string]map[string]*endpoint{}, routes: &route{}, defaults: map[string]*property{}}
	var into *properties
	var last *endpoint
	var format string
	lines := bufio.NewScanner(strings.NewReader(text))
	for lines.Scan() {
		line := lines.Text()
		switch {
		case strings.HasPrefix(line, "% "):
			format = strings.TrimPrefix(line, "% ")
			into = &properties{byName: map[string]*property{}, counts: map[string]*property{}}
			s.formats[format] = into
		case strings.HasPrefix(line, "= "):
			words := strings.Fields(line)
			last = &endpoint{path: words[1], method: words[2]}
			for _, word := range words[3:] {
				last.anyParam = last.anyParam || word == "any"
				last.onNode = last.onNode || word == "node"
			}
			last.params = properties{byName: map[string]*property{}, counts: map[string]*property{}}
			into, format = &last.params, ""
			if s.endpoints[last.path] == nil {
				s.endpoints[last.path] = map[string]*endpoint{}
			}
			s.endpoints[last.path][last.method] = last
			s.routes.add(last)
		case strings.HasPrefix(line, "? "):
			if err := json.Unmarshal([]byte(line[2:]), &last.check); err != nil {
				panic(fmt.Sprintf("schema: %q: %v", line, err))
			}
		default:
			p := readProperty(line)
			into.add(p)
			if p.isDefault && format != "" {
				s.defaults[format] = p
			}
		}
	}
	return s
}

func (p *properties) add(one *property) {
	if prefix, ok := strings.CutSuffix(one.name, "[n]"); ok {
		p.counts[prefix] = one
		return
	}
	p.byName[one.name] = one
}

func readProperty(line string) *property {
	fields := strings.Split(line, "\t")
	p := &property{name: fields[0], kind: fields[1], minLen: -1, maxLen: -1}
	for _, field := range fields[2:] {
		key, value, _ := strings.Cut(field, "=")
		switch key {
		case "opt":
			p.optional = true
		case "default":
			p.isDefault = true
		case "min":
			p.min, p.minText = bound(value)
		case "max":
			p.max, p.maxText = bound(value)
		case "minlen":
			p.minLen = atoi(value)
		case "maxlen":
			p.maxLen = atoi(value)
		case "enum":
			p.enum = strings.Split(value, "|")
		case "req":
			p.requires = value
		case "alias":
			p.alias = value
		case "keyalias":
			p.keyAlias = value
		case "fmt":
			p.format = value
		case "pat":
			p.pattern = value
			p.compiled = perlPattern(value)
		default:
			panic(fmt.Sprintf("schema: unknown field %q", field))
		}
	}
	return p
}

func bound(text string) (*float64, string) {
	v, err := strconv.ParseFloat(text, 64)
	if err != nil {
		panic(fmt.Sprintf("schema: bound %q", text))
	}
	return &v, strconv.FormatFloat(v, 'f', -1, 64)
}

func atoi(text string) int {
	v, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return 0
	}
	return int(v)
}

// perlPattern compiles a pattern of the schema, anchored as PVE anchors it.
// Go repeats at most 1000 times; the one longer repeat of the schema counts as any number.
func perlPattern(pattern string) *regexp.Regexp {
	p := strings.NewReplacer("(?^:", "(?:", "(?^i:", "(?i:", "{,", "{0,", "{0,4096}", "*").Replace(pattern)
	return regexp.MustCompile("^(?:" + p + ")$")
}

// names lists what an endpoint takes, sorted.
func (p *properties) names() []string {
	var names []string
	for name := range p.byName {
		names = append(names, name)
	}
	for name := range p.counts {
		names = append(names, name+"[n]")
	}
	sort.Strings(names)
	return names
}

// lostPatterns are those that the published schema does not print (src: QemuServer::CPUConfig, PCI, Drive).
var lostPatterns = map[string]map[string]string{
	"format:pve-vm-cpu-conf": {
		"flags":        `[+-][a-zA-Z0-9\-_.]+(?:;[+-][a-zA-Z0-9\-_.]+)*`,
		"hv-vendor-id": `[a-zA-Z0-9]{1,12}`,
	},
	"format:pve-qm-hostpci": {
		"host":      pciAddress + "(?:;" + pciAddress + ")*",
		"vendor-id": pciID, "device-id": pciID, "sub-vendor-id": pciID, "sub-device-id": pciID,
	},
}

const (
	pciAddress = `(?:[a-f0-9]{4,}:)?[a-f0-9]{2}:[a-f0-9]{2}(?:\.[a-f0-9])?`
	pciID      = `0x[0-9a-fA-F]{4}`
)

// amend adds what the recorded servers (8.4.21, 9.2.11) know beyond the published schemas (8.4.0, 9.1.3).
func amend(s *schema, nine bool) {
	for format, patterns := range lostPatterns {
		for name, pattern := range patterns {
			if f := s.formats[format]; f != nil && f.byName[name] != nil {
				f.byName[name].compiled = perlPattern(pattern)
			}
		}
	}
	for _, name := range []string{"efidisk0", "efidisk0#2"} {
		if f := s.formats[name]; f != nil && f.byName["ms-cert"] == nil {
			f.add(&property{name: "ms-cert", kind: "string", optional: true, minLen: -1, maxLen: -1, enum: []string{"2011", "2023", "2023k", "2023w"}, privateToSimulator: true})
		}
	}
	if !nine {
		return
	}
	s.formats["net[n]"].add(&property{name: "host-tunnel", kind: "string", optional: true, minLen: -1, maxLen: -1, privateToSimulator: true})
	for _, path := range []string{"/storage", "/storage/{storage}"} {
		for _, method := range []string{"POST", "PUT"} {
			if e := s.endpoints[path][method]; e != nil && e.params.byName["blocksize"] != nil {
				e.params.byName["blocksize"].format = "zfs-blocksize"
			}
		}
	}
	content := s.endpoints["/nodes/{node}/storage/{storage}/content"]["GET"]
	content.params.add(&property{name: "approximate-size", kind: "boolean", optional: true, minLen: -1, maxLen: -1, privateToSimulator: true})
}
