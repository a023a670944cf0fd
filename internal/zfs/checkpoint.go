package zfs

import (
	"context"
	"fmt"
	"strings"

	"github.com/ustclug/pve-reconcile/internal/blockcopy"
	"github.com/ustclug/pve-reconcile/internal/host"
	"github.com/ustclug/pve-reconcile/reconciler/step"
)

// Checkpoint keeps the checkpoint of a copy in a user property of the target: it survives the host with the data that it is
// about, and no longer. Setting a property waits for the transaction group, so it is durable.
type Checkpoint struct {
	Host    *host.Host
	Dataset string
}

// CheckpointHere keeps a checkpoint on a dataset of this machine.
func CheckpointHere(dataset string) Checkpoint {
	return Checkpoint{Host: host.Local("here"), Dataset: dataset}
}

// Load reads the property; nil when it is not set on the dataset itself.
func (c Checkpoint) Load(ctx context.Context) (*blockcopy.Checkpoint, error) {
	text, err := c.Host.Text(ctx, zfs("get", "-Hp", "-o", "value,source", step.PropProgress, c.Dataset))
	if err != nil {
		return nil, explain(err)
	}
	value, ok := strings.CutSuffix(strings.TrimSuffix(text, "\n"), "\tlocal")
	if !ok {
		return nil, nil
	}
	var point blockcopy.Checkpoint
	if err := point.UnmarshalText([]byte(value)); err != nil {
		return nil, fmt.Errorf("%s of %s: %w; zfs inherit it to copy from the start", step.PropProgress, c.Dataset, err)
	}
	return &point, nil
}

// Save sets the property.
func (c Checkpoint) Save(ctx context.Context, point blockcopy.Checkpoint) error {
	text, err := point.MarshalText()
	if err != nil {
		return err
	}
	_, err = c.Host.Text(ctx, zfs("set", step.PropProgress+"="+string(text), c.Dataset))
	return explain(err)
}

// Clear has the property inherited: nothing above has it.
func (c Checkpoint) Clear(ctx context.Context) error {
	_, err := c.Host.Text(ctx, zfs("inherit", step.PropProgress, c.Dataset))
	return explain(err)
}
