package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/ustclug/pve-reconcile/internal/config"
	"github.com/ustclug/pve-reconcile/internal/hook"
	"github.com/ustclug/pve-reconcile/internal/source"
)

// runHook puts `reconcile trigger` into the post-receive hook of a repository on this machine, or takes it out.
func runHook(_ context.Context, args []string, stdout, stderr io.Writer) int {
	f := flag.NewFlagSet("hook", flag.ContinueOnError)
	file := f.String("config", config.DefaultFile, "config `file` that the hook names")
	words, code, done := parse(f, args, stdout, stderr)
	if done {
		return code
	}
	if len(words) == 0 || len(words) > 2 || words[0] != "install" && words[0] != "uninstall" {
		return usage(stderr, "hook takes install or uninstall, and the directory of a repository; without one it is source.url of the config file")
	}
	conf, err := filepath.Abs(*file)
	if err != nil {
		return failed(stderr, err)
	}
	repo, err := hookRepository(words[1:], conf)
	if err != nil {
		return failed(stderr, err)
	}
	at, shared, err := source.PostReceive(repo)
	if err != nil {
		return failed(stderr, err)
	}
	lines, err := hookLines(conf)
	if err != nil {
		return failed(stderr, err)
	}
	if words[0] == "uninstall" {
		changed, err := hook.Uninstall(at)
		return sayHook(stdout, stderr, changed, err, "removed from "+at, "there is nothing of reconcile in "+at)
	}
	if shared != "" {
		return failed(stderr, fmt.Errorf("%s: core.hooksPath is %s: git runs the hooks there, which other repositories may use too; add these lines to its post-receive by hand:\n%s", repo, shared, lines))
	}
	changed, err := hook.Install(at, lines)
	return sayHook(stdout, stderr, changed, err,
		"installed in "+at+"\nThe account that receives pushes has to be able to use the daemon's socket: see socket.group in docs/config.md",
		"already installed in "+at)
}

func sayHook(stdout, stderr io.Writer, changed bool, err error, did, nothing string) int {
	switch {
	case err != nil:
		return failed(stderr, err)
	case changed:
		fmt.Fprintln(stdout, did)
	default:
		fmt.Fprintln(stdout, nothing)
	}
	return exitOK
}

// hookRepository is the repository that was named, or the one that the config file follows.
func hookRepository(words []string, file string) (string, error) {
	if len(words) == 1 {
		return words[0], nil
	}
	conf, err := loadConfig(file)
	if err != nil {
		return "", err
	}
	at, err := config.ParseLocation(conf.Source.URL)
	if err != nil {
		return "", err
	}
	if at.Transport != config.Local {
		return "", errors.New("source.url is on another machine, where a hook cannot reach the daemon's socket: use a webhook (docs/source.md)")
	}
	return at.Path, nil
}

// hookLines are what the hook runs.
func hookLines(file string) (string, error) {
	program, err := os.Executable()
	if err != nil {
		return "", err
	}
	command := []string{program, "trigger"}
	if file != config.DefaultFile {
		command = append(command, "--config", file)
	}
	return hook.Lines(command...), nil
}
