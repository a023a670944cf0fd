package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// bench makes the tables.
type bench struct {
	dir    string
	rounds int
	tools  []tool
	loops  []string // attached
}

func (b *bench) close() error {
	var errs []error
	for _, device := range b.loops {
		errs = append(errs, detach(device))
	}
	b.loops = nil
	return errors.Join(errs...)
}

// sample is one run of one tool.
type sample struct {
	seconds, exit, cpu float64
	target             int64 // bytes the target takes
	wrong              error
}

// table compares all tools over one source.
func (b *bench) table(ctx context.Context, title, source string, loop, hot bool) error {
	info, err := os.Stat(source)
	if err != nil {
		return err
	}
	size := info.Size()
	fmt.Printf("\n%s, %.1f GiB\n", title, float64(size)/(1<<30))
	samples := map[string][]sample{}
	for round := range b.rounds {
		for _, t := range b.tools {
			s, err := b.once(ctx, t, source, size, loop, hot, round == 0)
			if err != nil {
				return err
			}
			samples[t.name] = append(samples[t.name], s)
		}
	}
	b.print(samples, size)
	return nil
}

// once runs one tool over a new target, and checks what it made if asked to.
func (b *bench) once(ctx context.Context, t tool, source string, size int64, loop, hot, check bool) (s sample, err error) {
	target := filepath.Join(b.dir, "target")
	if err := blank(target, size); err != nil {
		return s, err
	}
	from, to := source, target
	if loop {
		if from, err = attach(source); err != nil {
			return s, err
		}
		b.loops = append(b.loops, from)
		if to, err = attach(target); err != nil {
			return s, err
		}
		b.loops = append(b.loops, to)
		defer func() { err = errors.Join(err, b.close()) }()
	}
	unix.Sync() // what earlier runs left to write is not this one's
	prepare := cool
	if hot {
		prepare = heat
	}
	if err := prepare(source); err != nil {
		return s, err
	}
	cpu, began := cpuSeconds(), time.Now()
	s.wrong = t.run(ctx, from, to)
	s.exit = time.Since(began).Seconds()
	if s.wrong == nil {
		s.wrong = flush(to)
	}
	if loop && s.wrong == nil {
		s.wrong = flush(target)
	}
	s.seconds, s.cpu = time.Since(began).Seconds(), cpuSeconds()-cpu
	if ctx.Err() != nil {
		return s, ctx.Err()
	}
	s.target = occupied(target)
	if s.wrong == nil && check {
		s.wrong = compare(from, to)
	}
	return s, nil
}

// compare says whether two files or devices hold the same.
func compare(a, b string) error {
	if out, err := exec.Command("cmp", a, b).CombinedOutput(); err != nil {
		return fmt.Errorf("wrong copy: %s", firstLine(string(out), err))
	}
	return nil
}

// cpuSeconds is what this process and its ended children used. The kernel's own threads (writeback, loop) are not in it.
func cpuSeconds() float64 {
	total := 0.0
	for _, who := range []int{unix.RUSAGE_SELF, unix.RUSAGE_CHILDREN} {
		var u unix.Rusage
		if unix.Getrusage(who, &u) == nil {
			total += float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
		}
	}
	return total
}

// median is the sample in the middle by time; a wrong one comes before all.
func median(all []sample) sample {
	for _, s := range all {
		if s.wrong != nil {
			return s
		}
	}
	sorted := slices.SortedFunc(slices.Values(all), func(a, b sample) int { return int((a.seconds - b.seconds) * 1e6) })
	return sorted[len(sorted)/2]
}

// print writes the table and then how it stands with the goals.
func (b *bench) print(samples map[string][]sample, size int64) {
	base := median(samples[ours]).seconds
	best, bestName := 0.0, ""
	fmt.Printf("  %-20s %8s %7s %8s %8s %8s %10s\n", "tool", "seconds", "GB/s", "to ours", "exit s", "CPU s", "target MB")
	for _, t := range b.tools {
		s := median(samples[t.name])
		if s.wrong != nil {
			fmt.Printf("  %-20s FAILED: %v\n", t.name, s.wrong)
			continue
		}
		fmt.Printf("  %-20s %8.2f %7.2f %8.2f %8.2f %8.2f %10.0f\n", t.name, s.seconds, float64(size)/1e9/s.seconds,
			s.seconds/base, s.exit, s.cpu, float64(s.target)/1e6)
		if !isOurs(t.name) && (bestName == "" || s.seconds < best) {
			best, bestName = s.seconds, t.name
		}
	}
	if bestName == "" {
		fmt.Println("  no other tool to compare with")
		return
	}
	inline := median(samples["reconcile inline"]).seconds
	fmt.Printf("  %s: no verification is %.2f of the best other (%s; goal 1.00)\n", verdict(base <= best), base/best, bestName)
	fmt.Printf("  %s: inline hashing is %.2f of it (goal 1.15)\n", verdict(inline <= 1.15*best), inline/best)
}

func isOurs(name string) bool { return len(name) > 9 && name[:9] == "reconcile" }

func verdict(won bool) string {
	if won {
		return "WON"
	}
	return "LOST"
}
