package strictyaml

import (
	"strings"
	"testing"
)

func TestNearest(t *testing.T) {
	fields := strings.Fields("memory balloon cpu cores sockets restartPolicy onboot node scsihw tags name vmid")
	tests := []struct{ word, want string }{
		{"memory", "memory"},
		{"Memory", "memory"},
		{"memmory", "memory"},
		{"mem", "memory"},
		{"meomry", "memory"},
		{"baloon", "balloon"},
		{"core", "cores"},
		{"sock", "sockets"},
		{"restart_policy", "restartPolicy"},
		{"restartpolicy", "restartPolicy"},
		{"RestartPolice", "restartPolicy"},
		{"on-boot", "onboot"},
		{"tag", "tags"},
		{"nmae", "name"},
		{"vm_id", "vmid"},
		{"scsi", "scsihw"},
		{"size", ""},
		{"", ""},
		{"x", ""},
		{"disk", ""},
		{"network", ""},
		{"_", ""},
		{strings.Repeat("memory", 20), ""},
	}
	for _, test := range tests {
		if have := Nearest(test.word, fields); have != test.want {
			t.Errorf("Nearest(%q) = %q, want %q", test.word, have, test.want)
		}
	}
	if have := Nearest("NET", []string{"net0", "net", "Net"}); have != "net" {
		t.Errorf("the same word in another case comes first, have %q", have)
	}
	if have := Nearest("net", []string{"net0x", "net1x"}); have != "" {
		t.Errorf("an abbreviation of two is of none, have %q", have)
	}
	if have := Nearest("a", nil); have != "" {
		t.Errorf("have %q of nothing", have)
	}
}
