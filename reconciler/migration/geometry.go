package migration

import (
	"fmt"
	"math"
	"strings"
)

// metadata is what indirect blocks and the like add to content, measured on OpenZFS 2.3 (0.3 to 1.2 %).
const metadata = 1.006

// stripe is the width that the space ZFS reports is counted in: a block of 128 KiB.
const stripe = 128 << 10

// raw is the space on the disks that a block takes (OpenZFS: vdev_raidz_psize_to_asize).
func (p Pool) raw(block int64) int64 {
	sector := int64(1) << p.shift()
	data := (block + sector - 1) / sector
	if len(p.Vdevs) == 0 {
		return data * sector
	}
	v := p.Vdevs[0]
	parity := v.parity()
	if parity == 0 || int64(v.Disks) <= parity {
		return data * sector
	}
	all := data + parity*((data+int64(v.Disks)-parity-1)/(int64(v.Disks)-parity))
	group := parity + 1
	return (all + group - 1) / group * group * sector
}

func (p Pool) shift() int {
	if p.Ashift == 0 {
		return 12
	}
	return p.Ashift
}

// parity is the number of disks a raidz can lose; 0 for everything else.
func (v Vdev) parity() int64 {
	switch {
	case v.Type == "raidz":
		return 1
	case strings.HasPrefix(v.Type, "raidz") && len(v.Type) == 6:
		return int64(v.Type[5] - '0')
	}
	return 0
}

// Factor is the space that `zfs list` shows for a byte of incompressible content in blocks of a size.
func (p Pool) Factor(block int64) float64 {
	if block <= 0 {
		block = 16 << 10
	}
	perBlock := float64(p.raw(block)) / float64(block)
	perStripe := float64(p.raw(stripe)) / float64(stripe)
	return perBlock / perStripe * metadata
}

// Raw is the space on the disks for a byte of incompressible content.
func (p Pool) Raw(block int64) float64 { return float64(p.raw(block)) / float64(block) * metadata }

// layout is a pool in words: "raidz2 of 10".
func (p Pool) layout() string {
	if len(p.Vdevs) == 0 {
		return "unknown layout"
	}
	if p.Vdevs[0].Disks <= 1 {
		return p.Vdevs[0].Type
	}
	return fmt.Sprintf("%s of %d", p.Vdevs[0].Type, p.Vdevs[0].Disks)
}

// Space is what a disk takes, and is going to take, at its places.
type Space struct {
	Disk    string
	Content int64 // bytes written by the guest that are still referenced, before compression and padding
	Source  int64 // used there now
	Staging int64 // used when all is received
	Target  int64 // used after the copy, before the guest trims
	Advice  string
}

// space predicts what a disk takes.
func (v view) space(d disk) Space {
	from, to := v.have.Source.Pools[poolOf(d.zvol)], v.have.Target.Pools[poolOf(v.parent())]
	s := Space{Disk: d.Slot, Source: d.Source.Used, Content: d.Source.Logical}
	if s.Content == 0 {
		s.Content = d.Source.Referenced
	}
	block := d.Source.Volblocksize
	packed := 1.0 // what compression leaves
	if padded := float64(s.Content) * from.Factor(block); padded > 0 && d.Source.Referenced > 0 {
		packed = math.Min(1, float64(d.Source.Referenced)/padded)
	}
	s.Staging = int64(float64(s.Content) * packed * to.Factor(block))
	own := d.Target.Volblocksize
	if own == 0 {
		own = 16 << 10 // what PVE takes unless its storage says otherwise
	}
	s.Target = int64(float64(s.Content) * packed * v.targetPool(d).Factor(own))
	s.Advice = v.advice(d, s, own)
	return s
}

func (v view) targetPool(d disk) Pool {
	if d.Target.Exists {
		return v.have.Target.Pools[poolOf(d.Target.Name)]
	}
	return v.have.Target.Pools[poolOf(v.parent())]
}

// advice says where space goes to waste, and what would help.
func (v view) advice(d disk, s Space, own int64) string {
	from, to := v.have.Source.Pools[poolOf(d.zvol)], v.targetPool(d)
	text := fmt.Sprintf("%s: %s of content in blocks of %s take %s on %s (%s, %.2f times on the disks), %s in staging, and in blocks of %s %s on %s (%s)",
		d.Slot, bytes(s.Content), blocks(d.Source.Volblocksize), bytes(s.Source), v.source(), from.layout(), from.Raw(max(d.Source.Volblocksize, 512)),
		bytes(s.Staging), blocks(own), bytes(s.Target), v.host, to.layout())
	if best, factor := to.best(own); best > own && to.Factor(own) > factor*1.1 {
		text += fmt.Sprintf("; with blocks of %s it would be %s: the blocksize of the storage decides it, and cannot be changed later", blocks(best), bytes(int64(float64(s.Target)/to.Factor(own)*factor)))
	}
	return text
}

// best is the smallest size of blocks that pads least, up to 64 KiB.
func (p Pool) best(from int64) (block int64, factor float64) {
	block, factor = from, p.Factor(from)
	for b := from * 2; b <= 64<<10; b *= 2 {
		if f := p.Factor(b); f < factor*0.97 {
			block, factor = b, f
		}
	}
	return block, factor
}

func blocks(n int64) string {
	if n%1024 == 0 {
		return fmt.Sprintf("%dk", n/1024)
	}
	return fmt.Sprintf("%d", n)
}

// poolOf is the pool that a dataset is in.
func poolOf(dataset string) string {
	pool, _, _ := strings.Cut(dataset, "/")
	return pool
}
