// Package reach connects tests to simulated hosts over SSH. It is for tests only.
package reach

import (
	"os"
	"path/filepath"
	"sync"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/ustclug/pve-reconcile/internal/config"
	"github.com/ustclug/pve-reconcile/internal/host"
	"github.com/ustclug/pve-reconcile/internal/secret"
	"github.com/ustclug/pve-reconcile/internal/sim/zhost"
)

// Stub is the program that stands for the commands of hosts, built when it is first asked for. A small one of its own starts
// faster than the test binary, by a second with the race detector in it.
var Stub = sync.OnceValues(func() (path string, err error) {
	if stubDir, err = os.MkdirTemp("", "reconcile-stub"); err == nil {
		path, err = zhost.BuildStub(stubDir)
	}
	return path, err
})

var stubDir string

// Tests are those of a package, with what was built for them removed at their end.
type Tests struct{ M *testing.M }

// Run runs them and returns their exit status.
func (t Tests) Run() int {
	defer func() {
		if stubDir != "" {
			_ = os.RemoveAll(stubDir) // nothing else is in it
		}
	}()
	return t.M.Run()
}

// Main runs the tests of a package and returns their exit status; TestMain is for it.
func Main(m *testing.M) int { return Tests{m}.Run() }

// Hosts serves hosts of these texts over SSH for the length of a test, and returns how the program reaches them.
func Hosts(t testing.TB, texts map[string]string) (*zhost.Fleet, map[string]*host.Host) {
	t.Helper()
	stub, err := Stub()
	if err != nil {
		t.Fatal(err)
	}
	fleet, err := zhost.NewFleet(texts, zhost.Options{Seed: 1, Stub: stub})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := fleet.Close(); err != nil {
			t.Error(err)
		}
	})
	dir := t.TempDir()
	if err := fleet.ServeSSH(dir); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "hosts.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var c config.Config
	if err := yaml.Unmarshal(text, &c); err != nil {
		t.Fatal(err)
	}
	hosts := map[string]*host.Host{}
	for name, settings := range c.Hosts {
		hosts[name] = host.New(name, settings, secret.Key)
		t.Cleanup(func() { _ = hosts[name].Close() })
	}
	return fleet, hosts
}
