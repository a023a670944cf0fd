package zhost

import "fmt"

// refresh looks at what was written to the zvol since the last look.
func (d *dataset) refresh() error {
	if d.live == nil || d.inconsistent {
		return nil
	}
	_, err := d.live.look(d.pool.txg+1, d.native("compression") != "off")
	if err != nil {
		return fmt.Errorf("look at zvol %s: %w", d.name, err)
	}
	d.pool.tick()
	return nil
}

func all(int, block) bool { return true }

// referenced is what the dataset refers to.
func (d *dataset) referenced() int64 {
	if d.live == nil {
		return 12*d.pool.unit() + d.held
	}
	return referenced(d.pool, d.live)
}

func referenced(p *pool, c *content) int64 {
	n, _, shown := c.sum(p, all)
	return shown + p.metadata(n)
}

// logical is what the dataset refers to before compression.
func (d *dataset) logical() int64 {
	if d.live == nil {
		return 43008
	}
	return logical(d.pool, d.live)
}

func logical(p *pool, c *content) int64 {
	n, bytes, _ := c.sum(p, all)
	return bytes + 28672 + n*45/4096*4096
}

// logicalUsed is what the dataset and its snapshots take before compression.
func (d *dataset) logicalUsed() int64 {
	sum := d.logical()
	for i, s := range d.snaps {
		next := d.after(i)
		if s.content == nil || next == nil {
			continue
		}
		_, bytes, _ := s.content.sum(d.pool, func(i int, b block) bool { return i >= len(next.blocks) || next.blocks[i] != b })
		sum += bytes
	}
	return sum
}

// written is what was written to the dataset after a transaction group and is still there; 0 only if nothing was written
// or freed.
func (d *dataset) written(txg uint64) int64 {
	if d.live == nil {
		return 0
	}
	if n := written(d.pool, d.live, txg); n > 0 || d.stirred <= txg {
		return n
	}
	return d.pool.unit() // no data, but the device was made anew since
}

func written(p *pool, c *content, txg uint64) int64 {
	if txg == 0 {
		return referenced(p, c)
	}
	if c.since(txg) == 0 {
		return 0
	}
	n, _, shown := c.sum(p, func(_ int, b block) bool { return b.birth > txg })
	return shown + p.metadata(n)
}

// killed is what of a snapshot's blocks the next state does not have any more.
func killed(p *pool, s *snapshot, next *content, after uint64) int64 {
	if s.content == nil || next == nil {
		return 0
	}
	n, _, shown := s.content.sum(p, func(i int, b block) bool {
		return b.birth > after && (i >= len(next.blocks) || next.blocks[i].birth != b.birth || next.blocks[i].print != b.print)
	})
	if n == 0 {
		return 0
	}
	return shown + p.metadata(n)
}

// usedBySnapshots is what only snapshots hold.
func (d *dataset) usedBySnapshots() int64 {
	var sum int64
	for i, s := range d.snaps {
		sum += killed(d.pool, s, d.after(i), 0)
	}
	return sum
}

// after is the state that follows the i-th snapshot.
func (d *dataset) after(i int) *content {
	if i+1 < len(d.snaps) {
		return d.snaps[i+1].content
	}
	return d.live
}

// usedBySnapshot is what only this snapshot holds.
func (d *dataset) usedBySnapshot(s *snapshot) int64 {
	for i, have := range d.snaps {
		if have == s {
			before := uint64(0)
			if i > 0 {
				before = d.snaps[i-1].txg
			}
			return killed(d.pool, s, d.after(i), before)
		}
	}
	return 0
}

// own is what the dataset itself takes: a clone only what it does not share with its origin.
func (d *dataset) own() int64 {
	if d.name == d.pool.name {
		return d.referenced() + 52*d.pool.unit() // and what belongs to the pool as a whole
	}
	if d.origin != nil {
		return d.written(d.origin.txg)
	}
	return d.referenced()
}

// usedByReservation is what a refreservation keeps free for the dataset.
func (d *dataset) usedByReservation() int64 {
	r := d.number("refreservation")
	if r == 0 {
		return 0
	}
	if len(d.snaps) > 0 {
		return max(0, r-d.written(d.last().txg))
	}
	return max(0, r-d.referenced())
}

func (d *dataset) usedByChildren() int64 {
	var sum int64
	for _, c := range d.children() {
		sum += max(c.used(), c.number("reservation"))
	}
	if d.partial != nil && d.partial.into != nil && d.partial.into != d.live {
		sum += written(d.pool, d.partial.into, d.partial.base)
	}
	return sum
}

// used is everything the dataset, its snapshots and its children take.
func (d *dataset) used() int64 {
	return d.own() + d.usedBySnapshots() + d.usedByReservation() + d.usedByChildren()
}

// available is what may still be written below the dataset.
func (d *dataset) available() int64 {
	if d.pool.full {
		return 0
	}
	root := d.pool.sets[d.pool.name]
	free := d.pool.room() - root.used()
	for up := d; up != nil; up = up.parent() {
		if q := up.number("quota"); q > 0 {
			free = min(free, q-up.used())
		}
	}
	if d.volume {
		free += d.usedByReservation()
	}
	return max(0, free)
}
