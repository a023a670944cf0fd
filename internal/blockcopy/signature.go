package blockcopy

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// signatures are the marks by which file systems, volume managers and images are known, at their offset from the
// start of the device (the sources are each format's own documentation; blkid looks at the same places).
var signatures = []struct {
	name  string // with its article, for a sentence
	off   int64
	magic string
}{
	{"an ext2/ext3/ext4 file system", 0x438, "\x53\xef"},
	{"an XFS file system", 0, "XFSB"},
	{"a btrfs file system", 0x10040, "_BHRfS_M"},
	{"a bcachefs or bcache device", 0x1018, "\xc6\x85\x73\xf6\x4e\x1a\x45\xca\x82\x65\xf5\x7f\x48\xba\x6d\x81"},
	{"an F2FS file system", 0x400, "\x10\x20\xf5\xf2"},
	{"a JFS file system", 0x8000, "JFS1"},
	{"a ReiserFS file system", 0x10034, "ReIsEr"},
	{"an EROFS file system", 0x400, "\xe2\xe1\xf5\xe0"},
	{"a squashfs file system", 0, "hsqs"},
	{"an ISO 9660 file system", 0x8001, "CD001"},
	{"an NTFS file system", 3, "NTFS    "},
	{"an exFAT file system", 3, "EXFAT   "},
	{"a FAT file system", 0x36, "FAT1"},
	{"a FAT32 file system", 0x52, "FAT32   "},
	{"swap space", 4086, "SWAPSPACE2"},
	{"swap space", 4086, "SWAP-SPACE"},
	{"an LVM physical volume", 0x218, "LVM2 001"},
	{"a LUKS encrypted volume", 0, "LUKS\xba\xbe"},
	{"a GPT partition table", 512, "EFI PART"},
	{"a GPT partition table", 4096, "EFI PART"},
	{"an MD RAID member", 0, "\xfc\x4e\x2b\xa9"},
	{"an MD RAID member", 4096, "\xfc\x4e\x2b\xa9"},
	{"a Ceph BlueStore device", 0, "bluestore block device"},
	{"a QEMU qcow image", 0, "QFI\xfb"},
	{"a VMware disk image", 0, "KDMV"},
	{"a Hyper-V disk image", 0, "vhdxfile"},
	{"an MBR partition table or boot sector", 510, "\x55\xaa"},
}

const (
	zfsLabel   = 256 << 10 // four of them: two at the start, two at the end
	zfsUber    = 128 << 10 // offset of the uberblock ring in a label
	zfsMagic   = 0x00bab10c
	edgeLength = 1 << 20
)

// signature names what a device seems to hold; empty when nothing known was found.
func signature(d device) (string, error) {
	size := d.Shape().Size
	head := alignedBuffer(int(min(edgeLength, size)))
	if err := readFull(d, head, 0); err != nil {
		return "", err
	}
	tailOff := max(size-edgeLength, 0) / page * page
	tail := alignedBuffer(int(size - tailOff))
	if err := readFull(d, tail, tailOff); err != nil {
		return "", err
	}
	for _, s := range signatures {
		if end := s.off + int64(len(s.magic)); end <= int64(len(head)) && string(head[s.off:end]) == s.magic {
			return fmt.Sprintf("%s (at offset %d)", s.name, s.off), nil
		}
	}
	if name := atEnd(tail, tailOff, size); name != "" {
		return name, nil
	}
	labels := size / zfsLabel * zfsLabel // ZFS counts from the last whole label
	for _, off := range []int64{0, zfsLabel, labels - 2*zfsLabel, labels - zfsLabel} {
		if uberblock(slice(head, off+zfsUber)) || uberblock(slice(tail, off+zfsUber-tailOff)) {
			return fmt.Sprintf("a ZFS pool member (label at offset %d)", off), nil
		}
	}
	return "", nil
}

// atEnd looks for what is kept behind the last block: a backup GPT and the RAID formats with their mark at the end.
func atEnd(tail []byte, tailOff, size int64) string {
	for _, sector := range []int64{512, 4096} {
		if bytes.HasPrefix(slice(tail, size-sector-tailOff), []byte("EFI PART")) {
			return fmt.Sprintf("a backup GPT partition table (at offset %d)", size-sector)
		}
	}
	sectors := size / 512
	for _, off := range []int64{(sectors - 16) / 8 * 8 * 512, size/65536*65536 - 65536} {
		if bytes.HasPrefix(slice(tail, off-tailOff), []byte("\xfc\x4e\x2b\xa9")) {
			return fmt.Sprintf("an MD RAID member (at offset %d)", off)
		}
	}
	return ""
}

// slice is b from off on, empty when off lies outside.
func slice(b []byte, off int64) []byte {
	if off < 0 || off >= int64(len(b)) {
		return nil
	}
	return b[off:]
}

// uberblock says whether the ring of uberblocks at the start of b holds one, written by either byte order.
func uberblock(b []byte) bool {
	for off := 0; off+8 <= min(len(b), zfsLabel-zfsUber); off += 1024 {
		if binary.LittleEndian.Uint64(b[off:]) == zfsMagic || binary.BigEndian.Uint64(b[off:]) == zfsMagic {
			return true
		}
	}
	return false
}
