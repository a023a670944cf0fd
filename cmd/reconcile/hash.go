package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"

	"github.com/ustclug/pve-reconcile/internal/blockcopy"
)

const hashUsage = `usage: reconcile hash DEVICE [flags]

Reads a block device or raw file, and prints its hash: the one that reconcile copy prints of the same bytes. Holes
are not read. A path below /dev/zvol is taken as a dataset name, and the kernel is asked for its device.

Exit code: 0 hashed, 1 refused, failed or wrong usage.

flags:
`

// runHash is the verb hash.
func runHash(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	r := blockcopy.Reading{}
	set := flag.NewFlagSet("hash", flag.ContinueOnError)
	set.SetOutput(io.Discard)
	set.Var((*byteSize)(&r.Rate), "rate", "read at most this many `bytes` a second, such as 200MiB/s")
	set.IntVar(&r.Workers, "workers", 0, "`number` of parallel readers (default 4)")
	set.Var((*byteSize)(&r.Size), "size", "refuse unless DEVICE has exactly this many `bytes`")
	set.Var((*byteSize)(&r.First), "first", "hash only so many `bytes` from the start on: what a copy of a smaller device wrote")
	set.Var((*byteSize)(&r.Leaf), "leaf", "`bytes` hashed at a time, a multiple of 1MiB; hashes of different leaves differ (default: what copy takes)")
	set.BoolVar(&r.Buffered, "buffered", false, "read through the page cache instead of direct I/O")
	set.BoolVar(&r.IgnoreHoles, "ignore-holes", false, "read holes too: do not trust the file system's map of them")
	progress := set.String("progress", "auto", "`style` of the progress on standard error: bar, lines, json, none, or auto (bar on a terminal, else a line every 30 s)")
	output := set.String("o", "text", "`format` of the result on standard output: text or json")
	paths, err := parseMixed(set, args)
	if errors.Is(err, flag.ErrHelp) && caught(stdout, set) {
		return exitOK
	}
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(stdout, hashUsage)
		set.SetOutput(stdout)
		set.PrintDefaults()
		return 0
	}
	switch {
	case err != nil:
	case len(paths) != 1:
		err = fmt.Errorf("needs one DEVICE, have %d arguments; see reconcile hash --help", len(paths))
	case *output != "text" && *output != "json":
		err = fmt.Errorf("-o %s is neither text nor json", *output)
	case !strings.Contains(" auto bar lines json none ", " "+*progress+" "):
		err = fmt.Errorf("--progress=%s is not auto, bar, lines, json or none", *progress)
	}
	if err == nil {
		r.Path = paths[0]
		r.OnProgress, r.ProgressEvery = progressPrinter(*progress, stderr)
		err = hashAndPrint(ctx, r, *output, stdout)
	}
	if errors.Is(err, context.Canceled) {
		err = errors.New("interrupted")
	}
	if err != nil {
		fmt.Fprintf(stderr, "reconcile hash: %v\n", err)
		return exitError
	}
	return exitOK
}

func hashAndPrint(ctx context.Context, r blockcopy.Reading, output string, stdout io.Writer) error {
	h, err := blockcopy.Hash(ctx, r)
	if err != nil {
		return err
	}
	if output == "json" {
		return json.NewEncoder(stdout).Encode(h)
	}
	_, err = fmt.Fprintf(stdout, "%s  %s\n", h.Tree, r.Path)
	return err
}
