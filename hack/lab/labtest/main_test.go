//go:build lab

package labtest

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// binaries are built once for all tests, static, as they are released.
var binaries struct{ reconcile, docker2 string }

func TestMain(m *testing.M) { os.Exit(prepared(m)) }

// prepared builds the binaries, boots the guests, and runs the tests.
func prepared(m *testing.M) int {
	if flag.Parse(); flag.Lookup("test.list").Value.String() != "" {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "reconcile-lab-")
	if err == nil {
		defer os.RemoveAll(dir)
		err = prepare(dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "lab:", err)
		return 1
	}
	return m.Run()
}

func prepare(dir string) error {
	binaries.reconcile, binaries.docker2 = filepath.Join(dir, "reconcile"), filepath.Join(dir, "docker2")
	for target, pkg := range map[string]string{binaries.reconcile: "./cmd/reconcile", binaries.docker2: "./hack/lab/docker2"} {
		build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", target, pkg)
		build.Dir, build.Env = root, append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("build %s: %w\n%s", pkg, err, out)
		}
	}
	began := time.Now()
	if err := script("up"); err != nil {
		return err
	}
	fmt.Printf("lab: both guests are up after %s\n", since(began))
	return errors.Join(mirrors2.install(), pve5.install())
}

// root is the top of the repository.
var root = filepath.Join("..", "..", "..")

// script runs one of the lab's scripts.
func script(name string, args ...string) error {
	cmd := exec.Command(filepath.Join(root, "hack", "lab", name), args...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("hack/lab/%s %s: %w", name, strings.Join(args, " "), err)
	}
	return nil
}

func since(t time.Time) time.Duration { return time.Since(t).Round(time.Second / 10) }
