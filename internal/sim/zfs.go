package sim

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// ZFS keeps the datasets of one node, on which its zfspool storages stand. The list in the world is one, a real host
// another (ZFSHost). An error's text is what zfs prints; PVE puts "zfs error: " before it.
type ZFS interface {
	// Datasets lists all there are in name order.
	Datasets() ([]*Dataset, error)
	// Create makes the zvol d; a sparse one reserves nothing.
	Create(d *Dataset, sparse bool) error
	// Clone makes the zvol name from a snapshot, "DATASET@NAME".
	Clone(snapshot, name string, now time.Time) error
	// Resize sets volsize, in bytes.
	Resize(name string, volsize int64) error
	// Destroy removes a zvol with its snapshots.
	Destroy(name string) error
	Rename(name, to string) error
	Snapshot(name, snapshot string) error
	// Rollback goes back to the newest snapshot.
	Rollback(name, snapshot string) error
	DestroySnapshot(name, snapshot string) error
}

// zfs is where the node's datasets are.
func (n *Node) zfs() ZFS {
	if n.backing != nil {
		return n.backing
	}
	return listed{n}
}

// look reads the datasets of a node that a real host stands for.
func (n *Node) look() error {
	if n.backing == nil {
		return nil
	}
	list, err := n.backing.Datasets()
	if err != nil {
		return fmt.Errorf("node %s: %w", n.Name, err)
	}
	n.Datasets, n.looked = list, time.Now()
	return nil
}

// look brings the world up to date with the real hosts that stand for nodes: as much of it as the answer for a path depends
// on, since a look takes a while, or all before something changes. An answer that changes nothing takes what is fresh.
func (s *Server) look(path string, all bool) error {
	about := func(parts ...string) bool {
		return slices.ContainsFunc(parts, func(part string) bool { return strings.Contains(path, part) }) && !strings.Contains(path, "/tasks/")
	}
	if all || about("/storage", "/disks", "/resources") {
		for _, n := range s.w.Nodes {
			if !all && time.Since(n.looked) < s.config.Fresh {
				continue
			}
			if err := n.look(); err != nil {
				return err
			}
		}
	}
	if all || (about("/status", "/agent", "/resources") || strings.HasSuffix(path, "/qemu")) && time.Since(s.watched) >= s.config.Fresh {
		return s.watch()
	}
	return nil
}

// change does something to the node's datasets, and tells what went wrong as PVE does.
func (n *Node) change(do func(ZFS) error) error {
	err := do(n.zfs())
	if err == nil {
		err = n.look()
	}
	if err != nil {
		return dief("zfs error: %v", err)
	}
	return nil
}

// listed is the pool of a world file: it keeps what its text says, and no bytes.
type listed struct{ n *Node }

func (l listed) Datasets() ([]*Dataset, error) { return l.n.Datasets, nil }

func (l listed) Create(d *Dataset, sparse bool) error {
	if l.n.dataset(d.Name) != nil {
		return fmt.Errorf("cannot create '%s': dataset already exists", d.Name)
	}
	d.Used = newZvol
	if !sparse {
		d.Used = d.Volsize
	}
	l.n.addDataset(d)
	return nil
}

func (l listed) Clone(snapshot, name string, now time.Time) error {
	of, _, _ := strings.Cut(snapshot, "@")
	base := l.n.dataset(of)
	if base == nil {
		return noDataset(of)
	}
	l.n.addDataset(&Dataset{Name: name, Volsize: base.Volsize, Blocksize: base.Blocksize, Origin: snapshot, Created: now})
	return nil
}

func noDataset(name string) error {
	return fmt.Errorf("cannot open '%s': dataset does not exist", name)
}

// with finds a dataset and changes it.
func (l listed) with(name string, change func(*Dataset)) error {
	d := l.n.dataset(name)
	if d == nil {
		return noDataset(name)
	}
	change(d)
	return nil
}

func (l listed) Resize(name string, volsize int64) error {
	return l.with(name, func(d *Dataset) { d.Volsize = volsize })
}

func (l listed) Destroy(name string) error { return l.with(name, l.n.dropDataset) }

func (l listed) Rename(name, to string) error {
	return l.with(name, func(d *Dataset) {
		l.n.dropDataset(d)
		d.Name = to
		l.n.addDataset(d)
		for _, other := range l.n.Datasets {
			if origin, snap, ok := strings.Cut(other.Origin, "@"); ok && origin == name {
				other.Origin = to + "@" + snap
			}
		}
	})
}

func (l listed) Snapshot(name, snapshot string) error {
	return l.with(name, func(d *Dataset) {
		d.Snapshots = append(d.Snapshots, DatasetSnapshot{Name: snapshot, Volsize: d.Volsize})
	})
}

func (l listed) Rollback(name, snapshot string) error {
	return l.with(name, func(d *Dataset) {
		for _, snap := range d.Snapshots {
			if snap.Name == snapshot {
				d.Volsize = snap.Volsize
			}
		}
	})
}

func (l listed) DestroySnapshot(name, snapshot string) error {
	return l.with(name, func(d *Dataset) {
		var kept []DatasetSnapshot
		for _, snap := range d.Snapshots {
			if snap.Name != snapshot {
				kept = append(kept, snap)
			}
		}
		d.Snapshots = kept
	})
}

func (n *Node) addDataset(d *Dataset) {
	at := len(n.Datasets)
	for i, have := range n.Datasets {
		if have.Name > d.Name {
			at = i
			break
		}
	}
	n.Datasets = append(n.Datasets[:at:at], append([]*Dataset{d}, n.Datasets[at:]...)...)
}

func (n *Node) dropDataset(d *Dataset) {
	for i, have := range n.Datasets {
		if have == d {
			n.Datasets = append(n.Datasets[:i:i], n.Datasets[i+1:]...)
			return
		}
	}
}
