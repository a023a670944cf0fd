//go:build lab

package labtest

import (
	"strings"
	"testing"
)

const node = `apiVersion: pve.ustclug.org/v1alpha1
kind: Node
metadata: {name: pve-5}
spec:
  assert:
    volumeGroups:
      pve: {disks: 2}
    thinPools:
      pve/data: {used: 80, metadata: 80}
    zpools:
      rpool: {layout: raidz2, vdevs: 1, disks: 6, used: 80}
`

// What a Node asserts is held against what zpool and LVM really say.
func TestNodeAssertions(t *testing.T) {
	s := newScene(t)
	s.commit("node.yaml", node)
	s.reconcile("plan").want(t, 0)

	pve5.sh(t, "zpool offline rpool virtio-pool3-part1")
	t.Cleanup(func() { pve5.sh(t, "zpool online rpool virtio-pool3-part1") })
	s.commit("node.yaml", strings.NewReplacer("disks: 6", "disks: 7", "metadata: 80", "metadata: 2", "{disks: 2}", "{disks: 3}").Replace(node))
	r := s.reconcile("plan").want(t, 3)
	t.Log(r.out)
	for _, want := range []string{
		"zpools.rpool: is DEGRADED: /dev/disk/by-id/virtio-pool3-part1 is OFFLINE", "zpools.rpool.disks: declared are 7, found 6",
		"thinPools.pve/data.metadata", "volumeGroups.pve.disks",
	} {
		if !strings.Contains(r.out, want) {
			t.Errorf("the plan does not say %q", want)
		}
	}
}
