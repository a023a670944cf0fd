package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/zap"
)

func TestJournalGetsPriorities(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "journal"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	write := func(format, journal string) string {
		t.Setenv("JOURNAL_STREAM", journal)
		if err := errors.Join(f.Truncate(0), seekStart(f)); err != nil {
			t.Fatal(err)
		}
		l, err := logger(common{logLevel: "debug", logFormat: format}, f)
		if err != nil {
			t.Fatal(err)
		}
		l = l.With(zap.Int("vmid", 300))
		l.Debug("d")
		l.Info("two\nlines")
		l.Warn("w")
		l.Error("e")
		text, err := os.ReadFile(f.Name())
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	var s syscall.Stat_t
	if err := syscall.Fstat(int(f.Fd()), &s); err != nil {
		t.Fatal(err)
	}
	me := fmt.Sprintf("%d:%d", s.Dev, s.Ino)
	want := `<7>{"level":"debug","msg":"d","vmid":300}
<6>{"level":"info","msg":"two\nlines","vmid":300}
<4>{"level":"warn","msg":"w","vmid":300}
<3>{"level":"error","msg":"e","vmid":300}
`
	if have := write("json", me); have != want {
		t.Errorf("have\n%s\nwant\n%s", have, want)
	}
	for _, line := range strings.Split(strings.TrimSpace(write("text", me)), "\n") {
		if !strings.HasPrefix(line, "<") {
			t.Errorf("a line without a priority: %q", line)
		}
	}
	if have := write("json", "1:2"); strings.Contains(have, "<") || !strings.Contains(have, `"ts":`) {
		t.Errorf("standard error is not the journal, but:\n%s", have)
	}
}

func seekStart(f *os.File) error {
	_, err := f.Seek(0, 0)
	return err
}
