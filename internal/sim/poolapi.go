package sim

import "strings"

func init() {
	on("GET /pools", listVMPools)
	on("GET /pools/{poolid}", readPool)
	on("POST /pools", createPool)
	on("PUT /pools", updatePool)
	on("PUT /pools/{poolid}", updatePool)
	on("DELETE /pools", deletePool)
	on("DELETE /pools/{poolid}", deletePool)
}

func (p *Pool) row() map[string]any {
	row := map[string]any{"poolid": p.ID}
	if p.Comment != "" {
		row["comment"] = p.Comment
	}
	return row
}

func listVMPools(c *call) (any, error) {
	if id := c.str("poolid"); id != "" {
		if err := c.check("/pool/"+id, []string{"Pool.Audit"}, false); err != nil {
			return nil, err
		}
		p := c.w.Access.Pools[id]
		if p == nil {
			return nil, dief("pool '%s' does not exist", id)
		}
		row := p.row()
		row["members"] = c.poolMembers(p)
		return []any{row}, nil
	}
	rows := []any{}
	for _, id := range sortedKeys(c.w.Access.Pools) {
		if c.may("/pool/"+id, "Pool.Audit", "Pool.Allocate") {
			rows = append(rows, c.w.Access.Pools[id].row())
		}
	}
	return rows, nil
}

func readPool(c *call) (any, error) {
	p := c.w.Access.Pools[c.str("poolid")]
	if p == nil {
		return nil, dief("pool '%s' does not exist", c.str("poolid"))
	}
	row := p.row()
	row["members"] = c.poolMembers(p)
	if p.Comment == "" {
		row["comment"] = ""
	}
	delete(row, "poolid")
	row["poolid"] = p.ID
	return row, nil
}

func (c *call) poolMembers(p *Pool) []any {
	c.s.snapshot.refresh(c.s)
	rows := []any{}
	for _, id := range c.w.vmids() {
		if !contains(p.VMs, itoa(id)) || c.str("type") == "storage" {
			continue
		}
		rows = append(rows, c.guestRow(c.w.VMs[id]))
	}
	for _, st := range c.w.Storages.list {
		if !contains(p.Storages, st.ID) || contains([]string{"qemu", "lxc"}, c.str("type")) {
			continue
		}
		for _, n := range c.w.Nodes {
			if st.on(n.Name) {
				rows = append(rows, c.storageRow(n, st))
			}
		}
	}
	return rows
}

func createPool(c *call) (any, error) {
	id := c.str("poolid")
	if c.w.Access.Pools[id] != nil {
		return nil, dief("create pool failed: pool '%s' already exists", id)
	}
	if parent, _, nested := cutLast(id, "/"); nested && c.w.Access.Pools[parent] == nil {
		return nil, dief("create pool failed: parent pool '%s' does not exist", parent)
	}
	c.w.Access.Pools[id] = &Pool{ID: id, Comment: c.str("comment")}
	return nil, nil
}

func cutLast(text, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(text, sep); i >= 0 {
		return text[:i], text[i+len(sep):], true
	}
	return text, "", false
}

func updatePool(c *call) (any, error) {
	p := c.w.Access.Pools[c.str("poolid")]
	if p == nil {
		return nil, dief("update pools failed: pool '%s' does not exist", c.str("poolid"))
	}
	if c.has("comment") {
		p.Comment = c.str("comment")
	}
	vms, storages := splitList(c.str("vms")), splitList(c.str("storage"))
	if c.flag("delete") {
		for _, vm := range vms {
			if !contains(p.VMs, vm) {
				return nil, dief("update pools failed: VM %s is not a pool member", vm)
			}
			p.VMs = without(p.VMs, vm)
		}
		for _, id := range storages {
			if !contains(p.Storages, id) {
				return nil, dief("update pools failed: Storage '%s' is not a pool member", id)
			}
			p.Storages = without(p.Storages, id)
		}
		return nil, nil
	}
	for _, vm := range vms {
		if contains(p.VMs, vm) {
			return nil, dief("update pools failed: VM %s is already a pool member", vm)
		}
		for _, other := range c.w.Access.Pools {
			if !contains(other.VMs, vm) {
				continue
			}
			if !c.flag("allow-move") {
				return nil, dief("update pools failed: VM %s belongs already to pool '%s' and 'allow-move' is not set", vm, other.ID)
			}
			other.VMs = without(other.VMs, vm)
		}
	}
	for _, id := range storages {
		if contains(p.Storages, id) {
			return nil, dief("update pools failed: Storage '%s' is already a pool member", id)
		}
	}
	p.VMs, p.Storages = append(p.VMs, vms...), append(p.Storages, storages...)
	return nil, nil
}

func deletePool(c *call) (any, error) {
	id := c.str("poolid")
	p := c.w.Access.Pools[id]
	if p == nil {
		return nil, dief("delete pool failed: pool '%s' does not exist", id)
	}
	for _, vm := range p.VMs {
		if c.w.VMs[atoi(vm)] != nil {
			return nil, dief("delete pool failed: pool '%s' is not empty (contains VM %s)", id, vm)
		}
	}
	if len(p.Storages) > 0 {
		return nil, dief("delete pool failed: pool '%s' is not empty (contains storage '%s')", id, p.Storages[0])
	}
	for _, other := range sortedKeys(c.w.Access.Pools) {
		if strings.HasPrefix(other, id+"/") {
			return nil, dief("delete pool failed: pool '%s' is not empty (contains pool '%s')", id, other)
		}
	}
	delete(c.w.Access.Pools, id)
	return nil, nil
}
