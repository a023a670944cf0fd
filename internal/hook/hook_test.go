package hook

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var lines = Lines("/usr/local/bin/reconcile", "trigger", "--config", "/etc/it's/config.yaml")

func TestLines(t *testing.T) {
	want := begin + "\n(/usr/local/bin/reconcile trigger --config '/etc/it'\\''s/config.yaml' </dev/null >/dev/null 2>&1 &)\n" + end + "\n"
	if lines != want {
		t.Errorf("have %q", lines)
	}
}

func TestAddAndRemove(t *testing.T) {
	old := Lines("/opt/old/reconcile", "trigger")
	for _, c := range []struct{ before, after string }{
		{"", "#!/bin/sh\n" + lines},
		{"#!/bin/sh\n", "#!/bin/sh\n" + lines},
		{"#!/bin/sh", "#!/bin/sh\n" + lines},
		{"#!/bin/bash -e\nexec mail\n", "#!/bin/bash -e\n" + lines + "exec mail\n"},
		{"#!/usr/bin/env bash\n\nwhile read old new ref; do :; done", "#!/usr/bin/env bash\n" + lines + "\nwhile read old new ref; do :; done"},
		{"#!/bin/sh\n" + lines + "exit 0\n", "#!/bin/sh\n" + lines + "exit 0\n"},
		{"#!/bin/sh\n" + old + "exit 0\n", "#!/bin/sh\n" + lines + "exit 0\n"},
		{"#!/bin/sh\nmail\n" + old, "#!/bin/sh\n" + lines + "mail\n"},
	} {
		have, err := Add(c.before, lines)
		if err != nil || have != c.after {
			t.Errorf("%q: have %q, %v\nwant %q", c.before, have, err, c.after)
		}
		again, err := Add(have, lines)
		if err != nil || again != have {
			t.Errorf("%q: the second time gives %q, %v", c.before, again, err)
		}
		gone, err := Remove(have)
		want := strings.ReplaceAll(strings.ReplaceAll(c.before, lines, ""), old, "")
		if want == "#!/bin/sh\n" || want == "#!/bin/sh" {
			want = ""
		}
		if err != nil || gone != want {
			t.Errorf("%q: removing gives %q, %v, want %q", c.before, gone, err, want)
		}
	}
}

func TestRefused(t *testing.T) {
	for text, want := range map[string]string{
		"#!/usr/bin/python3\nprint()\n":             `it is no shell script (it begins with "#!/usr/bin/python3"); have it run the command in the background, or add these lines to it by hand:`,
		"mail\n":                                    "it is no shell script",
		"#!/bin/sh\r\nmail\r\n":                     "it has line ends of Windows",
		"#!/bin/sh\n" + begin + "\n(x)\n":           "somebody changed the lines between the marks",
		"#!/bin/sh\n" + begin + "\n" + lines + "\n": "somebody changed the lines between the marks",
	} {
		_, err := Add(text, lines)
		var refusal *Refusal
		if !errors.As(err, &refusal) || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: have %v", text, err)
		}
	}
}

func TestInstall(t *testing.T) {
	file := filepath.Join(t.TempDir(), "hooks", "post-receive")
	step := func(what string, f func() (bool, error), want bool) {
		t.Helper()
		if have, err := f(); err != nil || have != want {
			t.Errorf("%s: have %v, %v, want %v", what, have, err, want)
		}
	}
	install := func() (bool, error) { return Install(file, lines) }
	uninstall := func() (bool, error) { return Uninstall(file) }
	step("nothing to remove", uninstall, false)
	step("new", install, true)
	step("again", install, false)
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("have %v, %v", info, err)
	}
	step("removed", uninstall, true)
	if _, err := os.Stat(file); err == nil {
		t.Error("the hook is still there")
	}
	own := "#!/bin/sh\necho mine\n"
	if err := os.WriteFile(file, []byte(own), 0o750); err != nil {
		t.Fatal(err)
	}
	step("beside another", install, true)
	step("removed from beside it", uninstall, true)
	text, err := os.ReadFile(file)
	info, _ := os.Stat(file)
	if err != nil || string(text) != own || info.Mode().Perm() != 0o750 {
		t.Errorf("have %q %v, want it as it was", text, info.Mode())
	}
	step("nothing to remove from another", uninstall, false)
	left, _ := filepath.Glob(filepath.Join(filepath.Dir(file), ".*"))
	if len(left) > 0 {
		t.Errorf("have leftovers %q", left)
	}
}

func TestInstallRefuses(t *testing.T) {
	dir := t.TempDir()
	for name, c := range map[string]struct {
		make func(file string) error
		want string
	}{
		"not executable": {func(f string) error { return os.WriteFile(f, []byte("#!/bin/sh\n"), 0o644) }, "it is not executable, so git ignores it"},
		"link":           {func(f string) error { return os.Symlink("/usr/share/hook", f) }, "it is a symbolic link to /usr/share/hook"},
		"directory":      {func(f string) error { return os.Mkdir(f, 0o755) }, "it is no script"},
		"binary":         {func(f string) error { return os.WriteFile(f, []byte("\x7fELF\xff"), 0o755) }, "it is no text"},
		"python":         {func(f string) error { return os.WriteFile(f, []byte("#!/usr/bin/python3\n"), 0o755) }, "it is no shell script"},
	} {
		file := filepath.Join(dir, name)
		if err := c.make(file); err != nil {
			t.Fatal(err)
		}
		before, _ := os.ReadFile(file)
		changed, err := Install(file, lines)
		if changed || err == nil || !strings.HasPrefix(err.Error(), file+" is left alone: "+c.want) {
			t.Errorf("%s: have %v, %v", name, changed, err)
		}
		if after, _ := os.ReadFile(file); string(after) != string(before) {
			t.Errorf("%s: was changed", name)
		}
	}
}

// The hook is not waited for, reads nothing that the rest of the script reads, and fails nothing.
func TestHookRuns(t *testing.T) {
	dir := t.TempDir()
	mark, fifo := filepath.Join(dir, "mark"), filepath.Join(dir, "fifo")
	if out, err := exec.Command("mkfifo", fifo).CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	for name, command := range map[string][]string{
		"waits":   {"/bin/sh", "-c", fmt.Sprintf("read line <%s; echo $line >%s; cat >>%s", fifo, mark, mark)},
		"fails":   {"/bin/false"},
		"missing": {"/nonexistent/reconcile", "trigger"},
	} {
		file := filepath.Join(dir, name)
		text, err := Add("#!/bin/sh -e\nread first\necho \"got $first\"\n", Lines(command...))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(file)
		cmd.Stdin = strings.NewReader("one\ntwo\n")
		out, err := cmd.CombinedOutput() // ends only when nobody holds the output open any more
		if err != nil || string(out) != "got one\n" {
			t.Errorf("%s: have %q, %v", name, out, err)
		}
	}
	if err := os.WriteFile(fifo, []byte("released\n"), 0); err != nil { // waits until the command reads
		t.Fatal(err)
	}
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		text, _ := os.ReadFile(mark)
		if string(text) == "released\n" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("have %q: the command was not left running", text)
		}
	}
}
