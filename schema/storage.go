package schema

import (
	"maps"
	"reflect"
	"slices"
	"strings"
)

// Storage is a storage definition of the cluster (PVE: storage.cfg). Every option that PVE has is one tagged line: needs
// and takes name the types of storage that must and may have it, fixed those whose option PVE never changes.
type Storage struct {
	Type       string   `json:"type" enum:"dir|zfspool|lvm|lvmthin|nfs" doc:"kind of storage; it never changes"`
	Content    []string `json:"content,omitempty" pve:"content" kind:"set" enum:"images|rootdir|vztmpl|iso|backup|snippets|import|none" doc:"what may be kept there"`
	Nodes      []string `json:"nodes,omitempty" empty:"every node" pve:"nodes" kind:"set" pattern:"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?" doc:"nodes that have it; an empty list means every node"`
	Disable    *bool    `json:"disable,omitempty" pve:"disable" default:"0" doc:"do not use it"`
	Shared     *bool    `json:"shared,omitempty" pve:"shared" default:"0" takes:"dir lvm" doc:"every node sees the same content; it does not make it so"`
	Path       string   `json:"path,omitempty" pve:"path" kind:"path" needs:"dir" fixed:"dir" pattern:"/[^ ]*" doc:"directory"`
	Mkdir      *bool    `json:"mkdir,omitempty" pve:"mkdir" default:"1" takes:"dir" doc:"create the directory if it is not there"`
	Pool       string   `json:"pool,omitempty" pve:"pool" needs:"zfspool" fixed:"zfspool" pattern:"[A-Za-z][A-Za-z0-9_.:/-]*" doc:"dataset that the volumes are made in"`
	Blocksize  string   `json:"blocksize,omitempty" pve:"blocksize" kind:"nocase" takes:"zfspool" pattern:"[0-9]+[kKmM]?" doc:"volblocksize of new volumes; existing ones keep theirs"`
	Sparse     *bool    `json:"sparse,omitempty" pve:"sparse" default:"0" takes:"zfspool" doc:"new volumes reserve no space"`
	VGName     string   `json:"vgname,omitempty" pve:"vgname" needs:"lvm lvmthin" fixed:"lvm lvmthin" pattern:"[A-Za-z0-9_+.][A-Za-z0-9_+.-]*" doc:"volume group"`
	Thinpool   string   `json:"thinpool,omitempty" pve:"thinpool" needs:"lvmthin" fixed:"lvmthin" pattern:"[A-Za-z0-9_+.][A-Za-z0-9_+.-]*" doc:"thin pool in the volume group"`
	Saferemove *bool    `json:"saferemove,omitempty" pve:"saferemove" default:"0" takes:"lvm" doc:"overwrite volumes with zeros when they are removed"`
	Server     string   `json:"server,omitempty" pve:"server" needs:"nfs" fixed:"nfs" pattern:"[A-Za-z0-9:.-]+" doc:"host or address of the NFS server"`
	Export     string   `json:"export,omitempty" pve:"export" kind:"path" needs:"nfs" fixed:"nfs" pattern:"/[^ ]*" doc:"exported path on the server"`
	Options    string   `json:"options,omitempty" pve:"options" takes:"nfs" pattern:"[^ ]+" doc:"mount options, such as vers=4.2"`
}

// Option is one option of a storage or an interface, in PVE's key and text.
type Option struct {
	Key   string
	Path  string // field of the manifest
	Text  string // "" for an empty list: the option goes
	Fixed bool   // PVE never changes it
	leaf  Leaf
}

// Same tells whether the live text (ok: the key is there) means the same.
func (o Option) Same(have string, ok bool) bool {
	if !ok {
		return o.leaf.sameDefault(o.Text, Facts{})
	}
	return o.leaf.kind.same(o.Text, have, Facts{})
}

// Declared lists the options that the manifest states, in the order of the table.
func (s Storage) Declared() []Option { return options(reflect.ValueOf(s), s.Type) }

// options lists the fields of a struct that are set and have a key of PVE.
func options(v reflect.Value, kind string) []Option {
	var out []Option
	for i := range v.NumField() {
		f := v.Type().Field(i)
		key := f.Tag.Get("pve")
		if key == "" || v.Field(i).IsZero() {
			continue
		}
		value := v.Field(i)
		if value.Kind() == reflect.Pointer {
			value = value.Elem()
		}
		l := leaf(f, nil, "")
		out = append(out, Option{Key: key, Path: jsonName(f), Text: l.kind.print(value), Fixed: names(f, "fixed", kind), leaf: l})
	}
	return out
}

// names tells whether a tag lists a word.
func names(f reflect.StructField, tag, word string) bool {
	return slices.Contains(strings.Fields(f.Tag.Get(tag)), word)
}

// Local tells whether each node has its own: then a definition must say which nodes have it.
func (s Storage) Local() bool { return s.Type != "nfs" && (s.Shared == nil || !*s.Shared) }

// checkStorages finds what the tags cannot say.
func (n Node) checkStorages(f *faults) {
	for _, id := range slices.Sorted(maps.Keys(n.Spec.Storages)) {
		s := n.Spec.Storages[id]
		at := "spec.storages." + id
		if s == nil || s.Type == "" {
			continue // said already
		}
		if why := checkStorage(id); why != "" {
			f.add(at, "%s", why)
		}
		s.check(f, at)
		if len(s.Nodes) > 0 && !slices.Contains(s.Nodes, n.Metadata.Name) {
			f.add(at+".nodes", "%s itself is not among them: declare the storage where it is", n.Metadata.Name)
		}
	}
}

func (s Storage) check(f *faults, at string) {
	checkTypes(f, reflect.ValueOf(s), s.Type, at)
	if s.Content != nil && len(s.Content) == 0 {
		f.add(at+".content", "empty: write [none] for a storage that may keep nothing, or leave it out")
	}
}

// checkTypes: some options only some types have, and some they must have.
func checkTypes(f *faults, v reflect.Value, kind, at string) {
	for i := range v.NumField() {
		field := v.Type().Field(i)
		needs, takes := field.Tag.Get("needs"), field.Tag.Get("takes")
		set := !v.Field(i).IsZero()
		switch {
		case names(field, "needs", kind) && !set:
			f.add(at+"."+jsonName(field), "required of type %s: %s", kind, brief(field.Tag.Get("doc")))
		case set && needs+takes != "" && !names(field, "needs", kind) && !names(field, "takes", kind):
			f.add(at+"."+jsonName(field), "type %s does not have this option, only %s", kind, strings.ReplaceAll(strings.TrimSpace(needs+" "+takes), " ", ", "))
		}
	}
}
