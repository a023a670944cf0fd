package zhost

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// native is one property that ZFS itself knows.
type native struct {
	name    string
	kinds   string // f: file systems, v: zvols, s: snapshots, b: bookmarks
	edit    bool   // may be set
	once    bool   // may be given on create only
	inherit bool
	def     string // what it is when nobody set it; "": computed
	values  string // what it may be, "on | off"; "" is free
	size    bool   // printed as 64M without -p
}

const onOff = "on | off"

// natives is in the order of zfs get all.
var natives = []native{
	{name: "type", kinds: "fvsb"},
	{name: "creation", kinds: "fvsb"},
	{name: "used", kinds: "fvs", size: true},
	{name: "available", kinds: "fv", size: true},
	{name: "referenced", kinds: "fvs", size: true},
	{name: "compressratio", kinds: "fvs"},
	{name: "mounted", kinds: "f"},
	{name: "origin", kinds: "fv"},
	{name: "quota", kinds: "f", edit: true, def: "0", size: true},
	{name: "reservation", kinds: "fv", edit: true, def: "0", size: true},
	{name: "volsize", kinds: "vs", edit: true, size: true},
	{name: "volblocksize", kinds: "v", once: true, size: true},
	{name: "mountpoint", kinds: "f", edit: true, inherit: true},
	{name: "checksum", kinds: "fv", edit: true, inherit: true, def: "on"},
	{name: "compression", kinds: "fv", edit: true, inherit: true, def: "off"},
	{name: "readonly", kinds: "fv", edit: true, inherit: true, def: "off", values: onOff},
	{name: "createtxg", kinds: "fvsb"},
	{name: "canmount", kinds: "f", edit: true, def: "on", values: "on | off | noauto"},
	{name: "copies", kinds: "fv", edit: true, inherit: true, def: "1"},
	{name: "refreservation", kinds: "fv", edit: true, def: "0", size: true},
	{name: "guid", kinds: "fvsb"},
	{name: "primarycache", kinds: "fvs", edit: true, inherit: true, def: "all", values: "all | none | metadata"},
	{name: "secondarycache", kinds: "fvs", edit: true, inherit: true, def: "all", values: "all | none | metadata"},
	{name: "usedbysnapshots", kinds: "fv", size: true},
	{name: "usedbydataset", kinds: "fv", size: true},
	{name: "usedbychildren", kinds: "fv", size: true},
	{name: "usedbyrefreservation", kinds: "fv", size: true},
	{name: "logbias", kinds: "fv", edit: true, inherit: true, def: "latency", values: "latency | throughput"},
	{name: "defer_destroy", kinds: "s"},
	{name: "userrefs", kinds: "s"},
	{name: "objsetid", kinds: "fvs"},
	{name: "dedup", kinds: "fv", edit: true, inherit: true, def: "off"},
	{name: "mlslabel", kinds: "fvs", edit: true, inherit: true, def: "none"},
	{name: "sync", kinds: "fv", edit: true, inherit: true, def: "standard", values: "standard | always | disabled"},
	{name: "refcompressratio", kinds: "fvs"},
	{name: "written", kinds: "fvs", size: true},
	{name: "clones", kinds: "s"},
	{name: "logicalused", kinds: "fv", size: true},
	{name: "logicalreferenced", kinds: "fvs", size: true},
	{name: "volmode", kinds: "fv", edit: true, inherit: true, def: "default", values: "default | full | geom | dev | none"},
	{name: "snapshot_limit", kinds: "fv", edit: true, def: "18446744073709551615"},
	{name: "snapshot_count", kinds: "fv", def: "18446744073709551615"},
	{name: "snapdev", kinds: "fv", edit: true, inherit: true, def: "hidden", values: "hidden | visible"},
	{name: "context", kinds: "fvs", edit: true, def: "none"},
	{name: "fscontext", kinds: "fvs", edit: true, def: "none"},
	{name: "defcontext", kinds: "fvs", edit: true, def: "none"},
	{name: "rootcontext", kinds: "fvs", edit: true, def: "none"},
	{name: "redundant_metadata", kinds: "fv", edit: true, inherit: true, def: "all"},
	{name: "encryption", kinds: "fvs", once: true, inherit: true, def: "off"},
	{name: "keylocation", kinds: "fv", edit: true, def: "none"},
	{name: "keyformat", kinds: "fv", once: true, def: "none"},
	{name: "pbkdf2iters", kinds: "fv", once: true, def: "0"},
	{name: "encryptionroot", kinds: "fvs"},
	{name: "keystatus", kinds: "fvs"},
	{name: "receive_resume_token", kinds: "fv"},
	{name: "inconsistent", kinds: "fv"},
}

// onlyAsked are left out of zfs get all, unless they say something.
const onlyAsked = " origin clones encryptionroot keystatus receive_resume_token inconsistent "

