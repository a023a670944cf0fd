package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/ustclug/pve-reconcile/internal/sim"
	"github.com/ustclug/pve-reconcile/manifests"
)

// TestImportCostsWhatAPlanCosts: the calls of an import are those of a plan of what it wrote: one a guest, two for the cluster, and
// one for each thing that is asked of the node.
func TestImportCostsWhatAPlanCosts(t *testing.T) {
	const guests = 1000
	world, err := os.ReadFile("../../internal/sim/testdata/pve-5.world")
	if err != nil {
		t.Fatal(err)
	}
	text := bytes.NewBuffer(world)
	for i := range guests - 1 { // and 117, which is there
		fmt.Fprintf(text, "-- vm %d pve-5 --\ncores: 2\nmemory: 2048\nname: web%d\nnet0: virtio=BC:24:11:00:%02X:%02X,bridge=vmbr0\n"+
			"scsi0: local-zfs:vm-%d-disk-0,size=32G\nsmbios1: uuid=00000000-0000-4000-8000-%012d\n", 1000+i, i, i/256, i%256, 1000+i, i)
	}
	server, dir, code, out := importAll(t, text.String(), gitToken)
	if code != exitOK || !strings.HasSuffix(out, fmt.Sprintf("\n%d written\n", guests+1)) {
		t.Fatalf("exit code %d, %.2000s", code, out)
	}
	calls := len(server.Requests())
	if calls > guests+2+20 {
		t.Errorf("%d calls for %d guests", calls, guests)
	}
	for _, args := range [][]string{{"init", "-q", "-b", "main"}, {"add", "."}, {"-c", "user.name=Ann", "-c", "user.email=ann@example.org", "commit", "-q", "-m", "Import"}} {
		if out, err := exec.Command("git", append([]string{"-C", dir}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("git %s: %v\n%s", args, err, out)
		}
	}
	var stdout, stderr bytes.Buffer
	if code := run(context.Background(), []string{"plan", "--config", filepath.Join(filepath.Dir(dir), "config.yaml")}, &stdout, &stderr); code != exitOK {
		t.Errorf("plan: exit code %d: %.2000s%.2000s", code, stdout.String(), stderr.String())
	}
	if n := len(server.Requests()) - calls; n != calls {
		t.Errorf("%d calls of the import, %d of the plan", calls, n)
	}
	set := manifests.Load(os.DirFS(dir))
	if len(set.VMs) != guests || len(set.Problems) > 0 {
		t.Errorf("%d manifests, %v", len(set.VMs), set.Problems)
	}
}

// TestImportEveryWorld: every guest and every node of every world file is imported, through the API, and planned to stay as it is; but for
// those that no manifest can mean yet.
func TestImportEveryWorld(t *testing.T) {
	files, err := filepath.Glob("../../internal/sim/testdata/*.world")
	more, err2 := filepath.Glob("../../internal/sim/testdata/contract/*.world")
	if files = append(files, more...); err != nil || err2 != nil || len(files) < 50 {
		t.Fatalf("%d worlds: %v %v", len(files), err, err2)
	}
	token := regexp.MustCompile(`(?m)^root@pam!\S+ \S+$`)
	guests := 0
	for _, file := range files {
		world, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		secret := token.FindString(string(world))
		if secret == "" {
			continue // a world of no users
		}
		server, _, _, out := importAll(t, string(world), strings.ReplaceAll(secret, " ", "="))
		for line := range strings.SplitAfterSeq(out, "\n") {
			switch {
			case strings.HasPrefix(line, "+ "):
				guests++
			case strings.HasPrefix(line, "reconcile:"), strings.HasPrefix(line, "? ") && !strings.Contains(out, "is offline"), strings.Contains(line, "would change"), strings.Contains(line, "problems"):
				t.Errorf("%s: %s", filepath.Base(file), out)
			}
		}
		server.Close()
	}
	if guests < 50 {
		t.Errorf("%d guests", guests)
	}
	t.Logf("%d guests", guests)
}

// importAll runs the verb against a world, with an empty directory.
func importAll(t *testing.T, world, secret string) (server *sim.Server, tree string, code int, out string) {
	t.Helper()
	w, err := sim.ParseWorld(strings.NewReader(world))
	if err != nil {
		t.Fatal(err)
	}
	server = sim.New(w, sim.Options{Seed: 1})
	endpoint, err := server.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	dir := t.TempDir()
	tree = filepath.Join(dir, "tree")
	token, config := filepath.Join(dir, "token"), filepath.Join(dir, "config.yaml")
	if err := os.WriteFile(token, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(config, fmt.Appendf(nil, "apiVersion: pve.ustclug.org/v1alpha1\nkind: Config\nowner: ustclug\nstateDir: %s\nsource: {url: %s/tree, branch: main}\n"+
		"clusters:\n  ustc: {endpoint: %q, fingerprint: %q, tokenFile: %s}\n", dir, dir, endpoint, server.Fingerprint(), token), 0o644); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	code = run(context.Background(), []string{"import", "--all", "--dir", tree, "--config", config}, &stdout, &stderr)
	return server, tree, code, stderr.String() + stdout.String()
}
