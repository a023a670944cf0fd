package blockcopy

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// tree writes files of a made-up /sys, /proc or /dev.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// zvols is a machine with these zvols: the link of the second points at the first, as has happened.
func zvols(t *testing.T, names map[string]string) machine {
	t.Helper()
	sys, dev := map[string]string{}, map[string]string{}
	for node := range names {
		sys["block/"+node+"/size"] = "1"
		dev[node] = strings.Repeat(node[len(node)-1:], 8192)
	}
	m := thisMachine()
	m.sys, m.dev, m.wait = tree(t, sys), tree(t, dev), 0
	m.zvolName = func(path string) (string, error) {
		name, ok := names[filepath.Base(path)]
		if !ok || !strings.HasPrefix(filepath.Base(path), "zd") {
			return "", unix.ENOTTY
		}
		return name, nil
	}
	return m
}

func TestZvolIsFoundByName(t *testing.T) {
	names := map[string]string{"zd0": "pool0/t/vol", "zd16": "pool0/t/vol2", "zd32": "pool0/t/vol@a"}
	m := zvols(t, names)
	links := filepath.Join(m.dev, "zvol/pool0/t")
	if err := errors.Join(os.MkdirAll(links, 0o700), os.Symlink("../../../zd0", filepath.Join(links, "vol2"))); err != nil {
		t.Fatal(err)
	}
	for node, name := range names {
		have, err := m.locate(t.Context(), filepath.Join(m.dev, "zvol", name))
		if err != nil || have != filepath.Join(m.dev, node) {
			t.Errorf("%s: want %s, have %s, %v", name, node, have, err)
		}
	}
	if _, err := m.locate(t.Context(), filepath.Join(m.dev, "zvol/pool0/t/gone")); !errors.Is(err, ErrRefused) ||
		!strings.Contains(err.Error(), "asked 3 devices") || !strings.Contains(err.Error(), "volmode=none") {
		t.Errorf("have %v", err)
	}
	if have, err := m.locate(t.Context(), "/dev/sda"); have != "/dev/sda" || err != nil {
		t.Errorf("have %s, %v", have, err)
	}
}

// A device appears after the command that made it has returned.
func TestZvolMayComeLate(t *testing.T) {
	m := zvols(t, map[string]string{"zd0": "pool0/other"})
	m.wait = time.Minute
	ask, asked := m.zvolName, 0
	m.zvolName = func(path string) (string, error) {
		if asked++; asked == 3 {
			return "pool0/late", nil
		}
		return ask(path)
	}
	have, err := m.locate(t.Context(), filepath.Join(m.dev, "zvol/pool0/late"))
	if err != nil || filepath.Base(have) != "zd0" {
		t.Errorf("have %s, %v", have, err)
	}
}

// The copy goes to the device that answers to the name, whatever the link says, and is refused when the device
// changes its name before it is opened.
func TestCopyBetweenZvols(t *testing.T) {
	names := map[string]string{"zd0": "pool0/a", "zd16": "pool0/b"}
	m := zvols(t, names)
	job := Job{Source: filepath.Join(m.dev, "zvol/pool0/a"), Target: filepath.Join(m.dev, "zvol/pool0/b"), Ours: true}
	result, err := copyOn(t.Context(), m, job)
	if err != nil || filepath.Base(result.Target) != "zd16" {
		t.Fatalf("target %s, %v", result.Target, err)
	}
	wantEqual(t, filepath.Join(m.dev, "zd0"), filepath.Join(m.dev, "zd16"), 8192)

	ask, asked := m.zvolName, map[string]int{}
	m.zvolName = func(path string) (string, error) {
		if asked[path]++; asked[path] > 1 && filepath.Base(path) == "zd16" {
			return "pool0/c", nil
		}
		return ask(path)
	}
	if _, err = copyOn(t.Context(), m, job); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "is now zvol pool0/c") {
		t.Errorf("have %v", err)
	}
}

