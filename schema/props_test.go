package schema

import (
	"maps"
	"regexp"
	"testing"
)

func row(t testing.TB, key string) *Row {
	t.Helper()
	r, ok := RowOf(key)
	if !ok {
		t.Fatalf("%s is in no row", key)
	}
	return r
}

// TestPrintSMBIOS prints often: Go visits maps in any order, and the flag base64 must never be encoded itself.
func TestPrintSMBIOS(t *testing.T) {
	want := "base64=1,manufacturer=VVNUQw==,product=YSxi,uuid=8aa3132c-0dbb-5448-bf04-bf8b18ee05bc"
	for range 500 {
		have := row(t, "smbios1").Print(map[string]string{"manufacturer": "USTC", "product": "a,b", "uuid": "8aa3132c-0dbb-5448-bf04-bf8b18ee05bc"})
		if have != want {
			t.Fatalf("have %s\nwant %s", have, want)
		}
	}
}

func TestParse(t *testing.T) {
	for _, c := range []struct {
		key, text string
		want      map[string]string
		printed   string
	}{
		{"net0", "virtio=BC:24:11:00:00:01,bridge=vmbr0", map[string]string{"model": "virtio", "macaddr": "BC:24:11:00:00:01", "bridge": "vmbr0"}, ""},
		{"net0", "bridge=vmbr0,macaddr=BC:24:11:00:00:01,model=virtio", map[string]string{"model": "virtio", "macaddr": "BC:24:11:00:00:01", "bridge": "vmbr0"}, "virtio=BC:24:11:00:00:01,bridge=vmbr0"},
		{"net31", "e1000", map[string]string{"model": "e1000"}, ""},
		{"scsi0", "volume=a:b,bps_rd_length=3", map[string]string{"file": "a:b", "bps_rd_max_length": "3"}, "a:b,bps_rd_max_length=3"},
		{"scsi0", "a:b,iops_wr_length=3", map[string]string{"file": "a:b", "iops_wr_max_length": "3"}, "a:b,iops_wr_max_length=3"},
		{"agent", "1,freeze-fs=0", map[string]string{"enabled": "1", "freeze-fs-on-backup": "0"}, "1,freeze-fs-on-backup=0"},
		{"smbios1", "base64=1,serial=eA==", map[string]string{"serial": "x"}, "base64=1,serial=eA=="},
		{"smbios1", "serial=x", map[string]string{"serial": "x"}, "base64=1,serial=eA=="},
		{"memory", "current=512", map[string]string{"current": "512"}, "512"},
		{"startup", "", map[string]string{}, ""},
		{"startup", "0", map[string]string{"order": "0"}, "order=0"},
		{"startup", "order=0,up=30", map[string]string{"order": "0", "up": "30"}, "order=0,up=30"},
		{"startup", "7", map[string]string{"order": "7"}, ""},
	} {
		r := row(t, c.key)
		have := r.Parse(c.text)
		if !maps.Equal(have, c.want) {
			t.Errorf("%s: %s: have %v, want %v", c.key, c.text, have, c.want)
		}
		want := c.printed
		if want == "" {
			want = c.text
		}
		if have := r.Print(have); have != want {
			t.Errorf("%s: %s: printed %s, want %s", c.key, c.text, have, want)
		}
	}
}

// TestURLEncoded: PVE takes only these characters in its format "urlencoded" (PVE::JSONSchema).
func TestURLEncoded(t *testing.T) {
	allowed := regexp.MustCompile(`^[-%a-zA-Z0-9_.!~*'()]*$`)
	d := Disk{Volume: "a:b", Serial: "S/N a+b=c@d:e,f", Model: "über $1 & more"}
	vm := VM{Spec: VMSpec{Disks: map[string]*Disk{"ide0": &d}}}
	s := vm.Settings()["ide0"]
	for _, prop := range []string{"serial", "model"} {
		if !allowed.MatchString(s.Props[prop]) {
			t.Errorf("%s: PVE refuses %q", prop, s.Props[prop])
		}
	}
	if text := s.Fresh(); !s.Same(text, true, nil, Facts{}) {
		t.Errorf("%s is seen as a change", text)
	}
}

// TestTagsTwice: PVE keeps the first of equal tags, whatever its case, and ordering=config keeps the rest in order.
func TestTagsTwice(t *testing.T) {
	for _, c := range []struct {
		want, have string
		facts      Facts
		same       bool
	}{
		{"A;b;a", "a;b", Facts{}, true},
		{"A;b;a", "a;b", Facts{TagsInOrder: true}, true},
		{"b;a", "a;b", Facts{TagsInOrder: true}, false},
		{"A;b;a", "A;b;a", Facts{TagsInOrder: true, TagsCaseSensitive: true}, true},
		{"A;b", "a;b", Facts{TagsCaseSensitive: true}, false},
	} {
		if sameTags(c.want, c.have, c.facts) != c.same {
			t.Errorf("%q and %q with %+v: want %v", c.want, c.have, c.facts, c.same)
		}
	}
}

// TestWatchdog: a guest without the key has no watchdog, so that the default model is still a change.
func TestWatchdog(t *testing.T) {
	s := VM{Spec: VMSpec{Watchdog: &Watchdog{Model: "i6300esb"}}}.Settings()["watchdog"]
	if s.Same("", false, nil, Facts{}) {
		t.Error("no watchdog counts as the default one")
	}
	if !s.Same("model=i6300esb,action=reset", true, nil, Facts{}) {
		t.Error("the watchdog that is there is seen as a change")
	}
}

// PVE stores a weight above 10000 as 10000: that is not a difference, and a weight below it is.
func TestWeightIsClamped(t *testing.T) {
	for _, c := range []struct {
		want, have string
		same       bool
	}{{"262144", "10000", true}, {"20000", "50000", true}, {"100", "0100", true}, {"9999", "10000", false}, {"10000", "9999", false}, {"100", "", false}} {
		if have := row(t, "cpuunits").Leaves[0].kind.same(c.want, c.have, Facts{}); have != c.same {
			t.Errorf("%s and %q: have same %v", c.want, c.have, have)
		}
	}
}
