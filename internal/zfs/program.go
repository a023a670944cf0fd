package zfs

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"strings"

	"github.com/ustclug/pve-reconcile/internal/host"
	"github.com/ustclug/pve-reconcile/reconciler/step"
)

// places are where the program brings itself, the first that lets it run: Debian mounts /run without the right to execute.
const places = "/run/pve-reconcile /var/lib/pve-reconcile/bin /var/tmp/pve-reconcile-$(id -u)"

// machineNames are what uname -m calls what Go calls otherwise.
var machineNames = map[string]string{"amd64": "x86_64", "arm64": "aarch64", "riscv64": "riscv64", "ppc64le": "ppc64le", "s390x": "s390x"}

// program is the path of this very program on a host. Where it is not there it is sent, and checked by its SHA-256; what is
// run is never anything else than what was checked.
func (m *Machines) program(ctx context.Context, h *host.Host) (string, error) {
	m.bringing.Lock()
	defer m.bringing.Unlock()
	if h.Here {
		return m.here()
	}
	path := cmp.Or(m.Binary, self)
	sum, err := m.sum(path)
	if err != nil {
		return "", err
	}
	name := "reconcile-" + sum[:16]
	found, err := h.Text(ctx, findProgram(name, sum))
	if err == nil && strings.TrimSpace(found) != "" {
		return strings.TrimSpace(found), nil
	}
	if err != nil {
		return "", explain(err)
	}
	content, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer content.Close()
	var out strings.Builder
	if err := h.Run(ctx, host.Command{Script: bringProgram(name, sum), Stdin: content, Stdout: &out, Bulk: true}); err != nil {
		var failed *host.Error
		if errors.As(err, &failed) {
			return "", fmt.Errorf("bring this program to %s: %w", h.Name, err)
		}
		return "", err
	}
	return strings.TrimSpace(out.String()), nil
}

// self is the program that runs, also after another one was put in the place of its file.
const self = "/proc/self/exe"

// here is the path of this program on this machine. After an upgrade its file may be gone.
func (m *Machines) here() (string, error) {
	if m.Binary != "" {
		return m.Binary, nil
	}
	path, err := os.Executable()
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return fmt.Sprintf("/proc/%d/exe", os.Getpid()), nil
	}
	return path, nil
}

// eachPlace runs a piece of shell for the private directories in which a program may lie. One that belongs to somebody else,
// or that others can write to, is not trusted.
func eachPlace(body string) string {
	return "umask 077\nfor d in " + places + "; do mkdir -p \"$d\" 2>/dev/null || continue\n" +
		"[ \"$(stat -c %u \"$d\")\" = \"$(id -u)\" ] && [ ! -L \"$d\" ] && chmod 700 \"$d\" || continue\n" + body + "done\n"
}

func checked(file, sum string) string {
	return "[ \"$(sha256sum " + file + " 2>/dev/null | cut -c -64)\" = " + sum + " ]"
}

func findProgram(name, sum string) string {
	return titled("look for this program", "[ \"$(uname -m)\" = "+machineNames[runtime.GOARCH]+" ] || say 77 \"this program is for "+machineNames[runtime.GOARCH]+", and the host is $(uname -m): copies and hashes cannot be made there\"",
		eachPlace("f=$d/"+name+"; [ -x \"$f\" ] && "+checked(`"$f"`, sum)+" && \"$f\" version >/dev/null 2>&1 && echo \"$f\" && exit 0\n")+":")
}

// bringProgram writes the program to each place in turn, from one copy of standard input.
func bringProgram(name, sum string) string {
	return titled("bring this program", apart, "t=; why=",
		eachPlace("f=$d/"+name+"; n=$f.$$\n"+
			"if [ -z \"$t\" ]; then cat <&8 >\"$n\" || { rm -f \"$n\"; continue; }; "+checked(`"$n"`, sum)+" || { rm -f \"$n\"; say 1 'it arrived damaged'; }; else cp \"$t\" \"$n\" || continue; fi\n"+
			"chmod 700 \"$n\"; if why=$(\"$n\" version 2>&1 >/dev/null); then mv \"$n\" \"$f\" || exit 1; [ -z \"$t\" ] || rm -f \"$t\"; for o in \"$d\"/reconcile-????????????????; do [ \"$o\" = \"$f\" ] || rm -f \"$o\"; done; echo \"$f\"; exit 0; fi\n"+
			"[ -z \"$t\" ] && t=$n || rm -f \"$n\"\n")+
			"[ -z \"$t\" ] || rm -f \"$t\"; say 1 \"it does not run in any of: "+places+" ($why)\"")
}

// sum is the SHA-256 of the program; it does not change while it runs.
func (m *Machines) sum(path string) (string, error) {
	m.once.Do(func() {
		f, err := os.Open(path)
		if err != nil {
			m.hashErr = err
			return
		}
		defer f.Close()
		sum := sha256.New()
		_, m.hashErr = io.Copy(sum, f)
		m.hash = hex.EncodeToString(sum.Sum(nil))
	})
	return m.hash, m.hashErr
}

// command is a line that runs this program on a host.
func command(program string, args ...string) string {
	return step.Quote(program) + " " + words(args...)
}
