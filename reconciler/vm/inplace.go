package vm

import (
	"cmp"

	"github.com/ustclug/pve-reconcile/reconciler/step"
	"github.com/ustclug/pve-reconcile/schema"
)

// moves refuses a blank disk that takes the place of one of its size which leaves the manifest at the same time: whoever only
// wrote another slot means the data, and the guest would start without it.
func (c *change) moves(s schema.Setting) bool {
	if s.Source == nil || !s.Source.Allocates() || s.Source.CloudInit || s.Source.ImportFrom != "" || s.Source.Size.Bytes == 0 {
		return false
	}
	for _, key := range keys(c.bases) {
		b := c.bases[key]
		live, there := c.desired[key]
		if _, wanted := c.wants[key]; wanted || !there || c.stay[key] || b.Source == nil || b.Source.CDROM != "" || b.Source.CloudInit {
			continue
		}
		props := b.Row.Parse(live)
		if size, known := c.size(props); !known || !asLarge(s.Source.Size, size) {
			continue
		}
		c.stay[key] = true
		c.wait(step.Refused, "%s would be a new, empty disk, while %s, which is as large, leaves the manifest: neither is done. If %s is to hold what %s holds, move it by hand while the guest is off: `%s`, then `%s`. If an empty disk is meant, take %s out in a commit of its own first",
			s.Key, key, s.Key, key, step.SetConfig{ID: c.id, Delete: []string{key}}, step.SetConfig{ID: c.id, Set: map[string]string{s.Key: props["file"]}}, key)
		return true
	}
	return false
}

// made is what a disk of PVE's own is made for, and why it cannot become another.
var made = map[string]struct{ prop, usual, keeps, lost string }{
	"tpmstate0": {"version", "v1.2", "a TPM keeps the version it was made with", "a new TPM would not hold what the guest sealed in the old one"},
	"efidisk0":  {"efitype", "2m", "the firmware's variables keep the layout they were made with", "the firmware for the other one does not find them, and the guest does not boot"},
}

// madeFor refuses to call a disk something that its content is not.
func (c *change) madeFor(s schema.Setting, live, text string) bool {
	m, ok := made[s.Key]
	was, wanted := cmp.Or(s.Row.Parse(live)[m.prop], m.usual), cmp.Or(s.Row.Parse(text)[m.prop], m.usual)
	if !ok || was == wanted {
		return false
	}
	c.wait(step.Refused, "%s: %s, %s, and the manifest says %s. Correct the manifest; %s", s.Key, m.keeps, was, wanted, m.lost)
	return true
}
