package migration_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/ustclug/pve-reconcile/reconciler/migration"
)

// TestGeometry compares with what OpenZFS 2.3.9 used for 64 MiB of random content in each zvol (used/logical), and with
// what was seen when docker2 moved.
func TestGeometry(t *testing.T) {
	for _, c := range []struct {
		disks int
		block int64
		used  float64
	}{
		{6, 4, 2.023},
		{6, 8, 2.012},
		{6, 16, 1.007},
		{6, 32, 1.004},
		{6, 64, 1.002},
		{8, 4, 2.156},
		{8, 8, 2.145},
		{8, 16, 1.074},
		{8, 32, 1.071},
		{8, 64, 1.070},
		{10, 4, 2.310},
		{10, 8, 2.299},
		{10, 16, 1.150},
		{10, 32, 1.147},
		{10, 64, 1.003},
		{12, 4, 2.307},
		{12, 8, 2.299},
		{12, 16, 1.150},
		{12, 32, 1.147},
		{12, 64, 1.003},
	} {
		p := migration.Pool{Ashift: 12, Vdevs: []migration.Vdev{{Type: "raidz2", Disks: c.disks}}}
		if have := p.Factor(c.block << 10); math.Abs(have/c.used-1) > 0.01 {
			t.Errorf("raidz2 of %d, blocks of %dk: %.3f, measured %.3f", c.disks, c.block, have, c.used)
		}
	}
	pve5 := migration.Pool{Ashift: 12, Vdevs: []migration.Vdev{{Type: "raidz2", Disks: 10}}}
	if have := fmt.Sprintf("%.0f %.0f", 310*pve5.Factor(8<<10), 300*pve5.Factor(16<<10)); have != "713 345" && have != "712 345" {
		t.Errorf("%s GiB: docker2 took 712 in blocks of 8k, with the increment, and 345 in blocks of 16k", have)
	}
	for _, c := range []struct {
		pool migration.Pool
		want float64
	}{
		{migration.Pool{Ashift: 12, Vdevs: []migration.Vdev{{Type: "mirror", Disks: 2}}}, 1},
		{migration.Pool{Ashift: 12, Vdevs: []migration.Vdev{{Type: "disk", Disks: 1}}}, 1},
		{migration.Pool{}, 1},
		{migration.Pool{Ashift: 12, Vdevs: []migration.Vdev{{Type: "raidz1", Disks: 3}}}, 4. / 3},
		{migration.Pool{Ashift: 9, Vdevs: []migration.Vdev{{Type: "raidz2", Disks: 10}}}, 1.05},
	} {
		if have := c.pool.Factor(8 << 10); math.Abs(have/c.want-1) > 0.05 {
			t.Errorf("%+v: %.3f, want about %.3f", c.pool, have, c.want)
		}
	}
}
