package schema

import (
	"strings"
)

// Ignored is a setting, or a group of them, that a manifest leaves to others.
type Ignored struct {
	Path   string `json:"path" doc:"as in a manifest: spec.description, spec.networks.net0 or spec.networks.net0.firewall; all below it is meant too"`
	Reason string `json:"reason" doc:"why, for whoever reads the manifest next"`
}

// unlike are the fields of a spec that are no settings of a guest.
var unlike = map[string]bool{
	"cluster": true, "node": true, "vmid": true, "uuid": true, "state": true, "power": true, "restartPolicy": true, "maintenanceWindows": true, "driftPolicy": true, "ignore": true,
	"overrule": true,
}

// checkIgnore: paths must be in the field table, and reasons given.
func (v VM) checkIgnore(f *faults) {
	seen := map[string]bool{}
	for i, ig := range v.Spec.Ignore {
		at := "spec.ignore[" + itoa(i) + "]"
		path, below := strings.CutPrefix(ig.Path, "spec.")
		first, _, _ := strings.Cut(path, ".")
		word, among, ok := checkPath(path)
		switch {
		case ig.Path == "":
			f.add(at+".path", "required: %s", "the setting to ignore, as in path: spec.description")
		case !below && ok:
			f.add(at+".path", "%q is written with the spec before it: spec.%s", ig.Path, ig.Path)
		case !below:
			f.add(at+".path", "%q is no path of a setting: it begins with spec., as in spec.description", ig.Path)
		case unlike[first]:
			f.add(at+".path", "%s is no setting of the guest that could be ignored: leave it out instead", ig.Path)
		case !ok && len(among) == 0:
			f.add(at+".path", "%q: there is nothing below %s", ig.Path, strings.TrimSuffix(ig.Path[:strings.LastIndex(ig.Path, "."+word)], "."))
		case !ok:
			f.word(at+".path", word, among, "%q: there is no %s", ig.Path, word)
		case seen[ig.Path]:
			f.add(at+".path", "%s is listed twice", ig.Path)
		}
		seen[ig.Path] = true
		if strings.TrimSpace(ig.Reason) == "" {
			f.add(at+".reason", "required: it is what the next reader of the manifest needs")
		}
	}
}

// Ignores tells whether a spec leaves all of a PVE key to others, or with prop a sub-key of it.
func (v VM) Ignores(key, prop string) bool {
	if len(v.Spec.Ignore) == 0 {
		return false
	}
	r, ok := RowOf(key)
	if !ok {
		return false
	}
	if prop == "" && !r.Family() && !r.Scalar() && !r.drive {
		for _, l := range r.Leaves { // the fields of a key may stand in several places of a manifest: cpu.type, cpu.flags
			if !v.ignored("spec." + l.Path) {
				return false
			}
		}
		return true
	}
	path := PathOf(key, prop)
	if r.drive && prop == PropFile {
		path = PathOf(key, "")
		for _, field := range []string{"storage", "volume", "cdrom"} {
			if v.ignored(path + "." + field) {
				return true
			}
		}
	}
	return v.ignored(path)
}

func (v VM) ignored(path string) bool {
	for _, ig := range v.Spec.Ignore {
		if Within(path, ig.Path) {
			return true
		}
	}
	return false
}

// Props lists the sub-keys a manifest can declare under a row's key; of a drive what it holds and its size too.
func (r *Row) Props() []string {
	var out []string
	if r.drive {
		out = []string{PropFile, PropSize}
	}
	for _, l := range r.Leaves {
		if l.Prop != "" {
			out = append(out, l.Prop)
		}
	}
	return out
}
