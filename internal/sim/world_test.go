package sim

import (
	"os"
	"strings"
	"testing"
)

func readWorld(t testing.TB, path string) *World {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w, err := ParseWorld(f)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return w
}

// The text of a world, read and printed, does not change any more, and the shipped world prints as it stands.
func TestWorldRoundTrip(t *testing.T) {
	w := readWorld(t, "testdata/pve-5.world")
	once := w.String()
	again, err := parseWorldText(once)
	if err != nil {
		t.Fatal(err)
	}
	if have := again.String(); have != once {
		t.Errorf("second print differs:\n%s", unifiedDiff("once", once, w.Clock, "again", have, w.Clock))
	}
	raw, err := os.ReadFile("testdata/pve-5.world")
	if err != nil {
		t.Fatal(err)
	}
	_, file, _ := strings.Cut(string(raw), "-- world --")
	if file = "-- world --" + file; file != once {
		t.Errorf("the file is not in the printed form:\n%s", unifiedDiff("file", file, w.Clock, "printed", once, w.Clock))
	}
}

// Errors of a world file name the line and what would be right.
func TestWorldErrors(t *testing.T) {
	const node = "-- node a --\n"
	for text, want := range map[string]string{
		"":                                "no node",
		node + "statu: online\n":          "line 2: node: statu: unknown key; known are status",
		node + "status: broken\n":         `line 2: node: status: "broken": want online, offline, refused or unresolvable`,
		node + "-- vm 100 b --\n":         `vm 100 is on node "b", which has no section`,
		node + "-- vm 100 a walking --\n": `line 2: vm: unknown word "walking"`,
		node + "-- vm 100 a --\n-- vm 100 a --\n":     "line 3: vm: vm 100 is there twice",
		node + "-- volumes x a --\nv size=12Q\n":      `line 3: volumes: "12Q" is no size like`,
		node + "-- zfs a --\ntank@s volsize=1G\n":     `line 3: zfs: snapshot of "tank", which has no line before this one`,
		node + "-- bridge x --\n":                     "line 2: bridge: unknown section; known are world",
		"-- world --\nclock: noon\n" + node:           "line 2: world: clock:",
		"-- user.cfg --\nuser:a@pve\nusr:x:\n" + node: `line 3: user.cfg: unknown line "usr"`,
		node + "-- task UPID:x --\nexit: OK\n":        "line 2: task: unable to parse worker upid",
		node + "-- read /nodes/a/dns --\n{\"a\":\n":   "line 3: read: the body of /nodes/a/dns is no JSON",
		"-- token.cfg --\nroot@pam!x\n" + node:        "line 2: token.cfg: want a name and a secret",
		node + "-- interfaces b --\nauto lo\n":        `node "b" has no section before this one`,
		"-- user.cfg --\nuser:a@pve:1:soon:\n" + node: "line 2: user.cfg: expire:",
		node + "-- vm 100 a started=yesterday --\n":   "neither seconds since 1970",
		node + "-- volumes x a --\nv size=1G big\n":   `unknown word "big"; known are size=`,
		"-- world --\nresource-lag: 10\n" + node:      "line 2: world: resource-lag:",
		node + "-- vm x a --\n":                       `"x" is no VMID`,
	} {
		_, err := parseWorldText(text)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: have error %v, want %q in it", text, err, want)
		}
	}
}

// What `qm config` prints can be pasted: an encoded description, a digest.
func TestPastedConfig(t *testing.T) {
	w, err := parseWorldText("-- node a --\n-- vm 100 a --\ncores: 2\ndescription: two%0Alines%3A x\ndigest: abc\nname: n\n")
	if err != nil {
		t.Fatal(err)
	}
	if have, want := w.VMs[100].Config(), "#two\n#lines%3A x\ncores: 2\nname: n\n"; have != want {
		t.Errorf("have %q, want %q", have, want)
	}
}
