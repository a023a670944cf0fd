package main

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
)

// manifest is the list of what was written, on the same disk: "add N SIZE HASH", "del N", "stop N" a line. A file is on the
// disk before its line is, and its "del" before it is deleted, so that the list is true whenever the power goes.
type manifest struct {
	dir     string
	file    *os.File
	files   []entry // in the order they were written
	size    int64   // of all
	last    int     // number of the newest
	clean   bool    // the last line is a stop
	written int64   // size of the newest, 0 before there is one
}

type entry struct {
	number int
	size   int64
	hash   string
}

func (e entry) name() string { return fmt.Sprintf("%08d", e.number) }

// openManifest reads the list. A last line that the power cut off is dropped.
func openManifest(dir string) (*manifest, error) {
	name := filepath.Join(dir, "MANIFEST")
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	m := &manifest{dir: dir, file: f, clean: true}
	lines := bufio.NewReader(f)
	var end int64
	for {
		line, err := lines.ReadString('\n')
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = m.read(strings.TrimSuffix(line, "\n"))
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("%s: %w", name, err), f.Close())
		}
		end += int64(len(line))
	}
	if err := f.Truncate(end); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	_, err = f.Seek(end, io.SeekStart)
	return m, err
}

func (m *manifest) read(line string) error {
	var e entry
	m.clean = false
	if _, err := fmt.Sscanf(line, "add %d %d %64s", &e.number, &e.size, &e.hash); err == nil {
		m.files, m.size, m.last = append(m.files, e), m.size+e.size, e.number
		return nil
	}
	if _, err := fmt.Sscanf(line, "del %d", &e.number); err == nil && len(m.files) > 0 && m.files[0].number == e.number {
		m.size -= m.files[0].size
		m.files = m.files[1:]
		return nil
	}
	if _, err := fmt.Sscanf(line, "stop %d", &e.number); err == nil && e.number == m.last {
		m.clean = true
		return nil
	}
	return fmt.Errorf("line %q", line)
}

func (m *manifest) append(format string, args ...any) error {
	if _, err := fmt.Fprintf(m.file, format+"\n", args...); err != nil {
		return err
	}
	return m.file.Sync()
}

// check compares every file of the list with its hash.
func (m *manifest) check() (files int, size int64, bad []string, err error) {
	bad = []string{}
	for _, e := range m.files {
		f, err := os.Open(filepath.Join(m.dir, e.name()))
		if err != nil {
			bad = append(bad, err.Error())
			continue
		}
		sum := sha256.New()
		n, err := io.Copy(sum, f)
		if err := errors.Join(err, f.Close()); err != nil {
			bad = append(bad, err.Error())
		} else if have := hex.EncodeToString(sum.Sum(nil)); n != e.size || have != e.hash {
			bad = append(bad, fmt.Sprintf("%s: %d bytes with hash %s, written were %d with %s", e.name(), n, have, e.size, e.hash))
		}
		files, size = files+1, size+n
	}
	return files, size, bad, nil
}

// writeFile writes the next file and deletes the oldest while there are more bytes than to be kept.
func (m *manifest) writeFile(keep int64) error {
	e := entry{number: m.last + 1, size: 32<<10 + rand.Int64N(480<<10)}
	f, err := os.Create(filepath.Join(m.dir, e.name()))
	if err != nil {
		return err
	}
	sum := sha256.New()
	_, err = io.Copy(io.MultiWriter(f, sum), content(e))
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	e.hash = hex.EncodeToString(sum.Sum(nil))
	if err := m.append("add %d %d %s", e.number, e.size, e.hash); err != nil {
		return err
	}
	m.files, m.size, m.last, m.written = append(m.files, e), m.size+e.size, e.number, e.size
	for m.size > keep && len(m.files) > 1 {
		oldest := m.files[0]
		if err := m.append("del %d", oldest.number); err != nil {
			return err
		}
		if err := os.Remove(filepath.Join(m.dir, oldest.name())); err != nil {
			return err
		}
		m.files, m.size = m.files[1:], m.size-oldest.size
	}
	return nil
}

// content is noise for most files, and text that compresses well for every fourth.
func content(e entry) io.Reader {
	if e.number%4 == 0 {
		return strings.NewReader(strings.Repeat(fmt.Sprintf("%d: a line that ZFS can compress\n", e.number), int(e.size/30)+1)[:e.size])
	}
	var seed [32]byte
	copy(seed[:], fmt.Sprintf("%d %d", e.number, rand.Uint64()))
	return io.LimitReader(rand.NewChaCha8(seed), e.size)
}
