// Command bench-push measures how long it takes from a push to the first write at the API: a bare repository that the
// daemon watches, the real binary, and a simulated host with some guests. Times are from the start of git push, which itself
// takes a while, and from its end. It says how much of that is the time for which the watcher waits until a push is over.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/ustclug/pve-reconcile/internal/sim"
)

const token = "reconcile@pve!git=2b4d7c1e-0000-4000-8000-000000000002"

func main() {
	guests := flag.Int("guests", 100, "how many guests are declared")
	pushes := flag.Int("pushes", 20, "how many pushes, each of which changes one guest")
	answer := flag.Duration("answer", 20*time.Millisecond, "answer time of the simulator")
	flag.Parse()
	if err := run(*guests, *pushes, *answer); err != nil {
		fmt.Fprintln(os.Stderr, "bench-push:", err)
		os.Exit(1)
	}
}

// bench is a host, a repository that is pushed to, and a daemon that follows it.
type bench struct {
	dir    string
	server *sim.Server
	daemon *exec.Cmd
}

func run(guests, pushes int, answer time.Duration) error {
	b, err := prepare(guests)
	if err != nil {
		return err
	}
	defer os.RemoveAll(b.dir)
	defer b.server.Close()
	b.server.AddFault(sim.Fault{Path: "*", Kind: "latency", Delay: answer, Times: -1})
	if err := b.start(); err != nil {
		return err
	}
	defer b.stop()
	var whole, after []time.Duration
	for i := range pushes {
		if err := b.rest(); err != nil {
			return err
		}
		if err := b.write(i%guests, 2+i/guests); err != nil {
			return err
		}
		before := len(b.server.Requests())
		began := time.Now()
		if err := git(filepath.Join(b.dir, "repo"), "push", "-q", "origin", "main"); err != nil {
			return err
		}
		ended := time.Now()
		wrote, err := b.firstWrite(before)
		if err != nil {
			return err
		}
		whole, after = append(whole, wrote.Sub(began)), append(after, wrote.Sub(ended))
	}
	fmt.Printf("%d pushes, each changes 1 of %d guests, answer time %s; the watcher waits 200ms for a push to be over\n", pushes, guests, answer)
	fmt.Printf("%-46s %8s %8s %8s\n", "", "median", "worst", "best")
	for _, row := range []struct {
		name string
		list []time.Duration
	}{{"from the start of git push to the first write", whole}, {"from its end", after}} {
		list := row.list
		slices.Sort(list)
		fmt.Printf("%-46s %8s %8s %8s\n", row.name, list[len(list)/2].Round(time.Millisecond), list[len(list)-1].Round(time.Millisecond), list[0].Round(time.Millisecond))
	}
	return nil
}

func prepare(guests int) (*bench, error) {
	file, err := os.Open("internal/sim/testdata/pve-5.world")
	if err != nil {
		return nil, err
	}
	defer file.Close()
	world, err := sim.ParseWorld(file)
	if err != nil {
		return nil, err
	}
	clear(world.VMs)
	world.Settings.TaskTime["qmcreate"] = 0
	dir, err := os.MkdirTemp("", "reconcile-bench-push-")
	if err != nil {
		return nil, err
	}
	b := &bench{dir: dir, server: sim.New(world, sim.Options{Seed: 1, Speed: 1})}
	endpoint, err := b.server.Listen("127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	config := fmt.Sprintf("apiVersion: pve.ustclug.org/v1alpha1\nkind: Config\nowner: ustclug\nstateDir: %s/state\nsource: {url: %s/infra.git, branch: main, interval: 1h}\nclusters:\n  ustc: {endpoint: %q, fingerprint: %q, tokenFile: %s/token}\n",
		dir, dir, endpoint, b.server.Fingerprint(), dir)
	repo := filepath.Join(dir, "repo")
	err = errors.Join(
		os.WriteFile(filepath.Join(dir, "token"), []byte(token+"\n"), 0o600),
		os.WriteFile(filepath.Join(dir, "config.yaml"), []byte(config), 0o600),
		os.Mkdir(repo, 0o700), git(repo, "init", "-q", "-b", "main"))
	for i := range guests {
		err = errors.Join(err, b.manifest(i, 1))
	}
	err = errors.Join(err,
		git(repo, "add", "-A"), git(repo, "commit", "-q", "-m", "guests"),
		git(dir, "clone", "-q", "--bare", "repo", "infra.git"), git(repo, "remote", "add", "origin", filepath.Join(dir, "infra.git")))
	return b, err
}

func (b *bench) manifest(guest, cores int) error {
	text := fmt.Sprintf("apiVersion: pve.ustclug.org/v1alpha1\nkind: VirtualMachine\nmetadata: {name: g%d}\nspec: {node: pve-5, vmid: %d, cpu: {cores: %d}}\n", guest, 1000+guest, cores)
	return os.WriteFile(filepath.Join(b.dir, "repo", fmt.Sprintf("g%d.yaml", guest)), []byte(text), 0o600)
}

// write commits another number of cores for a guest.
func (b *bench) write(guest, cores int) error {
	repo := filepath.Join(b.dir, "repo")
	return errors.Join(b.manifest(guest, cores), git(repo, "commit", "-q", "-a", "-m", "cores"))
}

// start lets the real binary create the guests, and runs it as the daemon.
func (b *bench) start() error {
	config := filepath.Join(b.dir, "config.yaml")
	if out, err := exec.Command("bin/reconcile", "--once", "--config", config).CombinedOutput(); err != nil {
		return fmt.Errorf("--once: %w\n%s", err, out)
	}
	b.daemon = exec.Command("bin/reconcile", "--config", config)
	return b.daemon.Start()
}

func (b *bench) stop() {
	_ = b.daemon.Process.Signal(syscall.SIGTERM)
	_ = b.daemon.Wait()
}

const patience = time.Minute

// rest waits until nothing was asked of the host for a second.
func (b *bench) rest() error {
	quiet := time.Now()
	for before, end := -1, time.Now().Add(patience); time.Since(quiet) < time.Second; time.Sleep(20 * time.Millisecond) {
		if n := len(b.server.Requests()); n != before {
			before, quiet = n, time.Now()
		}
		if time.Now().After(end) {
			return errors.New("the daemon never comes to rest")
		}
	}
	return nil
}

// firstWrite is when the first changing call since then arrived.
func (b *bench) firstWrite(before int) (time.Time, error) {
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		all := b.server.Requests()
		for _, r := range all[min(before, len(all)):] {
			if r.Method != "GET" {
				return r.Time, nil
			}
		}
	}
	return time.Time{}, errors.New("nothing was written")
}

func git(dir string, args ...string) error {
	cmd := exec.Command("git", append([]string{"-C", dir}, args...)...)
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null",
		"GIT_AUTHOR_NAME=Ann", "GIT_AUTHOR_EMAIL=a@b", "GIT_COMMITTER_NAME=Ann", "GIT_COMMITTER_EMAIL=a@b")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("git %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}
