package sim

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// clusterFiles keeps a directory as the cluster's own file system looks (PVE: /etc/pve): configs as files, .vmlist and
// .version, and locks that are removed on request when nobody renewed them for a while.
type clusterFiles struct {
	dir      string
	expiry   time.Duration
	began    int64
	digests  map[int]string // by vmid, of what is in the files
	entries  map[string]fileEntry
	versions map[string]int64
	texts    map[string]string
	locks    map[string]lockAge
	failed   string
}

type fileEntry struct {
	Node    string `json:"node"`
	Type    string `json:"type"`
	Version int64  `json:"version"`
}

// lockAge is when a lock was last seen to be renewed.
type lockAge struct {
	mtime time.Time
	since time.Time
}

// lockExpiry is how long pmxcfs waits before it frees a lock that somebody else asks for.
const lockExpiry = 120 * time.Second

func newClusterFiles(dir string, expiry time.Duration) *clusterFiles {
	if expiry == 0 {
		expiry = lockExpiry
	}
	return &clusterFiles{
		dir: dir, expiry: expiry, began: time.Now().Unix(), digests: map[int]string{}, entries: map[string]fileEntry{},
		versions: map[string]int64{"vmlist": 1}, texts: map[string]string{}, locks: map[string]lockAge{},
	}
}

// keepFiles brings the files up to date until the server is closed. Every change through the API is in them before its answer.
func (s *Server) keepFiles() {
	for {
		s.mu.Lock()
		if s.closed {
			s.mu.Unlock()
			return
		}
		s.settle()
		s.writeFiles()
		s.files.expire()
		s.mu.Unlock()
		time.Sleep(50 * time.Millisecond)
	}
}

// writeFiles writes what changed. The caller holds the lock.
func (s *Server) writeFiles() {
	if s.files == nil {
		return
	}
	if err := s.files.write(s.w); err != nil && err.Error() != s.files.failed {
		s.files.failed = err.Error()
		fmt.Fprintln(os.Stderr, "sim: cluster files:", err)
	}
}

func (f *clusterFiles) write(w *World) error {
	changed := len(f.texts) == 0
	for _, n := range w.Nodes {
		for _, kind := range []string{"qemu-server", "lxc"} {
			if err := os.MkdirAll(filepath.Join(f.dir, "nodes", n.Name, kind), 0o755); err != nil {
				return err
			}
		}
	}
	if err := os.MkdirAll(filepath.Join(f.dir, "priv", "lock"), 0o700); err != nil {
		return err
	}
	for name, text := range map[string]string{"storage.cfg": w.Storages.text(), "datacenter.cfg": w.Datacenter.text()} {
		if before, ok := f.texts[name]; ok && before == text {
			continue
		}
		if err := f.put(name, text); err != nil {
			return err
		}
		f.texts[name], changed = text, true
		f.versions[name]++
	}
	moved, err := f.guests(w)
	if err != nil || !moved && !changed {
		return err
	}
	if moved {
		f.versions["vmlist"]++
	}
	list, err := json.Marshal(map[string]any{"version": f.versions["vmlist"], "ids": f.entries})
	if err != nil {
		return err
	}
	versions := map[string]int64{"starttime": f.began, "clinfo": 1}
	maps.Copy(versions, f.versions)
	counters, err := json.Marshal(versions)
	if err != nil {
		return err
	}
	if err := f.put(".vmlist", string(list)); err != nil {
		return err
	}
	return f.put(".version", string(counters))
}

// guests writes the configs that changed and takes away those that are gone.
func (f *clusterFiles) guests(w *World) (moved bool, err error) {
	for id, vm := range w.VMs {
		was, known := f.entries[strconv.Itoa(id)]
		if known && was.Node == vm.Node && f.digests[id] == vm.digest() {
			continue
		}
		if known && was.Node != vm.Node {
			if err := f.take(id, was); err != nil {
				return moved, err
			}
		}
		if err := f.put(fmt.Sprintf("nodes/%s/qemu-server/%d.conf", vm.Node, id), vm.text); err != nil {
			return moved, err
		}
		f.digests[id] = vm.digest()
		f.entries[strconv.Itoa(id)] = fileEntry{vm.Node, "qemu", was.Version + 1}
		moved = true
	}
	for key, was := range f.entries {
		id := atoi(key)
		if _, ok := w.VMs[id]; ok {
			continue
		}
		if err := f.take(id, was); err != nil {
			return moved, err
		}
		delete(f.entries, key)
		delete(f.digests, id)
		moved = true
	}
	return moved, nil
}

func (f *clusterFiles) take(id int, was fileEntry) error {
	return os.Remove(filepath.Join(f.dir, "nodes", was.Node, "qemu-server", strconv.Itoa(id)+".conf"))
}

// put replaces a file whole.
func (f *clusterFiles) put(name, text string) error {
	temporary := filepath.Join(f.dir, ".new")
	if err := os.WriteFile(temporary, []byte(text), 0o640); err != nil {
		return err
	}
	return os.Rename(temporary, filepath.Join(f.dir, filepath.FromSlash(name)))
}

// expire frees locks that somebody asked for with a time of zero and nobody renewed for long enough; others get their time
// back: pmxcfs does not let it shrink (src: memdb_mtime).
func (f *clusterFiles) expire() {
	now := time.Now()
	_ = filepath.WalkDir(filepath.Join(f.dir, "priv", "lock"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() || filepath.Base(path) == "lock" {
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return nil
		}
		age, known := f.locks[path]
		switch at := info.ModTime(); {
		case !known || at.Unix() != 0 && !at.Equal(age.mtime):
			f.locks[path] = lockAge{at, now}
		case at.Unix() == 0 && now.Sub(age.since) > f.expiry:
			delete(f.locks, path)
			_ = os.Remove(path) // not empty: stays
		case at.Unix() == 0:
			_ = os.Chtimes(path, age.mtime, age.mtime)
		}
		return nil
	})
}
