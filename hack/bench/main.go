// Command bench measures a pass that finds nothing to do: calls, bytes, wall and processor time and memory of the real binary
// over 10, 100 and 1000 guests, against the simulator with a fixed answer time, beside a bare client that makes one list call and one
// call a guest over as many connections. Both run in turn in one run, since machines are noisy. It also reports how long
// reading and checking 5,000 manifests takes.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/ustclug/pve-reconcile/internal/sim"
	"github.com/ustclug/pve-reconcile/manifests"
)

const token = "reconcile@pve!git=2b4d7c1e-0000-4000-8000-000000000002"

func main() {
	answer := flag.Duration("answer", 20*time.Millisecond, "answer time of the simulator")
	rounds := flag.Int("rounds", 5, "runs of each, in turn; the best counts")
	sizes := flag.String("guests", "10,100,1000", "how many guests")
	flag.Parse()
	if err := run(*answer, *rounds, strings.Split(*sizes, ",")); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(answer time.Duration, rounds int, sizes []string) error {
	fmt.Printf("a pass with nothing to do, answer time %s, 8 connections, best of %d in turn\n", answer, rounds)
	fmt.Printf("%7s %7s %8s %10s %10s %9s %9s %6s %7s %8s\n", "guests", "calls", "budget", "kB", "floor kB", "ms", "floor ms", "ratio", "CPU ms", "RSS MB")
	for _, size := range sizes {
		n, err := strconv.Atoi(size)
		if err != nil {
			return err
		}
		if err := measure(n, answer, rounds); err != nil {
			return fmt.Errorf("%d guests: %w", n, err)
		}
	}
	return reading(5000)
}

// bench is a simulated host with guests that are as their manifests say.
type bench struct {
	guests   int
	dir      string
	server   *sim.Server
	endpoint string
}

func measure(n int, answer time.Duration, rounds int) error {
	b, err := prepare(n)
	if err != nil {
		return err
	}
	defer os.RemoveAll(b.dir)
	defer b.server.Close()
	b.server.AddFault(sim.Fault{Path: "*", Kind: "latency", Delay: answer, Times: -1})
	var ours, cpu, floor []time.Duration
	var calls, bytes, floorBytes, rss int64
	for range rounds {
		t, got, err := b.floor()
		if err != nil {
			return err
		}
		floor, floorBytes = append(floor, t), got
		p, err := b.pass()
		if err != nil {
			return err
		}
		ours, cpu, calls, bytes, rss = append(ours, p.wall), append(cpu, p.cpu), p.calls, p.bytes, max(rss, p.rss)
	}
	best, least := slices.Min(ours), slices.Min(floor)
	fmt.Printf("%7d %7d %8d %10.1f %10.1f %9d %9d %6.2f %7d %8.1f\n", n, calls, n+6, float64(bytes)/1000, float64(floorBytes)/1000,
		best.Milliseconds(), least.Milliseconds(), best.Seconds()/least.Seconds(), slices.Min(cpu).Milliseconds(), float64(rss)/1024)
	if calls > int64(n+6) {
		return errors.New("more calls than the budget allows: one list, one a guest, five more")
	}
	return nil
}

// prepare serves a host and lets the real binary create every guest, more of them at a time than it is told to by default:
// each task is looked at a quarter of a second after it began, two at a time would take minutes.
func prepare(n int) (*bench, error) {
	world, err := os.Open("internal/sim/testdata/pve-5.world")
	if err != nil {
		return nil, err
	}
	defer world.Close()
	w, err := sim.ParseWorld(world)
	if err != nil {
		return nil, err
	}
	clear(w.VMs) // guests of other people would cost a call each
	w.Settings.TaskTime["qmcreate"] = 0
	dir, err := os.MkdirTemp("", "reconcile-bench-")
	if err != nil {
		return nil, err
	}
	b := &bench{guests: n, dir: dir, server: sim.New(w, sim.Options{Seed: 1, Speed: 1})}
	if b.endpoint, err = b.server.Listen("127.0.0.1:0"); err != nil {
		return nil, err
	}
	err = errors.Join(
		os.WriteFile(filepath.Join(dir, "token"), []byte(token+"\n"), 0o600),
		os.WriteFile(filepath.Join(dir, "config.yaml"), []byte(fmt.Sprintf(
			"apiVersion: pve.ustclug.org/v1alpha1\nkind: Config\nowner: ustclug\nstateDir: %s/state\nsource: {url: %s/repo, branch: main}\nlimits: {node: 64, storage: 64}\nclusters:\n  ustc: {endpoint: %q, fingerprint: %q, tokenFile: %s/token}\n",
			dir, dir, b.endpoint, b.server.Fingerprint(), dir)), 0o600),
		write(filepath.Join(dir, "repo"), n),
		git(dir, "init", "-q", "-b", "main"), git(dir, "add", "-A"), git(dir, "commit", "-q", "-m", "guests"),
	)
	if err != nil {
		return nil, err
	}
	out, err := b.command("--once").CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("create the guests: %w\n%.2000s", err, out)
	}
	return b, nil
}

