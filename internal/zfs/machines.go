package zfs

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/ustclug/pve-reconcile/internal/host"
	"github.com/ustclug/pve-reconcile/reconciler/step"
)

// Machines are the hosts of the config file by name, and how steps are made on them.
type Machines struct {
	Hosts map[string]*host.Host
	// OnProgress is told how a long step goes on; nil: nobody asks. It is called from several goroutines.
	OnProgress func(Progress)
	// Binary is the program that is sent to hosts which have none; "": the one that runs.
	Binary string

	bringing sync.Mutex // steps of several disks bring the program once

	once    sync.Once
	hash    string // of that program
	hashErr error
}

// Progress is how far a long step has come.
type Progress struct {
	Mark    string        // of the migration
	Step    string        // send, copy, verify or hash
	Disk    string        // "scsi0"
	Done    int64         // bytes, what earlier runs did included
	Total   int64         // 0: not known
	Rate    int64         // bytes a second, lately
	ETA     time.Duration // 0: not known
	Seconds float64       // since this run of the step began
	Final   bool          // nothing follows
}

func (m *Machines) host(name string) (*host.Host, error) {
	h, ok := m.Hosts[name]
	if !ok {
		return nil, fmt.Errorf("host %q is not in the config file", name)
	}
	return h, nil
}

func (m *Machines) report(p Progress) {
	if m.OnProgress != nil {
		m.OnProgress(p)
	}
}

// Do makes a step of datasets. Errors wrap the sentinels of this package and of package step.
func (m *Machines) Do(ctx context.Context, s step.OnHost) (step.Figures, error) {
	switch s := s.(type) {
	case step.SendSnapshot:
		return m.send(ctx, s)
	case step.CopyDisk:
		return m.copyDisk(ctx, s)
	case step.HashSnapshot:
		return m.hashSnapshot(ctx, s)
	default:
		text, ok := script(s)
		if !ok {
			return step.Figures{}, fmt.Errorf("%T is no step of datasets", s)
		}
		h, err := m.host(s.Machine())
		if err != nil {
			return step.Figures{}, err
		}
		_, err = h.Text(ctx, text)
		return step.Figures{}, explain(err)
	}
}

// script is that of a step that takes a moment.
func script(s step.OnHost) (string, bool) {
	switch s := s.(type) {
	case step.SnapshotDisks:
		return snapshotDisks(s), true
	case step.HoldSnapshots:
		return holdSnapshots(s.Tag, s.Snapshots), true
	case step.DestroySnapshots:
		return destroySnapshots(s), true
	case step.CreateStaging:
		return createStaging(s), true
	case step.AbortReceive:
		return abortReceive(s), true
	case step.SetProperties:
		return setProperties(s), true
	case step.RollbackStaging:
		return rollback(s), true
	case step.DestroyDataset:
		return destroyDataset(s), true
	default:
		return "", false
	}
}
