//go:build lab

package labtest

import (
	"context"
	"fmt"
	"math"
	"testing"

	"github.com/ustclug/pve-reconcile/internal/zfs"
)

// What the program says that content will take, for each block size, is within 3 % of what the pool then reports.
func TestAmplification(t *testing.T) {
	pristine(t)
	c := newChain(t, "", 0)
	pool := zfs.Observe(context.Background(), c.m.Hosts["mirrors2"], zfs.Question{Pools: []string{"pool0"}}).Host.Pools["pool0"]
	if pool.Ashift != 12 || len(pool.Vdevs) != 1 || pool.Vdevs[0].Disks != 6 {
		t.Fatalf("pool0 is seen as %+v", pool)
	}
	const content = 16 << 20
	for _, k := range []int64{4, 8, 16, 32, 64, 128} {
		zvol := fmt.Sprintf("pool0/qemu/v%dk", k)
		mirrors2.sh(t, "zfs create -s -b %dk -V 32M %s 2>/dev/null; udevadm settle; head -c %d /dev/urandom | dd of=/dev/zvol/%s bs=1M iflag=fullblock conv=fsync 2>/dev/null", k, zvol, content, zvol)
		measured, predicted := float64(mirrors2.number(t, "referenced", zvol))/content, pool.Factor(k<<10)
		t.Logf("%3dk: predicted %.3f, measured %.3f", k, predicted, measured)
		if math.Abs(measured/predicted-1) > 0.03 {
			t.Errorf("%dk: the pool reports %.3f bytes for one of content, predicted were %.3f", k, measured, predicted)
		}
	}
}
