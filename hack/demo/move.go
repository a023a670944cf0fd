package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// move is the tour's last act: docker2 runs by itself on mirrors2, and moves to pve-5. Both are simulated machines with an
// SSH server and ZFS; the streams, the copies and the hashes are of real bytes.
func move(binary, dir string) error {
	s := &stage{binary: binary, dir: dir, repo: filepath.Join(dir, "infra"), config: filepath.Join(dir, "config.yaml"), manifests: "manifests/examples/docker2-migration"}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	world, err := joined(filepath.Join(dir, "both.world"), "internal/sim/testdata/pve-5.world", "internal/sim/testdata/docker2.world")
	if err != nil {
		return err
	}
	stop, err := s.serve("--world", world, "--ssh-dir", filepath.Join(dir, "ssh"))
	if err != nil {
		return err
	}
	defer stop()
	hosts, err := os.ReadFile(filepath.Join(dir, "ssh", "hosts.yaml"))
	if err != nil {
		return err
	}
	s.hosts = string(hosts)
	say("Another evening: docker2 runs on mirrors2, with QEMU on a zvol, and is to move to pve-5. A Migration says so.")
	if err := s.write("Move docker2 to pve-5"); err != nil {
		return err
	}
	// The simulated disk holds 64 MiB, the window is not today.
	err = errors.Join(
		s.replace("vm.yaml", "size: 300Gi", "size: 64Mi"),
		s.replace("migration.yaml", "untilDelta: 1Gi", "untilDelta: 16Mi"),
		s.replace("migration.yaml", `window: "Sat 02:00-06:00 Asia/Shanghai", `, ""),
		s.commit("For a small disk, at any time of the week"),
		s.show("migration.yaml"),
	)
	if err != nil {
		return err
	}
	say("Everything that can be done while the guest runs: the first stream, the guest on PVE, the bulk of the copy. Then a person is needed: exit code 3.")
	if err := s.run(3, "--once", "--wait"); err != nil {
		return err
	}
	say("A commit approves exactly this plan. The guest is shut down, fenced, sent, copied, proven by hashes of both devices, and started on pve-5.")
	approved, err := s.approve()
	if err == nil {
		err = errors.Join(
			s.replace("migration.yaml", `approve: ""`, `approve: "`+approved+`"`),
			s.commit("Approve the move of docker2"),
			s.run(0, "--once", "--wait"),
		)
	}
	if err != nil {
		return err
	}
	say("The work record, for the wiki. What was received is kept for a week, the source for ever, read-only.")
	return errors.Join(s.run(0, "record", "docker2"), s.run(0, "status"))
}

// joined puts world files one behind the other.
func joined(into string, files ...string) (string, error) {
	var all strings.Builder
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			return "", err
		}
		all.Write(text)
	}
	return into, os.WriteFile(into, []byte(all.String()), 0o600)
}

// show prints a file of the repository.
func (s *stage) show(file string) error {
	text, err := os.ReadFile(filepath.Join(s.repo, file))
	if err == nil {
		_, err = os.Stdout.WriteString("\n$ cat " + file + "\n" + string(text))
	}
	return err
}

// approve reads the hash that plan shows.
func (s *stage) approve() (string, error) {
	out, err := exec.Command(s.binary, "plan", "--config", s.config).Output()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return "", err
	}
	m := regexp.MustCompile(`approve: "([0-9a-f]{12})"`).FindSubmatch(out)
	if m == nil {
		return "", errors.New("plan shows nothing to approve:\n" + string(out))
	}
	return string(m[1]), nil
}