func git(dir string, args ...string) error {
	cmd := exec.Command("git", append([]string{"-C", filepath.Join(dir, "repo"), "-c", "user.name=bench", "-c", "user.email=bench@example.org"}, args...)...)
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_CONFIG_SYSTEM="+os.DevNull)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("git %s: %w: %s", args[0], err, out)
	}
	return nil
}

// write writes n manifests, one a file.
func write(dir string, n int) error {
	if err := os.MkdirAll(filepath.Join(dir, "vms"), 0o755); err != nil {
		return err
	}
	for i := range n {
		if err := os.WriteFile(filepath.Join(dir, "vms", fmt.Sprintf("guest%d.yaml", i)), []byte(manifest(i)), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func manifest(i int) string {
	return fmt.Sprintf(`apiVersion: pve.ustclug.org/v1alpha1
kind: VirtualMachine
metadata: {name: guest%d}
spec:
  node: pve-5
  vmid: %d
  onboot: true
  cpu: {type: host, sockets: 1, cores: 4}
  memory: 16Gi
  scsihw: virtio-scsi-pci
  agent: {enabled: true}
  ostype: l26
  disks:
    scsi0: {storage: local-zfs, size: 1Gi, discard: true}
  networks:
    net0: {model: virtio, bridge: vmbr2, mac: "00:50:56:%02x:%02x:00"}
    net1: {model: virtio, bridge: vmbr4}
  tags: [docker]
  description: |
    Guest of the benchmark.
`, i, 1000+i, i/256%256, i%256)
}

func (b *bench) command(args ...string) *exec.Cmd {
	return exec.Command("bin/reconcile", append(args, "--config", filepath.Join(b.dir, "config.yaml"))...)
}

type passed struct {
	wall, cpu    time.Duration
	calls, bytes int64
	rss          int64 // kB
}

// pass runs the real binary.
func (b *bench) pass() (passed, error) {
	cmd := b.command("plan", "-o", "json")
	var out, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &stderr
	began := time.Now()
	err := cmd.Run()
	p := passed{wall: time.Since(began)}
	if err != nil {
		return p, fmt.Errorf("plan: %w\n%.2000s%.2000s", err, stderr.String(), out.String())
	}
	p.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	var report struct {
		API struct{ Calls, Bytes int64 }
	}
	if err := json.Unmarshal([]byte(out.String()), &report); err != nil {
		return p, err
	}
	p.calls, p.bytes = report.API.Calls, report.API.Bytes
	if u, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		p.rss = u.Maxrss
	}
	return p, nil
}

// reading times how long manifests take to read and check.
func reading(n int) error {
	dir, err := os.MkdirTemp("", "reconcile-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := write(dir, n); err != nil {
		return err
	}
	began := time.Now()
	set := manifests.Load(os.DirFS(dir))
	fmt.Printf("reading and checking %d manifests: %d ms\n", n, time.Since(began).Milliseconds())
	if len(set.VMs) != n {
		return fmt.Errorf("%d of %d manifests are sound: %v", len(set.VMs), n, set.Problems)
	}
	return nil
}
