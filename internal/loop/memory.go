package loop

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/ustclug/pve-reconcile/internal/state"
	"github.com/ustclug/pve-reconcile/reconciler"
)

// remembered is the file conditions.json: since when what could be said of each object. Losing it loses these times.
type remembered struct {
	Version int                               `json:"version"`
	Objects map[string][]reconciler.Condition `json:"objects"` // by "Kind/name"
}

func memoryIn(dir string) string { return filepath.Join(dir, "conditions.json") }

// Remember reads the conditions of a state directory, by "Kind/name". A damaged file remembers nothing.
func Remember(dir string) (map[string][]reconciler.Condition, error) {
	text, err := os.ReadFile(memoryIn(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("state: %w", err)
	}
	var m remembered
	if json.Unmarshal(text, &m) != nil {
		return nil, nil
	}
	if m.Version != state.Version {
		return nil, fmt.Errorf("state: %s has format %d, this program knows %d: use the program that wrote it, or a newer one", memoryIn(dir), m.Version, state.Version)
	}
	return m.Objects, nil
}

// Keep writes the conditions of all objects, if any of them turned since before.
func Keep(dir string, before, now map[string][]reconciler.Condition) error {
	if !turned(before, now) {
		return nil
	}
	text, err := json.MarshalIndent(remembered{state.Version, now}, "", "  ")
	if err != nil {
		return fmt.Errorf("state: %w", err)
	}
	return state.WriteFile(memoryIn(dir), append(text, '\n'), 0o600)
}

func turned(before, now map[string][]reconciler.Condition) bool {
	if len(before) != len(now) {
		return true
	}
	for key, conditions := range now {
		was := before[key]
		if len(was) != len(conditions) {
			return true
		}
		for i, c := range conditions {
			if c.Type != was[i].Type || c.Status != was[i].Status {
				return true
			}
		}
	}
	return false
}
