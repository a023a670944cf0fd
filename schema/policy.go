package schema

import (
	"fmt"
	"iter"
	"maps"
	"path"
	"slices"
	"strings"
)

// Rule forbids values of settings, or requires or recommends one, for the guests of a node. Settings go by PVE's names: a key (scsihw)
// or an option of drives and cards (iothread, discard, firewall).
type Rule struct {
	Settings map[string][]string // setting -> patterns, any of which matches (path.Match; booleans as 1 and 0)
	Require  bool                // a required setting must match, a forbidden one must not
	Storages []string            // patterns of storage ids the rule is about; empty: all
	Advice   bool                // a manifest may overrule it
	Stated   []string            // settings that the manifest must state, whatever their value
	Cards    int                 // the rule is about guests with at least so many network cards
	VMIDs    [][2]int            // ranges, one of which holds the vmid; empty: any
	Reason   string
	Node     string
}

// ruleTargets lists the names a rule may use: whole keys with one value, and sub-keys of property strings.
func ruleTargets() []string {
	seen := map[string]bool{}
	for _, r := range Rows() {
		for _, l := range r.Leaves {
			switch {
			case r.Family() || r.drive:
				seen[l.Prop] = true
			case l.Prop == "" || l.Bare:
				seen[r.Key] = true
			default:
				seen[r.Key+"."+l.Prop] = true
			}
		}
	}
	delete(seen, "")
	return slices.Sorted(maps.Keys(seen))
}

// Violation is one way a config breaks a rule.
type Violation struct {
	Key    string // PVE key: "scsi0"
	Name   string // what the rule names: "discard"
	Text   string // what is wrong, and the reason the rule gives
	Advice bool
}

// Firm are the rules that nobody may overrule.
func Firm(rules []Rule) []Rule {
	return slices.DeleteFunc(slices.Clone(rules), func(r Rule) bool { return r.Advice })
}

// Violations lists how a config, in PVE's keys and text, breaks rules. An absent key counts as PVE's default, since that
// is what the guest gets.
func Violations(rules []Rule, config map[string]string) []Violation {
	var out []Violation
	if len(rules) == 0 {
		return nil
	}
	keys := slices.SortedFunc(maps.Keys(config), CompareKeys)
	has := cards(slices.Values(keys))
	for _, rule := range rules {
		if has < rule.Cards {
			continue
		}
		for _, name := range slices.Sorted(maps.Keys(rule.Settings)) {
			for _, row := range Rows() {
				if row.Family() || row.drive {
					out = append(out, rule.devices(row, name, config, keys)...)
				} else if text, ok := row.value(name, config); ok && rule.breaks(name, text) {
					out = append(out, rule.violation(row.Key, name, text, config[row.Key] == ""))
				}
			}
		}
	}
	return out
}

// cards counts network cards among keys.
func cards(keys iter.Seq[string]) int {
	row, _ := RowOf("net0")
	n := 0
	for k := range keys {
		if row.Has(k) {
			n++
		}
	}
	return n
}

// devices checks an option of every drive or card of one family.
func (rule Rule) devices(row *Row, name string, config map[string]string, keys []string) []Violation {
	l := row.leaf(name)
	if l == nil || l.Prop == "" {
		return nil
	}
	var out []Violation
	for _, key := range keys {
		if !row.Has(key) || !rule.about(row, config[key]) {
			continue
		}
		text, set := row.Parse(config[key])[name]
		if !set {
			text = l.Default
		}
		if rule.breaks(name, text) {
			out = append(out, rule.violation(key, name, text, !set))
		}
	}
	return out
}

// value is the text of a whole key (or key.sub-key) as the guest gets it; false when this row is not meant or does not matter.
func (r *Row) value(name string, config map[string]string) (string, bool) {
	key, prop, _ := strings.Cut(name, ".")
	if key != r.Key || r.Needs != "" && !slices.ContainsFunc(slices.Collect(maps.Keys(config)), Slots{r.Needs, 1 << 10}.Has) {
		return "", false
	}
	if r.Scalar() {
		if text, ok := config[key]; ok {
			return normal(text), true
		}
		return r.Leaves[0].Default, true
	}
	if prop == "" {
		prop = r.bare()
	}
	if text, ok := r.Parse(config[key])[prop]; ok {
		return normal(text), true
	}
	if l := r.leaf(prop); l != nil {
		return l.Default, true
	}
	return "", false
}

// normal makes booleans one word.
func normal(text string) string {
	switch v, ok := parseBool(text); {
	case ok && v:
		return "1"
	case ok:
		return "0"
	case text == "ignore":
		return "0"
	}
	return text
}

// shown is a value as manifests write it.
func shown(text string) string {
	switch normal(text) {
	case "1":
		return "true"
	case "0":
		return "false"
	}
	return text
}

func words(patterns []string) []string {
	out := make([]string, len(patterns))
	for i, p := range patterns {
		out[i] = shown(p)
	}
	return out
}

func (rule Rule) breaks(name, text string) bool {
	for _, pattern := range rule.Settings[name] {
		if ok, _ := path.Match(pattern, normal(text)); ok {
			return !rule.Require
		}
	}
	return rule.Require
}

// about tells whether the rule is about this device: drives on the storages it names, never CD drives.
func (rule Rule) about(row *Row, text string) bool {
	if !row.drive {
		return len(rule.Storages) == 0
	}
	props := row.Parse(text)
	storage, name, _ := strings.Cut(props["file"], ":")
	if props["media"] == "cdrom" || name == "cloudinit" || props["file"] == "none" {
		return false
	}
	return len(rule.Storages) == 0 || slices.ContainsFunc(rule.Storages, func(p string) bool {
		ok, _ := path.Match(p, storage)
		return ok
	})
}

func (rule Rule) violation(key, name, text string, absent bool) Violation {
	where := name
	if key != name {
		where = key + " " + name
	}
	switch text = shown(text); {
	case text == "":
		text = "unset"
	case absent:
		text += " (PVE's default)"
	}
	said := fmt.Sprintf("%s is forbidden", text)
	if rule.Require {
		said = rule.should("be "+strings.Join(words(rule.Settings[name]), " or ")) + ", is " + text
	}
	return rule.broken(key, name, where+": "+said)
}

// should is "must be" or "should be".
func (rule Rule) should(what string) string {
	if rule.Advice {
		return "should " + what
	}
	return "must " + what
}

func (rule Rule) broken(key, name, text string) Violation {
	return Violation{Key: key, Name: name, Text: text + " on " + rule.Node + ": " + rule.Reason, Advice: rule.Advice}
}
