// Command demo is the tour of the product: it serves a simulated pve-5, makes a git repository from the example manifests
// and runs the real binary on them. Everything happens in a temporary directory and on 127.0.0.1.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
)

func main() {
	if err := tour(); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// stage is the place of the tour: the binary, a scratch directory and the simulated host.
type stage struct {
	binary, dir, repo, config string
	endpoint, fingerprint     string
	manifests                 string // the example that the repository begins with
	hosts                     string // of the config file, as YAML
}

func tour() error {
	binary, err := filepath.Abs("bin/reconcile")
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "reconcile-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	s := &stage{binary: binary, dir: dir, repo: filepath.Join(dir, "infra"), config: filepath.Join(dir, "config.yaml"), manifests: "manifests/examples/pve-5"}
	stop, err := s.serve("--world", "internal/sim/testdata/pve-5.world")
	if err != nil {
		return err
	}
	defer stop()
	for _, act := range []func() error{s.prepare, s.first, s.edit, s.drift, s.restart, s.mistakes} {
		if err := act(); err != nil {
			return err
		}
	}
	if err := move(binary, filepath.Join(dir, "move")); err != nil {
		return err
	}
	say("That was the tour. Nothing outside %s was touched.", "a temporary directory")
	return nil
}

func say(format string, args ...any) { fmt.Printf("\n# "+format+"\n", args...) }

// serve starts the simulated host with the real binary and reads where it listens.
func (s *stage) serve(args ...string) (stop func(), err error) {
	cmd := exec.Command(s.binary, append([]string{"sim", "--listen", "127.0.0.1:0"}, args...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	stop = func() { _ = cmd.Process.Signal(syscall.SIGTERM); _ = cmd.Wait() }
	line, err := bufio.NewReader(out).ReadString('\n')
	m := regexp.MustCompile(`(https://\S+) fingerprint (\S+)`).FindStringSubmatch(line)
	if m == nil {
		stop()
		return nil, fmt.Errorf("the simulator did not start: %q %v", line, err)
	}
	s.endpoint, s.fingerprint = m[1], m[2]
	return stop, nil
}

// prepare writes what a user writes once: a config file, a token file, a repository.
func (s *stage) prepare() error {
	say("A simulated pve-5 answers at %s. The manifests are in a git repository, the config file says where both are.", s.endpoint)
	return s.write("Describe pve-5 as it should be")
}

func (s *stage) write(message string) error {
	conf := fmt.Sprintf(`apiVersion: pve.ustclug.org/v1alpha1
kind: Config
owner: ustclug
stateDir: %s
source: {url: %s, branch: main}
clusters:
  ustc:
    endpoint: %s
    fingerprint: %q
    tokenFile: %s
%s`, filepath.Join(s.dir, "state"), s.repo, s.endpoint, s.fingerprint, filepath.Join(s.dir, "token"), s.hosts)
	err := errors.Join(
		os.WriteFile(s.config, []byte(conf), 0o644),
		os.WriteFile(filepath.Join(s.dir, "token"), []byte(demoToken+"\n"), 0o600),
		os.CopyFS(s.repo, os.DirFS(s.manifests)),
		s.git("init", "-q", "-b", "main"),
	)
	if err != nil {
		return err
	}
	return s.commit(message)
}

// demoToken is the token of the simulated host's least-privilege user.
const demoToken = "reconcile@pve!git=2b4d7c1e-0000-4000-8000-000000000002"

func (s *stage) first() error {
	say("What would be done? The steps read like the commands an operator would type.")
	if err := s.run(2, "plan"); err != nil {
		return err
	}
	say("Do it. This is what cron runs.")
	if err := s.run(0, "--once"); err != nil {
		return err
	}
	say("Look again: nothing is left to do, and a second pass writes nothing.")
	return errors.Join(s.run(0, "plan"), s.run(0, "--once"))
}

func (s *stage) edit() error {
	say("Somebody pushes: more memory for docker2, and a fourth card. The guest is running.")
	if err := s.replace("vms/docker2.yaml", "memory: 16Gi", "memory: 24Gi"); err != nil {
		return err
	}
	if err := s.replace("vms/docker2.yaml", "  tags: [docker]", "    net3: {model: virtio, bridge: vmbr0, mac: \"00:50:56:9f:00:60\"} # Cernet\n  tags: [docker]"); err != nil {
		return err
	}
	if err := s.commit("More memory and a Cernet card for docker2"); err != nil {
		return err
	}
	if err := s.git("--no-pager", "show", "--format=%h %s", "-U0"); err != nil {
		return err
	}
	say("PVE plugs the card in at once. The memory waits for a restart, which nobody allowed: exit code 3, a person is needed.")
	return errors.Join(s.run(2, "plan"), s.run(3, "--once"))
}

func (s *stage) drift() error {
	say("Somebody clicks in the web page: gateway gets another bridge on net1, and a CD drive.")
	if err := s.click(201, "net1", "ide2"); err != nil {
		return err
	}
	say("What git declares is corrected. What it never declared (the drive) is left alone and noted.")
	return errors.Join(s.run(3, "plan"), s.run(3, "--once"))
}

func (s *stage) restart() error {
	say("What is left? docker2 still runs with its old memory.")
	if err := s.run(3, "status"); err != nil {
		return err
	}
	say("A second commit allows the restart: a graceful shutdown and a start, never a hard stop.")
	if err := s.replace("vms/docker2.yaml", "restartPolicy: Never", "restartPolicy: Allowed"); err != nil {
		return err
	}
	if err := s.commit("Allow docker2 to be restarted"); err != nil {
		return err
	}
	return errors.Join(s.run(0, "--once"), s.run(0, "status"))
}

func (s *stage) mistakes() error {
	say("Mistakes are caught before they reach the host, all at once, and the other guests go on.")
	if err := s.replace("vms/docker2.yaml", "scsihw: virtio-scsi-pci", "scsihw: virtio-scsi-single"); err != nil {
		return err
	}
	if err := s.replace("vms/docker2.yaml", "memory: 24Gi", "memroy: 24Gi"); err != nil {
		return err
	}
	return s.run(1, "validate", s.repo)
}

// run shows and runs a command of the product; its exit code is part of the contract.
func (s *stage) run(want int, args ...string) error {
	shown := strings.ReplaceAll(strings.Join(args, " "), s.dir+"/", "")
	fmt.Printf("\n$ reconcile %s\n", shown)
	if args[0] != "validate" {
		args = append(args, "--config", s.config)
	}
	cmd := exec.Command(s.binary, args...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	err := cmd.Run()
	if cmd.ProcessState == nil {
		return err
	}
	code := cmd.ProcessState.ExitCode()
	if code != 0 {
		fmt.Printf("(exit code %d)\n", code)
	}
	if code != want {
		return fmt.Errorf("reconcile %s: exit code %d, the tour expects %d", shown, code, want)
	}
	return nil
}

func (s *stage) git(args ...string) error {
	cmd := exec.Command("git", append([]string{"-C", s.repo, "-c", "user.name=Ann", "-c", "user.email=ann@example.org"}, args...)...)
	if args[0] == "init" {
		if err := os.MkdirAll(s.repo, 0o755); err != nil {
			return err
		}
	}
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null", "GIT_AUTHOR_NAME=Ann", "GIT_AUTHOR_EMAIL=ann@example.org", "GIT_COMMITTER_NAME=Ann", "GIT_COMMITTER_EMAIL=ann@example.org")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd.Run()
}

func (s *stage) commit(message string) error {
	return errors.Join(s.git("add", "-A"), s.git("commit", "-q", "-m", message))
}

func (s *stage) replace(file, old, new string) error {
	path := filepath.Join(s.repo, file)
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if !strings.Contains(string(text), old) {
		return fmt.Errorf("%s does not say %q", file, old)
	}
	return os.WriteFile(path, []byte(strings.Replace(string(text), old, new, 1)), 0o644)
}
