package strictyaml

import "testing"

const placed = `# comment
kind: VirtualMachine
metadata: {name: "web", annotations: {a: x, a.b: y, a.b.c: z, "": empty, "a b": spaced, "[0]": odd}}
spec:
  vmid: 100
  cpu:
    cores: 4
  "äöü": {x: 1}
  tags: [a, [b, c]]
  disks:
    - size: 1Gi
      storage: a
    -
      size: 2Gi
  gone:
  none: ~
  description: |
    text
kind: again
`

var places = []struct {
	path         string
	line, column int
	value        string
	ok           bool
}{
	{"", 2, 1, "", false},
	{"kind", 2, 7, "VirtualMachine", true},
	{"metadata", 3, 11, "", false},
	{"metadata.name", 3, 18, "web", true},
	{"metadata.annotations.a", 3, 42, "x", true},
	{"metadata.annotations.a.b", 3, 50, "y", true},
	{"metadata.annotations.a.b.c", 3, 60, "z", true},
	{`metadata.annotations.""`, 3, 67, "empty", true},
	{`metadata.annotations."a b"`, 3, 81, "spaced", true},
	{"metadata.annotations.[0]", 3, 96, "odd", true},
	{"spec", 4, 1, "", false},
	{"spec.vmid", 5, 9, "100", true},
	{"spec.vmid.more", 5, 3, "", false},
	{"spec.vmi", 4, 1, "", false},
	{"spec.cpu", 6, 3, "", false},
	{"spec.cpu.cores", 7, 12, "4", true},
	{"spec.cpu.sockets", 6, 3, "", false},
	{"spec.äöü", 8, 10, "", false},
	{"spec.äöü.x", 8, 14, "1", true},
	{"spec.äöü.y", 8, 3, "", false},
	{"spec.tags[0]", 9, 10, "a", true},
	{"spec.tags[1][1]", 9, 17, "c", true},
	{"spec.tags[2]", 9, 3, "", false},
	{"spec.disks", 10, 3, "", false},
	{"spec.disks[0]", 11, 7, "", false},
	{"spec.disks[1].size", 14, 13, "2Gi", true},
	{"spec.disks[1].storage", 14, 7, "", false},
	{"spec.gone", 15, 3, "", false},
	{"spec.none", 16, 9, "", false},
	{"spec.description", 17, 16, "text\n", true},
	{"status.phase", 2, 1, "", false},
}

func TestPositionAndString(t *testing.T) {
	documents, problems := Documents("f", []byte(placed))
	if len(documents) != 1 || len(problems) != 0 {
		t.Fatal(documents, problems)
	}
	d := documents[0]
	for _, test := range places {
		if line, column := d.Position(test.path); line != test.line || column != test.column {
			t.Errorf("Position(%q) = %d:%d, want %d:%d", test.path, line, column, test.line, test.column)
		}
		if value, ok := d.String(test.path); value != test.value || ok != test.ok {
			t.Errorf("String(%q) = %q, %v, want %q, %v", test.path, value, ok, test.value, test.ok)
		}
	}
	want := `f:6:3: spec.cpu.sockets: required, say how many`
	if have := d.Problem("spec.cpu.sockets", "required", "say how many").String(); have != want {
		t.Errorf("have %s, want %s", have, want)
	}
	if line, column := (Document{}).Position("a.b"); line != 1 || column != 1 {
		t.Errorf("an empty document begins at %d:%d", line, column)
	}
}