// stacked is a made-up machine: disk 8:0 with partitions 8:1 and 8:2, and a volume 253:0 on 8:2 that is mounted.
func stacked(t *testing.T) machine {
	t.Helper()
	m := thisMachine()
	m.sys = tree(t, map[string]string{
		"real/sda/dev": "8:0\n", "real/sda/queue/discard_granularity": "4096\n", "real/sda/queue/discard_max_bytes": "1\n",
		"real/sda/sda1/dev": "8:1\n", "real/sda/sda1/partition": "1\n", "real/sda/sda1/start": "2048\n", "real/sda/sda1/size": "2048\n",
		"real/sda/sda1/discard_alignment": "512\n",
		"real/sda/sda2/dev":               "8:2\n", "real/sda/sda2/partition": "2\n", "real/sda/sda2/start": "4096\n", "real/sda/sda2/size": "2048\n",
		"real/dm-0/dev": "253:0\n",
	})
	links := map[string]string{
		"dev/block/8:0": "../../real/sda", "dev/block/8:1": "../../real/sda/sda1", "dev/block/8:2": "../../real/sda/sda2",
		"dev/block/253:0": "../../real/dm-0", "real/sda/sda2/holders/dm-0": "../../../dm-0", "real/dm-0/slaves/sda2": "../../sda/sda2",
	}
	for name, to := range links {
		path := filepath.Join(m.sys, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.Symlink(to, path)); err != nil {
			t.Fatal(err)
		}
	}
	m.proc = tree(t, map[string]string{"self/mountinfo": "30 1 253:0 / /srv rw - ext4 /dev/mapper/vg-lv rw\n"})
	return m
}

func numbered(major, minor uint32) unix.Stat_t {
	return unix.Stat_t{Mode: unix.S_IFBLK, Rdev: unix.Mkdev(major, minor)}
}

func TestMountsAreSeenThroughStacks(t *testing.T) {
	m := stacked(t)
	for dev, want := range map[[2]uint32]string{{8, 0}: "253:0 on /srv", {8, 1}: "", {8, 2}: "253:0 on /srv", {253, 0}: "253:0 on /srv"} {
		if have := m.mounted(numbered(dev[0], dev[1])); have != want {
			t.Errorf("%v: want %q, have %q", dev, want, have)
		}
	}
}

func TestFootprints(t *testing.T) {
	m := stacked(t)
	disk, one, two, volume := unix.Mkdev(8, 0), unix.Mkdev(8, 1), unix.Mkdev(8, 2), unix.Mkdev(253, 0)
	shares := func(a, b uint64) bool {
		for _, l := range m.deviceFootprint(a, 0, 1<<63-1) {
			for _, r := range m.deviceFootprint(b, 0, 1<<63-1) {
				if l.storage == r.storage && l.from < r.to && r.from < l.to {
					return true
				}
			}
		}
		return false
	}
	for _, c := range []struct {
		a, b uint64
		want bool
	}{{disk, one, true}, {disk, two, true}, {one, two, false}, {volume, two, true}, {volume, disk, true}, {volume, one, false}} {
		if shares(c.a, c.b) != c.want || shares(c.b, c.a) != c.want {
			t.Errorf("%x and %x: want shared %v", c.a, c.b, c.want)
		}
	}
}

func TestDiscardGranularity(t *testing.T) {
	m := stacked(t)
	for dev, want := range map[[2]uint32][2]int64{{8, 0}: {4096, 0}, {8, 1}: {4096, 512}, {253, 0}: {0, 0}, {9, 9}: {0, 0}} {
		granularity, offset := m.discard(unix.Mkdev(dev[0], dev[1]))
		if granularity != want[0] || offset != want[1] {
			t.Errorf("%v: want %v, have %d, %d", dev, want, granularity, offset)
		}
	}
}

