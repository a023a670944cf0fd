package state

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

type note struct {
	N int `json:"n"`
}

func notes(t *testing.T, j *Journal) []int {
	t.Helper()
	var out []int
	if err := j.Each(func(line json.RawMessage) error {
		var n note
		if err := json.Unmarshal(line, &n); err != nil {
			t.Errorf("%s: %v", line, err)
		}
		out = append(out, n.N)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return out
}

// The history is read in order, over its files; the oldest are dropped; a line cut short by a crash costs that line only.
func TestJournal(t *testing.T) {
	j := &Journal{dir: t.TempDir(), most: 100, keep: 2}
	for n := range 100 {
		if err := j.Append(note{n}); err != nil {
			t.Fatal(err)
		}
		if n == 98 {
			f, err := os.OpenFile(j.path(0), os.O_WRONLY|os.O_APPEND, 0)
			if err == nil {
				_, err = f.WriteString(`{"n": 4711`)
			}
			if err != nil {
				t.Fatal(err)
			}
			f.Close()
		}
	}
	got := notes(t, j)
	for i, n := range got {
		if n != 100-len(got)+i {
			t.Fatalf("not in order, or not the newest: %v", got)
		}
	}
	if len(got) < 20 || len(got) > 45 {
		t.Errorf("%d entries in three files of 100 bytes", len(got))
	}
	if files, err := filepath.Glob(filepath.Join(j.dir, "*")); err != nil || len(files) != 3 {
		t.Errorf("files: %v, %v", files, err)
	}
}

// FuzzReadJournal: whatever is in the file, what is handed over is JSON.
func FuzzReadJournal(f *testing.F) {
	f.Add("{\"n\": 1}\n{\"n\": 2")
	f.Add("\n\nnull\n\x00\n")
	f.Fuzz(func(t *testing.T, text string) {
		if err := ReadJournal(strings.NewReader(text), func(line json.RawMessage) error {
			if !json.Valid(line) {
				t.Errorf("%q", line)
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
	})
}

func TestSuspensions(t *testing.T) {
	dir := t.TempDir()
	now := time.Date(2026, 1, 2, 3, 4, 0, 0, time.UTC)
	s := SuspensionsIn(dir)
	for _, err := range []error{
		s.Suspend("VirtualMachine/a", Suspension{Reason: "x", Since: now, Until: now.Add(time.Hour)}),
		s.Suspend("VirtualMachine/b", Suspension{Reason: "y", By: "ann", Since: now}),
		s.Suspend(Everything, Suspension{Reason: "z", Since: now, Until: now.Add(2 * time.Hour)}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for after, want := range map[time.Duration]int{0: 3, time.Hour: 2, 2 * time.Hour: 1} {
		all, err := SuspensionsIn(dir).All(now.Add(after)) // as another process reads it
		if err != nil || len(all) != want || !strings.Contains(all["VirtualMachine/b"].String(), "suspended by ann since") {
			t.Errorf("after %s: %v, %v", after, all, err)
		}
	}
	if was, err := s.Resume("VirtualMachine/b", now); !was || err != nil {
		t.Error(was, err)
	}
	if was, err := s.Resume("VirtualMachine/b", now); was || err != nil {
		t.Error(was, err)
	}
	for text, want := range map[string]string{`{"version": 2}`: "has format 2", `{"version": 1, "all": `: "correct it, or remove it", `null`: "it has no version: correct it"} {
		if err := os.WriteFile(filepath.Join(dir, "suspended.json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := s.All(now); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
		if err := s.Suspend("VirtualMachine/a", Suspension{Since: now}); err == nil {
			t.Errorf("%s: overwritten", text)
		}
	}
}

// Writers of many processes lose nothing.
func TestSuspensionsTakeTurns(t *testing.T) {
	dir := t.TempDir()
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			if err := SuspensionsIn(dir).Suspend(fmt.Sprint("VirtualMachine/", i), Suspension{Reason: "x", Since: time.Now()}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if got, err := SuspensionsIn(dir).All(time.Now()); err != nil || len(got) != 20 {
		t.Errorf("%d kept, %v", len(got), err)
	}
}

func TestFlaps(t *testing.T) {
	dir := t.TempDir()
	now := time.Date(2026, 1, 2, 3, 4, 0, 0, time.UTC)
	open := func() *Flaps {
		f, err := OpenFlaps(dir)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	since := now.Add(-time.Hour)
	for i, at := range []time.Duration{-2 * time.Hour, -30 * time.Minute, 0} {
		if err := open().Note("VirtualMachine/a", "m1", "qm set", now.Add(at), since); err != nil {
			t.Fatal(i, err)
		}
	}
	for _, c := range []struct {
		object, manifest, step string
		want                   int
	}{{"VirtualMachine/a", "m1", "qm set", 2}, {"VirtualMachine/a", "m2", "qm set", 0}, {"VirtualMachine/a", "m1", "qm start", 0}, {"VirtualMachine/b", "m1", "qm set", 0}} {
		if got := open().Times(c.object, c.manifest, c.step, since); len(got) != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
	if err := open().Note("VirtualMachine/a", "m2", "qm set", now, since); err != nil {
		t.Fatal(err)
	}
	if open().Times("VirtualMachine/a", "m1", "qm set", since) != nil {
		t.Error("another manifest forgets the one before")
	}
	if err := open().Forget("VirtualMachine/a"); err != nil {
		t.Fatal(err)
	}
	if open().Times("VirtualMachine/a", "m2", "qm set", since) != nil {
		t.Error("not forgotten")
	}
	if err := os.WriteFile(filepath.Join(dir, "flaps.json"), []byte(`{"version": 7}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenFlaps(dir); err == nil || !strings.Contains(err.Error(), "has format 7") {
		t.Errorf("a newer format: %v", err)
	}
}

// A writer that was killed leaves a file behind, which is taken away; nothing else is.
func TestTidy(t *testing.T) {
	dir := t.TempDir()
	for _, f := range []string{".state.json.123", "state.json", "lock", ".hidden"} {
		if err := os.WriteFile(filepath.Join(dir, f), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	Tidy(dir, time.Now())
	if _, err := os.Stat(filepath.Join(dir, ".state.json.123")); err != nil {
		t.Error("somebody may still be writing it")
	}
	Tidy(dir, time.Now().Add(time.Hour))
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 3 || left[0].Name() != ".hidden" {
		t.Errorf("left: %v, %v", left, err)
	}
}
