// Package node decides what a Node's manifest asks of the host itself: which reads it needs, how what is managed (storage
// definitions, network, DNS, clock, hosts file, datacenter options) differs, and which assertions do not hold, in words for a
// person; and what a manifest could say of a node that is there. It never plans a change for an assertion, never
// removes anything, never touches the interface that the node is reached by unless a person confirmed it, and never asks for
// a read that the manifest does not need.
package node

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Observed is what was seen of a node. Answers are by the paths that Reads asked for, and kept as PVE gave them: an absent
// key must not look like a zero.
type Observed struct {
	Cluster string
	Nodes   []string // of the cluster
	Reached []string // addresses of the endpoint that the cluster is spoken to by
	Answers map[string]Answer
}

// Answer is the data part of one read, or why there is none. An Err wraps a sentinel of package step where one fits:
// ErrForbidden for what the token may not read, ErrUnreachable for what nobody answered.
type Answer struct {
	Body    json.RawMessage
	Changes string // a diff that PVE puts beside the data: network config that is written and not applied (FACTS §1)
	Err     error
}

// number is a JSON number, or one that PVE wrote as text (FACTS §1); known is false for anything else ("N/A", null, absent).
type number struct {
	value float64
	known bool
}

// UnmarshalJSON accepts any value.
func (n *number) UnmarshalJSON(raw []byte) error {
	f, err := strconv.ParseFloat(strings.Trim(string(raw), `"`), 64)
	*n = number{f, err == nil && !math.IsNaN(f) && !math.IsInf(f, 0)}
	if string(raw) == "true" {
		*n = number{1, true}
	}
	if string(raw) == "false" {
		*n = number{0, true}
	}
	return nil
}

func (n number) int() int { return int(n.value) }

// percent is part of whole, rounded up: what is over a limit then also reads so, and reads the same in the next run.
func percent(part, whole number) (int, bool) {
	if !part.known || !whole.known || whole.value <= 0 {
		return 0, false
	}
	return int(math.Ceil(part.value * 100 / whole.value)), true
}

// bytes prints a size for people, in the binary units that manifests use, rounded down: what is too little also reads so.
func bytes(n number) string {
	if !n.known {
		return "unknown"
	}
	for _, u := range []struct {
		name string
		size float64
	}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}} {
		if n.value >= u.size {
			return strconv.FormatFloat(math.Floor(n.value*100/u.size)/100, 'f', -1, 64) + " " + u.name
		}
	}
	return fmt.Sprintf("%.0f bytes", n.value)
}

// labelled prints the size of a disk as its label gives it.
func labelled(n number) string {
	switch {
	case !n.known:
		return "of unknown size"
	case n.value >= 1e12:
		return strconv.FormatFloat(n.value/1e12, 'f', 2, 64) + "TB"
	}
	return strconv.FormatFloat(n.value/1e9, 'f', 0, 64) + "GB"
}

// plural is "1 disk", "2 disks".
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// after is a text behind something that leads to it, or nothing.
func after(lead, text string) string {
	if text == "" {
		return ""
	}
	return lead + text
}

// listed joins words, or says that there are none.
func listed(words []string) string {
	if len(words) == 0 {
		return "none"
	}
	return strings.Join(words, ", ")
}
