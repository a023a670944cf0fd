// Command reconcile makes Proxmox VE what a git repository says. main.go is the table of verbs, one file a verb; wire.go
// builds the live world they act on. The command decides nothing: it asks, and prints.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/ustclug/pve-reconcile/internal/sim/zhost"
)

// verb is one thing the program can be asked to do.
type verb struct {
	name    string
	args    string // after the name, in help
	summary string
	run     func(ctx context.Context, args []string, stdout, stderr io.Writer) int
}

// verbs is the table; help, dispatch and the nearest spelling of a wrong verb all read it.
func verbs() []verb {
	return []verb{
		{"plan", "[NAME...]", "show what would be done, as the commands an operator would type", runPlan},
		{"status", "[NAME...]", "show every object and how it stands", runStatus},
		{"events", "[NAME...]", "show what was done and what happened; --follow goes on", runEvents},
		{"trigger", "[NAME...]", "tell the daemon to look at the source now, or at some objects", runTrigger},
		{"suspend", "[NAME...] --reason TEXT", "make no steps of some objects, or of any, for a while", runSuspend},
		{"resume", "[NAME...]", "end a suspension", runResume},
		{"diff", "NAME", "show every value of a guest or node: declared, last applied, live", runDiff},
		{"watch", "[NAME...]", "show how far migrations are, until they are finished or wait for a person", runWatch},
		{"record", "NAME", "print the work record of a migration as Markdown", runRecord},
		{"why", "NAME PATH", "show where a value comes from, and what happens to it next", runWhy},
		{"ack", "[COMMIT]", "accept a rewritten history or a tree that shrank; without a commit, show what waits", runAck},
		{"hook", "install|uninstall [REPO]", "have a repository's post-receive hook call `reconcile trigger`", runHook},
		{"import", "--all | --node N | --vmid N", "read live nodes and guests into manifests", runImport},
		{"validate", "[DIR]", "check manifests offline; no config file needed", runValidate},
		{"schema", "KIND", "print the JSON Schema of a kind", runSchema},
		{"sim", "--world FILE --listen ADDR", "serve a simulated PVE host; --from-live writes the world file of a real one", runSim},
		{"copy", "SRC DST", "copy a block device: sparse, verified, resumable", runCopy},
		{"hash", "DEVICE", "hash a block device as copy does", runHash},
		{"completion", "bash|zsh|fish", "print the completions of a shell", runCompletion},
		{"version", "", "print the version", runVersion},
		{"help", "[VERB]", "print this, or the flags of a verb; --man prints the manual page", runHelp},
	}
}

// Exit codes. plan and status: 0 nothing to do, 2 changes, 3 a person is needed, 1 an error.
const (
	exitOK      = 0
	exitError   = 1
	exitChanges = 2
	exitPerson  = 3
)

func main() {
	if zhost.IsStub() {
		zhost.Stub()
	}
	collectLate()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	go func() {
		<-ctx.Done()
		stop() // a second signal ends the program at once
	}()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 || strings.HasPrefix(args[0], "-") && !isHelp(args[0]) && args[0] != "--version" {
		if slices.ContainsFunc(args, isHelp) {
			return runHelp(ctx, nil, stdout, stderr)
		}
		return runOnce(ctx, args, stdout, stderr)
	}
	if args[0] == "--version" {
		return runVersion(ctx, args[1:], stdout, stderr)
	}
	if isHelp(args[0]) {
		return runHelp(ctx, args[1:], stdout, stderr)
	}
	for _, v := range verbs() {
		if v.name == args[0] {
			return v.run(ctx, args[1:], stdout, stderr)
		}
	}
	var names []string
	for _, v := range verbs() {
		names = append(names, v.name)
	}
	return usage(stderr, "unknown verb %q%s; `reconcile help` lists them", args[0], didYouMean(args[0], names))
}

func isHelp(arg string) bool { return arg == "-h" || arg == "--help" || arg == "-help" }

// usage reports a wrong command line.
func usage(stderr io.Writer, format string, args ...any) int {
	fmt.Fprintf(stderr, "reconcile: "+format+"\n", args...)
	return exitError
}

// failed reports an error.
func failed(stderr io.Writer, err error) int {
	fmt.Fprintln(visible{stderr}, "reconcile:", err)
	return exitError
}
