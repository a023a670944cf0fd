package sim

import "strings"

func init() {
	const base = " /nodes/{node}/qemu/{vmid}/snapshot"
	on("GET"+base, listSnapshots)
	on("POST"+base, takeSnapshot)
	on("GET"+base+"/{snapname}", func(*call) (any, error) {
		return []any{map[string]any{"cmd": "rollback"}, map[string]any{"cmd": "config"}}, nil
	})
	on("DELETE"+base+"/{snapname}", deleteSnapshot)
	on("POST"+base+"/{snapname}/rollback", rollback)
	on("GET"+base+"/{snapname}/config", func(c *call) (any, error) {
		c.params["snapshot"] = c.str("snapname")
		data, err := readConfig(c)
		if row, ok := data.(map[string]any); ok {
			delete(row, "digest")
		}
		return data, err
	})
	on("PUT"+base+"/{snapname}/config", func(c *call) (any, error) {
		vm, err := c.vm()
		if err != nil {
			return nil, err
		}
		conf := vm.config().clone()
		snap := conf.snaps[c.str("snapname")]
		if snap == nil {
			return nil, dief("snapshot '%s' does not exist", c.str("snapname"))
		}
		if c.has("description") {
			snap["description"] = c.str("description")
		}
		vm.write(conf)
		return nil, nil
	})
	on("GET /nodes/{node}/qemu/{vmid}/feature", hasFeature)
}

func listSnapshots(c *call) (any, error) {
	vm, err := c.vm()
	if err != nil {
		return nil, err
	}
	conf := vm.config()
	rows := []any{}
	for _, name := range sortedKeys(conf.snaps) {
		snap := conf.snaps[name]
		row := map[string]any{"name": name, "snaptime": snap.number("snaptime", 0), "vmstate": atoi(bit(snap["vmstate"] != "")), "description": snap["description"]}
		if snap["parent"] != "" {
			row["parent"] = snap["parent"]
		}
		rows = append(rows, row)
	}
	now := map[string]any{"name": "current", "description": "You are here!", "running": atoi(bit(vm.isRunning())), "digest": vm.digest()}
	if conf.main["parent"] != "" {
		now["parent"] = conf.main["parent"]
	}
	return append(rows, now), nil
}

// snapshotted lists the drives of a config that a snapshot covers, and whether all can be.
func (c *call) snapshotted(conf settings) (drives []drive, possible bool) {
	possible = true
	for _, slot := range sortedKeys(conf) {
		if !isDrive(slot) {
			continue
		}
		d, err := c.parseDrive(slot, conf[slot])
		if err != nil || !d.hasVolume() || d.isCD() {
			continue
		}
		st, name, err := c.volume(d.file())
		if err != nil || st.isDir() && name.format != "qcow2" || st.st.Type == "lvm" {
			possible = false
			continue
		}
		drives = append(drives, d)
	}
	return drives, possible
}

func takeSnapshot(c *call) (any, error) {
	vm, err := c.vm()
	if err != nil {
		return nil, err
	}
	name, id := c.str("snapname"), vm.ID
	if name == "current" {
		return nil, dief("unable to use snapshot name 'current' (reserved name)")
	}
	return c.snapshotTask("qmsnapshot", vm, func(t *Task, vm *VM) error {
		conf := vm.config().clone()
		if conf.snaps[name] != nil {
			return dief("snapshot name '%s' already used", name)
		}
		drives, possible := c.snapshotted(conf.main)
		if !possible {
			return dief("snapshot feature is not available")
		}
		snap := settings{}
		for key, value := range conf.main {
			if !unusedSlot.MatchString(key) && key != "description" && key != "lock" {
				snap[key] = value
			}
		}
		snap["snaptime"] = itoa(int(c.s.clock.Now().Unix()))
		if c.has("description") {
			snap["description"] = c.str("description")
		}
		for _, d := range drives {
			t.logf("snapshotting 'drive-%s' (%s)", d.slot, d.file())
			st, volume, err := c.volume(d.file())
			if err != nil {
				return err
			}
			if err := st.takeSnapshot(volume.name, name); err != nil {
				return err
			}
		}
		conf.snaps[name] = snap
		conf.main["parent"] = name
		c.w.VMs[id].write(conf)
		return nil
	})
}

// snapshotTask forks work that needs an unlocked VM.
func (c *call) snapshotTask(kind string, vm *VM, work func(*Task, *VM) error) (any, error) {
	id := vm.ID
	return c.fork(job{kind: kind, id: itoa(id), vm: vm, work: func(t *Task) error {
		vm := c.w.VMs[id]
		if vm == nil {
			return dief("Configuration file 'nodes/%s/qemu-server/%d.conf' does not exist", c.node.Name, id)
		}
		if err := c.notLocked(vm.config().main); err != nil && !c.flag("force") {
			return err
		}
		return work(t, vm)
	}})
}

func (s *store) takeSnapshot(volume, name string) error {
	if s.st.Type == "zfspool" {
		return s.changeZvol(volume, func(z ZFS, zvol string) error { return z.Snapshot(zvol, name) })
	}
	if v := s.find(volume); v != nil {
		if v.snapAt == nil {
			v.snapAt = map[string]int64{}
		}
		v.Snaps, v.snapAt[name] = append(v.Snaps, name), v.Size
	}
	return nil
}

