package render_test

import (
	"os"
	"strings"
	"testing"

	"github.com/ustclug/pve-reconcile/internal/strictyaml"
	"github.com/ustclug/pve-reconcile/manifests/render"
	"github.com/ustclug/pve-reconcile/schema"
)

// TestExamples: the layout is that of the examples. They are written again as they are, but for comments and quotes
// that nothing demands.
func TestExamples(t *testing.T) {
	for _, name := range []string{"docker2", "gateway"} {
		file := "../examples/pve-5/vms/" + name + ".yaml"
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		docs, problems := strictyaml.Documents(file, text)
		var v schema.VM
		if problems = append(problems, docs[0].Decode(&v)...); len(problems) > 0 {
			t.Fatal(problems)
		}
		var want strings.Builder
		for line := range strings.Lines(strings.ReplaceAll(string(text), `"`, "")) {
			line, _, _ = strings.Cut(line, "#")
			if line = strings.TrimRight(line, " \n"); line != "" {
				want.WriteString(line + "\n")
			}
		}
		if have := string(render.VM(v, render.Notes{})); have != want.String() {
			t.Errorf("have\n%s\nwant\n%s", have, want.String())
		}
	}
}

// TestReadBack: what is written is read as the same object, whatever its strings hold, in the form a person would write.
func TestReadBack(t *testing.T) {
	yes, no, cores, limit := true, false, 4, 1.5
	v := schema.VM{
		Metadata: schema.Metadata{Name: "200", Labels: map[string]string{"a: b": "x # y", "yes": "no"}},
		Spec: schema.VMSpec{
			Node: "pve-5", VMID: 200, Description: "# Title\n\n  two  \n\t- tab", Tags: []string{"1", "on", "web"},
			Machine: &schema.Machine{Type: "q35"}, VGA: &schema.VGA{Type: "std", Clipboard: "vnc"}, OnBoot: &yes, Numa: &no,
			CPU: &schema.CPU{Cores: &cores, Limit: &limit, Type: "host", Flags: []string{"+aes", "-pcid"}}, Memory: &schema.Size{Bytes: 16 << 30}, Balloon: &schema.Size{},
			Serial:   map[string]string{"serial0": "socket"},
			Disks:    map[string]*schema.Disk{"scsi10": {CDROM: "none"}, "scsi2": {Volume: "local:200/a b.raw", Serial: "1e3", Discard: &yes}},
			Networks: map[string]*schema.Network{"net0": {Model: "virtio", Bridge: "vmbr0", MAC: "00:50:56:09:00:22", Trunks: []string{"1", "2-4"}}},
			Init:     &schema.CloudInit{User: "root", SSHKeys: []string{strings.Repeat("ssh-ed25519 AAAA: x ", 9)}},
			UUID:     "11111111-2222-3333-4444-555555555555",
		},
	}
	text := render.VM(v, render.Notes{Above: []string{"Above\x1b[0m", "", "  - more"}, Behind: map[string]string{"spec.uuid": "who it is\nreally", "spec.disks.scsi2": "odd", "spec.bios": "unset"}})
	want := `# Above\u001b[0m
#
#   - more
apiVersion: pve.ustclug.org/v1alpha1
kind: VirtualMachine
metadata:
  name: "200"
  labels: {"a: b": "x # y", "yes": "no"}
spec:
  node: pve-5
  vmid: 200
  uuid: 11111111-2222-3333-4444-555555555555 # who it is\nreally
  onboot: true
  cpu: {type: host, cores: 4, limit: 1.5, flags: [+aes, -pcid]}
  memory: 16Gi
  balloon: 0
  numa: false
  machine: q35
  disks:
    scsi2: {volume: "local:200/a b.raw", discard: true, serial: "1e3"} # odd
    scsi10: {cdrom: none}
  networks:
    net0: {model: virtio, bridge: vmbr0, mac: "00:50:56:09:00:22", trunks: ["1", 2-4]}
  cloudInit:
    user: root
    sshKeys:
      - "` + strings.Repeat("ssh-ed25519 AAAA: x ", 9) + `"
  vga: {type: std, clipboard: vnc}
  serial: {serial0: socket}
  tags: ["1", "on", web]
  description: |
    # Title

      two  
    	- tab
`
	if want = strings.ReplaceAll(want, `"local:200/a b.raw"`, "local:200/a b.raw"); string(text) != want {
		t.Errorf("have\n%s\nwant\n%s", text, want)
	}
	docs, problems := strictyaml.Documents("x", text)
	var back schema.VM
	if problems = append(problems, docs[0].Decode(&back)...); len(problems) > 0 {
		t.Fatal(problems)
	}
	if !render.Tree(back).Equal(render.Tree(v)) {
		t.Errorf("read back as %s", render.VM(back, render.Notes{}))
	}
}
