package sim

import (
	"regexp"
	"sort"
	"strings"
)

// store is one storage seen from one node.
type store struct {
	s    *Server
	node *Node
	st   *Storage
}

// storage finds a storage that may be used on the call's node; texts are PVE's.
func (c *call) storage(id string) (*store, error) {
	st := c.w.Storages.find(id)
	if st == nil {
		return nil, dief("storage '%s' does not exist", id)
	}
	if st.disabled() {
		return nil, dief("storage '%s' is disabled", id)
	}
	node := c.node
	if node == nil {
		node = c.w.local()
	}
	if !st.on(node.Name) {
		return nil, dief("storage '%s' is not available on node '%s'", id, node.Name)
	}
	return &store{s: c.s, node: node, st: st}, nil
}

// volume finds a storage and the volume in it that a volid names; the volume may be absent.
func (c *call) volume(volid string) (*store, *volumeName, error) {
	m := volumeID.FindStringSubmatch(volid)
	if m == nil {
		return nil, nil, dief("unable to parse volume ID '%s'", volid)
	}
	st, err := c.storage(m[1])
	if err != nil {
		return nil, nil, err
	}
	name, err := st.parse(m[2])
	return st, name, err
}

// volumeName is what a volume's name tells.
type volumeName struct {
	name    string // as in the volid
	content string
	vmid    int
	format  string
	file    string // last part
	base    string // the template's volume a linked clone stands on
	isBase  bool
}

var (
	dirImage  = regexp.MustCompile(`^(\d+)/([^/\s]+\.(raw|qcow2|vmdk|subvol))$`)
	dirLinked = regexp.MustCompile(`^((\d+)/([^/\s]+\.(?:raw|qcow2|vmdk|subvol)))/((\d+)/([^/\s]+\.(raw|qcow2|vmdk|subvol)))$`)
	dirOther  = regexp.MustCompile(`^(iso|vztmpl|backup|snippets|import|rootdir)/([^/]+)$`)
	zfsName   = regexp.MustCompile(`^(?:((?:base|basevol)-\d+-\S+)/)?((base|basevol|vm|subvol)-(\d+)-\S+)$`)
	lvmName   = regexp.MustCompile(`^((vm|base)-(\d+)-\S+)$`)
)

// parse reads a volume's name (src: parse_volname of the storage plugins).
func (s *store) parse(name string) (*volumeName, error) {
	switch s.st.Type {
	case "zfspool":
		if m := zfsName.FindStringSubmatch(name); m != nil {
			return &volumeName{name: name, content: "images", vmid: atoi(m[4]), format: "raw", file: m[2], base: m[1], isBase: strings.HasPrefix(m[3], "base")}, nil
		}
		return nil, dief("unable to parse zfs volume name '%s'", name)
	case "lvm", "lvmthin":
		if m := lvmName.FindStringSubmatch(name); m != nil {
			return &volumeName{name: name, content: "images", vmid: atoi(m[3]), format: "raw", file: name, isBase: m[2] == "base"}, nil
		}
		return nil, dief("unable to parse lvm volume name '%s'", name)
	}
	if m := dirLinked.FindStringSubmatch(name); m != nil {
		return &volumeName{name: name, content: "images", vmid: atoi(m[5]), format: m[7], file: m[6], base: m[1]}, nil
	}
	if m := dirImage.FindStringSubmatch(name); m != nil {
		return &volumeName{name: name, content: "images", vmid: atoi(m[1]), format: m[3], file: m[2], isBase: strings.HasPrefix(m[2], "base-")}, nil
	}
	if m := dirOther.FindStringSubmatch(name); m != nil {
		v := &volumeName{name: name, content: m[1], file: m[2]}
		if i := strings.LastIndex(m[2], "."); i >= 0 {
			v.format = m[2][i+1:]
		}
		if v.content == "snippets" {
			v.format = "snippet"
		}
		return v, nil
	}
	return nil, dief("unable to parse directory volume name '%s'", name)
}

func (s *store) isDir() bool {
	return s.st.Type != "zfspool" && s.st.Type != "lvm" && s.st.Type != "lvmthin"
}

// list returns the volumes of the storage in name order.
func (s *store) list() []*Volume {
	if s.st.Type != "zfspool" {
		list := append([]*Volume(nil), s.node.Volumes[s.st.ID]...)
		sort.SliceStable(list, func(i, j int) bool { return list[i].Name < list[j].Name })
		return list
	}
	var list []*Volume
	prefix := s.st.values["pool"] + "/"
	for _, d := range s.node.Datasets {
		rest, ok := strings.CutPrefix(d.Name, prefix)
		if !ok || strings.Contains(rest, "/") || d.Volsize == 0 || !zfsName.MatchString(rest) {
			continue
		}
		list = append(list, d.volume(prefix, rest))
	}
	return list
}

// volume shows a zvol as a volume; a clone's name has its base in front.
func (d *Dataset) volume(prefix, name string) *Volume {
	v := &Volume{Name: name, Size: d.Volsize, Used: d.Used, Format: "raw", Content: "images", Created: d.Created}
	if base, _, ok := strings.Cut(strings.TrimPrefix(d.Origin, prefix), "@"); ok && d.Origin != "" {
		v.Name = base + "/" + name
		v.Parent = strings.TrimPrefix(d.Origin, prefix)
	}
	return v
}

func (s *store) find(name string) *Volume {
	for _, v := range s.list() {
		if v.Name == name {
			return v
		}
	}
	return nil
}

func (s *store) zvol(name string) *Dataset {
	if _, last, ok := strings.Cut(name, "/"); ok {
		name = last
	}
	return s.node.dataset(s.st.values["pool"] + "/" + name)
}

func (n *Node) dataset(name string) *Dataset {
	for _, d := range n.Datasets {
		if d.Name == name {
			return d
		}
	}
	return nil
}

// path is where a volume is on the host.
func (s *store) path(name string) string {
	v, err := s.parse(name)
	if err != nil {
		return name
	}
	switch s.st.Type {
	case "zfspool":
		return "/dev/zvol/" + s.st.values["pool"] + "/" + v.file
	case "lvm", "lvmthin":
		return "/dev/" + s.st.values["vgname"] + "/" + v.file
	}
	root := s.st.values["path"]
	switch v.content {
	case "images":
		return root + "/images/" + itoa(v.vmid) + "/" + v.file
	case "iso":
		return root + "/template/iso/" + v.file
	case "vztmpl":
		return root + "/template/cache/" + v.file
	case "backup":
		return root + "/dump/" + v.file
	}
	return root + "/" + v.content + "/" + v.file
}

// capacity is total and used bytes.
func (s *store) capacity() (total, used int64) {
	switch s.st.Type {
	case "zfspool":
		pool, _, _ := strings.Cut(s.st.values["pool"], "/")
		root := s.node.dataset(pool)
		if root == nil {
			return 0, 0
		}
		for _, d := range s.node.Datasets {
			if d.Name == pool || strings.HasPrefix(d.Name, pool+"/") {
				used += d.Used
			}
		}
		total = root.Quota
	case "lvm", "lvmthin":
		total = s.node.RootDisk
		for _, v := range s.node.Volumes[s.st.ID] {
			used += v.Used
		}
	default:
		total, used = s.node.RootDisk, s.node.RootUsed
	}
	if s.s.full(s.st.ID) {
		used = total
	}
	return total, used
}

// exists tells whether the storage can be used on its node at all.
func (s *store) exists() bool {
	if s.st.Type == "zfspool" {
		return s.node.dataset(s.st.values["pool"]) != nil
	}
	return true
}
