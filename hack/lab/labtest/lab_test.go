//go:build lab

package labtest

import (
	"os/exec"
	"testing"
)

// The lab itself: a guest whose power is cut keeps its pool and all that docker2 had written; a guest whose cable is pulled
// is not reached, and is again when it is plugged in.
func TestLab(t *testing.T) {
	pristine(t)
	mirrors2.sh(t, "zfs create -s -V 64M -b 8k pool0/qemu/docker2; docker2 start --format --rate 1000000 /dev/zvol/pool0/qemu/docker2")
	before := mirrors2.wrote(t, 10)
	guids := mirrors2.datasets(t)
	mirrors2.cut(t)
	mirrors2.boot(t)
	if _, err := mirrors2.try("docker2 status"); err == nil {
		t.Error("docker2 runs right after the power came back")
	}
	for name, guid := range guids {
		if have := mirrors2.datasets(t)[name]; have != guid {
			t.Errorf("%s had guid %s before the power cut, and has %q", name, guid, have)
		}
	}
	mirrors2.sh(t, "docker2 start /dev/zvol/pool0/qemu/docker2")
	if r := mirrors2.checked(t); len(r.Bad) > 0 || r.Clean || r.Found < before.Last || r.Files == 0 {
		t.Errorf("written were %d files; after the power cut: %+v", before.Last, r)
	}
	mirrors2.sh(t, "docker2 mask; docker2 stop")
	if _, err := mirrors2.try("docker2 start /dev/zvol/pool0/qemu/docker2"); err == nil {
		t.Error("docker2 starts although it is masked")
	}

	mirrors2.link(t, "off")
	reach := func() error {
		return exec.Command("timeout", "5", "ssh", "-F", sshConfig(), mirrors2.name, "true").Run()
	}
	if reach() == nil {
		t.Error("mirrors2 is reached although its cable is pulled")
	}
	mirrors2.link(t, "on")
	for n := 0; reach() != nil; n++ {
		if n == 10 {
			t.Fatal("mirrors2 is not reached although its cable is plugged in")
		}
	}
}
