package floorplan

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/ustclug/pve-reconcile/"

// floors is the plan: a package imports only packages of lower floors, or a sub-package of itself.
var floors = map[string]int{
	"cmd/reconcile":        10,
	"internal/metrics":     9,
	"internal/notify":      8,
	"internal/loop":        8,
	"reconciler":           7,
	"internal/live":        6,
	"internal/gate":        6,
	"internal/sim":         6,
	"internal/zfs":         5,
	"internal/power":       5,
	"internal/source":      5,
	"internal/host":        4,
	"internal/pve":         4,
	"internal/pmxcfs":      5,
	"internal/secret":      4,
	"internal/socket":      4,
	"internal/state":       4,
	"internal/blockcopy":   4,
	"internal/webhook":     4,
	"internal/hook":        4,
	"reconciler/adopt":     3,
	"reconciler/migration": 3,
	"reconciler/vm":        2,
	"reconciler/node":      2,
	"reconciler/step":      1,
	"manifests":            1,
	"internal/config":      1,
	"internal/signature":   1,
	"reconciler/admit":     1,
	"schema":               0,
	"internal/notice":      0,
	"internal/strictyaml":  0,
	"internal/floorplan":   0,
}

// hack is for us: it may import anything and nothing imports it.
const hack = "hack/"

// deciding floors know no outside world and no clock.
const deciding = 3

var forbiddenBelow = map[string]string{
	"os": "reads files", "os/exec": "runs commands", "net/http": "talks to hosts", "context": "waits", "go.uber.org/zap": "logs",
	"syscall": "asks the kernel", "math/rand": "rolls dice", "math/rand/v2": "rolls dice", "log": "logs", "log/slog": "logs",
}

// owners of libraries: nobody else imports them.
var owners = map[string]string{
	"github.com/luthermonson/go-proxmox": "internal/pve",
	"github.com/go-git/go-git":           "internal/source",
	"github.com/fsnotify/fsnotify":       "internal/source",
	"go.yaml.in/yaml":                    "internal/strictyaml",
	"github.com/hiddeco/sshsig":          "internal/signature",
	"github.com/ProtonMail/go-crypto":    "internal/signature",
	"github.com/prometheus":              "internal/metrics",
	"github.com/coreos/go-systemd":       "cmd/reconcile",
}

type file struct {
	path string
	pkg  string
	ast  *ast.File
}

// sources parses every Go file of the module with go/parser: a list from `go list` would be cached by `go test`.
func sources(t *testing.T) []file {
	t.Helper()
	root := filepath.Join("..", "..")
	var out []file
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, name)
		if d.IsDir() {
			_, sub := os.Stat(filepath.Join(name, "go.mod"))
			if base := d.Name(); rel != "." && (strings.HasPrefix(base, ".") || base == "testdata" || base == "node_modules" || sub == nil) {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		out = append(out, file{filepath.ToSlash(rel), path.Dir(filepath.ToSlash(rel)), f})
		return nil
	})
	if err != nil || len(out) < 50 {
		t.Fatalf("%d files: %v", len(out), err)
	}
	return out
}

// room is the package of the plan that a package is or belongs to.
func room(pkg string) (string, bool) {
	for p := pkg; p != "."; p = path.Dir(p) {
		if _, ok := floors[p]; ok {
			return p, true
		}
	}
	return "", false
}

func imports(f file) []string {
	var out []string
	for _, i := range f.ast.Imports {
		p, _ := strconv.Unquote(i.Path.Value)
		out = append(out, p)
	}
	return out
}

func TestImportsPointDown(t *testing.T) {
	for _, f := range sources(t) {
		if strings.HasPrefix(f.pkg, hack) {
			continue
		}
		test := strings.HasSuffix(f.path, "_test.go")
		me, ok := room(f.pkg)
		if !ok {
			t.Errorf("%s: package %s has no floor: give it one in this test", f.path, f.pkg)
			continue
		}
		for _, imported := range imports(f) {
			if rest, ours := strings.CutPrefix(imported, module); ours && !test {
				other, known := room(rest)
				if !known || other != me && floors[other] >= floors[me] {
					t.Errorf("%s (floor %d) imports %s (floor %d): imports point down only", f.path, floors[me], rest, floors[other])
				}
			}
			if why, bad := forbiddenBelow[imported]; bad && !test && floors[me] <= deciding {
				t.Errorf("%s imports %s: a room that decides never %s", f.path, imported, why)
			}
			for lib, owner := range owners {
				if strings.HasPrefix(imported, lib) && me != owner && !test {
					t.Errorf("%s imports %s, which only %s may", f.path, imported, owner)
				}
			}
		}
	}
}

// TestDecidingRoomsKnowNoClock: now is a field of what was observed. Of package net they may take what only reads text.
func TestDecidingRoomsKnowNoClock(t *testing.T) {
	for _, f := range sources(t) {
		me, ok := room(f.pkg)
		if !ok || floors[me] > deciding || strings.HasSuffix(f.path, "_test.go") {
			continue
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			s, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			x, ok := s.X.(*ast.Ident)
			if ok && x.Name == "net" && !slices.Contains([]string{"SplitHostPort", "JoinHostPort", "ParseIP", "ParseCIDR", "IP", "IPNet"}, s.Sel.Name) {
				t.Errorf("%s uses net.%s: a room that decides talks to nobody", f.path, s.Sel.Name)
			}
			if ok && x.Name == "time" && slices.Contains([]string{"Now", "Since", "Until", "Sleep", "After", "Tick", "NewTimer", "NewTicker", "AfterFunc"}, s.Sel.Name) {
				t.Errorf("%s uses time.%s: a room that decides has no clock", f.path, s.Sel.Name)
			}
			return true
		})
	}
}

// TestPackagesSayWhatTheyDo: one package comment each, with what the package never does.
func TestPackagesSayWhatTheyDo(t *testing.T) {
	docs := map[string][]string{}
	seen := map[string]bool{}
	for _, f := range sources(t) {
		if strings.HasSuffix(f.path, "_test.go") {
			continue
		}
		seen[f.pkg] = true
		if f.ast.Doc != nil {
			docs[f.pkg] = append(docs[f.pkg], f.path+"\x00"+f.ast.Doc.Text())
		}
	}
	for pkg := range seen {
		if len(docs[pkg]) != 1 {
			t.Errorf("package %s has %d package comments: one says what it does and what it never does", pkg, len(docs[pkg]))
			continue
		}
		_, text, _ := strings.Cut(docs[pkg][0], "\x00")
		if !strings.HasPrefix(pkg, hack) && !slices.ContainsFunc([]string{"never", "nothing", "no ", "only", "not "}, func(w string) bool { return strings.Contains(text, w) }) {
			t.Errorf("package %s: its comment does not say what it never does", pkg)
		}
	}
}

// longest is where a file is looked at for its seam.
const longest = 400

func TestFilesStayReadable(t *testing.T) {
	for _, f := range sources(t) {
		text, err := os.ReadFile(filepath.Join("..", "..", f.path))
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(text), "\n"); n > longest && !strings.HasSuffix(f.path, "_test.go") {
			t.Errorf("%s has %d lines: look for the seam at %d", f.path, n, longest)
		}
	}
}
