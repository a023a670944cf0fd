// Command bench-transfer compares the transfer path of migrations with `ssh | cat`: the same bytes, the same sshd on a
// loopback address, in turn. It needs OpenSSH's sshd and ssh, and touches nothing outside of a temporary directory.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"os/user"
	"path/filepath"
	"slices"
	"time"

	"github.com/ustclug/pve-reconcile/internal/config"
	"github.com/ustclug/pve-reconcile/internal/host"
	"github.com/ustclug/pve-reconcile/internal/zfs"
)

func main() {
	size := flag.Int64("bytes", 1<<30, "bytes of a stream")
	rounds := flag.Int("rounds", 5, "rounds; the median counts")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *size, *rounds); err != nil {
		fmt.Fprintln(os.Stderr, "bench-transfer:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, size int64, rounds int) error {
	dir, err := os.MkdirTemp("", "bench-transfer")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	s, err := serve(ctx, dir)
	if err != nil {
		return err
	}
	defer s.stop()
	remote := host.Remote("remote", config.Host{Address: s.addr, User: s.user, KeyFile: s.key, KnownHostsFile: s.known}, func(file string) (config.Secret, error) {
		text, err := os.ReadFile(file)
		return config.Secret(text), err
	})
	defer remote.Close()
	here := host.Local("here")
	give, take := fmt.Sprintf("head -c %d /dev/zero", size), "cat >/dev/null"
	ours := func(from, to *host.Host) func() error {
		return func() error {
			n, err := zfs.Stream(ctx, from, give, to, take)
			if err == nil && n != size {
				err = fmt.Errorf("%d bytes of %d", n, size)
			}
			return err
		}
	}
	shell := func(line string) func() error {
		return func() error {
			out, err := exec.CommandContext(ctx, "bash", "-o", "pipefail", "-c", line).CombinedOutput()
			if err != nil {
				err = fmt.Errorf("%s: %w: %s", line, err, out)
			}
			return err
		}
	}
	ways := []way{
		{"push: head | ssh cat", shell(give + " | " + s.ssh() + " '" + take + "'"), ""},
		{"push: this program", ours(here, remote), "push: head | ssh cat"},
		{"pull: ssh head | cat", shell(s.ssh() + " '" + give + "' | " + take), ""},
		{"pull: this program", ours(remote, here), "pull: ssh head | cat"},
		{"relay: ssh head | ssh cat", shell(s.ssh() + " '" + give + "' | " + s.ssh() + " '" + take + "'"), ""},
		{"relay: this program", ours(remote, remote), "relay: ssh head | ssh cat"},
	}
	return compare(ways, size, rounds)
}

// way is one way to move the bytes, and the one it is compared with.
type way struct {
	name string
	move func() error
	with string
}

func compare(ways []way, size int64, rounds int) error {
	took := map[string][]float64{}
	for range rounds {
		for _, w := range ways {
			began := time.Now()
			if err := w.move(); err != nil {
				return fmt.Errorf("%s: %w", w.name, err)
			}
			took[w.name] = append(took[w.name], time.Since(began).Seconds())
		}
	}
	for _, w := range ways {
		slices.Sort(took[w.name])
		median := took[w.name][len(took[w.name])/2]
		line := fmt.Sprintf("%-28s %6.2f s %6.0f MB/s", w.name, median, float64(size)/1e6/median)
		if other := took[w.with]; w.with != "" {
			line += fmt.Sprintf("  %.2f times", median/other[len(other)/2])
		}
		fmt.Println(line)
	}
	return nil
}

// server is an sshd with keys of its own.
type server struct {
	addr, user, key, known string
	stop                   func()
}

// ssh is the client's command line, with the cipher that is fastest for both.
func (s server) ssh() string {
	h, p, _ := net.SplitHostPort(s.addr)
	return fmt.Sprintf("ssh -F none -o BatchMode=yes -o UserKnownHostsFile=%s -i %s -c aes128-gcm@openssh.com -p %s %s@%s", s.known, s.key, p, s.user, h)
}

func serve(ctx context.Context, dir string) (server, error) {
	me, err := user.Current()
	if err != nil {
		return server{}, err
	}
	s := server{user: me.Username, key: filepath.Join(dir, "key"), known: filepath.Join(dir, "known_hosts")}
	for _, name := range []string{"key", "hostkey"} {
		if out, err := exec.CommandContext(ctx, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(dir, name)).CombinedOutput(); err != nil {
			return server{}, fmt.Errorf("ssh-keygen: %w: %s", err, out)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return server{}, err
	}
	s.addr = l.Addr().String()
	_, port, _ := net.SplitHostPort(s.addr)
	pub, err := os.ReadFile(filepath.Join(dir, "hostkey.pub"))
	conf := fmt.Sprintf("ListenAddress 127.0.0.1\nPort %s\nHostKey %s/hostkey\nAuthorizedKeysFile %s/key.pub\nPidFile none\nStrictModes no\nUsePAM no\nPermitRootLogin prohibit-password\nPasswordAuthentication no\n", port, dir, dir)
	err = errors.Join(err, l.Close(), os.WriteFile(s.known, []byte("[127.0.0.1]:"+port+" "+string(pub)), 0o600), os.WriteFile(filepath.Join(dir, "sshd_config"), []byte(conf), 0o600))
	if err != nil {
		return server{}, err
	}
	sshd, err := exec.LookPath("/usr/sbin/sshd")
	if err != nil {
		return server{}, fmt.Errorf("%w: install openssh-server", err)
	}
	_ = os.MkdirAll("/run/sshd", 0o755) // where sshd locks itself in; it says so when that is not there
	cmd := exec.CommandContext(ctx, sshd, "-D", "-e", "-f", filepath.Join(dir, "sshd_config"))
	cmd.Stderr = nil
	if err := cmd.Start(); err != nil {
		return server{}, err
	}
	s.stop = func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }
	for range 100 {
		if c, err := net.Dial("tcp", s.addr); err == nil {
			return s, c.Close()
		}
		time.Sleep(50 * time.Millisecond)
	}
	s.stop()
	return server{}, errors.New("sshd does not listen")
}
