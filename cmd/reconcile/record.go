package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"time"

	"github.com/ustclug/pve-reconcile/reconciler/migration"
	"github.com/ustclug/pve-reconcile/schema"
)

// runRecord prints the work record of a migration as Markdown, also while it goes on.
func runRecord(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	f := flag.NewFlagSet("record", flag.ContinueOnError)
	var c common
	c.register(f)
	words, code, done := parse(f, args, stdout, stderr)
	if done {
		return code
	}
	if len(words) != 1 {
		return usage(stderr, "record needs the name of one migration")
	}
	p, err := assemble(c, stderr)
	if err == nil {
		err = p.read(ctx, objectNames(words))
	}
	if err != nil {
		return failed(stderr, err)
	}
	r := p.reconciler.Plan(ctx, p.input)
	for _, o := range r.Objects {
		if o.Kind != schema.KindMigration {
			continue
		}
		entries, err := p.reconciler.Moves.Record(o.Name)
		if err != nil {
			return failed(stderr, err)
		}
		if c.output == "json" {
			if err := encode(stdout, append([]migration.Entry{}, entries...)); err != nil {
				return failed(stderr, err)
			}
			return exitOK
		}
		if o.Migration == nil {
			return failed(stderr, o.Err)
		}
		m, _ := p.input.Set.Migration(o.Name)
		guest, _ := p.input.Set.VM(m.Spec.Target.VirtualMachine)
		fmt.Fprint(stdout, migration.Record(m, guest, *o.Migration, entries, time.Local))
		return exitOK
	}
	return failed(stderr, fmt.Errorf("no manifest declares a migration %q", words[0]))
}
