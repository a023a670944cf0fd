package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/ustclug/pve-reconcile/internal/strictyaml"
	"github.com/ustclug/pve-reconcile/manifests"
)

func runValidate(_ context.Context, args []string, stdout, stderr io.Writer) int {
	f := flag.NewFlagSet("validate", flag.ContinueOnError)
	var output string
	outputFlag(f, &output)
	words, code, done := parse(f, args, stdout, stderr)
	if done {
		return code
	}
	dir := "."
	switch len(words) {
	case 0:
	case 1:
		dir = words[0]
	default:
		return usage(stderr, "validate takes one directory")
	}
	if info, err := os.Stat(dir); err != nil {
		return failed(stderr, err)
	} else if !info.IsDir() {
		return usage(stderr, "validate: %s is not a directory: manifests are checked together, name the directory they are in", dir)
	}
	set := manifests.Load(os.DirFS(dir))
	if output == "json" {
		if err := json.NewEncoder(stdout).Encode(validation(set)); err != nil {
			return failed(stderr, err)
		}
	} else {
		printProblems(stdout, set.Problems)
		printProblems(stdout, set.Advice)
		fmt.Fprintf(stdout, "%s in %s: %s, %s%s\n", count(len(set.VMs)+len(set.Nodes)+len(set.Migrations), "sound object"), count(set.Files, "file"),
			count(len(set.Refused), "refused"), count(len(set.Problems), "problem"), advice(len(set.Advice)))
	}
	if len(set.Problems) > 0 {
		return exitError
	}
	return exitOK
}

// advice counts recommendations that are neither followed nor overruled, if there are any.
func advice(n int) string {
	if n == 0 {
		return ""
	}
	return ", " + count(n, "recommendation") + " not followed"
}

type problemJSON struct {
	File   string `json:"file"`
	Line   int    `json:"line"`
	Column int    `json:"column"`
	Path   string `json:"path,omitempty"`
	Text   string `json:"text"`
	Hint   string `json:"hint,omitempty"`
}

func problemsJSON(problems []strictyaml.Problem) []problemJSON {
	out := []problemJSON{}
	for _, p := range problems {
		out = append(out, problemJSON(p))
	}
	return out
}

func (p problemJSON) problem() strictyaml.Problem { return strictyaml.Problem(p) }

func validation(set manifests.Set) any {
	objects := []string{}
	for _, m := range set.Migrations {
		objects = append(objects, "Migration/"+m.Object.Metadata.Name)
	}
	for _, n := range set.Nodes {
		objects = append(objects, "Node/"+n.Object.Metadata.Name)
	}
	for _, v := range set.VMs {
		objects = append(objects, "VirtualMachine/"+v.Object.Metadata.Name)
	}
	return map[string]any{"files": set.Files, "objects": objects, "problems": problemsJSON(set.Problems), "advice": problemsJSON(set.Advice)}
}

func printProblems(w io.Writer, problems []strictyaml.Problem) {
	for _, p := range problems {
		fmt.Fprintln(visible{w}, p)
	}
}

// count prints a number with its noun: "1 file", "2 files"; words that are no nouns stay as they are.
func count(n int, noun string) string {
	if n != 1 && noun != "refused" {
		noun += "s"
	}
	return fmt.Sprintf("%d %s", n, noun)
}
