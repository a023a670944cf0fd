package schema

import (
	"strings"
	"testing"
)

func size(t *testing.T, written string) *Size {
	t.Helper()
	var s Size
	if err := s.UnmarshalText([]byte(written)); err != nil {
		t.Fatal(err)
	}
	return &s
}

// TestLimits tries the longest and the smallest that PVE takes, and one more or less.
func TestLimits(t *testing.T) {
	drive := func(serial, model string) VMSpec {
		return VMSpec{Disks: map[string]*Disk{"ide0": {Volume: "local:100/a.raw", Serial: serial, Model: model}}}
	}
	for _, c := range []struct {
		name     string
		fit, not VMSpec
		path     string
	}{
		{"description", VMSpec{Description: strings.Repeat("ä", 8192)}, VMSpec{Description: strings.Repeat("a", 8193)}, "spec.description"},
		{"serial", drive(strings.Repeat(" ", 20), ""), drive(strings.Repeat("a", 21), ""), "spec.disks.ide0.serial"},
		{"model", drive("", strings.Repeat("/", 40)), drive("", strings.Repeat("a", 41)), "spec.disks.ide0.model"},
		{"machine", VMSpec{Machine: &Machine{Type: "pc-i440fx-10.0+pve1"}}, VMSpec{Machine: &Machine{Type: "i440fx"}}, "spec.machine.type"},
		{"memory", VMSpec{Memory: size(t, "16Mi")}, VMSpec{Memory: size(t, "15Mi")}, "spec.memory"},
		{"memory without a unit", VMSpec{Memory: size(t, "128")}, VMSpec{Memory: size(t, "127")}, "spec.memory"},
		{"hotplug", VMSpec{Hotplug: []string{"0"}}, VMSpec{Hotplug: []string{"0", "disk"}}, "spec.hotplug[0]"},
	} {
		if faults := limited(c.fit); len(faults) > 0 {
			t.Errorf("%s: refused: %v", c.name, faults)
		}
		if faults := limited(c.not); len(faults) != 1 || faults[0].Path != c.path {
			t.Errorf("%s: taken, or another fault than at %s: %v", c.name, c.path, faults)
		}
	}
	for _, s := range []VMSpec{drive(strings.Repeat(" ", 20), strings.Repeat("/", 40))} {
		props := VM{Spec: s}.Settings()["ide0"].Props
		if len(props["serial"]) > 60 || len(props["model"]) > 120 {
			t.Errorf("longer than PVE takes once encoded: %v", props)
		}
	}
}

func limited(s VMSpec) []Fault {
	s.Node, s.VMID = "pve-5", 100
	return VM{Metadata: Metadata{Name: "a"}, Spec: s}.Validate()
}

// TestSecretIsNotShown: a password in place of its hash must not end up in a log.
func TestSecretIsNotShown(t *testing.T) {
	faults := limited(VMSpec{Init: &CloudInit{PasswordHash: "hunter2"}})
	if len(faults) != 1 || strings.Contains(faults[0].Text, "hunter2") {
		t.Errorf("%v", faults)
	}
}
