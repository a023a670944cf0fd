package zhost

import (
	"fmt"
	"strconv"
	"strings"
)

// vdev is one top-level vdev.
type vdev struct {
	kind   string // disk, mirror, raidz1, raidz2, raidz3
	disks  int
	parity int
}

func parseLayout(text string) ([]vdev, error) {
	var all []vdev
	for part := range strings.SplitSeq(text, ",") {
		kind, count, _ := strings.Cut(part, ":")
		n, err := strconv.Atoi(count)
		v := vdev{kind: kind, disks: n}
		if p, ok := strings.CutPrefix(kind, "raidz"); ok {
			v.parity, _ = strconv.Atoi(p)
		}
		known := kind == "disk" || kind == "mirror" || v.parity >= 1 && v.parity <= 3
		if err != nil || !known || n <= v.parity || n < 1 {
			return nil, fmt.Errorf("%q is no vdev: write disk:N, mirror:N, raidz1:N, raidz2:N or raidz3:N", part)
		}
		all = append(all, v)
	}
	return all, nil
}

// size is what the vdev counts as its size: parity included for raidz, as zpool shows it.
func (v vdev) size(disk int64) int64 {
	switch {
	case v.parity > 0, v.kind == "disk":
		return disk * int64(v.disks)
	default:
		return disk
	}
}

// asize is what a block of psize bytes takes from the disks: its sectors, parity for every row of data, and padding to a
// multiple of parity+1 so that no hole is left that nothing fits into (OpenZFS: vdev_raidz_psize_to_asize).
func (v vdev) asize(psize int64, ashift uint) int64 {
	sectors := (psize + 1<<ashift - 1) >> ashift
	if v.parity > 0 {
		width, p := int64(v.disks), int64(v.parity)
		sectors += p * ((sectors + width - p - 1) / (width - p))
		sectors = (sectors + p) / (p + 1) * (p + 1)
	}
	return sectors << ashift
}

// deflate turns bytes of the disks into the bytes that zfs shows: as if all blocks were of 128 KiB.
func (v vdev) deflate(asize, ashift int64) int64 {
	ratio := int64(1<<17) / (v.asize(1<<17, uint(ashift)) >> 9)
	return asize >> 9 * ratio
}

// reservation is the refreservation of a thick zvol (OpenZFS: zvol_volsize_to_reservation).
func (p *pool) reservation(volsize, blocksize int64) int64 {
	v := p.vdevs[0]
	blocks := volsize / blocksize
	indirect := int64(7)
	for n := blocks; n > 1; {
		n = (n + 1023) / 1024
		indirect += n
	}
	full := float64(v.asize(1<<17, p.ashift)) / float64(1<<17)
	each := float64(v.asize(blocksize, p.ashift)) / full
	return int64(each)*blocks + indirect*2<<17
}

// unit is what the smallest metadata block takes as zfs shows it; there are two copies of each.
func (p *pool) unit() int64 { return 2 * p.shown(p.vdevs[0].asize(1, p.ashift)) }

// shown is raw bytes as zfs shows them.
func (p *pool) shown(raw int64) int64 { return p.vdevs[0].deflate(raw, int64(p.ashift)) }

// blockShown is what one block of so many bytes takes as zfs shows it.
func (p *pool) blockShown(psize int64) int64 { return p.shown(p.vdevs[0].asize(psize, p.ashift)) }

// metadata is what the tree above so many blocks takes, measured on OpenZFS 2.1: 6 units for 1000 blocks, 7 to begin with.
func (p *pool) metadata(blocks int64) int64 {
	return p.unit() * (7 + (blocks*6+500)/1000)
}
