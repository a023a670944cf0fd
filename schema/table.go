package schema

import (
	"fmt"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"sync"
)

// Leaf is one value a user can write: a whole PVE key, or one sub-key of a property string.
type Leaf struct {
	Name    string   // name in the manifest: "cores"
	Path    string   // path below spec: "cpu.cores"; inside a family, below the slot: "bridge"
	Prop    string   // sub-key of the property string, "" when the leaf is the whole key
	Bare    bool     // PVE's default key, printed without its name
	Fill    bool     // PVE takes the property string only with it: where nobody says it, its default is written
	Alias   []string // other names PVE has for the sub-key
	Default string   // what PVE takes when absent, "" when unknown or none
	Enum    []string
	Min     string
	Max     string
	Pattern *regexp.Regexp
	Doc     string

	Required bool // PVE takes the property string only with it, or it makes no sense without
	kind     kind
	index    []int
}

// Row is one PVE config key, or a family of keys (net0 to net31), with its leaves.
type Row struct {
	Key    string  // "cores"; for a family the prefix: "net"
	Slots  []Slots // families only
	Path   string  // path below spec of the struct or map
	Root   bool    // only root@pam itself may set it (FACTS §2)
	Needs  string  // family without which the key means nothing
	Doc    string
	Leaves []Leaf
	drive  bool
	index  []int // of the map, families only
}

// Slots is a range of keys of a family: scsi0 to scsi30.
type Slots struct {
	Prefix string
	Max    int // highest index
}

// Has tells whether key is one of the slots.
func (s Slots) Has(key string) bool {
	rest, ok := strings.CutPrefix(key, s.Prefix)
	if !ok || rest == "" || (len(rest) > 1 && rest[0] == '0') {
		return false
	}
	n, err := strconv.Atoi(rest)
	return err == nil && n >= 0 && n <= s.Max && rest[0] != '+' && rest[0] != '-'
}

// Family tells whether the row stands for many keys.
func (r *Row) Family() bool { return len(r.Slots) > 0 }

// Scalar tells whether the key holds one value, not a property string.
func (r *Row) Scalar() bool { return len(r.Leaves) == 1 && r.Leaves[0].Prop == "" && !r.drive }

// Drive tells whether the key holds a disk or CD drive.
func (r *Row) Drive() bool { return r.drive }

// Has tells whether key is the row's key or one of its slots.
func (r *Row) Has(key string) bool {
	for _, s := range r.Slots {
		if s.Has(key) {
			return true
		}
	}
	return !r.Family() && r.Key == key
}

func (r *Row) leaf(prop string) *Leaf {
	for i := range r.Leaves {
		if r.Leaves[i].Prop == prop {
			return &r.Leaves[i]
		}
	}
	return nil
}

// Rows is the field table as data, in the order of VMSpec.
func Rows() []*Row { return table() }

// RowOf finds the row of a PVE key.
func RowOf(key string) (*Row, bool) {
	if r, ok := exact()[key]; ok {
		return r, true
	}
	for _, r := range table() {
		if r.Family() && r.Has(key) {
			return r, true
		}
	}
	return nil, false
}

var table = sync.OnceValue(func() []*Row {
	t := builder{byKey: map[string]*Row{}}
	t.walk(reflect.TypeFor[VMSpec](), nil, "")
	return t.rows
})

var exact = sync.OnceValue(func() map[string]*Row {
	m := map[string]*Row{}
	for _, r := range table() {
		if !r.Family() {
			m[r.Key] = r
		}
	}
	return m
})

type builder struct {
	rows  []*Row
	byKey map[string]*Row
}

