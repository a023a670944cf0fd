package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

const (
	// heapKept is how large a heap, in bytes, is not worth collecting.
	heapKept = 16 << 20
	// heapSpare is how much more than is in use a larger one may hold, in percent. A pass allocates much and keeps little: half
	// of the usual takes a third less memory for a few percent of processor time.
	heapSpare = 50
)

// collectLate keeps the collector away from a small heap. Left to itself it runs dozens of times while a pass reads its
// manifests, finds that most is still in use, and takes the processors from reading them.
func collectLate() {
	if os.Getenv("GOGC") != "" {
		return // a person has decided
	}
	debug.SetGCPercent(heapKept / (4 << 20) * 100) // the runtime's least heap is 4 MB at 100 percent
	afterCollection()
}

// afterCollection sets after each collection what the next one waits for: the runtime knows a percentage only.
func afterCollection() {
	type mark struct{ _ [64]byte } // of its own: the smallest things share their memory
	runtime.AddCleanup(new(mark), func(struct{}) {
		live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
		metrics.Read(live)
		kept := max(live[0].Value.Uint64(), 1<<20)
		debug.SetGCPercent(max(heapSpare, int(heapKept*100/kept)-100))
		afterCollection()
	}, struct{}{})
}
