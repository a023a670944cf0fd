package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// written makes a directory with so many files, stopped in order.
func written(t *testing.T, n int, keep int64) string {
	t.Helper()
	dir := t.TempDir()
	m, err := openManifest(dir)
	if err != nil {
		t.Fatal(err)
	}
	for range n {
		if err := m.writeFile(keep); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.append("stop %d", m.last); err != nil {
		t.Fatal(err)
	}
	if err := m.file.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

func checked(t *testing.T, dir string) (*manifest, int, []string) {
	t.Helper()
	m, err := openManifest(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer m.file.Close()
	files, size, bad, err := m.check()
	if err != nil {
		t.Fatal(err)
	}
	if len(bad) == 0 && size != m.size {
		t.Errorf("%d bytes found, %d in the list", size, m.size)
	}
	return m, files, bad
}

// What was written is found; old files go when there is more than is to be kept.
func TestFilesAreFound(t *testing.T) {
	m, files, bad := checked(t, written(t, 12, 1<<20))
	if len(bad) > 0 || !m.clean || m.last != 12 {
		t.Errorf("clean %t, last %d, bad %q", m.clean, m.last, bad)
	}
	if files == 0 || files == 12 || m.size > 1<<20 {
		t.Errorf("%d files with %d bytes are left of 12", files, m.size)
	}
}

// A flipped byte, a shorter file and an absent one are told, and nothing else.
func TestDamageIsFound(t *testing.T) {
	dir := written(t, 6, 1<<30)
	for name, damage := range map[string]func(path string, content []byte) error{
		"00000002": func(path string, content []byte) error {
			content[len(content)/2] ^= 1
			return os.WriteFile(path, content, 0o644)
		},
		"00000004": func(path string, content []byte) error { return os.WriteFile(path, content[:len(content)-1], 0o644) },
		"00000005": func(path string, _ []byte) error { return os.Remove(path) },
	} {
		path := filepath.Join(dir, name)
		content, err := os.ReadFile(path)
		if err == nil {
			err = damage(path, content)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	_, files, bad := checked(t, dir)
	if files != 5 || len(bad) != 3 || !strings.HasPrefix(bad[0], "00000002:") || !strings.HasPrefix(bad[1], "00000004:") || !strings.Contains(bad[2], "00000005") {
		t.Errorf("%d files were read, these are bad: %q", files, bad)
	}
}

// A power cut leaves half a line and a file that is not in the list; both are passed over, and the next file takes its place.
func TestPowerCut(t *testing.T) {
	dir := written(t, 3, 1<<30)
	list := filepath.Join(dir, "MANIFEST")
	text, err := os.ReadFile(list)
	if err != nil {
		t.Fatal(err)
	}
	cut := strings.TrimSuffix(string(text), "stop 3\n") + "add 4 77"
	if err := os.WriteFile(list, []byte(cut), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "00000004"), []byte("half"), 0o644); err != nil {
		t.Fatal(err)
	}
	m, err := openManifest(dir)
	if err != nil {
		t.Fatal(err)
	}
	if m.clean || m.last != 3 {
		t.Errorf("clean %t, last %d after a power cut", m.clean, m.last)
	}
	if err := m.writeFile(1 << 30); err != nil {
		t.Fatal(err)
	}
	if err := m.file.Close(); err != nil {
		t.Fatal(err)
	}
	if m, files, bad := checked(t, dir); files != 4 || len(bad) > 0 || m.last != 4 {
		t.Errorf("%d files, last %d, bad %q", files, m.last, bad)
	}
	if err := os.WriteFile(list, []byte(cut+"\nnonsense\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := openManifest(dir); err == nil {
		t.Error("nonsense in the middle of the list was passed over")
	}
}
