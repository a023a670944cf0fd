package sim

import "fmt"

// Rescan does what `qm disk rescan --vmid ID` does on the host, for which there is no API: sizes in the config are
// mended, and volumes named for the VM that no slot has become unusedN. It returns the printed lines.
func (s *Server) Rescan(vmid int) ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settle()
	vm := s.w.VMs[vmid]
	if vm == nil {
		return nil, fmt.Errorf("rescan: no VM %d", vmid)
	}
	c := &call{s: s, w: s.w, node: s.w.Node(vm.Node)}
	conf, lines := vm.config().clone(), []string{"rescan volumes..."}
	for _, slot := range driveOrder(conf.main) {
		d, err := c.parseDrive(slot, conf.main[slot])
		if err != nil || !d.hasVolume() || d.isCD() {
			continue
		}
		st, name, err := c.volume(d.file())
		if err != nil || st.find(name.name) == nil {
			continue
		}
		if size := sizeOfConfig(st.find(name.name).Size); size != d.propertyString["size"] {
			lines = append(lines, fmt.Sprintf("VM %d (%s): size of disk '%s' updated from %s to %s", vmid, slot, d.file(), d.propertyString["size"], size))
			d.set("size", size)
			conf.main[slot] = d.text()
		}
	}
	for _, entry := range s.w.Storages.list {
		st, err := c.storage(entry.ID)
		if err != nil {
			continue
		}
		for _, v := range st.list() {
			volid := entry.ID + ":" + v.Name
			if !c.ownedBy(volid, vmid) || conf.usedElsewhere(volid, "") || conf.inSnapshot(volid) || hasUnused(conf.main, volid) {
				continue
			}
			lines = append(lines, fmt.Sprintf("VM %d add unreferenced volume '%s' as '%s' to config", vmid, volid, c.addUnused(conf, volid)))
		}
	}
	vm.write(conf)
	return lines, nil
}

func hasUnused(s settings, volid string) bool {
	for key, value := range s {
		if unusedSlot.MatchString(key) && driveFile(value) == volid {
			return true
		}
	}
	return false
}
