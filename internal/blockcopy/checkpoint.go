package blockcopy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Checkpoint is how far a copy has durably come. As text it is one line of JSON below 2000 bytes, which fits a ZFS
// user property (8191 bytes).
type Checkpoint struct {
	Version int      `json:"version"`
	Source  Identity `json:"source"`
	Target  Identity `json:"target"`
	// SourceTime is when a source file was last written, nanoseconds since 1970; 0 for devices.
	SourceTime int64 `json:"sourceTime,omitempty"`
	Leaf       int64 `json:"leaf"` // bytes hashed at a time
	Done       int64 `json:"done"` // everything before this offset is in the target, durably
	// Ahead bounds what may have been written behind Done: nothing at or behind this offset.
	Ahead  int64  `json:"ahead"`
	Fresh  bool   `json:"fresh,omitempty"` // the target read as zeros before the copy began
	Hashed bool   `json:"hashed,omitempty"`
	Chain  Digest `json:"chain"` // of the leaves before Done, if Hashed
	// Probe is a leaf of the target as it was read back when this was saved: proof that a target met again is this one.
	Probe       int64  `json:"probe"` // its offset; -1: none
	ProbeDigest Digest `json:"probeDigest"`
}

// checkpointVersion changes when an older program would misread what a newer one wrote.
const checkpointVersion = 1

// MarshalText is the one line.
func (c Checkpoint) MarshalText() ([]byte, error) {
	type plain Checkpoint
	return json.Marshal(plain(c))
}

// UnmarshalText reads what MarshalText wrote and refuses everything else.
func (c *Checkpoint) UnmarshalText(text []byte) error {
	type plain Checkpoint
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	var p plain
	if err := decoder.Decode(&p); err != nil {
		return fmt.Errorf("not a checkpoint: %w", err)
	}
	if p.Version != checkpointVersion {
		return fmt.Errorf("version %d, this program reads version %d", p.Version, checkpointVersion)
	}
	if p.Leaf < segment || p.Leaf%segment != 0 || p.Done < 0 || p.Done > p.Source.Size ||
		p.Done%p.Leaf != 0 && p.Done != p.Source.Size || p.Ahead < p.Done || p.Probe < -1 || p.Probe%p.Leaf > 0 {
		return errors.New("its numbers contradict each other")
	}
	*c = Checkpoint(p)
	return nil
}

// Checkpoints keeps the checkpoint of one copy. Save must be durable when it returns, and never leave a mixture of
// the old and the new.
type Checkpoints interface {
	// Load is nil without an error when there is none.
	Load(context.Context) (*Checkpoint, error)
	Save(context.Context, Checkpoint) error
	Clear(context.Context) error
}

// CheckpointFile keeps a checkpoint in a file of this path.
type CheckpointFile string

// Load reads the file.
func (f CheckpointFile) Load(context.Context) (*Checkpoint, error) {
	in, err := os.Open(string(f))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	// A bound, because a disk image may be named here by mistake.
	text, err := io.ReadAll(io.LimitReader(in, 64<<10))
	var c Checkpoint
	if err = errors.Join(err, in.Close()); err == nil {
		err = c.UnmarshalText(text)
	}
	if err != nil {
		return nil, fmt.Errorf("checkpoint %s cannot be read: %w; remove it to copy from the start", string(f), err)
	}
	return &c, nil
}

// Save writes a new file beside the old one, flushes it, and renames it over the old one.
func (f CheckpointFile) Save(_ context.Context, c Checkpoint) error {
	text, err := c.MarshalText()
	if err != nil {
		return err
	}
	fresh := string(f) + ".new"
	out, err := os.OpenFile(fresh, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = out.Write(append(text, '\n'))
	if err = errors.Join(err, out.Sync(), out.Close()); err != nil {
		return err
	}
	if err := os.Rename(fresh, string(f)); err != nil {
		return err
	}
	return f.syncDir()
}

// Clear removes the file.
func (f CheckpointFile) Clear(context.Context) error {
	_ = os.Remove(string(f) + ".new") // left by a crash between writing and renaming
	if err := os.Remove(string(f)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return f.syncDir()
}

// syncDir makes the change of name durable.
func (f CheckpointFile) syncDir() error {
	dir, err := os.Open(filepath.Dir(string(f)))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
