package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestGeneratedFilesAreFresh: the package ships what the table of verbs says.
func TestGeneratedFilesAreFresh(t *testing.T) {
	for name, args := range map[string][]string{
		"reconcile.bash": {"completion", "bash"}, "reconcile.zsh": {"completion", "zsh"}, "reconcile.fish": {"completion", "fish"},
		"reconcile.1": {"help", "--man"},
	} {
		var want bytes.Buffer
		if code := run(t.Context(), args, &want, os.Stderr); code != exitOK {
			t.Fatalf("%v ends with %d", args, code)
		}
		have, err := os.ReadFile(filepath.Join("..", "..", "packaging", "generated", name))
		if err != nil || !bytes.Equal(have, want.Bytes()) {
			t.Errorf("packaging/generated/%s is stale (%v): run `make generate` and commit", name, err)
		}
	}
}

// TestEveryVerbTellsItsFlags: a verb whose flags nobody finds has none in the manual.
func TestEveryVerbTellsItsFlags(t *testing.T) {
	without := map[string]bool{"help": true, "completion": true, "schema": true}
	for _, v := range verbs() {
		if got := options(v.run); len(got) == 0 && !without[v.name] {
			t.Errorf("%s: no flags were found", v.name)
		}
	}
}

// TestBashCompletes asks a real bash.
func TestBashCompletes(t *testing.T) {
	script, err := filepath.Abs(filepath.Join("..", "..", "packaging", "generated", "reconcile.bash"))
	if err != nil {
		t.Fatal(err)
	}
	for line, want := range map[string]string{
		"reconcile pl":                  "plan",
		"reconcile --on":                "--once",
		"reconcile plan --log-level de": "debug",
		"reconcile schema N":            "Node",
		"reconcile copy --verif":        "--verify",
		"reconcile --config x status -": "--config",
	} {
		words := strings.Fields(line)
		cmd := exec.Command("bash", "-c", `. "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _reconcile; echo "${COMPREPLY[@]}"`, script)
		cmd.Args = append(cmd.Args, words...)
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(" "+strings.TrimSpace(string(out))+" ", " "+want+" ") {
			t.Errorf("%q: %q %v, want %q", line, out, err, want)
		}
	}
}
