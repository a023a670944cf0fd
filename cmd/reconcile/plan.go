package main

import (
	"context"
	"flag"
	"io"

	"github.com/ustclug/pve-reconcile/reconciler"
)

func runPlan(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	return look(ctx, "plan", args, stdout, stderr, printPlan)
}

// look makes a pass that changes nothing, and prints what it found.
func look(ctx context.Context, name string, args []string, stdout, stderr io.Writer, show func(io.Writer, *program, reconciler.Report)) int {
	f := flag.NewFlagSet(name, flag.ContinueOnError)
	var c common
	c.register(f)
	words, code, done := parse(f, args, stdout, stderr)
	if done {
		return code
	}
	p, err := assemble(c, stderr)
	if err == nil {
		err = p.read(ctx, objectNames(words))
	}
	if err != nil {
		return failed(stderr, err)
	}
	noted := make(chan string, 1)
	go func() { noted <- p.uncommitted(ctx) }() // while hosts are asked
	r := p.reconciler.Plan(ctx, p.input)
	if ctx.Err() != nil {
		return usage(stderr, "stopped")
	}
	if note := <-noted; note != "" {
		r.Notes = append(r.Notes, note)
	}
	if c.output == "json" {
		if err := printJSON(stdout, p, r); err != nil {
			return failed(stderr, err)
		}
	} else {
		show(stdout, p, r)
	}
	return r.ExitCode()
}
