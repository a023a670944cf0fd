package zfs

import (
	"maps"
	"slices"
	"strings"

	"github.com/ustclug/pve-reconcile/reconciler/step"
)

// words is a command line of words, quoted for the shell.
func words(w ...string) string {
	out := make([]string, len(w))
	for i, s := range w {
		out[i] = step.Quote(s)
	}
	return strings.Join(out, " ")
}

// options are properties as -o options, in the order of their names.
func options(set map[string]string) []string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(set)) {
		out = append(out, "-o", k+"="+set[k])
	}
	return out
}

func settings(set map[string]string) []string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(set)) {
		out = append(out, k+"="+set[k])
	}
	return out
}

func zfs(w ...string) string { return words(append([]string{"zfs"}, w...)...) }

// sendFlags are those of a stream that does not continue an interrupted one; a token carries its own.
func sendFlags(s step.SendSnapshot) []string {
	var out []string
	for _, f := range []struct {
		on   bool
		flag string
	}{{s.LargeBlocks, "-L"}, {s.EmbeddedData, "-e"}, {s.Compressed, "-c"}} {
		if f.on {
			out = append(out, f.flag)
		}
	}
	if s.Base.Name != "" {
		out = append(out, "-i", "@"+s.Base.Name)
	}
	return out
}

// send is the command that writes the stream of a step; more are options before all others.
func send(s step.SendSnapshot, more ...string) string {
	w := append([]string{"send"}, more...)
	if s.Token != "" {
		return zfs(append(w, "-t", s.Token)...)
	}
	return zfs(append(append(w, sendFlags(s)...), s.Snapshot.String())...)
}

// prelude are functions that every script of ours may use. say ends the script: the code says whose turn it is.
const prelude = `say() { c=$1; shift; echo "$*" >&2; exit "$c"; }
guid() { zfs get -Hpo value guid "$1"; }
mine() { [ "$(zfs get -Hpo value ` + step.PropMark + ` "$1")" = "$2" ]; }
same() { g=$(guid "$1") || exit 1; [ "$g" = "$2" ] || say 76 "$1 has guid $g, not $2: it is not the one that was meant"; }
gone() { if o=$(guid "$1" 2>&1); then return 1; fi; case $o in *"does not exist"*) return 0;; esac; say 1 "$o"; }
patient() { n=0; until o=$("$@" 2>&1); do case $o in *busy*) n=$((n+1)); [ $n -lt 30 ] || say 1 "$o"; sleep 1;; *) say 1 "$o";; esac; done; }
`

// settle waits until udev has seen to the devices that came, went or changed. The links of new ones come seconds later, and it
// opens each for a moment.
const settle = "! command -v udevadm >/dev/null || udevadm settle --timeout=20 >/dev/null 2>&1"

// apart puts standard input aside as descriptor 8, so that what looks first cannot swallow the beginning of a stream.
const apart = "exec 8<&0 </dev/null"

// expect is a line that ends the script unless the snapshot is the one that was meant.
func expect(r step.SnapshotRef) string { return words("same", r.String(), r.GUID) + "\n" }
