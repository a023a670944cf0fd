package state

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

// Journal is a history that is only ever added to: JSON lines in history.jsonl, the older ones in history.1.jsonl and so on.
type Journal struct {
	dir  string
	most int64 // bytes of one file
	keep int   // files beside the newest
	mu   sync.Mutex
}

// The size of the history: about 50 MB, or a hundred thousand changes.
const (
	journalBytes = 8 << 20
	journalFiles = 5
)

// JournalIn is the history of a state directory.
func JournalIn(dir string) *Journal {
	return &Journal{dir: dir, most: journalBytes, keep: journalFiles}
}

func (j *Journal) path(n int) string {
	if n == 0 {
		return filepath.Join(j.dir, "history.jsonl")
	}
	return filepath.Join(j.dir, fmt.Sprintf("history.%d.jsonl", n))
}

// Append adds one entry. It is on disk when Append returns. A line that a crash cut short is ended first.
func (j *Journal) Append(entry any) error {
	line, err := json.Marshal(entry)
	if err != nil {
		return broken(fmt.Errorf("history: %w", err))
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.rotate(); err != nil {
		return err
	}
	f, err := os.OpenFile(j.path(0), os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return broken(fmt.Errorf("history: %w", err))
	}
	if torn(f) {
		line = append([]byte{'\n'}, line...)
	}
	_, err = f.Write(append(line, '\n'))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return broken(fmt.Errorf("history: %w", err))
	}
	return nil
}

// torn tells whether the last line has no end.
func torn(f *os.File) bool {
	info, err := f.Stat()
	if err != nil || info.Size() == 0 {
		return false
	}
	last := []byte{0}
	_, err = f.ReadAt(last, info.Size()-1)
	return err == nil && last[0] != '\n'
}

// rotate moves the files up when the newest is full.
func (j *Journal) rotate() error {
	info, err := os.Stat(j.path(0))
	if errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() < j.most {
		return nil
	}
	if err != nil {
		return broken(fmt.Errorf("history: %w", err))
	}
	for n := j.keep; n > 0; n-- {
		if err := os.Rename(j.path(n-1), j.path(n)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return broken(fmt.Errorf("history: %w", err))
		}
	}
	return nil
}

// Each hands over the entries, the oldest first. Lines that are no JSON are left out: a crash can cut one short.
func (j *Journal) Each(visit func(json.RawMessage) error) error {
	for n := j.keep; n >= 0; n-- {
		f, err := os.Open(j.path(n))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return broken(fmt.Errorf("history: %w", err))
		}
		err = ReadJournal(f, visit)
		_ = f.Close() // only read
		if err != nil {
			return err
		}
	}
	return nil
}

// ReadJournal hands over the entries of one file.
func ReadJournal(r io.Reader, visit func(json.RawMessage) error) error {
	in := bufio.NewReader(r)
	for {
		line, err := in.ReadBytes('\n')
		if line = bytes.TrimSpace(line); len(line) > 0 && json.Valid(line) {
			if err := visit(line); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return broken(fmt.Errorf("history: %w", err))
		}
	}
}