var aliases = map[string]string{"avail": "available", "refer": "referenced", "volblock": "volblocksize", "compress": "compression", "lused": "logicalused", "lrefer": "logicalreferenced", "refreserv": "refreservation", "reserv": "reservation", "rdonly": "readonly", "usedds": "usedbydataset", "usedsnap": "usedbysnapshots", "usedrefreserv": "usedbyrefreservation", "usedchild": "usedbychildren"}

func nativeOf(name string) *native {
	if full, ok := aliases[name]; ok {
		name = full
	}
	for i := range natives {
		if natives[i].name == name {
			return &natives[i]
		}
	}
	return nil
}

var userName = regexp.MustCompile(`^[a-z0-9:_.+-]*:[a-z0-9:_.+-]*$`)

// longest is how many bytes the value of a user property may have.
const longest = 8191

// native is the value of an inheritable or local native property as it is in force.
func (d *dataset) native(name string) string {
	value, _ := d.lookup(name)
	return value
}

// number is the value of a native property in bytes.
func (d *dataset) number(name string) int64 {
	n, err := strconv.ParseInt(d.native(name), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// lookup is the value of a property that can be set, and its source.
func (d *dataset) lookup(name string) (value, source string) {
	n := nativeOf(name)
	up := n == nil || n.inherit
	for at := d; at != nil; at = at.parent() {
		value, found, how := at.local[name], false, "local"
		if _, found = at.local[name]; !found && !at.excluded[name] {
			value, found = at.received[name]
			how = "received"
		}
		if found && at == d {
			return value, how
		}
		if found {
			return value, "inherited from " + at.name
		}
		if !up {
			break
		}
	}
	if n == nil {
		return "-", "-"
	}
	return n.def, "default"
}

// setting checks a "name=value" of zfs set, create or recv -o, and returns the value in the form it is kept in.
func setting(d *dataset, name, value string) (string, error) {
	n := nativeOf(name)
	if n == nil {
		switch {
		case !userName.MatchString(name):
			return "", fmt.Errorf("invalid property '%s'", name)
		case len(value) > longest:
			return "", fmt.Errorf("property value too long")
		}
		return value, nil
	}
	switch {
	case n.once || !n.edit:
		return "", fmt.Errorf("'%s' is readonly", n.name)
	case d != nil && !strings.Contains(n.kinds, d.kind()):
		return "", fmt.Errorf("'%s' does not apply to datasets of this type", n.name)
	case n.values != "" && !oneOf(n.values, value):
		return "", fmt.Errorf("'%s' must be one of '%s'", n.name, n.values)
	case n.size:
		if value == "none" {
			return "0", nil
		}
		bytes, err := parseSize(value)
		if err != nil {
			return "", fmt.Errorf("bad numeric value '%s'", value)
		}
		if n.name == "volsize" && d != nil && bytes%d.blocksize != 0 {
			return "", fmt.Errorf("'volsize' must be a multiple of volume block size (%s)", human(d.blocksize))
		}
		return strconv.FormatInt(bytes, 10), nil
	}
	return value, nil
}

func oneOf(values, value string) bool {
	for v := range strings.SplitSeq(values, " | ") {
		if v == value {
			return true
		}
	}
	return false
}

func (d *dataset) kind() string {
	if d.volume {
		return "v"
	}
	return "f"
}

// parseSize reads 4096, 8k, 64M, 1.5G.
func parseSize(text string) (int64, error) {
	digits := strings.TrimRight(strings.ToUpper(text), "KMGTPEBI")
	unit := strings.TrimSuffix(strings.TrimSuffix(strings.ToUpper(text)[len(digits):], "B"), "I")
	shift, ok := map[string]uint{"": 0, "K": 10, "M": 20, "G": 30, "T": 40, "P": 50}[unit]
	n, err := strconv.ParseFloat(digits, 64)
	if err != nil || !ok || n < 0 {
		return 0, fmt.Errorf("%q is no size like 4096, 8k, 64M or 1.5T", text)
	}
	if shift == 0 {
		return strconv.ParseInt(digits, 10, 64)
	}
	return int64(n * float64(int64(1)<<shift)), nil
}

// human prints a size as zfs does without -p: at most five characters.
func human(n int64) string {
	const units = "BKMGTPE"
	at, value := 0, n
	for value >= 1024 && at < len(units)-1 {
		value /= 1024
		at++
	}
	switch {
	case at == 0:
		return fmt.Sprintf("%dB", n)
	case n%(1<<(10*at)) == 0:
		return fmt.Sprintf("%d%c", value, units[at])
	}
	for digits := 2; digits > 0; digits-- {
		if text := fmt.Sprintf("%.*f%c", digits, float64(n)/float64(int64(1)<<(10*at)), units[at]); len(text) <= 5 {
			return text
		}
	}
	return fmt.Sprintf("%.0f%c", float64(n)/float64(int64(1)<<(10*at)), units[at])
}
