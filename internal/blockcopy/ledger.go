package blockcopy

import (
	"context"
	"sync"
)

// maxLeaves bounds the memory of a copy, however large the device: 16 MiB of digests.
const maxLeaves = 512 << 10

// leafSize is the number of bytes hashed, dispatched and accounted at a time. It grows with the device to keep the
// table of digests small, and with the discard granularity so that a leaf of zeros covers whole discard units.
func leafSize(size, discard int64) int64 {
	leaf := int64(segment)
	for leaf < discard && leaf < 16*segment {
		leaf *= 2
	}
	for size/leaf >= maxLeaves {
		leaf *= 2
	}
	return leaf
}

// ledger knows which leaves are copied. Workers finish them in any order; only the unbroken run of finished leaves
// from the start counts as progress that a checkpoint may claim.
type ledger struct {
	size, leaf int64
	hashed     bool
	interval   int64         // bytes between checkpoints; 0: there are none
	moved      chan struct{} // told when a checkpoint is due
	room       chan struct{} // told when ahead grew

	mu      sync.Mutex
	first   int64    // the leaf this run began with
	next    int64    // every leaf before this one is done
	chain   Digest   // of the leaves before next
	digests []Digest // of the leaves from first
	done    []bool   // likewise
	saved   int64    // offset of the last durable checkpoint
	ahead   int64    // nothing may be written at or behind this offset yet
	proof   int64    // offset of the last leaf before next that has data in it; -1: none
	wrote   []bool
}

func newLedger(size, leaf int64, hashed bool, interval int64) *ledger {
	l := &ledger{
		size: size, leaf: leaf, hashed: hashed, interval: interval, proof: -1, ahead: size,
		moved: make(chan struct{}, 1), room: make(chan struct{}, 1),
	}
	l.begin(0, Digest{})
	return l
}

// begin makes the ledger start at an offset with the chain of what lies before it.
func (l *ledger) begin(off int64, chain Digest) {
	l.first = (off + l.leaf - 1) / l.leaf
	l.next, l.chain, l.saved = l.first, chain, off
	n := l.leaves() - l.first
	l.done, l.wrote = make([]bool, n), make([]bool, n)
	if l.hashed {
		l.digests = make([]Digest, n)
	}
}

func (l *ledger) leaves() int64 { return (l.size + l.leaf - 1) / l.leaf }

// length is the number of bytes of leaf i: all of them but the last are whole.
func (l *ledger) length(i int64) int64 { return min(l.leaf, l.size-i*l.leaf) }

// finish books a leaf; wrote says that it holds data, so that reading it back proves something.
func (l *ledger) finish(i int64, digest Digest, wrote bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := i - l.first
	l.done[at], l.wrote[at] = true, wrote
	if l.hashed {
		l.digests[at] = digest
	}
	for l.next < l.leaves() && l.done[l.next-l.first] {
		if l.hashed {
			l.chain = l.chain.chain(l.digests[l.next-l.first])
		}
		if l.wrote[l.next-l.first] {
			l.proof = l.next * l.leaf
		}
		l.next++
	}
	if l.overdue() {
		poke(l.moved)
	}
}

// overdue says whether a checkpoint is to be saved now. Only under the lock.
func (l *ledger) overdue() bool { return l.interval > 0 && l.offset()-l.saved >= l.interval }

func (l *ledger) due() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.overdue()
}

// offset is the end of the unbroken run. Only under the lock.
func (l *ledger) offset() int64 { return min(l.next*l.leaf, l.size) }

func (l *ledger) progress() (done int64, chain Digest, proof int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.offset(), l.chain, l.proof
}

// commit notes that a checkpoint is durable and lets writing go on up to ahead.
func (l *ledger) commit(done, ahead int64) {
	l.mu.Lock()
	l.saved, l.ahead = done, ahead
	l.mu.Unlock()
	poke(l.room)
}

// reserve waits until leaf i may be written, and says how many leaves from it on may be.
func (l *ledger) reserve(ctx context.Context, i int64) (int64, error) {
	for {
		l.mu.Lock()
		free := l.ahead/l.leaf - i
		if l.ahead >= l.size {
			free = l.leaves() - i
		}
		l.mu.Unlock()
		if free > 0 {
			return free, ctx.Err()
		}
		select {
		case <-l.room:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // already told
	}
}
