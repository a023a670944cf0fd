package adopt

import (
	"cmp"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/ustclug/pve-reconcile/internal/strictyaml"
	"github.com/ustclug/pve-reconcile/manifests"
	"github.com/ustclug/pve-reconcile/schema"
)

// Tree is where manifests are, and what the config file says of them.
type Tree struct {
	Files   fs.FS
	Owner   string
	Update  bool                              // take over what differs into manifests that are there
	Named   bool                              // new manifests name their cluster, since there are several
	Cluster func(cluster, node string) string // the cluster that a manifest means by what it states, "" when it cannot be told
}

// Verdict is what becomes of one guest or node.
type Verdict string

// The verdicts.
const (
	New      Verdict = "New"      // a file is to be written
	Updated  Verdict = "Updated"  // a file is to be changed
	InSync   Verdict = "InSync"   // its manifest says what is there
	Declared Verdict = "Declared" // it has a manifest, which is left alone
	Refused  Verdict = "Refused"  // it cannot be imported; Why says what to do
)

// File is what an import makes of one guest or node.
type File struct {
	Guest         // without a vmid for a node
	Host    *Host // nil for a guest
	Verdict Verdict
	Why     string
	Name    string            // of the object
	Path    string            // of its file in the tree
	Text    []byte            // what the file is to hold; nil: it is left alone
	Changed []string          // updates: the paths that change
	Left    []schema.Leftover // live and not in the manifest
	Notes   []string

	want schema.VM // what the file is to say
	was  schema.VM // what it said before, zero for a new one

	wantHost schema.Node // the same of a node
}

// Plan decides what becomes of each node and guest, in the order of clusters, names and vmids. Nothing is in Text that was not
// read back from the tree as it will be, and found to change nothing.
func Plan(t Tree, hosts []Host, guests []Guest) []File {
	i := importer{Tree: t, set: manifests.Load(t.Files), written: map[string][]byte{}, names: map[string]bool{}, macs: map[string]string{}, uuids: map[string]string{}}
	i.known()
	guests = slices.SortedFunc(slices.Values(guests), func(x, y Guest) int {
		return cmp.Or(strings.Compare(x.ID.Cluster, y.ID.Cluster), x.ID.VMID-y.ID.VMID)
	})
	i.twins(guests)
	files := i.hosts(hosts)
	for _, g := range guests {
		files = append(files, i.guest(g))
	}
	i.prove(files)
	return files
}

// importer is one import under way.
type importer struct {
	Tree
	set     manifests.Set
	written map[string][]byte // new texts by path
	names   map[string]bool   // taken names, in lower case: files of some systems know no case
	macs    map[string]string // who has a MAC: "VirtualMachine/web"
	uuids   map[string]string
}

func ref(v schema.VM) string { return schema.KindVM + "/" + v.Metadata.Name }

// known collects what the tree has claimed already.
func (i *importer) known() {
	for _, o := range i.set.Declared {
		i.names[strings.ToLower(o.Object.Metadata.Name)] = true
		if o.Object.Spec.UUID != "" {
			i.uuids[strings.ToLower(o.Object.Spec.UUID)] = ref(o.Object)
		}
		i.claimMACs(o.Object)
	}
	for name := range i.set.Refused {
		_, name, _ = strings.Cut(name, "/")
		i.names[strings.ToLower(name)] = true
	}
}

func (i *importer) claimMACs(v schema.VM) {
	for _, n := range v.Spec.Networks {
		if n != nil && n.MAC != "" && !v.Absent() {
			i.macs[strings.ToUpper(n.MAC)] = ref(v)
		}
	}
}

// twins finds guests that have one uuid among them: no manifest could tell one from the other.
func (i *importer) twins(guests []Guest) {
	first := map[string]Guest{}
	for _, g := range guests {
		uuid := schema.UUID(g.Have.Running)
		if other, twice := first[uuid]; twice && uuid != "" {
			i.uuids[uuid] = fmt.Sprintf("guests %d and %d", other.ID.VMID, g.ID.VMID)
		}
		first[uuid] = g
	}
}

// declared finds the manifest of a guest.
func (i *importer) declared(id schema.ID) (manifests.Object[schema.VM], bool) {
	for _, o := range i.set.Declared {
		if o.Object.Spec.VMID == id.VMID && i.Cluster(o.Object.Spec.Cluster, o.Object.Spec.Node) == id.Cluster {
			return o, true
		}
	}
	return manifests.Object[schema.VM]{}, false
}

