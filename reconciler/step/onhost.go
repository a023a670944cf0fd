package step

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ustclug/pve-reconcile/schema"
)

// OnHost is a step that is made with commands on a host of the config file, not through PVE.
//
//sumtype:decl
type OnHost interface {
	Step
	Machine() string // the host of the config file on which the step is made
	onHost()
}

// SnapshotRef names a snapshot; its guid tells whether it is the one that is meant (law 12).
type SnapshotRef struct {
	Dataset string
	Name    string // without the dataset, "reconcile-docker2-3"
	GUID    string // decimal, as zfs prints it
}

func (r SnapshotRef) String() string { return r.Dataset + "@" + r.Name }

// SnapshotDisks takes one snapshot of several zvols of a pool at the same moment, marks and holds it.
type SnapshotDisks struct {
	Host     string
	Datasets []string
	Name     string
	Set      map[string]string // user properties of the snapshots
	Tag      string            // of the holds
}

// HoldSnapshots takes holds; one that is there is fine.
type HoldSnapshots struct {
	Host      string
	Snapshots []SnapshotRef
	Tag       string
}

// DestroySnapshots releases our holds and destroys snapshots. Each is looked at again first: another guid, another mark or
// somebody else's hold is an error.
type DestroySnapshots struct {
	Host      string
	Snapshots []SnapshotRef
	Tag, Mark string
}

// CreateStaging makes the file system below which streams are received. It is never mounted.
type CreateStaging struct {
	Host, Dataset string
	Set           map[string]string
}

// SendSnapshot sends a snapshot of the source into a staging zvol, from the beginning, from a base, or on from where an
// interrupted receive stopped. It can take hours, and what it brought survives its interruption.
type SendSnapshot struct {
	Disk         string // slot on the target: "scsi0"
	From         string // host
	Snapshot     SnapshotRef
	Base         SnapshotRef // zero: a full stream
	To           string      // host
	Dataset      string      // the staging zvol
	Mark         string
	Token        string // receive_resume_token of Dataset, "" when none
	Set          map[string]string
	Rate         int64 // bytes a second; 0: no limit
	Compressed   bool
	LargeBlocks  bool
	EmbeddedData bool
	// Proving brings to From what hashes the last snapshot there later: that it cannot run there is not to be found out with the
	// guest off.
	Proving bool
}

// AbortReceive drops what an interrupted receive has brought, when it cannot be continued.
type AbortReceive struct{ Host, Dataset string }

// CopyDisk copies a received snapshot into the target's zvol and flushes it, without reading it back, then notes on the zvol what it holds. It notes which one it
// begins with as PropCopying before the first byte is written, and goes on behind its last checkpoint.
type CopyDisk struct {
	Disk       string
	Host       string
	Snapshot   SnapshotRef // of the staging zvol
	Target     string      // zvol
	TargetGUID string
	Size       int64 // bytes of the source's zvol; the target has as many, rounded up to whole MiB
	Fresh      bool  // nothing was ever written to the target: it reads as zeros
	Rate       int64
	Set        map[string]string // user properties of the target afterwards
	Mark       string
	Tag        string // of the hold taken while it reads
}

// HashSnapshot reads a snapshot of a source's, staging or target's zvol from its device and notes the content's hash on it as
// PropHash. A target may be larger than what was copied into it.
type HashSnapshot struct {
	Disk     string
	Host     string
	Snapshot SnapshotRef
	Size     int64 // bytes to hash, from the start on
	Volsize  int64 // bytes that the zvol has
	Rate     int64
	Mark     string
}

// SetProperties sets user and native properties of datasets, and has others inherited again.
type SetProperties struct {
	Host     string
	Datasets []string
	Set      map[string]string
	Inherit  []string
}

// ShutdownSource shuts the guest on the source host down gracefully. A guest that does not react in time goes on running
// and the step fails, unless Kill says otherwise.
type ShutdownSource struct {
	Host    string
	Power   schema.SourcePower
	Timeout time.Duration
	Kill    bool
}

// StartSource starts the guest on the source host again.
type StartSource struct {
	Host  string
	Power schema.SourcePower
}

// MaskSource keeps the guest on the source host from being started, or lets it be started again.
type MaskSource struct {
	Host  string
	Power schema.SourcePower
	Off   bool   // unmask
	Was   string // to unmask: PropAutostart
}

