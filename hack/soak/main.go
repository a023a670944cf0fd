// Command soak lets the real daemon look after many guests of a simulated host while people push, click and pull cables: random
// commits, drift, faults of the API, signals and kill -9. It ends well when, left alone, everything comes to be as the newest
// commit says, no guest was ever destroyed, memory and descriptors stay flat, and an idle daemon keeps to its budget of calls.
package main

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"time"
)

func main() {
	minutes := flag.Float64("minutes", 10, "how long people meddle; settling and measuring come on top")
	guests := flag.Int("guests", 300, "how many guests")
	seed := flag.Uint64("seed", uint64(time.Now().UnixNano()), "of everything random")
	node := flag.Bool("node", false, "as on a node of the cluster, whose file system the simulator keeps")
	keep := flag.Bool("keep", false, "leave the directory behind")
	flag.Parse()
	fmt.Printf("soak: %d guests, %g minutes, -seed %d, on a node: %t\n", *guests, *minutes, *seed, *node)
	if err := run(*minutes, *guests, *seed, *node, *keep); err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
	fmt.Println("soak: as it should be")
}

func run(minutes float64, guests int, seed uint64, node, keep bool) (err error) {
	t, err := pitch(guests, rand.New(rand.NewPCG(seed, seed)), node)
	if err != nil {
		return err
	}
	defer func() {
		t.kill()
		if err != nil || keep {
			fmt.Fprintln(os.Stderr, "soak: everything is in", t.dir)
			return
		}
		_ = os.RemoveAll(t.dir)
	}()
	if err := t.start(); err != nil {
		return err
	}
	if err := t.settle(); err != nil {
		return fmt.Errorf("before anybody meddled: %w", err)
	}
	if err := t.meddle(time.Duration(minutes * float64(time.Minute))); err != nil {
		return err
	}
	t.server.ClearFaults()
	if err := t.command("resume"); err != nil { // what flapped: the same drift came three times
		return err
	}
	if err := t.settle(); err != nil {
		return fmt.Errorf("left alone: %w", err)
	}
	return errors.Join(t.compare(), t.idle(), t.flat(time.Duration(minutes*float64(time.Minute)/3)))
}

// meddle lets people and the weather do what they do.
func (t *tent) meddle(span time.Duration) error {
	acts := []struct {
		name   string
		weight int
		do     func() error
	}{
		{"push", 10, t.push},
		{"click", 30, t.click},
		{"fault", 10, t.fault},
		{"hup", 2, t.hup},
		{"trigger", 5, func() error { return t.command("trigger") }},
		{"kill -9", 1, t.crash},
	}
	total, counts := 0, map[string]int{}
	for _, a := range acts {
		total += a.weight
	}
	for end := time.Now().Add(span); time.Now().Before(end); {
		n := t.random.IntN(total)
		for _, a := range acts {
			if n -= a.weight; n >= 0 {
				continue
			}
			if err := a.do(); err != nil {
				return fmt.Errorf("%s: %w", a.name, err)
			}
			counts[a.name]++
			break
		}
		if err := t.alive(); err != nil {
			return err
		}
		time.Sleep(time.Duration(t.random.IntN(600)) * time.Millisecond)
	}
	fmt.Printf("meddled: %v, %d calls\n", counts, t.server.RequestCount())
	return nil
}

// idle counts what a daemon asks that has nothing to do: two calls and one a guest for each look at everything, or on a node
// of the cluster two.
func (t *tent) idle() error {
	before := t.server.RequestCount()
	time.Sleep(2 * sweep)
	calls := t.server.RequestCount() - before
	perSweep := 2 + t.guests
	if t.node {
		perSweep = 2
	}
	most := 3*perSweep + 10 // two sweeps, or three when their pauses are short
	fmt.Printf("idle: %d calls in %s, at most %d are allowed\n", calls, 2*sweep, most)
	if calls > most {
		return fmt.Errorf("an idle daemon made %d calls in %s, at most %d are allowed", calls, 2*sweep, most)
	}
	return nil
}

// flat lets one daemon work for a while, and compares what it uses at the beginning with what it uses at the end.
func (t *tent) flat(span time.Duration) error {
	work := func(span time.Duration) error {
		for end := time.Now().Add(span); time.Now().Before(end); {
			if err := errors.Join(t.push(), t.click(), t.click(), t.hup()); err != nil {
				return err
			}
			time.Sleep(time.Second)
		}
		return nil
	}
	if err := work(min(span, time.Minute)); err != nil { // caches fill
		return err
	}
	rss, fds, err := t.usage()
	if err != nil {
		return err
	}
	if err := work(span); err != nil {
		return err
	}
	rss2, fds2, err := t.usage()
	if err != nil {
		return err
	}
	fmt.Printf("memory: %d MB, then %d MB; descriptors: %d, then %d\n", rss>>20, rss2>>20, fds, fds2)
	if rss2 > rss+rss/4+16<<20 {
		return fmt.Errorf("memory grew from %d to %d MB", rss>>20, rss2>>20)
	}
	if fds2 > fds+5 {
		return fmt.Errorf("descriptors grew from %d to %d", fds, fds2)
	}
	return nil
}

// vmid of a guest by its number.
func vmid(i int) int { return 1000 + i }

func name(i int) string { return "guest" + strconv.Itoa(i) }
