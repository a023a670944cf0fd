package zfs

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/ustclug/pve-reconcile/reconciler/step"
)

// openersScript finds the devices of zvols and who has them open: processes, mounts and what is stacked on them, by device
// number. Links below /dev/zvol come late, go early and have pointed at the wrong device, so each zvol device is asked for its
// name with udev's own program; only where that is not installed is the link believed.
func openersScript(zvols []string) string {
	var b strings.Builder
	// A zvol that was just changed, readonly set for one, is opened by udev, which is not to be taken for its guest.
	b.WriteString(settle + "\n")
	b.WriteString("o() { command -v fuser >/dev/null && for p in $(fuser \"$2\" 2>/dev/null); do printf 'user\\t%s\\t%s\\t%s\\n' \"$1\" \"$p\" \"$(cat /proc/$p/comm 2>/dev/null)\"; done\nn=$(stat -L -c %t:%T \"$2\") || return; printf 'zvol\\t%s\\t%s\\t%s\\n' \"$1\" \"$2\" \"$n\"; a=$((0x${n%:*})); i=$((0x${n#*:}))\n")
	b.WriteString(`for p in /sys/dev/block/$a:$i/dev /sys/dev/block/$a:$i/*/dev; do [ ! -r $p ] || { printf 'part\t%s\t%s\n' "$1" "$(cat $p)"; for h in ${p%dev}holders/*; do [ ! -e $h ] || printf 'holder\t%s\t%s\n' "$1" "${h##*/}"; done; }; done; }
t=; for x in /lib/udev/zvol_id /usr/lib/udev/zvol_id; do [ ! -x $x ] || t=$x; done
for z in`)
	for _, z := range zvols {
		b.WriteString(" " + step.Quote(z))
	}
	b.WriteString(`; do f=; if [ -n "$t" ]; then for d in /sys/block/zd*; do d=/dev/${d##*/}; [ -b $d ] && [ "$($t $d 2>/dev/null)" = "$z" ] && { o "$z" $d; f=1; break; }; done; fi
l=/dev/zvol/$z; [ -n "$f" ] || [ ! -e "$l" ] || { d=$(readlink -f "$l"); i=; [ -z "$t" ] || [ ! -b "$d" ] || i=$($t "$d" 2>/dev/null); [ -z "$i" ] || [ "$i" = "$z" ] && o "$z" "$d" || printf 'wrong\t%s\t%s\n' "$z" "$i"; }; done
find -L /proc/[0-9]*/fd -maxdepth 1 -type b -exec stat -L -c '%n %t:%T' {} + 2>/dev/null | while read -r f n; do p=${f#/proc/}; p=${p%%/*}; printf 'fd\t%s\t%s\t%s\n' "$n" "$p" "$(cat /proc/$p/comm 2>/dev/null)"; done
while read -r a b n d p r; do printf 'mount\t%s\t%s\n' "$n" "$p"; done </proc/self/mountinfo`)
	return b.String()
}

// parseOpeners is the device of each zvol that has one, and who has it open. A zvol whose link points elsewhere is said to be
// in use: who has it open is not known.
func parseOpeners(text string) (devices map[string]string, openers map[string][]string) {
	device := map[string]string{} // "230:16" to the zvol
	devices = map[string]string{}
	out := map[string][]string{}
	add := func(zvol, who string) {
		if transient(who) {
			return
		}
		if !slices.Contains(out[zvol], who) {
			out[zvol] = append(out[zvol], who)
		}
	}
	for line := range strings.Lines(text) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		switch {
		case f[0] == "zvol" && len(f) == 4:
			devices[f[1]] = f[2]
			device[decimalDevice(f[3])] = f[1]
		case f[0] == "user" && len(f) == 4:
			add(f[1], fmt.Sprintf("%s (%s)", f[3], f[2]))
		case f[0] == "wrong" && len(f) == 3:
			add(f[1], fmt.Sprintf("not known: /dev/zvol/%s points at the device of %s (udevadm trigger)", f[1], f[2]))
		case f[0] == "part" && len(f) == 3:
			device[f[2]] = f[1]
		case f[0] == "holder" && len(f) == 3:
			add(f[1], "held by "+f[2])
		case f[0] == "fd" && len(f) == 4:
			if z := device[decimalDevice(f[1])]; z != "" {
				add(z, fmt.Sprintf("%s (%s)", f[3], f[2]))
			}
		case f[0] == "mount" && len(f) == 3:
			if z := device[f[1]]; z != "" {
				add(z, "mounted on "+f[2])
			}
		}
	}
	return devices, out
}

// transient tells of udev's own workers: they read each device that was made or changed, for a moment, and write to none.
func transient(who string) bool {
	return strings.HasPrefix(who, "(udev-worker) (") || strings.HasPrefix(who, "systemd-udevd (") || strings.HasPrefix(who, "udevd (")
}

// decimalDevice is a device number as sysfs writes it, of one as stat does (hexadecimal).
func decimalDevice(hex string) string {
	a, b, _ := strings.Cut(hex, ":")
	major, err1 := strconv.ParseUint(a, 16, 32)
	minor, err2 := strconv.ParseUint(b, 16, 32)
	if err1 != nil || err2 != nil {
		return ""
	}
	return fmt.Sprintf("%d:%d", major, minor)
}

func keys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
