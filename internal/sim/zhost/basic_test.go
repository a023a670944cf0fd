package zhost

import (
	"context"
	"strings"
	"testing"
)

// The hosts of the recordings: one pool of six disks each, and a small one.
const (
	mirrorsText = "zfs 2.1.11-1+deb12u1\npool pool0 layout=raidz2:6 disk=2058005162 ashift=12\n"
	pveText     = "zfs 2.1.11-1+deb12u1\npool rpool layout=raidz2:6 disk=2058005162 ashift=12\n" +
		"pool small layout=disk:1 disk=1006632960 ashift=12 used=713523200\n"
)

func newHost(t *testing.T, name, text string) *Host {
	t.Helper()
	h, err := New(name, text, Options{Seed: 1, Stub: stubProgram})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

// TestAmplification checks the padding of raidz against figures measured on real pools (six and ten disks, 2 parity).
func TestAmplification(t *testing.T) {
	for _, c := range []struct {
		layout string
		block  int64
		ratio  float64 // used/logical
	}{
		{"raidz2:6", 4 << 10, 2.023},
		{"raidz2:6", 8 << 10, 2.012},
		{"raidz2:6", 16 << 10, 1.007},
		{"raidz2:6", 64 << 10, 1.002},
		{"raidz2:8", 8 << 10, 2.145},
		{"raidz2:8", 16 << 10, 1.074},
		{"raidz2:10", 4 << 10, 2.310},
		{"raidz2:10", 8 << 10, 2.299},
		{"raidz2:10", 16 << 10, 1.150},
		{"raidz2:10", 64 << 10, 1.003},
		{"raidz2:12", 8 << 10, 2.299},
		{"raidz2:12", 128 << 10, 1.0},
		{"mirror:2", 8 << 10, 1.0},
	} {
		vdevs, err := parseLayout(c.layout)
		if err != nil {
			t.Fatal(err)
		}
		p := &pool{vdevs: vdevs, ashift: 12}
		blocks := int64(64<<20) / c.block
		got := float64(blocks*p.blockShown(c.block)+p.metadata(blocks)) / (64 << 20)
		if got < c.ratio*0.99-0.005 || got > c.ratio*1.01+0.005 {
			t.Errorf("%s, %d bytes a block: %.3f, measured %.3f", c.layout, c.block, got, c.ratio)
		}
	}
}

func TestUnknownTextIsRefused(t *testing.T) {
	for _, text := range []string{
		"pool p layout=raidz2:2", "pool p layout=plaid:3", "zvol p/v volsize=1M", "pool p layout=disk:1\nzvol p/v", "frobnicate x",
		"pool p layout=disk:1\nguest g disks=p/none", "pool p layout=disk:1\nzvol p/v volsize=64M turbo=on", "pool",
	} {
		if h, err := New("x", text, Options{}); err == nil {
			t.Errorf("accepted: %s", text)
			_ = h.Close()
		}
	}
}

func TestFaults(t *testing.T) {
	h := newHost(t, "mirrors2", mirrorsText)
	for _, line := range []string{"fail match=^zfs.snapshot text=oops code=3", "kill match=^zfs.hold", "full pool=pool0"} {
		f, err := ReadFault(strings.Fields(line))
		if err != nil {
			t.Fatal(err)
		}
		if err := h.AddFault(f); err != nil {
			t.Fatal(err)
		}
	}
	run := func(line string, want int) string {
		t.Helper()
		_, errs, code := h.Run(context.Background(), line, nil)
		if code != want {
			t.Errorf("%s: exit %d, want %d: %s", line, code, want, errs)
		}
		return errs
	}
	if errs := run("zfs create -s -V 16M pool0/v", 1); errs != "cannot create 'pool0/v': out of space\n" {
		t.Errorf("a full pool says %q", errs)
	}
	h.mu.Lock()
	h.pools["pool0"].full = false
	h.mu.Unlock()
	run("zfs create -s -V 16M pool0/v", 0)
	if errs := run("zfs snapshot pool0/v@a", 3); errs != "oops\n" {
		t.Errorf("a failing command says %q", errs)
	}
	run("zfs snapshot pool0/v@a", 0)
	run("zfs hold x pool0/v@a", 137)
	run("zfs hold x pool0/v@a", 0)
	if _, err := ReadFault([]string{"explode"}); err == nil {
		t.Error("an unknown fault is accepted")
	}
}
