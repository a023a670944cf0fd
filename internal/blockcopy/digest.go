package blockcopy

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"

	"github.com/zeebo/blake3"
)

// A device is hashed leaf by leaf, so that leaves can be hashed in any order by any worker, and the leaf digests are
// chained in order, so that the state behind any offset fits a checkpoint:
//
//	leaf digest = BLAKE3(the pages of 4 KiB that are not all zeros, in order
//	              | for each MiB one bit per page, set where it is not, least significant first
//	              | length of the leaf, 8 bytes little endian)
//	chain       = BLAKE3(chain of the leaves before | leaf digest), 32 zero bytes before the first
//
// Zeros are in the bits only: a hole costs nothing, and it does not matter whether zeros were a hole or data.

// Digest is a BLAKE3 hash.
type Digest [32]byte

func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// MarshalText writes the digest in hexadecimal.
func (d Digest) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (d *Digest) UnmarshalText(text []byte) error {
	b, err := hex.DecodeString(string(text))
	if err != nil || len(b) != len(d) {
		return fmt.Errorf("digest %q is not %d bytes of hexadecimal", text, len(d))
	}
	copy(d[:], b)
	return nil
}

// chain folds the digest of the next leaf in.
func (d Digest) chain(leaf Digest) Digest {
	var both [64]byte
	copy(both[:], d[:])
	copy(both[32:], leaf[:])
	return blake3.Sum256(both[:])
}

// leafHash hashes one leaf after the other. Not for more than one goroutine.
type leafHash struct {
	hasher *blake3.Hasher
	bits   []byte
	n      int64
	zeros  bool // nothing but zeros so far
	empty  map[int64]Digest
}

var noBits bitmap

func newLeafHash() *leafHash {
	return &leafHash{hasher: blake3.New(), zeros: true, empty: map[int64]Digest{}}
}

// add takes the next segment of the leaf: whole unless it is the last of the device.
func (h *leafHash) add(b []byte, m *bitmap) {
	h.n += int64(len(b))
	h.bits = append(h.bits, m[:]...)
	_ = runs(len(b), page, func(from, _ int) bool { return m.has(from / page) }, func(full bool, from, to int) error {
		if full {
			h.zeros = false
			_, _ = h.hasher.Write(b[from:to]) // cannot fail
		}
		return nil
	})
}

// skip takes n bytes of zeros that nobody read: whole segments unless the last of the device.
func (h *leafHash) skip(n int64) {
	h.n += n
	for range (n + segment - 1) / segment {
		h.bits = append(h.bits, noBits[:]...)
	}
}

// sum ends the leaf and starts the next one.
func (h *leafHash) sum() Digest {
	digest, known := Digest{}, false
	if h.zeros {
		digest, known = h.empty[h.n]
	}
	if !known {
		_, _ = h.hasher.Write(h.bits)
		_, _ = h.hasher.Write(binary.LittleEndian.AppendUint64(nil, uint64(h.n)))
		h.hasher.Sum(digest[:0])
		if h.zeros {
			h.empty[h.n] = digest
		}
	}
	h.hasher.Reset()
	h.bits, h.n, h.zeros = h.bits[:0], 0, true
	return digest
}
