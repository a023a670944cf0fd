package manifests_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/ustclug/pve-reconcile/manifests"
)

const good = `apiVersion: pve.ustclug.org/v1alpha1
kind: VirtualMachine
metadata: {name: good}
spec: {node: pve-5, vmid: 200}
`

// TestLinks: symbolic links are refused where they stand, whatever they point to, and never followed.
func TestLinks(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	write := func(dir, name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "vms"), 0o700); err != nil {
		t.Fatal(err)
	}
	write(dir, "vms/good.yaml", good)
	write(outside, "other.yaml", strings.ReplaceAll(strings.ReplaceAll(good, "good", "other"), "200", "201"))
	for name, target := range map[string]string{
		"vms/loop":       "..",
		"vms/self":       "self",
		"outside":        outside,
		"link.yaml":      "vms/good.yaml",
		"other.yaml":     filepath.Join(outside, "other.yaml"),
		"dangling.yaml":  "nowhere",
		".hidden.yaml":   "nowhere",
		"vms/.hiddendir": "..",
	} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	set := manifests.Load(os.DirFS(dir))
	want := ""
	for _, name := range []string{"dangling.yaml", "link.yaml", "other.yaml", "outside", "vms/loop", "vms/self"} {
		want += name + ":1:1: is a symbolic link, which is not followed: put the file or directory itself here\n"
	}
	if have := problems(set); have != want {
		t.Errorf("have\n%swant\n%s", have, want)
	}
	if have, want := objects(set), "VirtualMachine/good vms/good.yaml:1\nunread\nfiles 1\n"; have != want {
		t.Errorf("have\n%swant\n%s", have, want)
	}
}

// unreadable is a tree in which the files and directories named so may not be opened.
type unreadable struct{ fstest.MapFS }

func (u unreadable) Open(name string) (fs.File, error) {
	if strings.Contains(name, "secret") {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
	}
	return u.MapFS.Open(name)
}

func (u unreadable) ReadFile(name string) ([]byte, error) {
	if strings.Contains(name, "secret") {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
	}
	return u.MapFS.ReadFile(name)
}

func (u unreadable) ReadDir(name string) ([]fs.DirEntry, error) {
	if strings.Contains(name, "secret") {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
	}
	return u.MapFS.ReadDir(name)
}

// TestUnreadable: what cannot be read is said, hides nothing else, and lets nothing count as removed.
func TestUnreadable(t *testing.T) {
	set := manifests.Load(unreadable{fstest.MapFS{
		"vms/good.yaml":      {Data: []byte(good)},
		"vms/secret.yaml":    {Data: []byte(good)},
		"vms/secrets/a.yaml": {Data: []byte(good)},
		"vms/secret.txt":     {Data: []byte("not a manifest")},
		"vms/large.yaml":     {Data: []byte(strings.Repeat("#", manifests.MaxBytes+1))},
	}})
	want := "vms/large.yaml:1:1: is 1048577 bytes long; a manifest may have 1048576\n" +
		"vms/secret.yaml:1:1: cannot be read: permission denied\n" +
		"vms/secrets:1:1: cannot be read: permission denied\n"
	want = strings.ReplaceAll(want, "permission denied", fs.ErrPermission.Error())
	if have := problems(set); have != want {
		t.Errorf("have\n%swant\n%s", have, want)
	}
	if have, want := objects(set), "VirtualMachine/good vms/good.yaml:1\nunread\nfiles 3\n"; have != want {
		t.Errorf("have\n%swant\n%s", have, want)
	}
}

// TestNoTree: a tree that cannot be read at all is no empty tree.
func TestNoTree(t *testing.T) {
	set := manifests.Load(os.DirFS(filepath.Join(t.TempDir(), "nowhere")))
	if !set.Unread || len(set.Problems) != 1 || !strings.Contains(problems(set), "cannot be read: no such file or directory") {
		t.Errorf("unread %v, problems\n%s", set.Unread, problems(set))
	}
}

// TestTooManyFiles: a tree of another kind (the whole disk) is left early.
func TestTooManyFiles(t *testing.T) {
	tree := fstest.MapFS{}
	for i := range manifests.MaxFiles + 10 {
		tree[fmt.Sprintf("%05d.yaml", i)] = &fstest.MapFile{}
	}
	set := manifests.Load(tree)
	if last := problems(set); !set.Unread || !strings.Contains(last, "more than 50000 files") {
		t.Errorf("unread %v, %d problems", set.Unread, len(set.Problems))
	}
}
