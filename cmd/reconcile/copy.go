package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/ustclug/pve-reconcile/internal/blockcopy"
	"github.com/ustclug/pve-reconcile/internal/zfs"
)

const copyUsage = `usage: reconcile copy SRC DST [flags]

Copies a block device or raw file into another one of at least its size, and proves the result. Holes and zeros
are not copied. DST must exist; it is never created, resized or written beyond the size of SRC. A path below
/dev/zvol is taken as a dataset name, and the kernel is asked for its device.

Exit code: 0 copied (and verified), 1 refused, failed or wrong usage.

flags:
`

// copyFlags is what the command line of copy says.
type copyFlags struct {
	job        blockcopy.Job
	checkpoint string
	progress   string
	output     string
}

// runCopy is the verb copy.
func runCopy(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	f, err := parseCopy(args, stdout)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		fmt.Fprintf(stderr, "reconcile copy: %v\n", err)
		return exitError
	}
	if f.checkpoint != "" {
		f.job.Checkpoint = checkpoints(f.checkpoint)
	}
	f.job.OnProgress, f.job.ProgressEvery = progressPrinter(f.progress, stderr)
	result, err := blockcopy.Copy(ctx, f.job)
	if errors.Is(err, context.Canceled) {
		fmt.Fprintf(stderr, "reconcile copy: interrupted%s\n", copyHint(f))
		return 1
	}
	if err != nil {
		fmt.Fprintf(stderr, "reconcile copy: %v\n", err)
		return 1
	}
	if f.output == "json" {
		if err := json.NewEncoder(stdout).Encode(result); err != nil {
			fmt.Fprintf(stderr, "reconcile copy: %v\n", err)
			return 1
		}
		return 0
	}
	fmt.Fprint(stdout, copyReport(result))
	return 0
}

// checkpoints is where the flag says that progress is kept.
func checkpoints(where string) blockcopy.Checkpoints {
	if dataset, ok := strings.CutPrefix(where, "zfs:"); ok {
		return zfs.CheckpointHere(dataset)
	}
	return blockcopy.CheckpointFile(where)
}

// copyHint says how to go on after an interruption.
func copyHint(f copyFlags) string {
	if f.checkpoint == "" {
		return "; without --checkpoint the next run starts over (--delta --ours writes only what differs)"
	}
	if _, err := os.Stat(f.checkpoint); err != nil && !strings.HasPrefix(f.checkpoint, "zfs:") {
		return " before the first checkpoint"
	}
	return "; run the same command again to continue"
}

