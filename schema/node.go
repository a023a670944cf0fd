package schema

import (
	"fmt"
	"maps"
	"path"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

func itoa(n int) string { return strconv.Itoa(n) }

// Node is one checked Node object. metadata.name is PVE's name of the node.
type Node struct {
	TypeMeta `json:",inline"`
	Metadata Metadata `json:"metadata" doc:"what the object is called; the name is PVE's name of the node"`
	Spec     NodeSpec `json:"spec" doc:"what is said of the node"`
}

// NodeSpec is what is said of a node.
type NodeSpec struct {
	Cluster string `json:"cluster,omitempty" pattern:"[A-Za-z0-9_.-]+" doc:"cluster of the config file; needed only when several are configured and none lists the node"`
	Policy  Policy `json:"policy,omitempty" doc:"rules for the guests of this node, checked offline against manifests and again against live guests"`

	DriftPolicy string    `json:"driftPolicy,omitempty" enum:"Correct|Report" doc:"what to do about values of the manifest that somebody changed on the host: Correct writes them again, Report shows them and leaves them alone; left out, the cluster's in the config file, which is Correct unless stated"`
	Ignore      []Ignored `json:"ignore,omitempty" doc:"values of the manifest that are left to others: neither written nor told"`

	Storages map[string]*Storage `json:"storages,omitempty" doc:"storage definitions by id, which the cluster shares; they are made and changed, and never removed"`

	Network *NodeNetwork `json:"network,omitempty" doc:"bridges and VLANs; they are made and changed, and never removed"`

	DNS        *DNS                `json:"dns,omitempty" doc:"name resolution of the node"`
	TimeZone   string              `json:"timeZone,omitempty" pattern:"[A-Za-z0-9_+-]+(?:/[A-Za-z0-9_+-]+)*" doc:"time zone of the node, such as Asia/Shanghai"`
	Hosts      map[string][]string `json:"hosts,omitempty" doc:"names that /etc/hosts gives to an address; lines are added for those that are missing, and none is changed or removed"`
	Datacenter *Datacenter         `json:"datacenter,omitempty" doc:"options that the cluster shares; what is not declared stays as it is"`

	Assert *Assertions `json:"assert,omitempty" doc:"what must be true of the node itself; it is looked at and never changed, and what does not hold is reported"`
}

// Policy is what guests of a node may not have, what they must and what they should.
type Policy struct {
	Forbid  []PolicyRule `json:"forbid,omitempty" doc:"settings that no guest may have; each entry names settings, with values or patterns, and a reason"`
	Require []PolicyRule `json:"require,omitempty" doc:"settings that every guest must have; each entry names settings, with values or patterns, and a reason"`

	Recommend []PolicyRule `json:"recommend,omitempty" doc:"settings that a guest should have, unless its manifest overrules them; entries are like those of require"`
}

// PolicyRule is an open mapping: reason, storages, and PVE settings (scsihw, iothread, discard, ...) with a value, a
// pattern or a list of them. What must or should be so may also be that settings are stated at all, and what vmids are.
type PolicyRule map[string]any

// Validate lists everything wrong with the node's manifest.
func (n Node) Validate() []Fault {
	var f faults
	n.Metadata.check(&f)
	checkStruct(&f, reflect.ValueOf(n.Spec), "spec")
	n.Spec.Policy.rules(n.Metadata.Name, &f)
	n.checkStorages(&f)
	n.checkNetwork(&f)
	n.checkSystem(&f)
	n.checkIgnore(&f)
	n.Spec.Assert.check(&f, "spec.assert")
	return f
}

// Rules is the policy as rules for guests.
func (n Node) Rules() []Rule { return n.Spec.Policy.rules(n.Metadata.Name, &faults{}) }

func (p Policy) rules(node string, f *faults) []Rule {
	var out []Rule
	for _, part := range []struct {
		name  string
		rules []PolicyRule
		like  Rule
	}{
		{"forbid", p.Forbid, Rule{Node: node}},
		{"require", p.Require, Rule{Node: node, Require: true}},
		{"recommend", p.Recommend, Rule{Node: node, Require: true, Advice: true}},
	} {
		for i, r := range part.rules {
			out = append(out, r.rule(fmt.Sprintf("spec.policy.%s[%d]", part.name, i), part.like, f))
		}
	}
	return out
}

func (r PolicyRule) rule(at string, rule Rule, f *faults) Rule {
	rule.Settings = map[string][]string{}
	named := false
	for _, key := range slices.Sorted(maps.Keys(r)) {
		words := patterns(f, at+"."+key, r[key])
		if !rule.Require && slices.Contains([]string{"stated", "cards", "vmid"}, key) {
			f.add(at+"."+key, "goes with what is required or recommended, not with what is forbidden")
			continue
		}
		switch key {
		case "reason":
			rule.Reason = strings.Join(words, " ")
		case "storages":
			rule.Storages = words
		case "stated":
			rule.Stated, named = words, true
			for i, w := range words {
				if targets := append(ruleTargets(), "mac"); !slices.Contains(targets, w) {
					f.word(at+".stated["+itoa(i)+"]", w, targets, "%q is not a setting a rule can name", w)
				}
			}
		case "cards":
			n, err := strconv.Atoi(strings.Join(words, " "))
			if rule.Cards = n; err != nil || n < 1 {
				f.add(at+".cards", "takes a number: the rule is about guests with at least so many network cards")
			}
		case "vmid":
			named = true
			rule.VMIDs = spans(f, at+".vmid", words)
		default:
			named = true
			if targets := ruleTargets(); !slices.Contains(targets, key) {
				f.word(at+"."+key, key, targets, "%q is not a setting a rule can name: a PVE key (scsihw, cpu, bios) or an option of drives and cards (iothread, discard, firewall)", key)
				continue
			}
			for i, w := range words {
				words[i] = normal(w)
			}
			rule.Settings[key] = words
		}
	}
	if strings.TrimSpace(rule.Reason) == "" {
		f.add(at, "a rule needs a reason: it is what a refused person reads")
	}
	if !named {
		f.add(at, "names no setting")
	}
	return rule
}

// spans reads ranges of vmids: 200-299, 310.
func spans(f *faults, at string, words []string) [][2]int {
	var out [][2]int
	for _, w := range words {
		from, to, isRange := strings.Cut(w, "-")
		if !isRange {
			to = from
		}
		lower, err := strconv.Atoi(from)
		upper, err2 := strconv.Atoi(to)
		if err != nil || err2 != nil || lower < 100 || upper < lower {
			f.add(at, "%q is no range of vmids: 200-299", w)
			continue
		}
		out = append(out, [2]int{lower, upper})
	}
	return out
}

func patterns(f *faults, at string, v any) []string {
	switch v := v.(type) {
	case bool:
		return []string{strconv.FormatBool(v)}
	case []any:
		var out []string
		for _, e := range v {
			out = append(out, patterns(f, at, e)...)
		}
		return out
	case map[string]any, nil:
		f.add(at, "takes a value, a pattern or a list of them")
		return nil
	default:
		s := fmt.Sprint(v)
		if _, err := path.Match(s, ""); err != nil {
			f.add(at, "%q is not a pattern: %v", s, err)
		}
		return []string{s}
	}
}