// DestroyDataset destroys a dataset that is ours. It is looked at again first: another guid, another mark, or a snapshot
// or child without our mark is an error.
type DestroyDataset struct {
	Host, Dataset string
	GUID, Mark    string
	Snapshots     bool   // with its own snapshots, each of which has to have our mark, or be below our staging
	Tag           string // of our holds on them, which are released first
}

// RollbackStaging takes back what somebody wrote to a staging zvol since the newest snapshot it has, which is the one given.
type RollbackStaging struct {
	Host     string
	Snapshot SnapshotRef
	Mark     string
}

// TrimGuest has the guest of PVE trim its file systems through its agent, and notes on the zvols, as PropTrimmed, the bytes
// it trimmed, or why none. PVE may stop answering while the guest goes on.
type TrimGuest struct {
	ID       schema.ID
	Host     string // of the zvols
	Datasets []string
}

func (s SnapshotDisks) Machine() string    { return s.Host }
func (s HoldSnapshots) Machine() string    { return s.Host }
func (s DestroySnapshots) Machine() string { return s.Host }
func (s CreateStaging) Machine() string    { return s.Host }
func (s SendSnapshot) Machine() string     { return s.To }
func (s AbortReceive) Machine() string     { return s.Host }
func (s CopyDisk) Machine() string         { return s.Host }
func (s HashSnapshot) Machine() string     { return s.Host }
func (s SetProperties) Machine() string    { return s.Host }
func (s ShutdownSource) Machine() string   { return s.Host }
func (s StartSource) Machine() string      { return s.Host }
func (s MaskSource) Machine() string       { return s.Host }
func (s DestroyDataset) Machine() string   { return s.Host }
func (s RollbackStaging) Machine() string  { return s.Host }
func (s TrimGuest) Machine() string        { return s.Host }

// hosted is what all steps on hosts share.
func (SnapshotDisks) onHost()    {}
func (HoldSnapshots) onHost()    {}
func (DestroySnapshots) onHost() {}
func (CreateStaging) onHost()    {}
func (SendSnapshot) onHost()     {}
func (AbortReceive) onHost()     {}
func (CopyDisk) onHost()         {}
func (HashSnapshot) onHost()     {}
func (SetProperties) onHost()    {}
func (ShutdownSource) onHost()   {}
func (StartSource) onHost()      {}
func (MaskSource) onHost()       {}
func (DestroyDataset) onHost()   {}
func (RollbackStaging) onHost()  {}
func (TrimGuest) onHost()        {}

func (SnapshotDisks) step()    {}
func (HoldSnapshots) step()    {}
func (DestroySnapshots) step() {}
func (CreateStaging) step()    {}
func (SendSnapshot) step()     {}
func (AbortReceive) step()     {}
func (CopyDisk) step()         {}
func (HashSnapshot) step()     {}
func (SetProperties) step()    {}
func (ShutdownSource) step()   {}
func (StartSource) step()      {}
func (MaskSource) step()       {}
func (DestroyDataset) step()   {}
func (RollbackStaging) step()  {}
func (TrimGuest) step()        {}

// A step on a host changes no guest of PVE, but for the trim.
func (SnapshotDisks) Guest() schema.ID    { return schema.ID{} }
func (HoldSnapshots) Guest() schema.ID    { return schema.ID{} }
func (DestroySnapshots) Guest() schema.ID { return schema.ID{} }
func (CreateStaging) Guest() schema.ID    { return schema.ID{} }
func (SendSnapshot) Guest() schema.ID     { return schema.ID{} }
func (AbortReceive) Guest() schema.ID     { return schema.ID{} }
func (CopyDisk) Guest() schema.ID         { return schema.ID{} }
func (HashSnapshot) Guest() schema.ID     { return schema.ID{} }
func (SetProperties) Guest() schema.ID    { return schema.ID{} }
func (ShutdownSource) Guest() schema.ID   { return schema.ID{} }
func (StartSource) Guest() schema.ID      { return schema.ID{} }
func (MaskSource) Guest() schema.ID       { return schema.ID{} }
func (DestroyDataset) Guest() schema.ID   { return schema.ID{} }
func (RollbackStaging) Guest() schema.ID  { return schema.ID{} }
func (s TrimGuest) Guest() schema.ID      { return s.ID }

func (s SnapshotDisks) String() string {
	var names []string
	for _, d := range s.Datasets {
		names = append(names, d+"@"+s.Name)
	}
	all := strings.Join(names, " ")
	return on(s.Host, "zfs snapshot"+props("-o ", s.Set)+" "+all+" && zfs hold "+s.Tag+" "+all)
}

