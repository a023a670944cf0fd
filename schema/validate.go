package schema

import (
	"fmt"
	"reflect"
)

// Fault is one thing wrong with an object, addressed by its path: "spec.disks.scsi0.size".
type Fault struct {
	Path  string
	Text  string
	Word  string   // what was written, where one word of several is allowed
	Among []string // these words
}

type faults []Fault

func (f *faults) add(path, format string, args ...any) {
	*f = append(*f, Fault{Path: path, Text: fmt.Sprintf(format, args...)})
}

// word adds a fault about a word that is none of those allowed.
func (f *faults) word(path, word string, among []string, format string, args ...any) {
	*f = append(*f, Fault{Path: path, Text: fmt.Sprintf(format, args...), Word: word, Among: among})
}

var objectName = leaf(reflect.TypeFor[Metadata]().Field(0), nil, "").Pattern

func (m Metadata) check(f *faults) {
	switch {
	case m.Name == "":
		f.add("metadata.name", "required")
	case !objectName.MatchString(m.Name) || len(m.Name) > 253:
		f.add("metadata.name", "%q is not a name: letters, digits, dashes and dots, beginning and ending with a letter or digit", m.Name)
	}
}

// Validate lists everything wrong with the VM that can be known without a host.
func (v VM) Validate() []Fault {
	var f faults
	v.Metadata.check(&f)
	checkStruct(&f, reflect.ValueOf(v.Spec), "spec")
	s := v.Spec
	if s.VMID == 0 {
		f.add("spec.vmid", "required: PVE's id of the guest, 100 or more")
	}
	if v.Absent() && s.UUID == "" {
		f.add("spec.uuid", "required with state: Absent, so that no other guest that uses the id is deleted: `qm config %d` shows it in smbios1", s.VMID)
	}
	if s.Name == "" && v.Metadata.Name != "" && objectName.MatchString(v.Metadata.Name) && checkName(v.Metadata.Name) != "" {
		f.add("metadata.name", "%s; or give the guest another name with spec.name", checkName(v.Metadata.Name))
	}
	settings := v.Settings()
	v.checkSlots(&f)
	checkDrives(&f, settings)
	checkOwners(&f, settings, v.Spec.VMID)
	v.checkNetworks(&f)
	v.checkSense(&f, settings)
	v.checkIgnore(&f)
	for i, text := range v.Spec.MaintenanceWindows {
		if _, err := ParseWindow(text); err != nil {
			f.add(fmt.Sprintf("spec.maintenanceWindows[%d]", i), "%v", err)
		}
	}
	v.checkOverrule(&f)
	return f
}
