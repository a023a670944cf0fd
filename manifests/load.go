// Package manifests reads a tree of YAML files into checked objects and reports every problem at once, with
// file:line:column. It never stops at the first problem, never follows a link out of the tree, and never asks a host.
package manifests

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/ustclug/pve-reconcile/internal/strictyaml"
	"github.com/ustclug/pve-reconcile/schema"
)

// Set is what a tree declares.
type Set struct {
	VMs   []Object[schema.VM] // in the order of their files
	Nodes []Object[schema.Node]

	Migrations []Object[schema.Migration]
	// Moving holds the migration ("Migration/docker2") of each guest that one names, the refused ones included.
	Moving map[string]string

	Problems []strictyaml.Problem // by file and line
	Advice   []strictyaml.Problem // recommendations that manifests neither follow nor overrule; they refuse nothing
	Files    int                  // YAML files read

	// Declared are all virtual machines that could be told to be some, the refused ones included: as far as they could be
	// read. DeclaredNodes likewise.
	Declared      []Object[schema.VM]
	DeclaredNodes []Object[schema.Node]
	// Refused holds the names of objects with problems ("VirtualMachine/docker2"): they count as declared, not as removed.
	Refused map[string]bool
	// Unread tells that some document could not be told what it is, so that nothing may count as removed (law 15).
	Unread bool

	at map[string]int // "VirtualMachine/docker2" -> its place in VMs; likewise the other kinds
}

// Object is one checked object and where it stands.
type Object[T any] struct {
	Object T
	File   string
	Line   int
	doc    strictyaml.Document
	ref    string // kind and name as written: the name of an object that could not be read is not in the object
}

// place puts a fault of the object at its line.
func (o Object[T]) place(f schema.Fault) strictyaml.Problem {
	hint := ""
	if near := strictyaml.Nearest(f.Word, f.Among); near != "" {
		hint = fmt.Sprintf("did you mean %q?", near)
	}
	return o.doc.Problem(f.Path, f.Text, hint)
}

// Objects counts what the tree declares, the objects with problems included.
func (s Set) Objects() int { return len(s.VMs) + len(s.Nodes) + len(s.Migrations) + len(s.Refused) }

// MaxFiles bounds what a tree may hold, MaxBytes what one file may.
const (
	MaxFiles = 50_000
	MaxBytes = 1 << 20
)

// Reads tells whether Load reads a file of this name: *.yaml or *.yml, and neither it nor a directory above it is hidden.
func Reads(name string) bool {
	return !strings.Contains("/"+name, "/.") && isYAML(name)
}

func hidden(name string) bool { return name != "." && strings.HasPrefix(path.Base(name), ".") }

func isYAML(name string) bool { return path.Ext(name) == ".yaml" || path.Ext(name) == ".yml" }

// Load reads every file of a tree that Reads names.
func Load(tree fs.FS) Set {
	l := loader{Set: Set{Refused: map[string]bool{}}, tree: tree}
	l.read()
	l.settle()
	l.Declared, l.DeclaredNodes = l.vms, l.nodes
	l.Moving = map[string]string{}
	for _, m := range l.moves {
		l.Moving[m.Object.Spec.Target.VirtualMachine] = m.ref
	}
	slices.SortStableFunc(l.Problems, byPlace)
	slices.SortStableFunc(l.Advice, byPlace)
	return l.Set
}

func byPlace(a, b strictyaml.Problem) int {
	return cmp.Or(strings.Compare(a.File, b.File), a.Line-b.Line, a.Column-b.Column)
}

// Parse reads one file by itself: what it declares, without what other files say about it.
func Parse(file string, data []byte) Set {
	l := loader{Set: Set{Refused: map[string]bool{}, Files: 1}}
	l.file(file, data)
	l.settle()
	return l.Set
}

// At is the line of the value at a path, or of what is nearest above it.
func (o Object[T]) At(path string) (line int) {
	line, _ = o.doc.Position(path)
	return line
}

// Says is what the manifest says at a path, on one line.
func (o Object[T]) Says(path string) (text string, ok bool) { return o.doc.Text(path) }

type loader struct {
	Set
	tree  fs.FS
	texts chan<- text // of files, to be understood
	parts []*loader   // what each file says, in the order of the files

	// All that were read, the refused ones included: what they claim is claimed, and rules are kept as far as they can be read.
	vms   []Object[schema.VM]
	nodes []Object[schema.Node]
	moves []Object[schema.Migration]
}

// text is a file that was read, and where what it says goes.
type text struct {
	name string
	data []byte
	into *loader
}

// read walks the tree, and has the files understood meanwhile by as many as there are processors. Nothing is put
// together before all are through, so that the order is that of the files.
func (l *loader) read() {
	texts := make(chan text)
	l.texts = texts
	var readers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		readers.Go(func() {
			for t := range texts {
				t.into.file(t.name, t.data)
			}
		})
	}
	if err := fs.WalkDir(l.tree, ".", l.visit); err != nil {
		l.fail(".", "cannot be read: "+err.Error(), "")
	}
	close(texts)
	readers.Wait()
	for _, p := range l.parts {
		l.vms, l.nodes, l.moves = append(l.vms, p.vms...), append(l.nodes, p.nodes...), append(l.moves, p.moves...)
		l.Problems, l.Unread = append(l.Problems, p.Problems...), l.Unread || p.Unread
		maps.Copy(l.Refused, p.Refused)
	}
	l.parts = nil
}

func (l *loader) fail(file, text, hint string) {
	l.Problems = append(l.Problems, strictyaml.Problem{File: file, Line: 1, Column: 1, Text: text, Hint: hint})
	l.Unread = true
}

