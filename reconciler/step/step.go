// Package step holds the steps: changes that are decided but not made. A step is plain data that prints as the command an
// operator would type to do the same by hand. The package never makes a change; internal/live does.
package step

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ustclug/pve-reconcile/schema"
)

// Step is one change. The sum is sealed: every switch over steps is checked to be complete.
//
//sumtype:decl
type Step interface {
	fmt.Stringer
	Guest() schema.ID // the guest the step changes; without a vmid where it changes none
	step()
}

// Plan is what to do next, and why not more.
type Plan struct {
	Stage   string   // migrations: the row the migration is at
	Steps   []Step   // in order
	Waits   []Wait   // what may not go on: a person or the world must move
	Restart []string // PVE keys written but waiting for a restart of the guest
	Notes   []string // seen and left alone: "net2: not in the manifest"
	Diffs   []Diff   // what is not alike, value by value, and why; by key
}

// Empty tells whether nothing is to be done and nothing is waited for.
func (p Plan) Empty() bool { return len(p.Steps) == 0 && len(p.Waits) == 0 && len(p.Restart) == 0 }

// OnlyWaits tells whether the plan waits, and for nothing but these reasons.
func (p Plan) OnlyWaits(reasons ...string) bool {
	return len(p.Waits) > 0 && !slices.ContainsFunc(p.Waits, func(w Wait) bool { return !slices.Contains(reasons, w.Reason) })
}

// Wait is one thing that may not go on, and what a person can do about it.
type Wait struct {
	Reason string // CamelCase, for machines: "IdentityConflict"
	Text   string // for people
}

// The reasons of waits.
const (
	IdentityConflict = "IdentityConflict" // another guest has the vmid
	Misplaced        = "Misplaced"        // the guest lives on another node
	Locked           = "Locked"           // PVE holds a lock on the config
	Refused          = "Refused"          // the change is one this program never makes
	RootOnly         = "RootOnly"         // only root@pam itself may make the change
	Template         = "Template"         // the guest is a template
	Forbidden        = "Forbidden"        // the token lacks a privilege
	Missing          = "Missing"          // the guest to adopt does not exist
	NoNode           = "NoNode"           // the cluster has no such node
	TooMany          = "TooMany"          // more deletions than one run may make
	SourceUnread     = "SourceUnread"     // some manifest cannot be read
	SourceShrunk     = "SourceShrunk"     // so many manifests vanished that it is likely a mistake
	NotApplied       = "NotApplied"       // a written network config waits for somebody to apply it
	DependsOn        = "DependsOn"        // something it depends on is not ready
	OutsideWindow    = "OutsideWindow"    // an interruption waits for a maintenance window
	Flapping         = "Flapping"         // the same step was made over and over, and somebody undid it each time
	AssertionFailed  = "AssertionFailed"  // what a manifest says of a node does not hold
)

// The reasons of waits of migrations.
const (
	HostUnknown     = "HostUnknown"     // a host of the migration did not answer, or not with its key
	Preflight       = "Preflight"       // a check found something that has to be mended first
	Foreign         = "Foreign"         // a dataset is not this migration's
	StagingTampered = "StagingTampered" // somebody changed what was received
	TargetRunning   = "TargetRunning"   // the target was started by hand
	TargetWritten   = "TargetWritten"   // the target was run by hand after it was proven
	NotApproved     = "NotApproved"     // no commit approves the plan that stands
	WindowClosed    = "WindowClosed"    // the guest may be stopped at other times only
	TooLong         = "TooLong"         // the guest would be off for longer than it may
	ProofFailed     = "ProofFailed"     // the copy is not what the source has
	PowerUnknown    = "PowerUnknown"    // nobody can tell whether the source guest runs
	StillOpen       = "StillOpen"       // something has a zvol open
	Interlocked     = "Interlocked"     // something that has to hold before the start does not
	StartByHand     = "StartByHand"     // the source guest has to be started by a person
	SplitBrain      = "SplitBrain"      // both guests may have lived at the same time
)

// Errors sort by who must act next. ErrBusy and ErrStale: time; look again and decide anew. ErrUnreachable: the world;
// nothing is known about the object (law 8). ErrForbidden: a person, who grants the token what the text names.
var (
	ErrBusy        = errors.New("busy")                               // a lock that will be released
	ErrStale       = errors.New("changed since it was read")          // digest mismatch
	ErrUnreachable = errors.New("not reachable")                      // no answer, or the answer of a proxy that got none
	ErrForbidden   = errors.New("forbidden")                          // 401 and 403
	ErrInDoubt     = errors.New("in doubt")                           // a network was reloaded, and nobody knows how it is
	ErrUnfinished  = errors.New("task still running at its deadline") // the outcome is unknown: never repeated blindly
)

// Outcome is what is left to tell of a step that was done.
type Outcome struct {
	Tasks    []string // UPIDs of the PVE tasks that did it
	Warnings []string // what a task that ended with WARNINGS said
	Figures  Figures  // of a long step on a host
}

// Figures are what a long step took and brought.
type Figures struct {
	Bytes   int64   // sent, copied, hashed or trimmed
	Written int64   // of a copy: written to the target
	Seconds float64 // of the whole step
	Verify  float64 // of a copy: the seconds of these that verifying took
	Hash    string  // of a copy or hash
	Resumed int64   // bytes that an earlier run had done already
}

// CreateVM makes a guest that does not exist.
type CreateVM struct {
	ID  schema.ID
	Set map[string]string // PVE keys and values; storage:N allocates
}

