package main

import (
	"context"
	"fmt"
	"math/rand"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ustclug/pve-reconcile/internal/sim"
	"github.com/ustclug/pve-reconcile/internal/sim/zhost"
)

const (
	sourceZvol  = "pool0/qemu/docker2"
	stagingZvol = "rpool/data/migrations/docker2/scsi0"
)

// fault lets something go wrong on a machine from now on.
func (m *moving) fault(host, line string) {
	m.t.Helper()
	f, err := zhost.ReadFault(strings.Fields(line))
	if err == nil {
		err = m.fleet.Host(host).AddFault(f)
	}
	if err != nil {
		m.t.Fatal(err)
	}
}

// on does what a person at the machine would; what does not work there is no failure of the test.
func (m *moving) on(host, line string) string {
	out, errs, code := m.fleet.Host(host).Run(context.Background(), line, strings.NewReader(""))
	if code != 0 {
		m.t.Logf("%s# %s: exit %d: %s", host, line, code, errs)
	}
	return strings.TrimSpace(out)
}

// weather is what may happen between two rounds, or in the next one.
var weather = map[string]func(m *moving, r *rand.Rand){
	"program killed": func(m *moving, r *rand.Rand) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Duration(r.Intn(3000))*time.Millisecond)
		defer cancel()
		_, _ = m.round(ctx) // wherever it is
		m.start()
	},
	"link cut": func(m *moving, r *rand.Rand) {
		m.fault(oneof(r, "mirrors2", "pve-5"), "cut-at match=. skip="+strconv.Itoa(r.Intn(30)))
	},
	"stream cut": func(m *moving, r *rand.Rand) {
		m.fault(oneof(r, "mirrors2", "pve-5"), "cut bytes="+strconv.Itoa(1<<20+r.Intn(8<<20)))
	},
	"command killed": func(m *moving, r *rand.Rand) {
		m.fault(oneof(r, "mirrors2", "pve-5"), "kill match=^zfs."+oneof(r, "recv", "send", "snapshot", "hold", "set", "clone", "destroy"))
	},
	"command without answer": func(m *moving, r *rand.Rand) {
		m.fault(oneof(r, "mirrors2", "pve-5"), "fail-after match=^zfs."+oneof(r, "snapshot", "hold", "set", "clone", "destroy", "inherit"))
	},
	"power cut": func(m *moving, r *rand.Rand) {
		h := m.fleet.Host(oneof(r, "mirrors2", "pve-5"))
		cut := time.AfterFunc(time.Duration(r.Intn(2000))*time.Millisecond, h.Off)
		_, _ = m.round(context.Background())
		if cut.Stop() {
			h.Off()
		}
		time.Sleep(50 * time.Millisecond)
		if err := h.On(); err != nil {
			m.t.Fatal(err)
		}
	},
	"snapshot destroyed": func(m *moving, _ *rand.Rand) {
		m.on("mirrors2", "s=$(zfs list -H -t snapshot -o name "+sourceZvol+" | tail -n 1); [ -z \"$s\" ] || { zfs release $(zfs holds -H $s | cut -f 2) $s; zfs destroy $s; }")
	},
	"hold released": func(m *moving, _ *rand.Rand) {
		m.on("mirrors2", "for s in $(zfs list -H -t snapshot -o name "+sourceZvol+"); do zfs release $(zfs holds -H $s | cut -f 2) $s; done")
	},
	"staging written to": func(m *moving, _ *rand.Rand) {
		m.on("pve-5", "zfs list "+stagingZvol+" >/dev/null 2>&1 || exit 0; zfs set readonly=off volmode=dev "+stagingZvol+"; udevadm settle; dd if=/dev/urandom of=/dev/zvol/"+stagingZvol+
			" bs=4k count=1 seek=77 2>/dev/null; zfs set readonly=on volmode=none "+stagingZvol)
	},
	"staging destroyed": func(m *moving, _ *rand.Rand) {
		m.on("pve-5", "zfs list "+stagingZvol+" >/dev/null 2>&1 || exit 0; for s in $(zfs list -H -t snapshot -o name "+stagingZvol+"); do zfs release $(zfs holds -H $s | cut -f 2) $s; done; zfs destroy -r "+stagingZvol)
	},
	"pool full for a while": func(m *moving, _ *rand.Rand) {
		m.fault("pve-5", "full pool=rpool")
		_, _ = m.round(context.Background())
		m.fleet.Host("pve-5").ClearFaults()
	},
	"links late": func(m *moving, _ *rand.Rand) { m.fault("pve-5", "link-late delay=700ms") },
	"task fails": func(m *moving, r *rand.Rand) {
		m.server.AddFault(sim.Fault{Method: "TASK", Path: oneof(r, "qmcreate", "qmstart", "qmconfig"), Kind: oneof(r, "task-fail", "task-fail-after")})
	},
	"answer lost": func(m *moving, r *rand.Rand) {
		m.server.AddFault(sim.Fault{Method: oneof(r, "POST", "PUT"), Path: "*", Kind: oneof(r, "drop", "drop-after"), Skip: r.Intn(3)})
	},
	"source started by hand": func(m *moving, _ *rand.Rand) {
		if !m.fleet.Host("pve-5").Guest("docker2").Running() {
			_ = m.fleet.Host("mirrors2").Power("docker2", "start") // a fence refuses it
		}
	},
}

func oneof(r *rand.Rand, of ...string) string { return of[r.Intn(len(of))] }

// TestMoveInAnyWeather lets something happen between most rounds. It has to come to an end all the same, and what must never
// happen does not. RECONCILE_SEEDS is how many histories are lived through, RECONCILE_SEED the first,
// RECONCILE_EVENTS what happens in each.
func TestMoveInAnyWeather(t *testing.T) {
	seeds, first := number("RECONCILE_SEEDS", 1), number("RECONCILE_SEED", 1)
	var kinds []string
	for kind := range weather {
		kinds = append(kinds, kind)
	}
	slices.Sort(kinds)
	for seed := first; seed < first+seeds; seed++ {
		t.Run(fmt.Sprint("seed", seed), func(t *testing.T) {
			r := rand.New(rand.NewSource(int64(seed)))
			m := newMoving(t)
			for range number("RECONCILE_EVENTS", 5) {
				for range r.Intn(6) {
					if _, err := m.round(t.Context()); err != nil {
						t.Log("  ", err)
					}
				}
				kind := oneof(r, kinds...)
				s, err := m.look(t.Context())
				t.Logf("%s %v: %s", s.Stage, err, kind)
				weather[kind](m, r)
			}
			for _, name := range m.fleet.Names() {
				m.fleet.Host(name).ClearFaults()
			}
			m.server.ClearFaults()
			m.finish()
			m.safe()
			if t.Failed() {
				t.Logf("%v\n%s", m.seen, strings.Join(m.made, "\n"))
			}
		})
	}
}

func number(name string, otherwise int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return otherwise
}
