package migration_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/ustclug/pve-reconcile/reconciler/migration"
	"github.com/ustclug/pve-reconcile/reconciler/step"
	"github.com/ustclug/pve-reconcile/schema"
)

const gib = 1 << 30

// entries is the record of docker2 as it was moved by hand in 2021, in steps of this program.
func entries() []migration.Entry {
	at := time.Date(2021, 12, 30, 4, 0, 0, 0, time.UTC)
	sizes := func(staging, target int64) []migration.Size {
		all := []migration.Size{{Disk: "scsi0", Place: "source", Dataset: "pool0/qemu/docker2", Used: 908 * gib, Referenced: 604 * gib, Volsize: 300 * gib, Volblocksize: 8 << 10}}
		if staging > 0 {
			all = append(all, migration.Size{Disk: "scsi0", Place: "staging", Dataset: "rpool/data/migrations/docker2/scsi0", Used: staging * gib, Referenced: staging * gib, Volsize: 300 * gib, Volblocksize: 8 << 10})
		}
		if target > 0 {
			all = append(all, migration.Size{Disk: "scsi0", Place: "target", Dataset: "rpool/data/vm-200-disk-0", Used: target * gib, Referenced: target * gib, Volsize: 300 * gib, Volblocksize: 16 << 10})
		}
		return all
	}
	var out []migration.Entry
	add := func(stage, kind, text string, took time.Duration, bytes int64, sizes []migration.Size, fault string) {
		at = at.Add(took)
		e := migration.Entry{Time: at, Stage: stage, Kind: kind, Step: text, Seconds: took.Seconds(), Sizes: sizes, Error: fault}
		if kind == "send" || kind == "copy" || kind == "hash" || kind == "trim" {
			e.Disk, e.Figures = "scsi0", step.Figures{Bytes: bytes, Seconds: took.Seconds()}
		}
		out = append(out, e)
	}
	add("FullSend", "", "ssh mirrors2 'zfs snapshot pool0/qemu/docker2@reconcile-docker2-1'", time.Second, 0, sizes(0, 0), "")
	add("FullSend", "send", "ssh mirrors2 'zfs send pool0/qemu/docker2@reconcile-docker2-1' | ssh pve-5 'zfs recv -s rpool/data/migrations/docker2/scsi0'", 3*time.Hour, 50*gib, sizes(0, 0), "connection lost")
	add("FullSend", "send", "ssh mirrors2 'zfs send -t 1-abc' | ssh pve-5 'zfs recv -s rpool/data/migrations/docker2/scsi0'", 16*time.Hour, 300*gib, sizes(120, 0), "")
	add("Cutover", "shutdown", "ssh mirrors2 'systemctl stop qemu@docker2.service'", 40*time.Second, 0, sizes(690, 1), "")
	add("FinalIncremental", "send", "ssh mirrors2 'zfs send -i @reconcile-docker2-1 pool0/qemu/docker2@reconcile-docker2-final' | ssh pve-5 'zfs recv -s rpool/data/migrations/docker2/scsi0'", 30*time.Minute, 10*gib, sizes(690, 1), "")
	add("Copy", "copy", "ssh pve-5 'reconcile copy ...'", 20*time.Minute, 300*gib, sizes(712, 1), "")
	add("Copy", "hash", "ssh pve-5 'reconcile hash ...'", 6*time.Minute, 300*gib, sizes(712, 345), "")
	add("Boot", "start", "qm start 200", 5*time.Second, 0, sizes(712, 345), "")
	add("Boot", "up", "ssh pve-5 'zfs set org.ustclug.pve-reconcile:booted=2021-12-31T00:53:05Z rpool/data/vm-200-disk-0'", time.Second, 0, sizes(712, 345), "")
	out[len(out)-1].Figures.Seconds = 50
	add("FSTrim", "trim", "qm agent 200 fstrim", 2*time.Minute, 105*gib, sizes(712, 345), "")
	add("Retire", "", "ssh pve-5 'zfs destroy -r rpool/data/migrations/docker2/scsi0'", time.Second, 0, sizes(712, 240), "")
	return out
}

// TestBootIsMeasured: from the start to the answer of the agent, where that was seen in time, and by the forecast of a later attempt.
func TestBootIsMeasured(t *testing.T) {
	s := resolved(t, "", "")
	note := func(up string, agent string) migration.Entry {
		have := facts(t, s, "vm: running "+agent+"\ntarget: started=2026-11-27T18:30:00Z")
		st := step.SetProperties{Host: "pve-5", Set: map[string]string{step.PropBooted: up}}
		return migration.NewEntry("Boot", have, st, step.Outcome{}, have.Now, time.Second)
	}
	for _, c := range []struct {
		name   string
		record []migration.Entry
		boot   time.Duration
	}{
		{"none", nil, 0},
		{"seen", []migration.Entry{note("2026-11-27T18:30:40Z", "agent")}, 40 * time.Second},
		{"the newest", []migration.Entry{note("2026-11-27T18:30:40Z", "agent"), note("2026-11-27T18:31:30Z", "agent")}, 90 * time.Second},
		{"without an agent", []migration.Entry{note("2026-11-27T18:40:00Z", "")}, 0},
		{"seen too late", []migration.Entry{note("2026-11-27T19:30:00Z", "agent")}, 0},
	} {
		rates := migration.RatesOf(c.record)
		if rates.Boot != c.boot {
			t.Errorf("%s: %v, want %v", c.name, rates.Boot, c.boot)
		}
		have := facts(t, s, "source: @1 written=10M\nstaging: @1\ntarget: copied=1")
		have.Rates.Boot = rates.Boot
		if text := migration.Decide(s.want, s.guest, schema.VM{}, have).Forecast.String(); strings.Contains(text, "assumed: boot, checks") != (c.boot == 0) || strings.Contains(text, "not measured") {
			t.Errorf("%s: %s", c.name, text)
		}
	}
}

// TestRecord: what has been done is told at every moment of it.
func TestRecord(t *testing.T) {
	s := resolved(t, "", "")
	all := entries()
	for _, c := range []struct {
		file, facts string
		done        []migration.Entry
	}{
		{"testdata/record/begun.md", "parent: here", nil},
		{"testdata/record/waiting.md", "source: @1 written=10M\nstaging: @1\ntarget: copied=1", all[:3]},
		{"testdata/record/off.md", "power: stopped masked\nsource: @1 written=10M shutdown=2026-11-27T18:29:00Z fenced\nstaging: @1\ntarget: copied=1", all[:5]},
		{"testdata/record/done.md", "power: stopped masked\nvm: running agent\nsource: fenced\ntarget: started booted trimmed=1", all},
	} {
		have := migration.Record(s.want, s.guest, migration.Decide(s.want, s.guest, schema.VM{}, facts(t, s, c.facts)), c.done, time.FixedZone("CST", 8*3600))
		if *update {
			if err := os.MkdirAll("testdata/record", 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(c.file, []byte(have), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(c.file)
		if err != nil {
			t.Fatal(err)
		}
		if have != string(want) {
			t.Errorf("%s: have\n%s", c.file, have)
		}
	}
}
