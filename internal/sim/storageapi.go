package sim

import (
	"strings"
)

func init() {
	on("GET /storage", listStorages)
	on("POST /storage", createStorage)
	on("GET /storage/{storage}", readStorage)
	on("PUT /storage/{storage}", updateStorage)
	on("DELETE /storage/{storage}", deleteStorage)
	on("GET /nodes/{node}/storage", nodeStorages)
	on("GET /nodes/{node}/storage/{storage}", func(c *call) (any, error) {
		return subdirs("content", "status", "rrd", "rrddata", "upload", "download-url", "prunebackups"), nil
	})
	on("GET /nodes/{node}/storage/{storage}/status", storageStatus)
}

var storageNumbers = map[string]bool{"shared": true, "disable": true, "sparse": true, "mkdir": true, "saferemove": true, "nocow": true, "port": true, "tagged_only": true}

func (c *call) storageView(st *Storage) map[string]any {
	row := map[string]any{"storage": st.ID, "type": st.Type, "content": st.contentText(), "digest": c.w.Storages.digest()}
	for key, value := range st.values {
		row[key] = value
		if storageNumbers[key] {
			row[key] = atoi(value)
		}
	}
	return row
}

func listStorages(c *call) (any, error) {
	rows := []any{}
	for _, st := range c.w.Storages.list {
		if c.has("type") && st.Type != c.str("type") {
			continue
		}
		if c.may("/storage/"+st.ID, "Datastore.Audit", "Datastore.AllocateSpace") {
			rows = append(rows, c.storageView(st))
		}
	}
	return rows, nil
}

func readStorage(c *call) (any, error) {
	st := c.w.Storages.find(c.str("storage"))
	if st == nil {
		return nil, dief("storage '%s' does not exist", c.str("storage"))
	}
	return c.storageView(st), nil
}

// storageOptions are what a storage type takes, "!" for required and "=" for fixed at creation.
var storageOptions = map[string]string{
	"dir":     "!path= content nodes disable shared mkdir preallocation prune-backups max-protected-backups is_mountpoint create-base-path create-subdirs format bwlimit content-dirs snapshot-as-volume-chain",
	"zfspool": "!pool= content nodes disable sparse blocksize mountpoint bwlimit",
	"lvm":     "!vgname= content nodes disable shared base= saferemove saferemove_throughput saferemove-stepsize tagged_only bwlimit snapshot-as-volume-chain",
	"lvmthin": "!vgname= !thinpool= content nodes disable bwlimit",
	"nfs":     "!server= !export= path= content nodes disable options prune-backups max-protected-backups preallocation mkdir format bwlimit",
}

type storageOption struct{ required, fixed bool }

func optionsOf(kind string) map[string]storageOption {
	found := map[string]storageOption{}
	for _, word := range strings.Fields(storageOptions[kind]) {
		o := storageOption{}
		if o.required = strings.HasPrefix(word, "!"); o.required {
			word = word[1:]
		}
		if o.fixed = strings.HasSuffix(word, "="); o.fixed {
			word = strings.TrimSuffix(word, "=")
		}
		found[word] = o
	}
	return found
}

// storageParams collects the options of a call and refuses those the type does not have.
func (c *call) storageParams(kind string, create bool) (map[string]string, error) {
	known := optionsOf(kind)
	if len(known) == 0 {
		return nil, notCovered("storage type '%s'", kind)
	}
	set := map[string]string{}
	for _, name := range c.order {
		switch name {
		case "storage", "type", "digest", "delete":
			continue
		}
		o, ok := known[name]
		if !ok || o.fixed && !create {
			return nil, badParam(name, notInSchema)
		}
		set[name] = strings.ReplaceAll(c.params[name], "\x00", ",")
	}
	return set, nil
}

func createStorage(c *call) (any, error) {
	id, kind := c.str("storage"), c.str("type")
	set, err := c.storageParams(kind, true)
	if err != nil {
		return nil, err
	}
	known := optionsOf(kind)
	for _, name := range sortedKeys(known) {
		if known[name].required && set[name] == "" {
			return nil, dief("missing value for required option '%s'", name)
		}
	}
	if c.w.Storages.find(id) != nil {
		return nil, dief("create storage failed: storage ID '%s' already defined", id)
	}
	st := &Storage{ID: id, Type: kind, values: map[string]string{}}
	for _, name := range c.order {
		if value, ok := set[name]; ok {
			st.set(name, value)
		}
	}
	if kind == "zfspool" && st.on(c.w.local().Name) && !st.disabled() { // of other nodes: nobody looks
		if err := c.activatePool(st); err != nil {
			return nil, err
		}
	}
	c.w.Storages.list = append(c.w.Storages.list, st)
	return map[string]any{"storage": id, "type": kind}, nil
}

