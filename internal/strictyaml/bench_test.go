package strictyaml

import (
	"fmt"
	"strings"
	"testing"
)

// small is a manifest of the usual size: 25 lines.
func small(i int) []byte {
	return fmt.Appendf(nil, `# The group's containers.
apiVersion: pve.ustclug.org/v1alpha1
kind: VirtualMachine
metadata:
  name: docker%[1]d
spec:
  node: pve-5
  vmid: %[1]d
  power: Running            # Running | Stopped | Unmanaged
  onboot: true
  cpu: {type: host, sockets: 1, cores: 4}
  memory: 16Gi
  agent: {enabled: true}
  disks:
    scsi0: {storage: local-zfs, size: 300Gi, discard: true}
    scsi1:
      storage: local-lvm
      size: 20Gi
  networks:
    net0: {model: virtio, bridge: vmbr2, mac: "00:50:56:9f:00:22"}
    net1: {model: virtio, bridge: vmbr4, mac: "00:50:56:9f:00:5b"}
  tags: [docker]
  description: |
    Docker containers of the group.
    Manifest: vms/docker%[1]d.yaml
`, i)
}

// BenchmarkManifests reads and decodes 5,000 small files an iteration.
func BenchmarkManifests(b *testing.B) {
	files := make([][]byte, 5000)
	for i := range files {
		files[i] = small(i + 100)
	}
	b.ReportAllocs()
	for b.Loop() {
		for i, text := range files {
			documents, problems := Documents("vms/docker.yaml", text)
			var m machine
			if len(problems) > 0 || documents[0].Decode(&m) != nil || m.Spec.VMID != i+100 {
				b.Fatal(problems, m)
			}
		}
	}
}

// BenchmarkSyntaxError is the price of finding where a manifest is broken.
func BenchmarkSyntaxError(b *testing.B) {
	text := []byte(strings.Replace(string(small(100)), "tags: [docker]", "tags: [docker", 1))
	for b.Loop() {
		if _, problems := Documents("f", text); len(problems) != 1 {
			b.Fatal(problems)
		}
	}
}
