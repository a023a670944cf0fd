// Command packaging builds the Debian package from a binary and the files beside this one. It never runs what it packs.
package main

import (
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/goreleaser/nfpm/v2"
	"github.com/goreleaser/nfpm/v2/deb"
	"github.com/goreleaser/nfpm/v2/files"
)

func main() {
	binary := flag.String("binary", "", "the `file` that becomes /usr/bin/reconcile")
	version := flag.String("version", "", "of the package")
	arch := flag.String("arch", "", "Debian's `name` of the architecture")
	root := flag.String("root", "..", "`directory` of the repository")
	out := flag.String("out", "", "`directory` for the package")
	flag.Parse()
	name, err := build(*root, *binary, *version, *arch, *out)
	if err != nil {
		fmt.Fprintln(os.Stderr, "packaging:", err)
		os.Exit(1)
	}
	fmt.Println(name)
}

// build writes the package and returns its name.
func build(root, binary, version, arch, out string) (string, error) {
	if binary == "" || version == "" || arch == "" || out == "" {
		return "", fmt.Errorf("-binary, -version, -arch and -out are needed")
	}
	info, err := describe(root, binary, version, arch)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return "", err
	}
	name := filepath.Join(out, deb.Default.ConventionalFileName(info))
	f, err := os.Create(name + ".part")
	if err != nil {
		return "", err
	}
	defer f.Close()
	if err := deb.Default.Package(info, f); err != nil {
		return "", err
	}
	if err := f.Close(); err != nil {
		return "", err
	}
	return name, os.Rename(name+".part", name)
}

func describe(root, binary, version, arch string) (*nfpm.Info, error) {
	here := filepath.Join(root, "packaging")
	contents := files.Contents{
		{Source: binary, Destination: "/usr/bin/reconcile", FileInfo: mode(0o755)},
		{Destination: "/etc/pve-reconcile", Type: files.TypeDir, FileInfo: mode(0o750)},
		{Source: filepath.Join(here, "config.yaml"), Destination: "/etc/pve-reconcile/config.yaml", Type: files.TypeConfig, FileInfo: mode(0o640)},
		{Destination: "/var/lib/pve-reconcile", Type: files.TypeDir, FileInfo: mode(0o700)},
		{Source: filepath.Join(root, "LICENSE"), Destination: "/usr/share/doc/pve-reconcile/copyright", FileInfo: mode(0o644)},
	}
	for from, to := range map[string]string{
		"pve-reconcile.service":      "/lib/systemd/system/pve-reconcile.service",
		"pve-reconcile-once.service": "/lib/systemd/system/pve-reconcile-once.service",
		"pve-reconcile-once.timer":   "/lib/systemd/system/pve-reconcile-once.timer",
		"generated/reconcile.bash":   "/usr/share/bash-completion/completions/reconcile",
		"generated/reconcile.zsh":    "/usr/share/zsh/vendor-completions/_reconcile",
		"generated/reconcile.fish":   "/usr/share/fish/vendor_completions.d/reconcile.fish",
		"generated/reconcile.1":      "/usr/share/man/man1/reconcile.1",
	} {
		contents = append(contents, &files.Content{Source: filepath.Join(here, from), Destination: to, FileInfo: mode(0o644)})
	}
	docs, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil {
		return nil, err
	}
	readmes, err := filepath.Glob(filepath.Join(root, "README*.md"))
	if err != nil {
		return nil, err
	}
	for _, doc := range append(docs, readmes...) {
		contents = append(contents, &files.Content{Source: doc, Destination: "/usr/share/doc/pve-reconcile/" + filepath.Base(doc), FileInfo: mode(0o644)})
	}
	info := nfpm.WithDefaults(&nfpm.Info{
		Name: "pve-reconcile", Arch: arch, Version: version, VersionSchema: "none", Section: "admin", Priority: "optional",
		Maintainer: maintainer(os.Getenv), Homepage: "https://github.com/ustclug/pve-reconcile", License: "Apache-2.0",
		Description: strings.Join([]string{
			"GitOps for Proxmox VE without Kubernetes",
			"Keeps guests, nodes and migrations of Proxmox VE as manifests in a git",
			"repository say: by a daemon, or by a pass now and then.",
		}, "\n"),
		MTime: time.Now(),
		Overridables: nfpm.Overridables{
			Contents: contents, Depends: []string{"procps"}, Recommends: []string{"ca-certificates"}, Suggests: []string{"git", "bash-completion"}, Umask: 0o022,
			Scripts: nfpm.Scripts{PostInstall: filepath.Join(here, "postinst"), PreRemove: filepath.Join(here, "prerm"), PostRemove: filepath.Join(here, "postrm")},
		},
	})
	if err := nfpm.PrepareForPackager(info, "deb"); err != nil {
		return nil, err
	}
	return info, nil
}

// maintainer is who answers for the package, in the variables of Debian's own tools: whoever builds it for others sets them. The
// address otherwise is root's where it is installed, which is at least somebody's.
func maintainer(env func(string) string) string {
	name, address := env("DEBFULLNAME"), env("DEBEMAIL")
	if address == "" {
		address = "root@localhost"
	}
	if name == "" {
		name = "whoever built this package"
	}
	return name + " <" + address + ">"
}

func mode(m fs.FileMode) *files.ContentFileInfo {
	return &files.ContentFileInfo{Mode: m, Owner: "root", Group: "root", MTime: time.Now()}
}