// activatePool imports the pool of a new storage and notes where it is mounted.
func (c *call) activatePool(st *Storage) error {
	n, pool := c.w.local(), st.values["pool"]
	if len(n.Datasets) == 0 {
		return dief("create storage failed: could not activate storage '%s', zfs error: open3: exec of zpool import -d /dev/disk/by-id/ -o cachefile=none %s failed: No such file or directory at /usr/share/perl5/PVE/Cmd.pm line 174.\n", st.ID, pool)
	}
	if n.dataset(pool) == nil {
		return dief("create storage failed: could not activate storage '%s', zfs error: cannot import '%s': no such pool available\n", st.ID, pool)
	}
	if _, ok := st.values["mountpoint"]; !ok {
		st.set("mountpoint", "/"+pool)
	}
	return nil
}

func updateStorage(c *call) (any, error) {
	id := c.str("storage")
	st := c.w.Storages.find(id)
	if st == nil {
		return nil, dief("update storage failed: storage '%s' does not exist", id)
	}
	if digest := c.str("digest"); digest != "" && digest != c.w.Storages.digest() {
		return nil, dief("update storage failed: detected modified configuration - file changed by other user? Try again.")
	}
	set, err := c.storageParams(st.Type, false)
	if err != nil {
		return nil, err
	}
	known := optionsOf(st.Type)
	for _, name := range splitList(c.str("delete")) {
		o, ok := known[name]
		switch {
		case !ok:
			return nil, dief("update storage failed: no such option '%s'", name)
		case o.required:
			return nil, dief("update storage failed: unable to delete required option '%s'", name)
		case o.fixed:
			return nil, dief("update storage failed: unable to delete fixed option '%s'", name)
		}
		if _, both := set[name]; both {
			return nil, dief("update storage failed: unable to set and delete property '%s' at the same time!", name)
		}
		st.unset(name)
	}
	for _, name := range c.order {
		if value, ok := set[name]; ok {
			if name == "disable" && value == "0" {
				st.unset(name)
				continue
			}
			st.set(name, value)
		}
	}
	return map[string]any{"storage": id, "type": st.Type}, nil
}

func deleteStorage(c *call) (any, error) {
	id := c.str("storage")
	for i, st := range c.w.Storages.list {
		if st.ID == id {
			c.w.Storages.list = append(c.w.Storages.list[:i:i], c.w.Storages.list[i+1:]...)
			return nil, nil
		}
	}
	return nil, dief("delete storage failed: storage '%s' does not exist", id)
}

// storageState is total, used and avail of a storage on the call's node.
func (c *call) storageState(st *Storage) map[string]any {
	row := map[string]any{
		"type": st.Type, "content": st.contentText(), "shared": atoi(st.values["shared"]), "enabled": 1, "active": 1,
		"total": 0, "used": 0, "avail": 0,
	}
	s := &store{s: c.s, node: c.node, st: st}
	switch {
	case st.disabled():
		row["enabled"], row["active"] = 0, 0
	case !s.exists():
		row["active"] = 0
	default:
		total, used := s.capacity()
		row["total"], row["used"], row["avail"] = total, used, max(0, total-used)
	}
	return row
}

func nodeStorages(c *call) (any, error) {
	rows := []any{}
	for _, st := range c.w.Storages.list {
		if !st.on(c.node.Name) || !c.may("/storage/"+st.ID, "Datastore.Audit", "Datastore.AllocateSpace") {
			continue
		}
		if c.has("storage") && st.ID != c.str("storage") || c.flag("enabled") && st.disabled() || !st.hasAny(c.str("content")) {
			continue
		}
		row := c.storageState(st)
		row["storage"] = st.ID
		if total, ok := row["total"].(int64); ok && total > 0 {
			row["used_fraction"] = float64(row["used"].(int64)) / float64(total)
		}
		if c.flag("format") {
			st.addFormats(row, c.w.nine())
		}
		rows = append(rows, row)
	}
	return rows, nil
}

func (s *Storage) hasAny(contents string) bool {
	list := splitList(contents)
	for _, one := range list {
		if s.has(one) {
			return true
		}
	}
	return len(list) == 0
}

// addFormats tells which image formats a storage keeps.
func (s *Storage) addFormats(row map[string]any, nine bool) {
	supported := []string{"raw", "subvol"}
	if s.Type == "lvmthin" || s.Type == "lvm" {
		supported = []string{"raw"}
	} else if s.Type != "zfspool" {
		supported = []string{"qcow2", "raw", "subvol", "vmdk"}
	}
	old := map[string]any{}
	for _, format := range supported {
		old[format] = 1
	}
	row["format"] = []any{old, "raw"}
	if nine {
		row["formats"] = map[string]any{"default": "raw", "supported": supported}
	}
}

func storageStatus(c *call) (any, error) {
	st := c.w.Storages.find(c.str("storage"))
	if st == nil || !st.on(c.node.Name) {
		return nil, badParam("storage", "No such storage.")
	}
	return c.storageState(st), nil
}