// walk adds the rows of a struct; groups (structs without a key of their own) are walked into.
func (b *builder) walk(t reflect.Type, index []int, path string) {
	for i := range t.NumField() {
		f := t.Field(i)
		at := append(append([]int(nil), index...), i)
		name := join(path, jsonName(f))
		key := f.Tag.Get("pve")
		elem := f.Type
		if elem.Kind() == reflect.Pointer {
			elem = elem.Elem()
		}
		switch {
		case key == "" && elem.Kind() == reflect.Struct && elem != reflect.TypeFor[Size]():
			b.walk(elem, at, name)
		case key == "":
		case elem.Kind() == reflect.Map:
			b.family(f, at, name)
		case elem.Kind() == reflect.Struct && elem != reflect.TypeFor[Size]():
			r := b.row(key, name, f)
			r.drive = elem.Implements(reflect.TypeFor[sourced]())
			r.Leaves = append(r.Leaves, leaves(elem, at, name)...)
		default:
			r := b.row(key, name, f)
			r.Leaves = append(r.Leaves, leaf(f, at, name))
		}
	}
}

func (b *builder) row(key, path string, f reflect.StructField) *Row {
	if r, ok := b.byKey[key]; ok {
		return r
	}
	r := &Row{Key: key, Path: path, Root: f.Tag.Get("root") == "true", Needs: f.Tag.Get("needs"), Doc: f.Tag.Get("doc")}
	b.byKey[key] = r
	b.rows = append(b.rows, r)
	return r
}

var slotRange = regexp.MustCompile(`^([a-z]+)\[0-(\d+)\]$`)

// slotsOf reads the tag of a family: "scsi[0-30],virtio[0-15]".
func slotsOf(tag string) []Slots {
	var out []Slots
	for s := range strings.SplitSeq(tag, ",") {
		m := slotRange.FindStringSubmatch(s)
		if m == nil {
			panic(fmt.Sprintf("schema: %q is not a family of keys", s))
		}
		n, _ := strconv.Atoi(m[2])
		out = append(out, Slots{m[1], n})
	}
	return out
}

func (b *builder) family(f reflect.StructField, index []int, path string) {
	r := &Row{Path: path, Slots: slotsOf(f.Tag.Get("pve")), Root: f.Tag.Get("root") == "true", Doc: f.Tag.Get("doc"), index: index}
	r.Key = r.Slots[0].Prefix
	if elem := f.Type.Elem(); elem.Kind() == reflect.Pointer {
		r.drive = elem.Elem().Implements(reflect.TypeFor[sourced]())
		r.Leaves = leaves(elem.Elem(), nil, "")
	} else {
		l := leaf(f, nil, "")
		l.Name = ""
		r.Leaves = []Leaf{l}
	}
	b.rows = append(b.rows, r)
}

// leaves lists the sub-keys of a property string; fields without a prop tag are the business of the drive.
func leaves(t reflect.Type, index []int, path string) []Leaf {
	var out []Leaf
	for i := range t.NumField() {
		if f := t.Field(i); f.Tag.Get("prop") != "" {
			out = append(out, leaf(f, append(append([]int(nil), index...), i), join(path, jsonName(f))))
		}
	}
	return out
}

func leaf(f reflect.StructField, index []int, path string) Leaf {
	l := Leaf{
		Name: jsonName(f), Path: path, Default: f.Tag.Get("default"), Doc: f.Tag.Get("doc"),
		Min: f.Tag.Get("min"), Max: f.Tag.Get("max"), index: index, kind: kindOf(f),
		Required: required(f),
	}
	l.Prop, _, _ = strings.Cut(f.Tag.Get("prop"), ",")
	l.Bare = strings.HasSuffix(f.Tag.Get("prop"), ",bare")
	l.Fill = f.Tag.Get("fill") == "true"
	if e := f.Tag.Get("enum"); e != "" {
		l.Enum = strings.Split(e, "|")
	}
	if a := f.Tag.Get("alias"); a != "" {
		l.Alias = strings.Split(a, ",")
	}
	if p := f.Tag.Get("pattern"); p != "" {
		l.Pattern = regexp.MustCompile(`^(?:` + p + `)$`)
	}
	return l
}

// required: a field without omitempty must be given.
func required(f reflect.StructField) bool {
	_, options, _ := strings.Cut(f.Tag.Get("json"), ",")
	return !strings.Contains(options, "omitempty")
}

func jsonName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	return name
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}
