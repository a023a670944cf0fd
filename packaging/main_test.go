package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// entry is one file of a package.
type entry struct {
	mode fs.FileMode
	text string
}

// unpack reads a member of a .deb, which is a tar in an ar.
func unpack(t *testing.T, deb, member string) map[string]entry {
	t.Helper()
	text, err := os.ReadFile(deb)
	if err != nil {
		t.Fatal(err)
	}
	for text = bytes.TrimPrefix(text, []byte("!<arch>\n")); len(text) >= 60; {
		name := strings.TrimRight(string(text[:16]), " /")
		size, err := strconv.Atoi(strings.TrimSpace(string(text[48:58])))
		if err != nil {
			t.Fatal(err)
		}
		if name != member {
			text = text[60+size+size%2:]
			continue
		}
		z, err := gzip.NewReader(bytes.NewReader(text[60 : 60+size]))
		if err != nil {
			t.Fatal(err)
		}
		out := map[string]entry{}
		for r := tar.NewReader(z); ; {
			h, err := r.Next()
			if err == io.EOF {
				return out
			}
			if err != nil {
				t.Fatal(err)
			}
			if h.Uid != 0 || h.Gid != 0 {
				t.Errorf("%s belongs to %d:%d", h.Name, h.Uid, h.Gid)
			}
			body, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			out[strings.Trim(strings.TrimPrefix(h.Name, "."), "/")] = entry{h.FileInfo().Mode(), string(body)}
		}
	}
	t.Fatalf("%s has no %s", deb, member)
	return nil
}

func TestPackage(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("DEBFULLNAME", "Ann")
	t.Setenv("DEBEMAIL", "ann@example.org")
	binary := filepath.Join(dir, "reconcile")
	if err := os.WriteFile(binary, []byte("a program"), 0o600); err != nil {
		t.Fatal(err)
	}
	deb, err := build("..", binary, "1.2.3", "amd64", dir)
	if err != nil || filepath.Base(deb) != "pve-reconcile_1.2.3_amd64.deb" {
		t.Fatal(deb, err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*.part")); left != nil {
		t.Errorf("left behind: %v", left)
	}
	control := unpack(t, deb, "control.tar.gz")
	for _, line := range []string{"Package: pve-reconcile", "Version: 1.2.3", "Architecture: amd64", "Maintainer: Ann <ann@example.org>", "Depends: procps", "Section: admin"} {
		if !strings.Contains("\n"+control["control"].text, "\n"+line+"\n") {
			t.Errorf("control lacks %q:\n%s", line, control["control"].text)
		}
	}
	if got := strings.TrimSpace(control["conffiles"].text); got != "/etc/pve-reconcile/config.yaml" {
		t.Errorf("conffiles: %q: an upgrade overwrites what somebody wrote", got)
	}
	for _, script := range []string{"postinst", "prerm", "postrm"} {
		if control[script].mode.Perm() != 0o755 || !strings.HasPrefix(control[script].text, "#!/bin/sh\nset -e\n") {
			t.Errorf("%s: %v %.30q", script, control[script].mode, control[script].text)
		}
	}
	data := unpack(t, deb, "data.tar.gz")
	for name, mode := range map[string]fs.FileMode{
		"usr/bin/reconcile": 0o755, "etc/pve-reconcile": fs.ModeDir | 0o750, "etc/pve-reconcile/config.yaml": 0o640, "var/lib/pve-reconcile": fs.ModeDir | 0o700,
		"lib/systemd/system/pve-reconcile.service": 0o644, "lib/systemd/system/pve-reconcile-once.service": 0o644, "lib/systemd/system/pve-reconcile-once.timer": 0o644,
		"usr/share/bash-completion/completions/reconcile": 0o644, "usr/share/zsh/vendor-completions/_reconcile": 0o644,
		"usr/share/fish/vendor_completions.d/reconcile.fish": 0o644, "usr/share/doc/pve-reconcile/copyright": 0o644,
		"usr/share/doc/pve-reconcile/config.md": 0o644, "usr/share/doc/pve-reconcile/README.md": 0o644,
	} {
		if have, ok := data[name]; !ok || have.mode != mode {
			t.Errorf("%s: %v, want %v", name, have.mode, mode)
		}
	}
	if data["usr/bin/reconcile"].text != "a program" {
		t.Errorf("the program is %q", data["usr/bin/reconcile"].text)
	}
	if man, ok := data["usr/share/man/man1/reconcile.1"]; !ok || !strings.Contains(man.text, ".TH") {
		t.Errorf("the manual page: %.40q", man.text)
	}
	for name := range data { // a secret, a test, a program of ours that is no part of it
		if !strings.HasPrefix(name, "usr") && !strings.HasPrefix(name, "etc") && !strings.HasPrefix(name, "var") && !strings.HasPrefix(name, "lib") && name != "" {
			t.Errorf("%s is in the package", name)
		}
	}
}

// Both units run one program with the same rights, and whatever they name is in the package.
func TestUnits(t *testing.T) {
	of := map[string]string{}
	for _, name := range []string{"pve-reconcile.service", "pve-reconcile-once.service"} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), "\nExecStart=/usr/bin/reconcile") || !strings.Contains(string(text), "\nStateDirectory=pve-reconcile\n") {
			t.Errorf("%s starts something else", name)
		}
		rest, _, _ := strings.Cut(string(text), "\n[Install]")
		_, hardening, ok := strings.Cut(rest, "\nCapabilityBoundingSet=")
		if !ok {
			t.Fatalf("%s bounds no capabilities", name)
		}
		of[name] = strings.TrimSpace(hardening)
		for _, want := range []string{
			"NoNewPrivileges=yes", "ProtectSystem=strict", "ProtectHome=read-only", "PrivateTmp=yes", "ProtectKernelTunables=yes", "ProtectKernelModules=yes",
			"RestrictNamespaces=yes", "MemoryDenyWriteExecute=yes", "SystemCallFilter=@system-service",
		} {
			if !strings.Contains(hardening, "\n"+want) {
				t.Errorf("%s lacks %s", name, want)
			}
		}
	}
	if of["pve-reconcile.service"] != of["pve-reconcile-once.service"] {
		t.Errorf("the units may do different things:\n%s\n\n%s", of["pve-reconcile.service"], of["pve-reconcile-once.service"])
	}
}

// An address that nobody reads is worse than none.
func TestMaintainer(t *testing.T) {
	for env, want := range map[string]string{
		"": "whoever built this package <root@localhost>", "DEBEMAIL=a@example.org": "whoever built this package <a@example.org>",
		"DEBFULLNAME=Ann": "Ann <root@localhost>",
	} {
		key, value, _ := strings.Cut(env, "=")
		have := maintainer(func(k string) string {
			if k == key {
				return value
			}
			return ""
		})
		if have != want || !regexp.MustCompile(`^[^<>]+ <[^<> ]+@[^<> ]+>$`).MatchString(have) {
			t.Errorf("%s: %s", fmt.Sprintf("%q", env), have)
		}
	}
}
