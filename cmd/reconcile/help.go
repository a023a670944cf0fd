package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"strings"
	"text/tabwriter"

	"github.com/ustclug/pve-reconcile/internal/config"
)

func runHelp(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if _, flagsOnly := stdout.(*flagSink); flagsOnly {
		return exitOK
	}
	if len(args) > 0 && args[0] == "--man" {
		man(stdout, verbs())
		return exitOK
	}
	if len(args) > 0 {
		if args[0] == "once" || args[0] == "--once" {
			return runOnce(ctx, []string{"--help"}, stdout, stderr)
		}
		for _, v := range verbs() {
			if v.name == args[0] && v.name != "help" {
				return v.run(ctx, []string{"--help"}, stdout, stderr)
			}
		}
	}
	fmt.Fprint(stdout, "reconcile makes Proxmox VE what a git repository says.\n\n")
	t := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "  reconcile\tthe daemon: follow the repository, and keep everything as it says")
	fmt.Fprintln(t, "  reconcile --once [NAME...]\tone pass: make it so, print what was done; quiet when nothing changed")
	for _, v := range verbs() {
		fmt.Fprintf(t, "  reconcile %s\t%s\n", strings.TrimSpace(v.name+" "+v.args), v.summary)
	}
	_ = t.Flush()
	fmt.Fprint(stdout, `
Exit codes
  plan, status, diff: 0 nothing to do, 2 changes, 3 something is blocked and needs a person, 1 error
  --once:       0 in sync afterwards, 3 blocked or restart needed, 1 error
  import:       0 done, 2 with --check: files would be written, 3 something is refused and needs a person, 1 error
  validate:     0 sound, 1 problems

The config file is `+config.DefaultFile+`, or the one named with --config.
`)
	return exitOK
}

func runVersion(_ context.Context, args []string, stdout, stderr io.Writer) int {
	f := flag.NewFlagSet("version", flag.ContinueOnError)
	var output string
	outputFlag(f, &output)
	if _, code, done := parse(f, args, stdout, stderr); done {
		return code
	}
	if output == "json" {
		if err := json.NewEncoder(stdout).Encode(map[string]string{"version": version(), "os": runtime.GOOS, "arch": runtime.GOARCH, "go": runtime.Version()}); err != nil {
			return failed(stderr, err)
		}
		return exitOK
	}
	fmt.Fprintf(stdout, "reconcile %s %s/%s %s\n", version(), runtime.GOOS, runtime.GOARCH, runtime.Version())
	return exitOK
}

// release is set by the build of a release.
var release string

func version() string {
	if release != "" {
		return release
	}
	if b, ok := debug.ReadBuildInfo(); ok && b.Main.Version != "" {
		return b.Main.Version
	}
	return "(devel)"
}
