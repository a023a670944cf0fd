package zhost

import (
	"strconv"
	"strings"
)

// sendSince is the version of ZFS on Linux that brought a flag of zfs send.
var sendSince = map[byte]string{'L': "0.6.5", 'e': "0.6.5", 'c': "0.7", 'w': "0.8"}

// has tells whether the host's ZFS is of a version or later.
func (h *Host) has(version string) bool {
	have, want := numbers(h.Version), numbers(version)
	for i := range want {
		n := 0
		if i < len(have) {
			n = have[i]
		}
		if n != want[i] {
			return n > want[i]
		}
	}
	return true
}

func numbers(version string) []int {
	version, _, _ = strings.Cut(version, "-")
	var all []int
	for part := range strings.SplitSeq(version, ".") {
		n, err := strconv.Atoi(part)
		if err != nil {
			break
		}
		all = append(all, n)
	}
	return all
}