// latest tells whether a snapshot is the newest of a volume; ZFS rolls back to no other.
func (s *store) latest(volume, name string) bool {
	if d := s.zvol(volume); s.st.Type == "zfspool" && d != nil {
		n := len(d.Snapshots)
		return n > 0 && d.Snapshots[n-1].Name == name
	}
	return true
}

func (s *store) rollback(volume, name string) error {
	if s.st.Type == "zfspool" {
		return s.changeZvol(volume, func(z ZFS, zvol string) error { return z.Rollback(zvol, name) })
	}
	if v := s.find(volume); v != nil {
		if size, ok := v.snapAt[name]; ok {
			v.Size = size
		}
	}
	return nil
}

func (s *store) dropSnapshot(volume, name string) error {
	if s.st.Type == "zfspool" {
		return s.changeZvol(volume, func(z ZFS, zvol string) error { return z.DestroySnapshot(zvol, name) })
	}
	if v := s.find(volume); v != nil {
		v.Snaps = without(v.Snaps, name)
		delete(v.snapAt, name)
	}
	return nil
}

// rollback puts a snapshot's config and disks back; the guest stops (src: AbstractConfig::snapshot_rollback).
func rollback(c *call) (any, error) {
	vm, err := c.vm()
	if err != nil {
		return nil, err
	}
	name := c.str("snapname")
	return c.snapshotTask("qmrollback", vm, func(t *Task, vm *VM) error {
		conf := vm.config().clone()
		snap := conf.snaps[name]
		if snap == nil {
			return dief("snapshot '%s' does not exist", name)
		}
		drives, _ := c.snapshotted(snap)
		for _, d := range drives {
			if st, volume, err := c.volume(d.file()); err != nil {
				return err
			} else if !st.latest(volume.name, name) {
				return dief("can't rollback, '%s' is not most recent snapshot on '%s'", name, d.file())
			}
		}
		c.stopVM(vm)
		for _, d := range drives {
			if st, volume, err := c.volume(d.file()); err == nil {
				if err := st.rollback(volume.name, name); err != nil {
					return err
				}
			}
		}
		vm.write(c.rolledBack(vm.config().clone(), snap, name))
		if c.flag("start") {
			return c.startVM(t, vm)
		}
		return nil
	})
}

func (c *call) rolledBack(conf *config, snap settings, name string) *config {
	now := settings{}
	for key, value := range snap {
		if key != "snaptime" && key != "vmstate" && key != "description" && key != "parent" && key != "snapstate" {
			now[key] = value
		}
	}
	for key, value := range conf.main {
		if unusedSlot.MatchString(key) || key == "description" {
			now[key] = value
		}
	}
	old := conf.main
	conf.main, conf.pending = now, settings{}
	for slot, value := range now {
		if isDrive(slot) {
			c.attached(conf, driveFile(value))
		}
	}
	for _, slot := range driveOrder(old) {
		if volid := driveFile(old[slot]); volumeID.MatchString(volid) && !conf.usedElsewhere(volid, "") && !strings.Contains(old[slot], "media=cdrom") {
			c.addUnused(conf, volid)
		}
	}
	now["parent"] = name
	if now["vmgenid"] != "" {
		now["vmgenid"] = c.s.newUUID()
	}
	return conf
}

func deleteSnapshot(c *call) (any, error) {
	vm, err := c.vm()
	if err != nil {
		return nil, err
	}
	name := c.str("snapname")
	return c.snapshotTask("qmdelsnapshot", vm, func(t *Task, vm *VM) error {
		conf := vm.config().clone()
		snap := conf.snaps[name]
		if snap == nil {
			return dief("snapshot '%s' does not exist", name)
		}
		drives, _ := c.snapshotted(snap)
		for _, d := range drives {
			if st, volume, err := c.volume(d.file()); err == nil {
				if err := st.dropSnapshot(volume.name, name); err != nil {
					return err
				}
			}
		}
		delete(conf.snaps, name)
		for _, set := range append([]settings{conf.main}, values(conf.snaps)...) {
			if set["parent"] != name {
				continue
			}
			if delete(set, "parent"); snap["parent"] != "" {
				set["parent"] = snap["parent"]
			}
		}
		vm.write(conf)
		return nil
	})
}

func values(m map[string]settings) []settings {
	var all []settings
	for _, key := range sortedKeys(m) {
		all = append(all, m[key])
	}
	return all
}

// hasFeature tells whether a snapshot, clone or copy is possible, and on which nodes.
func hasFeature(c *call) (any, error) {
	vm, err := c.vm()
	if err != nil {
		return nil, err
	}
	conf := vm.config().main
	has := true
	switch c.str("feature") {
	case "snapshot":
		_, has = c.snapshotted(conf)
	case "clone":
		has = conf["template"] == "1"
	}
	return map[string]any{"hasFeature": atoi(bit(has)), "nodes": []string{c.node.Name}}, nil
}