func parseCopy(args []string, stdout io.Writer) (copyFlags, error) {
	f := copyFlags{}
	set := flag.NewFlagSet("copy", flag.ContinueOnError)
	set.SetOutput(io.Discard)
	j := &f.job
	verify := set.String("verify", "full", "`how` to prove the copy: full reads DST back past the page cache and compares, inline only hashes SRC as it is read, none")
	set.BoolVar(&j.Delta, "delta", false, "read DST too, and write only what differs")
	set.BoolVar(&j.FreshTarget, "fresh", false, "DST is known to read as zeros (a new zvol): write no zeros")
	set.BoolVar(&j.Ours, "ours", false, "DST may hold a file system, partition table or the like: overwrite it")
	set.BoolVar(&j.Scan, "scan", false, "read all of SRC first, and refuse before the first write if a part cannot be read")
	set.Var((*byteSize)(&j.Rate), "rate", "read at most this many `bytes` a second, such as 200MiB/s")
	set.IntVar(&j.Workers, "workers", 0, "`number` of parallel readers and writers (default 4)")
	set.StringVar(&f.checkpoint, "checkpoint", "", "keep the progress in this `file`, or with zfs:DATASET in a user property, and continue from it when it exists")
	set.BoolVar(&j.Restart, "restart", false, "with --delta: start over when the checkpoint cannot be continued, instead of refusing")
	set.Var((*byteSize)(&j.Interval), "checkpoint-every", "`bytes` between checkpoints (default 256MiB); at least every 10 s in any case")
	set.StringVar(&j.SourceID, "source-id", "", "`identity` of SRC in the checkpoint, such as a dataset guid (default: what the machine knows)")
	set.StringVar(&j.TargetID, "target-id", "", "`identity` of DST in the checkpoint")
	set.Var((*byteSize)(&j.SourceSize), "source-size", "refuse unless SRC has exactly this many `bytes`")
	set.Var((*byteSize)(&j.TargetSize), "target-size", "refuse unless DST has exactly this many `bytes`")
	set.BoolVar(&j.Buffered, "buffered", false, "copy through the page cache instead of direct I/O")
	set.BoolVar(&j.IgnoreHoles, "ignore-holes", false, "read holes too: do not trust the file system's map of them")
	set.StringVar(&f.progress, "progress", "auto", "`style` of the progress on standard error: bar, lines, json, none, or auto (bar on a terminal, else a line every 30 s)")
	set.StringVar(&f.output, "o", "text", "`format` of the result on standard output: text or json")

	paths, err := parseMixed(set, args)
	if errors.Is(err, flag.ErrHelp) && caught(stdout, set) {
		return f, err
	}
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(stdout, copyUsage)
		set.SetOutput(stdout)
		set.PrintDefaults()
		return f, err
	}
	j.Verify = blockcopy.Verify(*verify)
	switch {
	case err != nil:
	case len(paths) != 2:
		err = fmt.Errorf("needs SRC and DST, have %d arguments; see reconcile copy --help", len(paths))
	case f.output != "text" && f.output != "json":
		err = fmt.Errorf("-o %s is neither text nor json", f.output)
	case !strings.Contains(" auto bar lines json none ", " "+f.progress+" "):
		err = fmt.Errorf("--progress=%s is not auto, bar, lines, json or none", f.progress)
	case j.Restart && !j.Delta:
		err = errors.New("--restart needs --delta: what an earlier run left in DST is not known")
	case *verify != "full" && *verify != "inline" && *verify != "none":
		err = fmt.Errorf("--verify=%s is not full, inline or none", *verify)
	case j.Workers < 0 || j.Workers > blockcopy.MaxWorkers:
		err = fmt.Errorf("--workers=%d is not between 1 and %d", j.Workers, blockcopy.MaxWorkers)
	default:
		j.Source, j.Target = paths[0], paths[1]
	}
	return f, err
}

// parseMixed lets flags stand before, between and behind the arguments.
func parseMixed(set *flag.FlagSet, args []string) (rest []string, err error) {
	for {
		if err := set.Parse(args); err != nil {
			return nil, err
		}
		if set.NArg() == 0 {
			return rest, nil
		}
		// After "--" everything is an argument.
		if before := len(args) - set.NArg() - 1; before >= 0 && args[before] == "--" {
			return append(rest, set.Args()...), nil
		}
		rest, args = append(rest, set.Arg(0)), set.Args()[1:]
	}
}

// byteSize is a flag of bytes: a number with an optional unit (KiB, MiB, GiB, TiB; K, M, G, T mean the same; KB, MB, GB,
// TB are powers of 1000) and an optional "/s".
type byteSize int64

func (b *byteSize) String() string {
	if *b == 0 {
		return ""
	}
	return strconv.FormatInt(int64(*b), 10)
}

func (b *byteSize) Set(text string) error {
	number := strings.TrimSuffix(text, "/s")
	digits := strings.TrimRight(number, "KMGTiBkmgtb ")
	unit := strings.ToLower(strings.TrimSpace(number[len(digits):]))
	scale, ok := map[string]float64{
		"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40,
		"kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40, "kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12,
	}[unit]
	value, err := strconv.ParseFloat(digits, 64)
	if !ok || err != nil || !(value*scale >= 1) || value*scale >= 1<<62 {
		return fmt.Errorf("want bytes such as 200MiB, have %q", text)
	}
	*b = byteSize(value * scale)
	return nil
}
