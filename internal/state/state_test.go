package state

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestLedgerKeepsEveryRevisionBegunSinceTheLastOneInSync(t *testing.T) {
	dir := t.TempDir()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	entry := map[string]Entry{"ustc/200": {Kind: "VirtualMachine", Name: "docker2"}}
	for _, act := range []func(*Ledger) error{
		func(l *Ledger) error { l.Done("r1", now, entry); return l.Flush() },
		func(l *Ledger) error { return l.Begin("ustc/200", "VirtualMachine", "docker2", "r2") },
		func(l *Ledger) error { return l.Begin("ustc/200", "VirtualMachine", "docker2", "r3") },
		func(l *Ledger) error { return l.Begin("ustc/200", "VirtualMachine", "docker2", "r3") },
	} {
		l, err := Open(dir)
		if err == nil {
			err = act(l)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	l, _ := Open(dir)
	e, _ := l.Entry("ustc/200")
	if !slices.Equal(e.Revisions, []string{"r3", "r2", "r1"}) || !e.InSync.IsZero() {
		t.Errorf("after three revisions begun: %+v", e)
	}
	l.Done("r3", now, entry)
	if err := l.Flush(); err != nil {
		t.Fatal(err)
	}
	l, _ = Open(dir)
	if e, _ := l.Entry("ustc/200"); !slices.Equal(e.Revisions, []string{"r3"}) || !e.InSync.Equal(now) {
		t.Errorf("in sync: %+v", e)
	}
	before, _ := os.Stat(filepath.Join(dir, "state.json"))
	l.Done("r3", now.Add(time.Hour), entry)
	if err := l.Flush(); err != nil {
		t.Fatal(err)
	}
	if after, _ := os.Stat(filepath.Join(dir, "state.json")); !os.SameFile(before, after) {
		t.Error("no news was written")
	}
}

func TestLedgerRefusesWhatItDoesNotKnow(t *testing.T) {
	for text, want := range map[string]string{
		`{"version": 2}`: "has format 2, this program knows 1",
		`{"version": 1`:  "is damaged",
		`null`:           "is damaged (it has no version)",
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "state.json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// Where a revision cannot be noted, it is not begun: not at the second try either. The error is the same at each.
func TestNothingIsBegunThatCannotBeNoted(t *testing.T) {
	dir := t.TempDir()
	l, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "state.json"), 0o700); err != nil {
		t.Fatal(err)
	}
	said := map[string]bool{}
	for range 3 {
		for _, err := range []error{l.Begin("ustc/300", "VirtualMachine", "web", "r1"), l.Move("ustc/300", "docker2"), l.Flush()} {
			if err == nil {
				t.Fatal("begun without a note")
			}
			said[err.Error()] = true
		}
	}
	if len(said) != 1 {
		t.Errorf("not the same: %v", said)
	}
	if err := os.Remove(filepath.Join(dir, "state.json")); err != nil {
		t.Fatal(err)
	}
	if err := l.Flush(); err != nil {
		t.Fatal(err)
	}
	again, err := Open(dir)
	if e, _ := again.Entry("ustc/300"); err != nil || e.Moving != "docker2" || len(e.Revisions) != 1 {
		t.Errorf("%+v, %v", e, err)
	}
}

func TestLockNamesItsHolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	me := Holder{PID: 42, Host: "pve-5", Command: "reconcile --once", Since: time.Now()}
	release, err := Lock(dir, me)
	if err != nil {
		t.Fatal(err)
	}
	var held *HeldError
	if _, err := Lock(dir, Holder{PID: 43}); !errors.As(err, &held) || held.Holder.PID != 42 || !strings.Contains(err.Error(), "pid 42 on pve-5") {
		t.Errorf("second lock: %v", err)
	}
	release()
	again, err := Lock(dir, me)
	if err != nil {
		t.Fatalf("after release: %v", err)
	}
	again()
}