func (l *loader) visit(name string, d fs.DirEntry, err error) error {
	if err != nil {
		l.fail(name, "cannot be read: "+cause(err).Error(), "")
		if d != nil && d.IsDir() {
			return fs.SkipDir
		}
		return nil
	}
	if hidden(name) {
		if d.IsDir() {
			return fs.SkipDir
		}
		return nil
	}
	switch {
	case d.IsDir():
		return nil
	case d.Type()&fs.ModeSymlink != 0:
		l.Skip(name, "is a symbolic link, which is not followed: put the file or directory itself here")
		return nil
	case !isYAML(name) || !d.Type().IsRegular():
		return nil
	}
	if l.Files++; l.Files > MaxFiles {
		l.fail(name, fmt.Sprintf("more than %d files", MaxFiles), "is `path` the directory of the manifests?")
		return fs.SkipAll
	}
	if info, err := d.Info(); err == nil && info.Size() > MaxBytes {
		l.fail(name, fmt.Sprintf("is %d bytes long; a manifest may have %d", info.Size(), MaxBytes), "")
		return nil
	}
	data, err := fs.ReadFile(l.tree, name)
	if err != nil {
		l.fail(name, "cannot be read: "+cause(err).Error(), "")
		return nil
	}
	part := &loader{Set: Set{Refused: map[string]bool{}}}
	l.parts = append(l.parts, part)
	l.texts <- text{name, data, part}
	return nil
}

// Skip reports an entry of the tree that is not read (a link, a submodule) when it could have held manifests.
func (s *Set) Skip(name, text string) {
	if path.Ext(name) == "" || isYAML(name) {
		s.Problems = append(s.Problems, strictyaml.Problem{File: name, Line: 1, Column: 1, Text: text})
		s.Unread = true
	}
}

func cause(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

func (l *loader) file(name string, data []byte) {
	docs, problems := strictyaml.Documents(name, data)
	l.Problems = append(l.Problems, problems...)
	if len(problems) > 0 {
		l.Unread = true
	}
	if len(docs) == 0 && len(problems) == 0 {
		l.fail(name, "holds no object", "delete the file, or write a manifest into it")
	}
	for _, d := range docs {
		l.document(name, d)
	}
}

// kinds is the table of kinds a manifest can have.
var kinds = map[string]func(*loader, string, strictyaml.Document){
	schema.KindVM: func(l *loader, file string, d strictyaml.Document) {
		l.vms = append(l.vms, decode[schema.VM](l, file, d, schema.KindVM))
	},
	schema.KindNode: func(l *loader, file string, d strictyaml.Document) {
		l.nodes = append(l.nodes, decode[schema.Node](l, file, d, schema.KindNode))
	},
	schema.KindMigration: func(l *loader, file string, d strictyaml.Document) {
		l.moves = append(l.moves, decode[schema.Migration](l, file, d, schema.KindMigration))
	},
}

// Kinds lists the kinds a manifest can have.
func Kinds() []string { return []string{schema.KindMigration, schema.KindNode, schema.KindVM} }

func (l *loader) document(file string, d strictyaml.Document) {
	kind, _ := d.String("kind")
	version, ok := d.String("apiVersion")
	if !ok || version != schema.APIVersion {
		text := "required"
		if ok {
			text = fmt.Sprintf("%q is not a version this program reads", version)
		}
		l.unknown(d, d.Problem("apiVersion", text, "write "+schema.APIVersion))
		return
	}
	read, ok := kinds[kind]
	if !ok {
		text, hint := "required", strings.Join(Kinds(), ", ")
		if kind != "" {
			text = fmt.Sprintf("%q is not a kind this program knows: %s", kind, hint)
			hint = ""
			if near := strictyaml.Nearest(kind, Kinds()); near != "" {
				hint = fmt.Sprintf("did you mean %q?", near)
			}
		}
		l.unknown(d, d.Problem("kind", text, hint))
		return
	}
	read(l, file, d)
}

// unknown reports a document that cannot be told what it is, with what is wrong with it whatever it is.
func (l *loader) unknown(d strictyaml.Document, p strictyaml.Problem) {
	l.problem(p)
	l.Problems = append(l.Problems, d.Problems()...)
	l.Unread = true
}

func (l *loader) problem(p strictyaml.Problem) { l.Problems = append(l.Problems, p) }

// decode reads one document. An object with problems is refused, and returned only for the checks across objects.
func decode[T interface{ Validate() []schema.Fault }](l *loader, file string, d strictyaml.Document, kind string) Object[T] {
	o := Object[T]{File: file, doc: d}
	o.Line, _ = d.Position("")
	unsound := d.Decode(&o.Object)
	problems := unsound
	for _, f := range o.Object.Validate() {
		if !follows(f, unsound) {
			problems = append(problems, o.place(f))
		}
	}
	l.Problems = append(l.Problems, problems...)
	name, _ := d.String("metadata.name")
	if name == "" {
		l.Unread = l.Unread || len(problems) > 0
	}
	o.ref = kind + "/" + name
	if len(problems) > 0 {
		l.Refused[o.ref] = true
	}
	return o
}

// follows tells whether a fault may only be there because the value it is about, or one inside or around it, could not be
// read: that was said already.
func follows(f schema.Fault, unsound []strictyaml.Problem) bool {
	return slices.ContainsFunc(unsound, func(p strictyaml.Problem) bool {
		return inside(f.Path, p.Path) || inside(p.Path, f.Path)
	})
}

// inside tells whether a path is another one or below it.
func inside(path, above string) bool {
	rest, ok := strings.CutPrefix(path, above)
	return ok && above != "" && (rest == "" || rest[0] == '.' || rest[0] == '[')
}