// SetConfig writes config keys of an existing guest, guarded by the digest of what was read.
type SetConfig struct {
	ID     schema.ID
	Digest string
	Set    map[string]string
	Delete []string // a deleted disk stays as unusedN
	Revert []string // pending changes to drop
}

// ResizeDisk grows a disk to an absolute size.
type ResizeDisk struct {
	ID     schema.ID
	Digest string
	Disk   string
	Size   schema.Size
}

// StartVM starts a stopped guest.
type StartVM struct{ ID schema.ID }

// ShutdownVM shuts a guest down gracefully. A guest that does not react goes on running, and the step fails.
type ShutdownVM struct{ ID schema.ID }

// DeleteVM removes a stopped guest and every disk it owns.
type DeleteVM struct{ ID schema.ID }

// CreateStorage defines a storage in the cluster.
type CreateStorage struct {
	Cluster, Node string // the node whose manifest declares it
	Storage, Type string
	Set           map[string]string
}

// SetStorage changes options of a storage definition, guarded by the digest of what was read.
type SetStorage struct {
	Cluster, Node   string
	Storage, Digest string
	Set             map[string]string
	Delete          []string
}

// SetNetwork writes interfaces of a node to its pending network config, all or none, and makes it take effect if told to.
type SetNetwork struct {
	Cluster, Node string
	Interfaces    []NetworkInterface
	Apply         bool
}

// NetworkInterface is one to write, with everything that it should have: PVE forgets an address that is not sent.
type NetworkInterface struct {
	Name string
	New  bool
	Set  map[string]string
}

func (SetNetwork) step() {}

func (s SetNetwork) Guest() schema.ID { return schema.ID{Cluster: s.Cluster, Node: s.Node} }

func (s SetNetwork) String() string {
	var parts []string
	for _, i := range s.Interfaces {
		if i.New {
			parts = append(parts, "pvesh create /nodes/"+s.Node+"/network --iface "+i.Name+options(i.Set))
		} else {
			parts = append(parts, "pvesh set /nodes/"+s.Node+"/network/"+i.Name+options(i.Set))
		}
	}
	if s.Apply {
		parts = append(parts, "pvesh set /nodes/"+s.Node+"/network")
	}
	return strings.Join(parts, " && ")
}

func (CreateStorage) step() {}
func (SetStorage) step()    {}

func (s CreateStorage) Guest() schema.ID { return schema.ID{Cluster: s.Cluster, Node: s.Node} }
func (s SetStorage) Guest() schema.ID    { return schema.ID{Cluster: s.Cluster, Node: s.Node} }

func (s CreateStorage) String() string {
	return "pvesm add " + s.Type + " " + s.Storage + options(s.Set)
}

func (s SetStorage) String() string {
	text := "pvesm set " + s.Storage + options(s.Set)
	if len(s.Delete) > 0 {
		text += " --delete " + strings.Join(s.Delete, ",")
	}
	return text
}

func (CreateVM) step()   {}
func (SetConfig) step()  {}
func (ResizeDisk) step() {}
func (StartVM) step()    {}
func (ShutdownVM) step() {}
func (DeleteVM) step()   {}

func (s CreateVM) Guest() schema.ID   { return s.ID }
func (s SetConfig) Guest() schema.ID  { return s.ID }
func (s ResizeDisk) Guest() schema.ID { return s.ID }
func (s StartVM) Guest() schema.ID    { return s.ID }
func (s ShutdownVM) Guest() schema.ID { return s.ID }
func (s DeleteVM) Guest() schema.ID   { return s.ID }

func (s CreateVM) String() string {
	return fmt.Sprintf("qm create %d%s", s.ID.VMID, options(s.Set))
}

func (s SetConfig) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "qm set %d%s", s.ID.VMID, options(s.Set))
	if len(s.Delete) > 0 {
		b.WriteString(" --delete " + strings.Join(s.Delete, ","))
	}
	if len(s.Revert) > 0 {
		b.WriteString(" --revert " + strings.Join(s.Revert, ","))
	}
	return b.String()
}

func (s ResizeDisk) String() string {
	return fmt.Sprintf("qm disk resize %d %s %s", s.ID.VMID, s.Disk, s.Size.PVE())
}
func (s StartVM) String() string    { return fmt.Sprintf("qm start %d", s.ID.VMID) }
func (s ShutdownVM) String() string { return fmt.Sprintf("qm shutdown %d", s.ID.VMID) }
func (s DeleteVM) String() string   { return fmt.Sprintf("qm destroy %d --purge", s.ID.VMID) }

// options prints settings as qm's options, the name first and the others by key; secrets as asterisks.
func options(set map[string]string) string {
	var b strings.Builder
	keys := slices.SortedFunc(maps.Keys(set), func(x, y string) int {
		if (x == "name") != (y == "name") {
			if x == "name" {
				return -1
			}
			return 1
		}
		return schema.CompareKeys(x, y)
	})
	for _, k := range keys {
		v := printed(set[k])
		if r, ok := schema.RowOf(k); ok {
			if r.Secret() {
				v = "'***'"
			}
			if public := r.SSHKeys(set[k]); public != nil { // qm takes the name of a file
				v = "<(echo " + printed(strings.Join(public, "\n")) + ")"
			}
		}
		b.WriteString(" --" + k + " " + v)
	}
	return b.String()
}

// Texts prints steps, one command each.
func Texts(steps []Step) []string {
	out := make([]string, len(steps))
	for i, s := range steps {
		out[i] = s.String()
	}
	return out
}