func TestSwapIsInUse(t *testing.T) {
	m, swap := thisMachine(), blankFile(t, "swap file", 4096)
	plain := blankFile(t, "swapfile", 4096)
	m.proc = tree(t, map[string]string{"swaps": fmt.Sprintf("Filename Type Size Used Priority\n%s file 4 0 -2\n", plain)})
	if err := m.unused(t.Context(), plain); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "swap") {
		t.Errorf("have %v", err)
	}
	if err := m.unused(t.Context(), swap); err != nil {
		t.Errorf("have %v", err)
	}
}

// An identity outlives a rename and a reboot, and does not pass to another file of the same name.
func TestIdentity(t *testing.T) {
	m := thisMachine()
	identity := func(path string) string {
		d, err := openSource(t.Context(), m, path, false)
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		id, err := m.identify(d)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	path := blankFile(t, "a", 4096)
	first := identity(path)
	moved := path + ".moved"
	if err := os.Rename(path, moved); err != nil {
		t.Fatal(err)
	}
	other := blankFile(t, "a", 4096)
	if identity(moved) != first || identity(other) == first {
		t.Errorf("want %s, have %s moved, %s for another file", first, identity(moved), identity(other))
	}
	z := zvols(t, map[string]string{"zd0": "pool0/a"})
	m.zvolName = z.zvolName
	if have := identity(filepath.Join(z.dev, "zd0")); !strings.HasPrefix(have, "file:") {
		t.Errorf("a file was taken for a zvol: %s", have)
	}
}

func TestInward(t *testing.T) {
	for _, c := range []struct{ from, to, unit, shift, wantFrom, wantTo int64 }{
		{0, 64 << 10, 16 << 10, 0, 0, 64 << 10},
		{8 << 10, 56 << 10, 16 << 10, 0, 16 << 10, 48 << 10},
		{8 << 10, 56 << 10, 16 << 10, 8 << 10, 8 << 10, 56 << 10},
		{4 << 10, 16 << 10, 16 << 10, 8 << 10, 8 << 10, 8 << 10},
		{4 << 10, 8 << 10, 16 << 10, 0, 16 << 10, 0},
	} {
		from, to := inward(c.from, c.to, Shape{Discard: c.unit, DiscardOffset: c.shift})
		if from != c.wantFrom || to != c.wantTo {
			t.Errorf("%+v: have [%d, %d)", c, from, to)
		}
	}
}

func TestLines(t *testing.T) {
	p := Progress{Phase: PhaseCopy, Size: 4 << 30, Done: 1 << 30, Rate: 512 << 20, ETA: 6 * time.Second}
	p.Skipped, p.Written = 600<<20, 424<<20
	want := "copy    25% [##########..............................] 1 GiB/4 GiB 512 MiB/s ETA 6s  skipped 600 MiB written 424 MiB"
	if have := Line(p, 200); have != want {
		t.Errorf("want %q\nhave %q", want, have)
	}
	if have := Line(p, 79); strings.Contains(have, "[") || len(have) > 79 {
		t.Errorf("have %q", have)
	}
	for width := range 130 {
		if len(Line(p, width)) > width {
			t.Errorf("width %d: %q", width, Line(p, width))
		}
	}
	if have := Line(Progress{Phase: PhaseCopy}, 100); !strings.Contains(have, "100%") {
		t.Errorf("an empty source: %q", have)
	}
	line := string(JSONLine(p))
	for _, want := range []string{`"phase":"copy"`, `"done":1073741824`, `"skipped":629145600`, `"rate":536870912`, `"etaSeconds":6`} {
		if !strings.Contains(line, want) {
			t.Errorf("want %s in %s", want, line)
		}
	}
	sizes := []string{Bytes(0), Bytes(1023), Bytes(1024), Bytes(1536), Bytes(1 << 62)}
	if want := []string{"0 B", "1023 B", "1 KiB", "1.5 KiB", "4096 PiB"}; !slices.Equal(sizes, want) {
		t.Errorf("have %q", sizes)
	}
}
