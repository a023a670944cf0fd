package schema

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

func checkDescription(s string) string {
	if n := len([]rune(s)); n > 8192 {
		return fmt.Sprintf("%d characters; PVE allows 8192", n)
	}
	return ""
}

// unicast is a MAC that a card can have: the first pair is even.
var unicast = regexp.MustCompile(`^[0-9A-Fa-f][02468ACEace](:[0-9A-Fa-f]{2}){5}$`)

var mac = regexp.MustCompile(`^[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}$`)

func checkMAC(s string) string {
	if !mac.MatchString(s) {
		return fmt.Sprintf("%q is not a MAC address: six pairs of hex digits with colons (BC:24:11:00:00:01)", s)
	}
	if !unicast.MatchString(s) {
		return fmt.Sprintf("%q is a multicast address: its first pair must be even", s)
	}
	return ""
}

// checkSSHKey: PVE refuses the whole change, and does not say for which key, when ssh-keygen cannot read one.
func checkSSHKey(s string) string {
	f := strings.Fields(s)
	if strings.HasPrefix(s, "#") && !strings.ContainsAny(s, "\n\r") {
		return ""
	}
	if len(f) < 2 || strings.ContainsAny(s, "\n\r") {
		return "not an SSH public key: one line, as in id_ed25519.pub"
	}
	for i, word := range f[1:] { // options may stand before
		if strings.HasPrefix(word, "AAAA") && wholeKey(f[i], word) {
			return ""
		}
	}
	return "not an SSH public key, or not all of one: copy the line of id_ed25519.pub again"
}

// wholeKey tells whether text is what follows the type in the file of a public key: in base64 the type again and the numbers,
// each behind its length.
func wholeKey(name, text string) bool {
	blob, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return false
	}
	for n := 0; ; n++ {
		if n > 0 && strings.Contains(name, "-cert-") { // it holds more than such parts
			return true
		}
		if len(blob) < 4 {
			return len(blob) == 0 && n > 1
		}
		size := binary.BigEndian.Uint32(blob)
		if blob = blob[4:]; uint64(size) > uint64(len(blob)) {
			return false
		}
		if n == 0 && string(blob[:size]) != name {
			return false
		}
		blob = blob[size:]
	}
}

var uuidForm = regexp.MustCompile(`^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$`)

func checkUUID(s string) string {
	if !uuidForm.MatchString(s) {
		return fmt.Sprintf("%q is not a uuid: `qm config VMID` shows it in smbios1", s)
	}
	return ""
}

var dnsName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*$`)

func checkName(s string) string {
	if !dnsName.MatchString(s) || len(s) > 253 {
		return fmt.Sprintf("%q is not a name PVE takes: letters, digits, dashes and dots, as in a DNS name", s)
	}
	return ""
}

var storageID = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.-]*[A-Za-z0-9]$`)

func checkStorage(s string) string {
	if !storageID.MatchString(s) {
		return fmt.Sprintf("%q is not a storage id: letters, digits, - _ and ., at least two", s)
	}
	return ""
}

var volid = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.-]*[A-Za-z0-9]:[^, \t\n]+$`)

func checkVolid(s string) string {
	if !volid.MatchString(s) {
		return fmt.Sprintf("%q is not a volume: STORAGE:NAME, as `pvesm list STORAGE` shows it", s)
	}
	return ""
}

// checkHost: PVE's format "address" is an IP address or a DNS name.
func checkHost(s string) string {
	if _, err := netip.ParseAddr(s); err != nil && !dnsName.MatchString(s) {
		return fmt.Sprintf("%q is neither an IP address nor a DNS name", s)
	}
	return ""
}

// sameAddr compares IPv6 addresses, with or without a prefix, which have many spellings.
func sameAddr(want, have string, _ Facts) bool {
	w, err1 := netip.ParsePrefix(want)
	h, err2 := netip.ParsePrefix(have)
	if err1 == nil && err2 == nil {
		return w == h
	}
	a, err1 := netip.ParseAddr(want)
	b, err2 := netip.ParseAddr(have)
	if err1 == nil && err2 == nil {
		return a == b
	}
	return strings.EqualFold(want, have)
}

func checkAddr(six, prefix bool, words ...string) func(string) string {
	return func(s string) string {
		if slices.Contains(words, s) {
			return ""
		}
		var a netip.Addr
		var err error
		if prefix {
			var p netip.Prefix
			p, err = netip.ParsePrefix(s)
			a = p.Addr()
		} else {
			a, err = netip.ParseAddr(s)
		}
		if err == nil && a.Is6() == six {
			return ""
		}
		example := map[[2]bool]string{{false, false}: "10.0.0.1", {false, true}: "10.0.0.2/24", {true, false}: "2001:db8::1", {true, true}: "2001:db8::2/64"}[[2]bool{six, prefix}]
		if len(words) > 0 {
			example += ", " + strings.Join(words, ", ")
		}
		return fmt.Sprintf("%q is not an address of this form: %s", s, example)
	}
}
