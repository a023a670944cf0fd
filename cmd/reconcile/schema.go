package main

import (
	"context"
	"flag"
	"io"
	"strings"

	"github.com/ustclug/pve-reconcile/manifests"
	"github.com/ustclug/pve-reconcile/schema"
)

func runSchema(_ context.Context, args []string, stdout, stderr io.Writer) int {
	f := flag.NewFlagSet("schema", flag.ContinueOnError)
	words, code, done := parse(f, args, stdout, stderr)
	if done {
		return code
	}
	if len(words) != 1 {
		return usage(stderr, "schema takes one kind: %s", strings.Join(manifests.Kinds(), ", "))
	}
	text, err := schema.JSONSchema(words[0])
	if err != nil {
		return usage(stderr, "schema: %v%s", err, didYouMean(words[0], manifests.Kinds()))
	}
	if _, err := stdout.Write(text); err != nil {
		return failed(stderr, err)
	}
	return exitOK
}
