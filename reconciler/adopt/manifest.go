// Package adopt decides how guests and nodes that are already there become manifests: what is written of each, under which
// name, in which file, and what is left out and why. It keeps one law: what it writes plans no change of what it was read
// from. It never writes a file, never asks a host, and never invents a setting.
package adopt

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/ustclug/pve-reconcile/manifests/render"
	"github.com/ustclug/pve-reconcile/reconciler/step"
	"github.com/ustclug/pve-reconcile/reconciler/vm"
	"github.com/ustclug/pve-reconcile/schema"
)

// Guest is one live guest. The node of its id is the one it lives on.
type Guest struct {
	ID   schema.ID
	Have vm.Observed
}

// unfinished are the locks under which PVE is making the config, or moving the guest elsewhere.
var unfinished = []string{"clone", "create", "migrate", "rollback"}

// Manifest is the guest as an object called name, with what no manifest can say of it. It declares what the guest has after
// its next start: pending changes are part of it. The error says why there is no such object, and what to do.
func Manifest(name string, g Guest, owner string) (schema.VM, []schema.Leftover, error) {
	have := g.Have
	config := have.Desired()
	sure, doubts := Sized(config, have.Sizes)
	spec, left := schema.Read(sure, g.ID.VMID)
	left = append(left, doubts...)
	slices.SortStableFunc(left, func(x, y schema.Leftover) int { return schema.CompareKeys(x.Key, y.Key) })
	uuid := schema.UUID(have.Running)
	v := schema.VM{
		TypeMeta: schema.TypeMeta{APIVersion: schema.APIVersion, Kind: schema.KindVM},
		Metadata: schema.Metadata{Name: name},
		Spec:     spec,
	}
	v.Spec.Node, v.Spec.VMID, v.Spec.UUID = have.Node, g.ID.VMID, uuid
	switch {
	case have.Container:
		return v, left, fmt.Errorf("vmid %d is a container, not a virtual machine", g.ID.VMID)
	case !have.Exists:
		return v, left, fmt.Errorf("no guest %d exists in cluster %s", g.ID.VMID, g.ID.Cluster)
	case slices.Contains(unfinished, have.Running["lock"]):
		return v, left, fmt.Errorf("PVE has locked guest %d (%s) and is still working on its config: import it when that has ended", g.ID.VMID, have.Running["lock"])
	case uuid == "":
		return v, left, fmt.Errorf("guest %d has no uuid in smbios1, so no manifest can mean it: give it one with `%s`, then import it", g.ID.VMID, newUUID(g, owner))
	case uuid != schema.UUID(config):
		return v, left, fmt.Errorf("guest %d gets another uuid at its next start (a pending change of smbios1): restart it, or revert that change, then import it", g.ID.VMID)
	case spec.UUID == "":
		return v, left, fmt.Errorf("the uuid of guest %d, %q, is none: give it one with `%s`, then import it", g.ID.VMID, uuid, newUUID(g, owner))
	case spec.Name == "" && strings.TrimSpace(config["name"]) != "":
		return v, left, fmt.Errorf("guest %d is called %q, which a manifest cannot say: rename it in PVE, then import it", g.ID.VMID, config["name"])
	}
	if v.Spec.Name == name {
		v.Spec.Name = ""
	}
	v.Spec.RestartPolicy = "Never"
	v.Spec.Power = "Unmanaged"
	if have.IsRunning() && config["template"] != "1" {
		v.Spec.Power = "Running"
	}
	return v, left, nil
}

// newUUID is the command that gives the guest the uuid that reconcile would have made it with.
func newUUID(g Guest, owner string) step.Step {
	row, _ := schema.RowOf("smbios1")
	props := row.Parse(g.Have.Running["smbios1"])
	props["uuid"] = schema.DeriveUUID(owner, g.ID)
	return step.SetConfig{ID: g.ID, Set: map[string]string{"smbios1": row.Print(props)}}
}

// Sized takes size= out of drives whose volumes are known to have another size: a manifest that said either would change
// something.
func Sized(config map[string]string, sizes map[string]int64) (map[string]string, []schema.Leftover) {
	var left []schema.Leftover
	for key, text := range config {
		row, ok := schema.RowOf(key)
		if !ok || !row.Drive() {
			continue
		}
		props := row.Parse(text)
		real, known := sizes[props["file"]]
		if written, ok := schema.ParsePVESize(props["size"]); !known || !ok || written == real || props["media"] == "cdrom" {
			continue
		}
		left = append(left, schema.Leftover{
			Key: key, Prop: "size", Text: props["size"],
			Why: fmt.Sprintf("the volume is %s: `qm disk rescan` mends the config", schema.Size{Bytes: real}.PVE()),
		})
		delete(props, "size")
		config[key] = row.Print(props)
	}
	return config, left
}

// Text writes the manifest of a guest.
func Text(v schema.VM, g Guest, left []schema.Leftover) []byte {
	notes := render.Notes{Behind: map[string]string{}}
	notes.Above = append(notes.Above, fmt.Sprintf("Guest %d as it was found on %s. Only what is written here is managed.", g.ID.VMID, g.Have.Node))
	var lines []string
	for _, l := range left {
		if l.Key != "lock" { // of the moment
			lines = append(lines, "  "+Shown(l))
		}
	}
	if len(lines) > 0 {
		notes.Above = append(append(notes.Above, "Left alone, since it is not written here:"), lines...)
	}
	notes.Behind["spec.uuid"] = "smbios1: tells this guest from any other that gets its vmid"
	if v.Spec.Power == "Unmanaged" {
		notes.Behind["spec.power"] = "it did not run when it was imported; Running would start it"
	}
	live := g.Have.Desired()
	for key, s := range v.Settings() {
		if s.Row.RootOnly(live[key]) {
			notes.Behind[s.Path] = "only root@pam itself can change this"
		}
	}
	return render.VM(v, notes)
}

// longest is how much of a leftover's text is shown.
const longest = 200

// Shown is a leftover on one line.
func Shown(l schema.Leftover) string {
	text := l.Text
	if r := []rune(text); len(r) > longest {
		text = string(r[:longest]) + "..."
	}
	if text == "" || text != strings.TrimSpace(text) || strings.ContainsAny(text, "\n\r\t") {
		text = strconv.Quote(text)
	}
	if l.Text == "" {
		return fmt.Sprintf("%s (%s)", l.Name(), l.Why)
	}
	return fmt.Sprintf("%s: %s (%s)", l.Name(), text, l.Why)
}