func (i *importer) guest(g Guest) File {
	f := File{Guest: g}
	o, there := i.declared(g.ID)
	switch {
	case there:
		f.Name, f.Path = o.Object.Metadata.Name, o.File
		if !i.Update {
			f.Verdict, f.Why = Declared, fmt.Sprintf("%s:%d has its manifest; --update takes over what differs", o.File, o.Line)
			return f
		}
		i.update(&f, o)
	case i.set.Unread:
		f.Name = i.name(g)
		f.refuse("the tree has files that cannot be read, which may declare this guest: `reconcile validate` lists their problems")
	default:
		i.add(&f)
	}
	if f.Verdict == New || f.Verdict == Updated {
		f.note()
	}
	return f
}

func (f *File) refuse(format string, args ...any) {
	f.Verdict, f.Why, f.Text, f.Changed = Refused, fmt.Sprintf(format, args...), nil, nil
}

// note says what a person may want to know of the moment of the import.
func (f *File) note() {
	if lock := f.Have.Running["lock"]; lock != "" {
		f.Notes = append(f.Notes, fmt.Sprintf("PVE has locked the guest (%s)", lock))
	}
	if keys := pendingKeys(f.Have); len(keys) > 0 {
		f.Notes = append(f.Notes, "pending changes are part of the manifest and wait for a restart: "+strings.Join(keys, ", "))
	}
}

// add makes the manifest of a guest that has none.
func (i *importer) add(f *File) {
	g := f.Guest
	name := i.name(g)
	v, left, err := Manifest(name, g, i.Owner)
	f.Name, f.Path, f.Left = name, "vms/"+name+".yaml", left
	if err != nil {
		f.refuse("%v", err)
		return
	}
	if other, twice := i.uuids[v.Spec.UUID]; twice {
		f.refuse("uuid %s is that of %s: no manifest can tell them apart. Give one of them a new uuid in smbios1", v.Spec.UUID, other)
		return
	}
	if _, err := fs.Stat(i.Files, f.Path); err == nil {
		f.refuse("%s is there and is not its manifest: rename or mend that file", f.Path)
		return
	}
	if i.Named {
		v.Spec.Cluster = g.ID.Cluster
	}
	i.sharedMACs(f, v)
	i.names[strings.ToLower(name)] = true
	i.claimMACs(v)
	f.Verdict, f.want, f.Text = New, v, Text(v, g, f.Left)
	i.written[f.Path] = f.Text
}

// sharedMACs leaves out a MAC that another manifest has: no two may name one, and PVE keeps it without.
func (i *importer) sharedMACs(f *File, v schema.VM) {
	for _, key := range sortedKeys(v.Spec.Networks) {
		n := v.Spec.Networks[key]
		if other, twice := i.macs[strings.ToUpper(n.MAC)]; twice && n.MAC != "" {
			f.Left = append(f.Left, schema.Leftover{Key: key, Prop: "macaddr", Text: n.MAC, Why: "also the MAC of " + other + "; manifests name a MAC once"})
			n.MAC = ""
		}
	}
}

// longestName leaves room for the vmid, and for .yaml.
const longestName = 200

// name is the guest's name as a name of an object that no other has.
func (i *importer) name(g Guest) string {
	name := strings.Map(func(r rune) rune {
		if r < 128 && (r == '-' || r == '.' || r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z') {
			return r
		}
		return '-'
	}, strings.TrimSpace(g.Have.Desired()["name"]))
	if name = strings.Trim(name[:min(len(name), longestName)], "-."); name == "" {
		name = schema.Unnamed(g.ID.VMID)
	}
	for _, free := range []string{name, fmt.Sprintf("%s-%d", name, g.ID.VMID), fmt.Sprintf("%s-%d-%s", name, g.ID.VMID, g.ID.Cluster)} {
		if !i.names[strings.ToLower(free)] {
			return free
		}
	}
	return fmt.Sprintf("guest-%s-%d", g.ID.Cluster, g.ID.VMID)
}

// lineOf is the line on which the document of an object begins.
func lineOf(file, kind, name string, text []byte) int {
	docs, _ := strictyaml.Documents(file, text)
	for _, d := range docs {
		k, _ := d.String("kind")
		if n, ok := d.String("metadata.name"); ok && n == name && k == kind {
			line, _ := d.Position("")
			return line
		}
	}
	return 0
}
