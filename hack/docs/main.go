// Command docs writes docs/manifests.md, the manual of manifests, from the field table and a hand-written introduction
// (manifests.md.tmpl), and the manual page and completions of the package from the program's own table of verbs. With -check it
// writes nothing and fails when one of them is stale. It never makes up a word about a
// setting: those stand in the doc tags of package schema.
package main

import (
	"bytes"
	_ "embed"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"text/template"

	"github.com/ustclug/pve-reconcile/schema"
)

//go:embed manifests.md.tmpl
var manual string

func main() {
	check := flag.Bool("check", false, "fail when the file is stale instead of writing it")
	flag.Parse()
	if err := run(*check); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(check bool) error {
	root, err := root()
	if err != nil {
		return err
	}
	manual, err := render()
	if err != nil {
		return err
	}
	wanted := map[string][]byte{"docs/manifests.md": manual}
	if err := spoken(root, wanted); err != nil {
		return err
	}
	var stale []string
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		file := filepath.Join(root, name)
		have, err := os.ReadFile(file)
		if err == nil && bytes.Equal(have, wanted[name]) {
			continue
		}
		if check {
			stale = append(stale, name)
			continue
		}
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(file, wanted[name], 0o644); err != nil {
			return err
		}
	}
	if len(stale) > 0 {
		return fmt.Errorf("stale: %s: run `make generate` and commit", strings.Join(stale, ", "))
	}
	return nil
}

// spoken asks the program itself for its manual page and its completions.
func spoken(root string, into map[string][]byte) error {
	dir, err := os.MkdirTemp("", "docs")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	program := filepath.Join(dir, "reconcile")
	build := exec.Command("go", "build", "-trimpath", "-o", program, "./cmd/reconcile")
	build.Dir, build.Stderr = root, os.Stderr
	if err := build.Run(); err != nil {
		return fmt.Errorf("build the program: %w", err)
	}
	for name, args := range map[string][]string{
		"reconcile.bash": {"completion", "bash"}, "reconcile.zsh": {"completion", "zsh"}, "reconcile.fish": {"completion", "fish"},
		"reconcile.1": {"help", "--man"},
	} {
		out, err := exec.Command(program, args...).Output()
		if err != nil {
			return fmt.Errorf("reconcile %s: %w", strings.Join(args, " "), err)
		}
		into["packaging/generated/"+name] = out
	}
	return nil
}

// root is the directory of go.mod, here or above.
func root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		above := filepath.Dir(dir)
		if above == dir {
			return "", fmt.Errorf("no go.mod here or above: run this inside the repository")
		}
		dir = above
	}
}

// render is the whole manual.
func render() ([]byte, error) {
	t, err := template.New("manifests.md").Funcs(template.FuncMap{"reference": reference}).Parse(manual)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := t.Execute(&b, nil); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// reference prints the tables of a kind as Markdown.
func reference(kind string) (string, error) {
	tables, err := schema.Reference(kind)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for i, t := range tables {
		if i == 0 {
			fmt.Fprintf(&b, "### %s\n\n", kind)
		} else {
			fmt.Fprintf(&b, "\n### %s: %s\n\n%s.", kind, t.Path, sentence(t.Doc))
			if len(t.Keys) > 0 {
				fmt.Fprintf(&b, " PVE: `%s`.", strings.Join(t.Keys, "`, `"))
			}
			if t.Text != "" {
				fmt.Fprintf(&b, " A text in place of the mapping is its `%s`.", t.Text)
			}
			b.WriteString("\n\n")
		}
		b.WriteString("| Field | Type | PVE | Default | Allowed | Meaning |\n|---|---|---|---|---|---|\n")
		for _, f := range t.Fields {
			b.WriteString(line(kind, f))
		}
	}
	return strings.TrimRight(b.String(), "\n"), nil
}

// line is one row of a table.
func line(kind string, f schema.Field) string {
	name := "`" + f.Name + "`"
	if f.Required {
		name += " **required**"
	}
	typ := f.Type
	if f.Table != "" {
		typ = "[" + typ + "](#" + anchor(kind+": "+f.Table) + ")"
	}
	allowed := f.Range
	if len(f.Values) > 0 {
		allowed = "`" + strings.Join(f.Values, "`, `") + "`"
	}
	doc := f.Doc
	if f.Root {
		doc += " **root@pam only**"
	}
	cells := []string{name, typ, code(f.Key), code(f.Default), allowed, doc}
	for i, c := range cells {
		cells[i] = strings.NewReplacer("|", `\|`, "<", "&lt;").Replace(c)
	}
	return "| " + strings.Join(cells, " | ") + " |\n"
}

func code(s string) string {
	if s == "" {
		return ""
	}
	return "`" + s + "`"
}

// anchor is the name GitHub gives a heading.
func anchor(heading string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(heading) {
		switch {
		case r == ' ':
			b.WriteByte('-')
		case r == '-' || r == '_' || r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
			b.WriteRune(r)
		}
	}
	return b.String()
}

// sentence begins with a capital letter.
func sentence(s string) string {
	return strings.ToUpper(s[:1]) + s[1:]
}
