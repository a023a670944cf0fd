package zfs

import (
	"cmp"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ustclug/pve-reconcile/reconciler/migration"
	"github.com/ustclug/pve-reconcile/reconciler/step"
)

// number is a count of bytes as -p prints it; "-" and what is no number are 0.
func number(text string) int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// property is one line of zfs get -Hp -o name,property,value,source. A value may hold tabs, nothing else may.
type property struct{ name, property, value, source string }

func parseProperty(line string) (property, bool) {
	f := strings.Split(line, "\t")
	if len(f) < 4 || f[0] == "" || f[1] == "" {
		return property{}, false
	}
	last := len(f) - 1
	return property{f[0], f[1], strings.Join(f[2:last], "\t"), f[last]}, true
}

// set tells whether the value was set on the dataset itself.
func (p property) set() bool { return p.source == "local" || p.source == "received" }

// kept are the native properties that an Observed holds when they are set on the dataset itself.
var kept = []string{"readonly", "volmode", "snapdev", "canmount", "mountpoint", "refreservation", "compression"}

// parseDataset takes one dataset out of zfs get all. One that is said not to exist is no error; one that nothing is said of is.
func parseDataset(name, text string) (migration.Dataset, error) {
	d := migration.Dataset{Name: name, Local: map[string]string{}}
	for line := range strings.Lines(text) {
		p, ok := parseProperty(strings.TrimSuffix(line, "\n"))
		if !ok || p.name != name {
			continue
		}
		d.Exists = true
		if field := bytesOf(&d, p.property); field != nil {
			*field = number(p.value)
		}
		switch p.property {
		case "guid":
			d.GUID = p.value
		case "type":
			d.Type = p.value
		case "encryption":
			d.Encryption = p.value
		case "keystatus":
			d.Key = absent(p.value)
		case "readonly":
			d.Readonly = p.value == "on"
		case "volmode":
			d.Volmode = p.value
		case "compression":
			d.Compression = p.value
		case "origin":
			d.Origin = absent(p.value)
		case "receive_resume_token":
			if p.value != "-" && p.value != "" {
				d.Token = &migration.Token{Text: p.value}
			}
		}
		if p.set() && (slices.Contains(kept, p.property) || strings.HasPrefix(p.property, step.PropPrefix)) {
			d.Local[p.property] = p.value
		}
	}
	if d.Exists && d.GUID == "" {
		return d, fmt.Errorf("%s: zfs get shows no guid", name)
	}
	if !d.Exists && !strings.Contains(text, "cannot open '"+name+"': dataset does not exist\n") {
		return d, fmt.Errorf("%s: %s", name, oneLine(cmp.Or(complaints(text), text)))
	}
	return d, nil
}

// bytesOf is the field of a dataset for a property that is a number of bytes, nil for others.
func bytesOf(d *migration.Dataset, name string) *int64 {
	return map[string]*int64{
		"volsize": &d.Volsize, "volblocksize": &d.Volblocksize, "used": &d.Used, "referenced": &d.Referenced,
		"logicalreferenced": &d.Logical, "available": &d.Available, "refreservation": &d.RefReserv,
	}[name]
}

func absent(value string) string {
	if value == "-" || value == "none" {
		return ""
	}
	return value
}

// parseSnapshots reads zfs list -Hp -o name,guid,creation,userrefs,clones, and takes one dataset's snapshots and the clones of
// them.
func parseSnapshots(dataset, text string) (out []migration.Snapshot, clones []string) {
	for line := range strings.Lines(text) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(f) != 5 {
			continue
		}
		name, ok := strings.CutPrefix(f[0], dataset+"@")
		if !ok || name == "" {
			continue
		}
		out = append(out, migration.Snapshot{Name: name, GUID: f[1], Created: time.Unix(number(f[2]), 0).UTC(), Written: unasked, Props: map[string]string{}})
		if f[4] != "-" && f[4] != "" {
			clones = append(clones, strings.Split(f[4], ",")...)
		}
	}
	return out, clones
}

// unasked is what was written since a snapshot nobody asked about: those of others, where there are many.
const unasked = -1

// addWritten fills in what was written to the dataset since each snapshot.
func addWritten(dataset string, snapshots []migration.Snapshot, text string) {
	for line := range strings.Lines(text) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(f) != 3 || f[0] != dataset || f[2] == "-" {
			continue
		}
		name, ok := strings.CutPrefix(f[1], "written@")
		if s := named(snapshots, name); ok && s != nil {
			s.Written = number(f[2])
		}
	}
}

func addProps(dataset string, snapshots []migration.Snapshot, text string) {
	for line := range strings.Lines(text) {
		p, ok := parseProperty(strings.TrimSuffix(line, "\n"))
		if !ok || !p.set() || !strings.HasPrefix(p.property, step.PropPrefix) {
			continue
		}
		name, _ := strings.CutPrefix(p.name, dataset+"@")
		if s := named(snapshots, name); s != nil {
			s.Props[p.property] = p.value
		}
	}
}

func addHolds(dataset string, snapshots []migration.Snapshot, text string) {
	for line := range strings.Lines(text) {
		f := strings.Split(line, "\t")
		name, ok := strings.CutPrefix(f[0], dataset+"@")
		if s := named(snapshots, name); ok && len(f) >= 2 && s != nil {
			s.Holds = append(s.Holds, f[1])
		}
	}
}

func named(snapshots []migration.Snapshot, name string) *migration.Snapshot {
	for i := range snapshots {
		if snapshots[i].Name == name {
			return &snapshots[i]
		}
	}
	return nil
}

// parseSize reads the estimate of zfs send -nvP, -1 when there is none.
func parseSize(text string) int64 {
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) == 2 && f[0] == "size" {
			if n, err := strconv.ParseInt(f[1], 10, 64); err == nil && n >= 0 {
				return n
			}
		}
	}
	return -1
}

// parseToken reads what zfs send -nvP -t says of a token: its contents, how much is left, and why it is refused.
func parseToken(token, text string) migration.Token {
	t := migration.Token{Text: token}
	var said []string
	for line := range strings.Lines(text) {
		key, value, ok := strings.Cut(strings.TrimSpace(line), " = ")
		switch {
		case ok && key == "toguid":
			t.ToGUID = decimal(value)
		case ok && key == "fromguid":
			t.FromGUID = decimal(value)
		case ok && key == "bytes":
			if n, err := strconv.ParseInt(value, 0, 64); err == nil && n > 0 {
				t.Bytes = n
			}
		case strings.HasPrefix(line, "cannot "), strings.HasPrefix(line, "warning: "), strings.HasPrefix(line, "internal error"):
			said = append(said, strings.TrimSpace(line))
		}
	}
	if n := parseSize(text); n >= 0 {
		t.Left = n
	} else if len(said) == 0 {
		said = append(said, "zfs send -nvP -t: "+oneLine(text))
	}
	t.Error = strings.Join(said, " ")
	return t
}

// decimal is a guid of a token, which prints it in hexadecimal, as everything else prints it.
func decimal(text string) string {
	n, ok := new(big.Int).SetString(text, 0)
	if !ok || n.Sign() <= 0 || n.BitLen() > 64 {
		return ""
	}
	return n.String()
}

// oneLine is text as it fits into an error.
func oneLine(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if r := []rune(text); len(r) > 300 {
		text = string(r[:299]) + "…"
	}
	if text == "" {
		return "no answer"
	}
	return text
}
