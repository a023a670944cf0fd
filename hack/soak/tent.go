package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/ustclug/pve-reconcile/internal/sim"
)

const (
	gitToken = "reconcile@pve!git=2b4d7c1e-0000-4000-8000-000000000002"

	sweep    = 20 * time.Second // the daemon's interval
	patience = 5 * time.Minute  // for everything to come to rest
)

// tent is a simulated host, a repository and a daemon.
type tent struct {
	dir    string
	guests int
	node   bool
	random *rand.Rand
	server *sim.Server
	memory []int // MiB, by guest: what the newest commit says
	cores  []int
	pushes int

	process *exec.Cmd
	ended   chan error
}

// pitch puts everything up, the first commit included.
func pitch(guests int, random *rand.Rand, node bool) (*tent, error) {
	file, err := os.Open("internal/sim/testdata/pve-5.world")
	if err != nil {
		return nil, err
	}
	defer file.Close()
	w, err := sim.ParseWorld(file)
	if err != nil {
		return nil, err
	}
	clear(w.VMs)
	t := &tent{guests: guests, random: random, node: node, memory: make([]int, guests), cores: make([]int, guests)}
	if t.dir, err = os.MkdirTemp("", "reconcile-soak-"); err != nil {
		return nil, err
	}
	options, mount := sim.Options{Seed: 1}, "off"
	if node {
		mount = filepath.Join(t.dir, "pve")
		options.PMXCFS = mount
	}
	t.server = sim.New(w, options)
	endpoint, err := t.server.Listen("127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	config := fmt.Sprintf(`apiVersion: pve.ustclug.org/v1alpha1
kind: Config
owner: ustclug
stateDir: %[1]s/state
source: {url: %[1]s/repo, branch: main, interval: 2s}
interval: %[2]s
retry: {first: 1s, max: 10s}
clusters:
  ustc: {endpoint: %[3]q, fingerprint: %[4]q, tokenFile: %[1]s/token, pmxcfs: %[5]q}
policies: {taskTimeout: 20s, shutdownTimeout: 5s}
`, t.dir, sweep, endpoint, t.server.Fingerprint(), mount)
	err = errors.Join(
		os.WriteFile(filepath.Join(t.dir, "token"), []byte(gitToken+"\n"), 0o600),
		os.WriteFile(filepath.Join(t.dir, "config.yaml"), []byte(config), 0o600),
		os.MkdirAll(filepath.Join(t.dir, "repo"), 0o755), t.git("init", "-q", "-b", "main"),
	)
	for i := range guests {
		t.memory[i], t.cores[i] = 1024, 1
		err = errors.Join(err, t.write(i))
	}
	return t, errors.Join(err, t.commit())
}

func (t *tent) git(args ...string) error {
	cmd := exec.Command("git", append([]string{"-C", filepath.Join(t.dir, "repo"), "-c", "user.name=soak", "-c", "user.email=soak@example.org"}, args...)...)
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_CONFIG_SYSTEM="+os.DevNull)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("git %s: %w: %s", args[0], err, out)
	}
	return nil
}

func (t *tent) write(i int) error {
	return os.WriteFile(filepath.Join(t.dir, "repo", name(i)+".yaml"), []byte(fmt.Sprintf(`apiVersion: pve.ustclug.org/v1alpha1
kind: VirtualMachine
metadata: {name: %s}
spec: {node: pve-5, vmid: %d, memory: %dMi, cpu: {cores: %d}}
`, name(i), vmid(i), t.memory[i], t.cores[i])), 0o644)
}

func (t *tent) commit() error {
	t.pushes++
	return errors.Join(t.git("add", "-A"), t.git("commit", "-q", "--allow-empty", "-m", "change "+strconv.Itoa(t.pushes)))
}

// push changes some guests in git.
func (t *tent) push() error {
	var err error
	for range 1 + t.random.IntN(10) {
		i := t.random.IntN(t.guests)
		t.memory[i], t.cores[i] = 512+t.random.IntN(4096), 1+t.random.IntN(8)
		err = errors.Join(err, t.write(i))
	}
	return errors.Join(err, t.commit())
}

var memoryLine = regexp.MustCompile(`(?m)^memory: .*$`)

// click changes a guest on the host.
func (t *tent) click() error {
	i, memory := t.random.IntN(t.guests), 512+t.random.IntN(4096)
	t.server.Edit(func(w *sim.World) {
		if v, ok := w.VMs[vmid(i)]; ok {
			v.SetConfig(memoryLine.ReplaceAllString(v.Config(), fmt.Sprintf("memory: %d", memory)))
		}
	})
	return nil
}

// fault lets some calls go wrong.
func (t *tent) fault() error {
	kinds := []string{"error", "error-after", "drop", "drop-after", "latency", "task-fail", "edit"}
	f := sim.Fault{Kind: kinds[t.random.IntN(len(kinds))], Path: "*", Skip: t.random.IntN(50), Times: 1 + t.random.IntN(30), Delay: 200 * time.Millisecond}
	if f.Kind == "task-fail" {
		f.Method = "TASK"
	}
	if f.Kind == "edit" {
		f.Method, f.Times = http.MethodPut, 1
	}
	t.server.AddFault(f)
	return nil
}

// start starts the daemon.
func (t *tent) start() error {
	log, err := os.OpenFile(filepath.Join(t.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	t.process = exec.Command("bin/reconcile", "--config", filepath.Join(t.dir, "config.yaml"))
	t.process.Stderr = log
	if err := t.process.Start(); err != nil {
		return err
	}
	t.ended = make(chan error, 1)
	go func(p *exec.Cmd, ended chan error) { ended <- p.Wait() }(t.process, t.ended)
	return nil
}

func (t *tent) kill() {
	if t.process != nil {
		_ = t.process.Process.Kill()
		<-t.ended
	}
}

// crash is kill -9 and a new start.
func (t *tent) crash() error {
	t.kill()
	return t.start()
}

func (t *tent) hup() error { return t.process.Process.Signal(syscall.SIGHUP) }

// alive tells whether the daemon still runs: nothing may end it but us.
func (t *tent) alive() error {
	select {
	case err := <-t.ended:
		t.process = nil
		return fmt.Errorf("the daemon has ended by itself: %v", err)
	default:
		return nil
	}
}

func (t *tent) command(args ...string) error {
	out, err := exec.Command("bin/reconcile", append(args, "--config", filepath.Join(t.dir, "config.yaml"))...).CombinedOutput()
	if err != nil && args[0] != "trigger" { // nobody answers while a daemon starts
		return fmt.Errorf("%s: %w: %s", args[0], err, out)
	}
	return nil
}

// settle waits until everything is as the newest commit says.
func (t *tent) settle() error {
	var report struct {
		Revision struct{ Subject string }
		Objects  []struct{ Name, Verdict, Message, Applied string }
		Daemon   *struct{ Source struct{ Error string } }
	}
	want := "change " + strconv.Itoa(t.pushes)
	for began := time.Now(); ; time.Sleep(500 * time.Millisecond) {
		out, _ := exec.Command("bin/reconcile", "status", "-o", "json", "--config", filepath.Join(t.dir, "config.yaml")).Output() // its exit code says how things stand
		left := []string{}
		if err := json.Unmarshal(out, &report); err == nil && report.Daemon != nil && report.Revision.Subject == want && len(report.Objects) == t.guests {
			for _, o := range report.Objects {
				if o.Verdict != "InSync" {
					left = append(left, o.Name+" "+o.Verdict+" "+o.Message)
				}
			}
			if len(left) == 0 {
				fmt.Printf("in sync with %q after %s\n", want, time.Since(began).Round(time.Second))
				return nil
			}
		}
		if err := t.alive(); err != nil {
			return err
		}
		if time.Since(began) > patience {
			return fmt.Errorf("not in sync with %q after %s (at %q, %d objects), left: %.2000s", want, patience, report.Revision.Subject, len(report.Objects), strings.Join(left, "\n"))
		}
	}
}

// compare looks at the host itself.
func (t *tent) compare() error {
	var wrong []error
	w := t.server.Dump()
	for i := range t.guests {
		v, ok := w.VMs[vmid(i)]
		if !ok {
			wrong = append(wrong, fmt.Errorf("%s is not there", name(i)))
			continue
		}
		config := "\n" + v.Config()
		for _, line := range []string{fmt.Sprintf("\nmemory: %d\n", t.memory[i]), fmt.Sprintf("\ncores: %d\n", t.cores[i])} {
			if !strings.Contains(config, line) {
				wrong = append(wrong, fmt.Errorf("%s has not %q:%s", name(i), strings.TrimSpace(line), config))
			}
		}
	}
	for _, r := range t.server.Requests() {
		if r.Method == http.MethodDelete {
			wrong = append(wrong, fmt.Errorf("somebody destroyed something: %s", r.Path))
		}
	}
	return errors.Join(wrong...)
}

// usage is the resident memory of the daemon in bytes, and its open descriptors.
func (t *tent) usage() (rss int64, fds int, err error) {
	proc := fmt.Sprintf("/proc/%d", t.process.Process.Pid)
	list, err := os.ReadDir(filepath.Join(proc, "fd"))
	if err != nil {
		return 0, 0, err
	}
	text, err := os.ReadFile(filepath.Join(proc, "statm"))
	if err != nil {
		return 0, 0, err
	}
	fields := strings.Fields(string(text))
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	return pages * int64(os.Getpagesize()), len(list), err
}
