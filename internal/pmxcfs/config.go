package pmxcfs

import (
	"crypto/sha1"
	"encoding/hex"
	"regexp"
	"strings"

	"github.com/ustclug/pve-reconcile/reconciler/vm"
	"github.com/ustclug/pve-reconcile/schema"
)

var (
	setting  = regexp.MustCompile(`^([a-z][a-z_-]*\d*):\s*(\S|\S.*\S)\s*$`)
	header   = regexp.MustCompile(`^\[([A-Za-z][A-Za-z0-9_:-]*)\]\s*$`)
	encoding = regexp.MustCompile(`%[0-9A-Fa-f]{2}`)
)

// hidden stands for a password, as the API shows it.
const hidden = "**********"

// Parse reads a guest's config file: the running values come first, then those pending, then the snapshots, which are left
// out. It gives what GET /pending of the same text gives, the digest included, which is the SHA-1 of the text (FACTS §10).
func Parse(text []byte) vm.Observed {
	sum := sha1.Sum(text)
	o := vm.Observed{Exists: true, Running: map[string]string{}, Pending: map[string]vm.Change{}, Digest: hex.EncodeToString(sum[:])}
	into := o.Running
	waiting, other := map[string]string{}, map[string]string{}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimRight(line, "\r\n")
		if m := header.FindStringSubmatch(line); m != nil {
			if into = other; strings.EqualFold(m[1], "PENDING") {
				into = waiting
			}
			continue
		}
		if rest, ok := strings.CutPrefix(line, "#"); ok {
			into["description"] += decode(rest) + "\n"
			continue
		}
		if m := setting.FindStringSubmatch(line); m != nil {
			read(into, m[1], m[2])
		}
	}
	for _, values := range []map[string]string{o.Running, waiting} {
		if text, ok := values["description"]; ok {
			values["description"] = strings.TrimRight(text, " \t\r\n\f")
		}
	}
	if o.Running["description"] == "" {
		delete(o.Running, "description")
	}
	pend(o, waiting)
	return o
}

// read keeps one setting, in the form the API gives it.
func read(into map[string]string, key, value string) {
	switch key {
	case "digest":
		return
	case "cdrom": // an old name
		key = "ide2"
	case "description":
		value = decode(value)
	}
	if row, ok := schema.RowOf(key); ok && row.Secret() {
		value = hidden
	}
	into[key] = value
}

// pend adds the pending changes. One that is to be deleted is named in a list, with ! before it when that is forced.
func pend(o vm.Observed, waiting map[string]string) {
	for key := range strings.FieldsFuncSeq(waiting["delete"], func(r rune) bool { return strings.ContainsRune(", ;\x00", r) }) {
		key = strings.TrimPrefix(key, "!")
		if _, ok := o.Running[key]; ok {
			o.Pending[key] = vm.Change{Delete: true}
		}
	}
	delete(waiting, "delete")
	for key, value := range waiting {
		o.Pending[key] = vm.Change{Value: value}
	}
}

// decode reads a line of a description, which PVE keeps URL-encoded.
func decode(text string) string {
	return encoding.ReplaceAllStringFunc(text, func(s string) string {
		b, err := hex.DecodeString(s[1:])
		if err != nil {
			return s
		}
		return string(b)
	})
}
