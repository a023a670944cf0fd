//go:build lab

package labtest

import (
	"fmt"
	"maps"
	"strings"
	"testing"
)

// move is one migration of docker2, and what its manifest says beyond the usual.
type move struct {
	create  string             // options of zfs create for the zvol on mirrors2
	size    string             // of the disk, in the manifest
	rate    int                // bytes a second that docker2 writes
	spec    string             // more fields of the Migration's spec
	cutover string             // of the Migration's spec
	staging string             // options of zfs create for the parent of staging
	before  func(t *testing.T) // changes the pristine pools
}

const usual = "{mode: Auto}"

// moved is what most runs are about: in software emulation each look at another object takes seconds.
const moved = "Migration/docker2"

func (m move) vm() string {
	return fmt.Sprintf(`apiVersion: pve.ustclug.org/v1alpha1
kind: VirtualMachine
metadata: {name: docker2}
spec:
  node: pve-5
  vmid: 200
  power: Running
  onboot: true
  cpu: {type: host, sockets: 1, cores: 2}
  memory: 1Gi
  scsihw: virtio-scsi-pci
  agent: {enabled: true}
  disks:
    scsi0: {storage: local-zfs, size: %s, discard: true}
  networks:
    net0: {model: virtio, bridge: vmbr1, mac: "00:50:56:9f:00:22"}
`, m.size)
}

func (m move) migration() string {
	return fmt.Sprintf(`apiVersion: pve.ustclug.org/v1alpha1
kind: Migration
metadata: {name: docker2}
spec:
  source:
    host: mirrors2
    power:
      command:
        status: 'docker2 status || :'
        shutdown: docker2 stop
        start: docker2 start /dev/zvol/pool0/qemu/docker2
        kill: docker2 kill
        mask: docker2 mask
        unmask: docker2 unmask
    disks:
      - {zvol: pool0/qemu/docker2, to: scsi0}
  target: {virtualMachine: docker2, staging: rpool/data/migrations}
  cutover: %s
%s`, m.cutover, m.spec)
}

// begin makes the source with its guest running, and commits the manifests.
func (m move) begin(t *testing.T) *scene {
	t.Helper()
	s := newScene(t)
	if m.before != nil {
		m.before(t)
	}
	mirrors2.sh(t, "zfs create %s -V %s pool0/qemu/docker2 2>/dev/null && docker2 start --format --rate %d /dev/zvol/pool0/qemu/docker2", m.create, strings.TrimSuffix(m.size, "i"), m.rate)
	// Datasets of others, which nobody may touch.
	mirrors2.sh(t, "zfs create -s -V 16M pool0/qemu/other && zfs snapshot pool0/qemu/other@kept")
	pve5.sh(t, "zfs create -s -V 16M rpool/data/vm-100-disk-0 && zfs snapshot rpool/data/vm-100-disk-0@kept && echo 12345678 | zfs create -o canmount=off -o mountpoint=none %s rpool/data/migrations", m.staging)
	s.before = map[guest]map[string]string{mirrors2: mirrors2.datasets(t), pve5: pve5.datasets(t)}
	s.write("infra/vm.yaml", m.vm())
	s.commit("migration.yaml", m.migration())
	mirrors2.wrote(t, 4)
	return s
}

// untouched wants all datasets of others to be as they were, and nothing new but ours.
func (s *scene) untouched(ours ...string) {
	s.t.Helper()
	for g, before := range s.before {
		now := g.datasets(s.t)
		maps.DeleteFunc(now, func(name, _ string) bool {
			return mine(name, ours)
		})
		for name, guid := range before {
			if now[name] != guid && !mine(name, ours) {
				s.t.Errorf("%s: %s had guid %s, has %q", g.name, name, guid, now[name])
			}
			delete(now, name)
		}
		if len(now) > 0 {
			s.t.Errorf("%s: there is more than before: %v", g.name, now)
		}
	}
}

func mine(name string, ours []string) bool {
	for _, own := range ours {
		if name == own || strings.HasPrefix(name, own+"@") || strings.HasPrefix(name, own+"/") {
			return true
		}
	}
	return false
}

// arrived wants docker2 to run on pve-5, and only there, with all that it had ever written.
func (s *scene) arrived() {
	s.t.Helper()
	if have := mirrors2.sh(s.t, "docker2 status || :"); have != "stopped masked" {
		s.t.Errorf("docker2 on mirrors2 is %s", have)
	}
	last := mirrors2.report(s.t)
	r := pve5.checked(s.t)
	if len(r.Bad) > 0 || r.Found != last.Last || r.Files == 0 || !r.Clean {
		s.t.Errorf("on mirrors2 %d files were written, clean %t; on pve-5: %+v", last.Last, last.State == "stopped", r)
	}
	if have := mirrors2.sh(s.t, "zfs get -Hp -o value readonly,volmode pool0/qemu/docker2 | tr '\\n' ' '; ls /dev/zvol/pool0/qemu"); have != "on none other" {
		s.t.Errorf("readonly, volmode and devices of the source: %s", have)
	}
	if have := pve5.sh(s.t, "zfs get -Hp -o value volblocksize rpool/data/vm-200-disk-0"); have != "16384" {
		s.t.Errorf("volblocksize of the target: %s", have)
	}
	s.t.Logf("%d files with %d bytes are as docker2 wrote them, the last is number %d", r.Files, r.Bytes, r.Found)
	s.t.Logf("source %s\nstaging %s\ntarget %s",
		mirrors2.sh(s.t, "zfs get -Hp -o value used,referenced,logicalreferenced,volblocksize pool0/qemu/docker2 | tr '\\n' ' '"),
		pve5.sh(s.t, "zfs get -Hp -o value used,referenced,logicalreferenced,volblocksize rpool/data/migrations/docker2/scsi0 2>&1 | tr '\\n' ' '"),
		pve5.sh(s.t, "zpool sync; zfs get -Hp -o value used,referenced,logicalreferenced,volblocksize rpool/data/vm-200-disk-0 | tr '\\n' ' '"))
}

// TestSmoke is one migration from end to end with an incremental pass while docker2 writes.
func TestSmoke(t *testing.T) {
	s := move{create: "-s -b 8k", size: "64Mi", rate: 40000, cutover: usual, spec: "  precopy: {maxPasses: 1, untilDelta: 1Mi}\n"}.begin(t)
	r := s.reconcile("--once", "--wait", moved)
	t.Logf("%s\n%s%s", r.took, r.out, r.errs)
	r.want(t, 0)
	s.arrived()
	s.untouched(ours...)
	if again := s.reconcile("--once", "--wait").want(t, 0); again.out != "" {
		t.Errorf("a second pass did something:\n%s", again.out)
	}
	t.Log(s.reconcile("record", "docker2").want(t, 0).out)
}
