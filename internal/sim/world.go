package sim

import (
	"encoding/json"
	"sort"
	"time"
)

// World is everything the simulated cluster is: what its files hold and what its machines do right now.
// Its text form (ParseWorld, WriteTo) is made of the files a real host has, so that they can be pasted.
type World struct {
	Version  string    // of PVE, "9.2.11" or "8.4.21", with "/REPOID" if that matters
	Local    string    // the node that is asked (the first one if empty)
	Clock    time.Time // when the world starts; zero: the clock's own time
	Settings Settings

	Datacenter DatacenterOptions // datacenter.cfg
	Storages   *StorageConfig
	Access     *Access
	Nodes      []*Node
	VMs        map[int]*VM
	Tasks      []*Task                    // oldest first
	Guests     map[int]*Process           // what runs in guests, by VMID, where a real host stands for their node
	Hosts      map[string]string          // text of simulated machines with ZFS, by name; see package zhost
	Reads      map[string]json.RawMessage // answers that nothing changes, by API path ("/nodes/pve-5/hardware/pci")
}

// Settings are how the simulated machines behave.
type Settings struct {
	ResourceLag   time.Duration            // age of what cluster/resources tells; PVE broadcasts about every 10 s
	HoldAfterStop time.Duration            // how long a stop's cleanup keeps the config lock (PVE: up to 30 s)
	TaskTime      map[string]time.Duration // by task type ("qmstart"); what is absent takes no time
}

// Node is one host of the cluster.
type Node struct {
	Name   string
	Status string // online, offline, refused (its proxy answers 595), unresolvable
	IP     string
	Booted time.Time

	CPUs               int
	Memory, MemoryUsed int64 // bytes
	RootDisk, RootUsed int64 // bytes
	Interfaces         string
	InterfacesNew      *string // nil: nothing pending
	Volumes            map[string][]*Volume
	Datasets           []*Dataset
	shell              Shell // of the real host that stands for the node; nil: Datasets is all there is
	backing            ZFS   // of that host
	looked             time.Time
	interfacesTime     time.Time
	interfacesNewTime  time.Time
}

// Volume is a file or logical volume of a storage.
type Volume struct {
	Name    string // as in a volid, after "storage:"
	Size    int64  // bytes
	Used    int64  // bytes on disk
	Format  string // raw, qcow2, vmdk, iso, ...
	Content string // images, iso, import, snippets, ...
	Parent  string // backing file of a linked clone
	Virtual int64  // bytes that an image of the import content holds; its Size is the file's
	Exec    bool   // a snippet that is executable
	Created time.Time
	Snaps   []string // names of snapshots inside the image
	snapAt  map[string]int64
}

// Dataset is one ZFS filesystem or zvol.
type Dataset struct {
	Name      string
	Volsize   int64 // bytes; 0: a filesystem
	Blocksize string
	Used      int64
	Quota     int64 // what the pool holds altogether, on a pool's root only
	Raw       int64 // size of the pool's disks, parity included; 0: Quota
	Origin    string
	Snapshots []DatasetSnapshot
	Created   time.Time
}

// DatasetSnapshot is name and volsize of one snapshot, oldest first.
type DatasetSnapshot struct {
	Name    string
	Volsize int64
}

// Task is one worker of a node.
type Task struct {
	UPID      string
	Node      string
	Type, ID  string
	User      string // "root@pam!recon"
	PID       int64
	PStart    int64
	Start     time.Time
	End       time.Time // zero: it runs for ever
	Exit      string
	Log       []string
	Finished  bool
	cancelled bool
	finish    func(*Task)
}

// NewWorld returns an empty world of the newest known version.
func NewWorld() *World {
	return &World{
		Version: "9.2.11", VMs: map[int]*VM{}, Guests: map[int]*Process{}, Reads: map[string]json.RawMessage{}, Hosts: map[string]string{},
		Datacenter: DatacenterOptions{}, Storages: &StorageConfig{}, Access: newAccess(),
		Settings: Settings{TaskTime: map[string]time.Duration{}},
	}
}

// Node returns the named node, or nil.
func (w *World) Node(name string) *Node {
	for _, n := range w.Nodes {
		if n.Name == name {
			return n
		}
	}
	return nil
}

func (w *World) local() *Node {
	if n := w.Node(w.Local); n != nil {
		return n
	}
	return w.Nodes[0]
}

// vmids lists the ids of all VMs in order.
func (w *World) vmids() []int {
	ids := make([]int, 0, len(w.VMs))
	for id := range w.VMs {
		ids = append(ids, id)
	}
	sort.Ints(ids)
	return ids
}

// nine tells whether the world runs PVE 9 or later.
func (w *World) nine() bool { return len(w.Version) < 2 || w.Version[:2] != "8." }

// Clone copies the world, so that one file can start many servers.
func (w *World) Clone() *World {
	text := w.String()
	copied, err := parseWorldText(text)
	if err != nil {
		panic("sim: a world does not read its own text: " + err.Error() + "\n" + text)
	}
	return copied
}