func (s HoldSnapshots) String() string {
	return on(s.Host, "zfs hold "+s.Tag+" "+joined(s.Snapshots))
}

func (s DestroySnapshots) String() string {
	var parts []string
	for _, r := range s.Snapshots {
		parts = append(parts, "zfs release "+s.Tag+" "+r.String()+"; zfs destroy "+r.String())
	}
	return on(s.Host, strings.Join(parts, "; "))
}

func (s CreateStaging) String() string {
	return on(s.Host, "zfs create -p -o canmount=off -o mountpoint=none"+props("-o ", s.Set)+" "+s.Dataset)
}

func (s SendSnapshot) String() string {
	send := "zfs send"
	switch {
	case s.Token != "":
		send += " -t " + s.Token
	default:
		for _, f := range []struct {
			on   bool
			flag string
		}{{s.LargeBlocks, " -L"}, {s.EmbeddedData, " -e"}, {s.Compressed, " -c"}} {
			if f.on {
				send += f.flag
			}
		}
		if s.Base.Name != "" {
			send += " -i @" + s.Base.Name
		}
		send += " " + s.Snapshot.String()
	}
	limit := ""
	if s.Rate > 0 {
		limit = " | pv -q -L " + strconv.FormatInt(s.Rate, 10)
	}
	return on(s.From, send) + limit + " | " + on(s.To, "zfs recv -s -u"+props("-o ", s.Set)+" "+s.Dataset)
}

func (s AbortReceive) String() string { return on(s.Host, "zfs recv -A "+s.Dataset) }

func (s CopyDisk) String() string {
	flag := " --delta --ours"
	if s.Fresh {
		flag = " --fresh"
	}
	return on(s.Host, "reconcile copy /dev/zvol/"+s.Snapshot.String()+" /dev/zvol/"+s.Target+flag+" --verify=none")
}

func (s HashSnapshot) String() string {
	first := ""
	if s.Volsize > s.Size {
		first = fmt.Sprintf(" --first %d", s.Size)
	}
	return on(s.Host, "reconcile hash /dev/zvol/"+s.Snapshot.String()+first)
}

func (s SetProperties) String() string {
	var parts []string
	if len(s.Set) > 0 {
		parts = append(parts, "zfs set"+props("", s.Set)+" "+strings.Join(s.Datasets, " "))
	}
	for _, p := range s.Inherit {
		parts = append(parts, "zfs inherit "+p+" "+strings.Join(s.Datasets, " "))
	}
	return on(s.Host, strings.Join(parts, " && "))
}

func (s ShutdownSource) String() string {
	text := PowerCommand(s.Power, "shutdown")
	if s.Kill {
		text += "; sleep " + strconv.Itoa(int(s.Timeout.Seconds())) + "; " + PowerCommand(s.Power, "kill")
	}
	return on(s.Host, text)
}

func (s StartSource) String() string { return on(s.Host, PowerCommand(s.Power, "start")) }

func (s MaskSource) String() string {
	if s.Off {
		return on(s.Host, Unmask(s.Power, s.Was))
	}
	return on(s.Host, PowerCommand(s.Power, "mask"))
}

func (s RollbackStaging) String() string {
	return on(s.Host, "zfs rollback "+s.Snapshot.String())
}

func (s TrimGuest) String() string { return fmt.Sprintf("qm agent %d fstrim", s.ID.VMID) }

func (s DestroyDataset) String() string {
	if !s.Snapshots {
		return on(s.Host, "zfs destroy "+s.Dataset)
	}
	release := ""
	if s.Tag != "" {
		release = "zfs list -H -o name -t snapshot " + s.Dataset + " | xargs -n 1 zfs release " + s.Tag + "; "
	}
	return on(s.Host, release+"zfs destroy -r "+s.Dataset)
}

// on is a command as typed here for a host.
func on(host, command string) string { return "ssh " + host + " " + Quote(command) }

func props(flag string, set map[string]string) string {
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(set)) {
		b.WriteString(" " + flag + k + "=" + Quote(set[k]))
	}
	return b.String()
}

func joined(refs []SnapshotRef) string {
	out := make([]string, len(refs))
	for i, r := range refs {
		out[i] = r.String()
	}
	return strings.Join(out, " ")
}
