package schema

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Violations lists how the manifest itself would break firm rules, offline, by the path of the setting at fault.
func (v VM) Violations(rules []Rule) []Fault {
	violations, _ := v.Judge(rules)
	return violations
}

// Judge lists what Violations does, and the recommendations that the manifest neither follows nor overrules.
func (v VM) Judge(rules []Rule) (violations, unheeded []Fault) {
	if len(rules) == 0 {
		return nil, nil
	}
	settings := v.Settings()
	broken := v.breaks(rules, settings, fresh(settings))
	return v.placed(broken, settings, false), v.placed(broken, settings, true)
}

// Advised lists the recommendations that the manifest does not overrule, and that a guest with this config does not follow.
func (v VM) Advised(rules []Rule, config map[string]string) []string {
	var out []string
	if len(rules) == 0 {
		return nil
	}
	for _, b := range v.breaks(rules, v.Settings(), config) {
		if b.Advice && !v.Overrules(b.Name) {
			out = append(out, b.Text)
		}
	}
	return out
}

// Overrules tells whether the manifest says that the guest does not follow recommendations of this name.
func (v VM) Overrules(name string) bool {
	if name == "macaddr" {
		name = "mac"
	}
	_, ok := v.Spec.Overrule[name]
	return ok
}

// breaks lists how a guest with this config and the settings of this manifest breaks rules.
func (v VM) breaks(rules []Rule, settings map[string]Setting, config map[string]string) []Violation {
	out := Violations(rules, config)
	keys := slices.SortedFunc(maps.Keys(settings), CompareKeys)
	has := cards(maps.Keys(config))
	for _, rule := range rules {
		if has < rule.Cards {
			continue
		}
		if n := v.Spec.VMID; len(rule.VMIDs) > 0 && !slices.ContainsFunc(rule.VMIDs, func(s [2]int) bool { return s[0] <= n && n <= s[1] }) {
			out = append(out, rule.broken("vmid", "vmid", "vmid: "+rule.should("be in ")+ranges(rule.VMIDs)+", is "+itoa(n)))
		}
		for _, name := range rule.Stated {
			out = append(out, rule.unstated(name, settings, keys)...)
		}
	}
	return out
}

func ranges(spans [][2]int) string {
	words := make([]string, len(spans))
	for i, s := range spans {
		if words[i] = itoa(s[0]); s[0] != s[1] {
			words[i] += "-" + itoa(s[1])
		}
	}
	return strings.Join(words, " or ")
}

// unstated finds a setting, or a device without an option, that the manifest says nothing of.
func (rule Rule) unstated(name string, settings map[string]Setting, keys []string) []Violation {
	prop := name
	if name == "mac" {
		prop = "macaddr"
	}
	key, sub, _ := strings.Cut(name, ".")
	var out []Violation
	for _, row := range Rows() {
		switch {
		case row.Family() || row.drive:
			if l := row.leaf(prop); l == nil || l.Prop == "" {
				continue
			}
			for _, k := range keys {
				if s := settings[k]; s.Row == row && s.Props[prop] == "" && (s.Source == nil || s.Source.CDROM == "" && !s.Source.CloudInit) {
					out = append(out, rule.broken(k, name, k+" "+name+": "+rule.should("be stated")))
				}
			}
		case row.Key == key:
			s, ok := settings[key]
			if sub == "" {
				sub = row.bare()
			}
			if !ok || !row.Scalar() && s.Props[sub] == "" {
				out = append(out, rule.broken(key, name, name+": "+rule.should("be stated")))
			}
		}
	}
	return out
}

// fresh is what a guest would be made with, in PVE's keys and text.
func fresh(settings map[string]Setting) map[string]string {
	config := map[string]string{}
	for key, s := range settings {
		if s.Source != nil {
			config[key] = s.Fresh()
		} else {
			config[key] = s.Merge("", nil, Facts{})
		}
	}
	return config
}

// placed are the firm violations, or those of advice that nobody overruled, by the path of the setting at fault.
func (v VM) placed(broken []Violation, settings map[string]Setting, advice bool) []Fault {
	var out []Fault
	for _, b := range broken {
		if b.Advice != advice || advice && v.Overrules(b.Name) {
			continue
		}
		f := Fault{Path: "spec", Text: b.Text}
		if advice {
			f.Text += fmt.Sprintf("; to keep it so, write overrule: {%s: why}", strings.Replace(b.Name, "macaddr", "mac", 1))
		}
		if s, ok := settings[b.Key]; ok {
			f.Path = s.Path
		} else if b.Key == "vmid" {
			f.Path = "spec.vmid"
		}
		out = append(out, f)
	}
	return out
}

// checkOverrule: what is overruled must be something a recommendation can name, and has a reason.
func (v VM) checkOverrule(f *faults) {
	for _, name := range slices.Sorted(maps.Keys(v.Spec.Overrule)) {
		at := "spec.overrule." + name
		if targets := append(ruleTargets(), "mac", "vmid"); !slices.Contains(targets, name) {
			f.word(at, name, targets, "%q is nothing that a recommendation can name", name)
		}
		if strings.TrimSpace(v.Spec.Overrule[name]) == "" {
			f.add(at, "why? The reason is what the next reader of the manifest needs")
		}
	}
}
