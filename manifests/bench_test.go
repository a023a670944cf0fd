package manifests_test

import (
	"fmt"
	"testing"
	"testing/fstest"

	"github.com/ustclug/pve-reconcile/manifests"
)

const dockerLike = `apiVersion: pve.ustclug.org/v1alpha1
kind: VirtualMachine
metadata: {name: docker%d}
spec:
  node: pve-%d
  vmid: %d
  power: Running            # Running | Stopped | Unmanaged
  restartPolicy: Never      # Never (default) | Allowed
  onboot: true
  cpu: {type: host, sockets: 1, cores: 4}
  memory: 16Gi
  scsihw: virtio-scsi-pci
  agent: {enabled: true}
  disks:
    scsi0: {storage: local-zfs, size: 300Gi, discard: true}
  networks:
    net0: {model: virtio, bridge: vmbr2, mac: "00:50:56:%02x:%02x:22"}
    net1: {model: virtio, bridge: vmbr4, mac: "00:50:56:%02x:%02x:5b"}
    net2: {model: virtio, bridge: vmbr1, mac: "00:50:56:%02x:%02x:5d"}
  tags: [docker]
  description: |
    Docker containers of the group. Manifest: vms/docker%d.yaml
`

const nodeLike = `apiVersion: pve.ustclug.org/v1alpha1
kind: Node
metadata: {name: pve-%d}
spec:
  policy:
    forbid:
      - scsihw: [virtio-scsi-single, "lsi*"]
        reason: hangs the whole host when a guest restarts
      - iothread: true
        reason: hangs the whole host when a guest restarts
    require:
      - discard: true
        storages: [local-zfs]
        reason: without it fstrim frees nothing
`

// BenchmarkLoad reads and checks a large site: 5,000 guests on 20 nodes with rules.
func BenchmarkLoad(b *testing.B) {
	const guests, nodes = 5000, 20
	tree := fstest.MapFS{}
	for i := range nodes {
		tree[fmt.Sprintf("nodes/pve-%d.yaml", i)] = &fstest.MapFile{Data: fmt.Appendf(nil, nodeLike, i)}
	}
	for i := range guests {
		hi, lo := i/256, i%256
		tree[fmt.Sprintf("vms/docker%d.yaml", i)] = &fstest.MapFile{Data: fmt.Appendf(nil, dockerLike, i, i%nodes, 1000+i, hi, lo, hi, lo, hi, lo, i)}
	}
	b.ReportAllocs()
	for b.Loop() {
		set := manifests.Load(tree)
		if len(set.VMs) != guests || len(set.Nodes) != nodes || len(set.Problems) > 0 {
			b.Fatalf("%d guests, %d nodes, %s", len(set.VMs), len(set.Nodes), problems(set))
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/guests, "µs/guest")
}
