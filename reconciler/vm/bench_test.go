package vm_test

import (
	"testing"

	"github.com/ustclug/pve-reconcile/reconciler/vm"
)

// BenchmarkNoChange is what deciding that nothing is to be done costs for one guest.
func BenchmarkNoChange(b *testing.B) {
	for _, g := range corpus(b) {
		if g.file != "testdata/no_change.txtar" {
			continue
		}
		b.ReportAllocs()
		for b.Loop() {
			if p := vm.Plan(g.want, g.want, g.have); len(p.Steps) > 0 {
				b.Fatal(p.Steps)
			}
		}
	}
}
