// bench-copy measures internal/blockcopy against dd, cp and qemu-img, prints tables, and says which rows were lost.
// It changes nothing but files it makes itself, in a directory of its own below -dir, which it removes.
//
// What is measured: wall time from the start of a tool until its target is on the medium. Tools that do not flush are
// flushed by the benchmark within the measured time, because the disk of a VM that a power cut takes back is not a
// copy; the column "exit" is when the tool itself returned. Each tool is given a target that reads as zeros, the way
// a new zvol does, and the result of the first round is compared with the source.
//
// "hot" is a source whose bytes (for a loop device: whose file's bytes) are all in the page cache, "cold" one of
// which nothing is. Rounds go through all tools before they begin again, so that a slow minute of the machine hits
// all of them, and the median is printed.
//
// Rows that have been lost, on a machine with 2 cores and a load of 4 to 10 (docs/copy.md has the tables):
//
//   - Inline hashing of hot files. BLAKE3 takes 0.3 s of processor time per GB of data, which needs a free core to
//     disappear behind the reading.
//   - All zeros, hot. Nothing is written and nothing comes from the disk: it is a race of processor time for copying out
//     of the page cache and looking for zeros, 0.30 s of it here per 2 GiB against 0.18 s of dd, whose one buffer stays in
//     the processor's cache. Zeros are not hashed, so that verification adds nothing here.
//   - Random data, hot files, in a single round in which inline hashing, which does more, was faster and won. Three rounds
//     on the same machine, under more load, were won by far: buffered tools competed for a full page cache.
//   - Loop devices, cold, in a single round in which inline hashing, which does more, was faster: not explained.
//   - Delta over files lost to reading both, 1.2 to 1.8, while both read into scattered pages: comparing competes
//     with completing the reads for the processor, and the program that only reads slowed down as much when it was made
//     to compare. The copier now reads into huge pages (see blockcopy's buffers); the program it is compared with does not.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

func main() {
	dir := flag.String("dir", os.TempDir(), "`directory` for the files: not tmpfs, with five times -size free")
	size := flag.Int64("size", 4<<30, "`bytes` of the devices compared")
	most := flag.Int64("most", 16<<30, "`bytes` of the largest device of the table of linear cost; 0: no such table")
	rounds := flag.Int("rounds", 3, "`times` each tool runs; the median is printed")
	only := flag.String("only", "", "`table` to make: mixed, delta, zero, random or linear (default all)")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *dir, *size, *most, *rounds, *only); err != nil {
		fmt.Fprintln(os.Stderr, "bench-copy:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, parent string, size, most int64, rounds int, only string) (err error) {
	dir, err := os.MkdirTemp(parent, "bench-copy-")
	if err != nil {
		return err
	}
	b := &bench{dir: dir, rounds: max(rounds, 1)}
	defer func() { err = errors.Join(err, b.close(), os.RemoveAll(dir)) }()
	b.tools = tools()
	wanted := func(table string) bool { return only == "" || only == table }

	if wanted("mixed") || wanted("delta") {
		source := filepath.Join(dir, "mixed")
		if err := paint(source, size, mixed); err != nil {
			return err
		}
		for _, on := range []string{"files", "loop devices"} {
			if wanted("mixed") {
				for _, cache := range []string{"hot", "cold"} {
					title := fmt.Sprintf("%s, cache %s, 45%% data, 20%% zeros written, 35%% holes", on, cache)
					if err := b.table(ctx, title, source, on == "loop devices", cache == "hot"); err != nil {
						return err
					}
				}
			}
			if wanted("delta") {
				if err := b.delta(ctx, on, source, on == "loop devices"); err != nil {
					return err
				}
			}
		}
		if err := os.Remove(source); err != nil {
			return err
		}
	}
	for name, layout := range map[string]layout{"zero": allZero, "random": allData} {
		if !wanted(name) {
			continue
		}
		source := filepath.Join(dir, name)
		if err := paint(source, size, layout); err != nil {
			return err
		}
		for _, cache := range []string{"hot", "cold"} {
			if err := b.table(ctx, "files, cache "+cache+", all "+name, source, false, cache == "hot"); err != nil {
				return err
			}
		}
		if err := os.Remove(source); err != nil {
			return err
		}
	}
	if wanted("linear") && most > 0 {
		return b.linear(ctx, most)
	}
	return nil
}
