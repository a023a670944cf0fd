package notify

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"go.uber.org/zap"

	"github.com/ustclug/pve-reconcile/internal/state"
)

// file is outbox.json.
type file struct {
	Version int             `json:"version"`
	Places  map[string]kept `json:"places"`
}

func pathIn(dir string) string { return filepath.Join(dir, "outbox.json") }

// read reads the outbox of a state directory. A damaged one is set aside: what it held may be told again, or never.
func read(dir string) (file, error) {
	text, err := os.ReadFile(pathIn(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return file{}, nil
	}
	if err != nil {
		return file{}, fmt.Errorf("state: %w", err)
	}
	f, ok := parse(text)
	switch {
	case !ok:
		if err := os.Rename(pathIn(dir), pathIn(dir)+".damaged"); err != nil {
			return file{}, fmt.Errorf("state: %w", err)
		}
		return file{}, nil
	case f.Version != state.Version:
		return file{}, fmt.Errorf("state: %s has format %d, this program knows %d: use the program that wrote it, or a newer one", pathIn(dir), f.Version, state.Version)
	}
	return f, nil
}

// parse reads what save wrote.
func parse(text []byte) (file, bool) {
	var f file
	if json.Unmarshal(text, &f) != nil {
		return file{}, false
	}
	for name, k := range f.Places {
		for key, a := range k.About {
			if a == nil {
				delete(k.About, key)
			}
		}
		for _, e := range k.Queue {
			if (e.Message == nil) == (e.Standing == nil) || e.Seq > k.Seq {
				return file{}, false
			}
		}
		f.Places[name] = k
	}
	return f, true
}

// written tells once that the outbox could not be written, and that it is again. Meanwhile it counts as changed.
func (b *Outbox) written(err error) {
	text := ""
	if err != nil {
		text = err.Error()
		b.mu.Lock()
		b.changed = true
		b.mu.Unlock()
	}
	switch {
	case text == b.unwritten:
	case err == nil:
		b.o.Log.Info("the outbox is written again")
	default:
		b.o.Log.Error("the outbox could not be written: a crash now would lose notifications", zap.Error(err))
	}
	b.unwritten = text
}

// save writes the outbox if it changed. Those who observe do not wait for the disk.
func (b *Outbox) save() {
	b.saving.Lock()
	defer b.saving.Unlock()
	b.mu.Lock()
	if !b.changed {
		b.mu.Unlock()
		return
	}
	f := file{Version: state.Version, Places: map[string]kept{}}
	for _, p := range b.places {
		f.Places[p.name] = p.kept
	}
	text, err := json.MarshalIndent(f, "", " ")
	b.changed = false
	b.mu.Unlock()
	if err == nil {
		err = state.WriteFile(pathIn(b.o.Dir), append(text, '\n'), 0o600)
	}
	b.written(err)
}
