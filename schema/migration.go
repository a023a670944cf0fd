package schema

// Migration is one checked Migration object: a guest's disks move from a host with ZFS into a guest of PVE.
type Migration struct {
	TypeMeta `json:",inline"`
	Metadata Metadata      `json:"metadata" doc:"what the object is called"`
	Spec     MigrationSpec `json:"spec" doc:"what is to be moved, and how"`

	uid, claim string // of Resolve
}

// MigrationSpec is what is to be moved, and how.
type MigrationSpec struct {
	Source   MigrationSource `json:"source" doc:"the guest as it runs now"`
	Target   MigrationTarget `json:"target" doc:"the guest of PVE that takes its place"`
	Precopy  Precopy         `json:"precopy,omitempty" doc:"passes made while the guest still runs"`
	Cutover  Cutover         `json:"cutover,omitempty" doc:"when the guest may be stopped, and for how long"`
	Transfer Transfer        `json:"transfer,omitempty" doc:"how streams are sent"`
	Verify   string          `json:"verify,omitempty" default:"Full" enum:"Full|None" doc:"Full: the target starts only when hashes of the source's last snapshot and of the target, read from their devices, are equal; None: only the copy on the target's host is verified"`
	FSTrim   *bool           `json:"fstrim,omitempty" default:"true" doc:"trim the file systems through the guest agent after the first start"`
	Retire   Retire          `json:"retire,omitempty" doc:"what becomes of staging and source afterwards"`
	Abort    bool            `json:"abort,omitempty" doc:"true: give up and put everything back as it was; refused once the target has run"`
}

// MigrationSource is the guest as it runs now.
type MigrationSource struct {
	Host  string          `json:"host" pattern:"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?" doc:"host of the config file that has the zvols and runs the guest"`
	Power SourcePower     `json:"power" doc:"how the guest is looked at, shut down and started there"`
	Disks []MigrationDisk `json:"disks" doc:"the zvols, and the disks of the target they become"`
}

// SourcePower is how a guest outside of this PVE is switched. Systemd goes with QMP; the others stand alone.
type SourcePower struct {
	Systemd string        `json:"systemd,omitempty" pattern:"[A-Za-z0-9:_.@\\\\-]+\\.service" doc:"systemd unit that is active while the guest runs; stopping it has to shut the guest down gracefully, unless qmp is given too"`
	QMP     string        `json:"qmp,omitempty" pattern:"/.+" doc:"QMP socket of the guest's QEMU"`
	Libvirt string        `json:"libvirt,omitempty" pattern:"[A-Za-z0-9_.+-]+" doc:"libvirt domain"`
	PVE     *PVEPower     `json:"pve,omitempty" doc:"guest of a PVE that runs on the source host"`
	Command *PowerCommand `json:"command,omitempty" doc:"commands of one's own"`
}

// PVEPower is a guest of a PVE on the source host.
type PVEPower struct {
	VMID int `json:"vmid" min:"100" max:"999999999" doc:"PVE's id of the guest"`
}

// PowerCommand are shell commands run on the source host.
type PowerCommand struct {
	Status   string `json:"status" doc:"prints running or stopped as its last line; while mask holds, running masked or stopped masked"`
	Shutdown string `json:"shutdown" doc:"asks the guest to shut down gracefully; may return before it has"`
	Start    string `json:"start" doc:"starts the guest"`
	Kill     string `json:"kill,omitempty" doc:"stops the guest hard; used only with cutover.kill"`
	Mask     string `json:"mask,omitempty" doc:"keeps the guest from being started by anything"`
	Unmask   string `json:"unmask,omitempty" doc:"takes mask back"`
}

// MigrationDisk is one zvol and the disk it becomes.
type MigrationDisk struct {
	Zvol string `json:"zvol" pattern:"[A-Za-z0-9][A-Za-z0-9_.:-]*(/[A-Za-z0-9_.:-]+)+" doc:"zvol on the source host"`
	To   string `json:"to" pattern:"(scsi|virtio|sata|ide)\\d+" doc:"disk of the target's manifest"`
}

// MigrationTarget is where the guest goes.
type MigrationTarget struct {
	VirtualMachine string `json:"virtualMachine" doc:"manifest of the guest, which declares its disks, cards and all else"`
	Host           string `json:"host,omitempty" pattern:"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?" doc:"host of the config file on which the target's zvols are; left out, the one called like the guest's node"`
	Staging        string `json:"staging" pattern:"[A-Za-z0-9][A-Za-z0-9_.:-]*(/[A-Za-z0-9_.:-]+)*" doc:"dataset on that host below which streams are received"`
}

// Precopy are the passes made while the guest still runs.
type Precopy struct {
	MaxPasses  *int  `json:"maxPasses,omitempty" min:"0" max:"1000" default:"5" doc:"incremental passes at most before the cutover is asked for; 0: none, all but the first stream moves while the guest is off"`
	UntilDelta *Size `json:"untilDelta,omitempty" default:"1Gi" doc:"what was written since the last pass may be this much; below it no further pass is needed"`
}

// Cutover says when the guest may be stopped.
type Cutover struct {
	Mode            string   `json:"mode,omitempty" default:"Approve" enum:"Approve|Window|Auto" doc:"Approve: a commit sets approve; Window: inside the window; Auto: as soon as the passes are done"`
	Approve         string   `json:"approve,omitempty" pattern:"([0-9a-f]{12})?" doc:"hash of the plan as status shows it; another plan needs another approval"`
	Window          string   `json:"window,omitempty" kind:"window" doc:"when the guest may be stopped: Sat 02:00-06:00 Asia/Shanghai"`
	MaxDowntime     Duration `json:"maxDowntime,omitempty" doc:"longest stop: the cutover is not begun when the forecast is longer, and taken back when it lasts longer before the target has started"`
	ShutdownTimeout Duration `json:"shutdownTimeout,omitempty" default:"5m" doc:"how long the guest may take to shut down; after that the cutover is given up and the guest goes on"`
	Kill            bool     `json:"kill,omitempty" doc:"true: a guest that does not shut down in time is stopped hard"`
}

// Transfer says how streams are sent.
type Transfer struct {
	Rate       Rate  `json:"rate,omitempty" doc:"most bytes a second: 200MiB/s; left out, no limit"`
	Compressed *bool `json:"compressed,omitempty" default:"true" doc:"send blocks as they are compressed on disk (zfs send -c), where both ends can"`
}

// Retire says what becomes of staging and source once the target runs.
type Retire struct {
	Staging Duration     `json:"staging,omitempty" default:"168h" doc:"how long the received copy is kept after the target's first start"`
	Source  RetireSource `json:"source,omitempty" default:"Keep" doc:"Keep: the source's zvols stay, read-only; or a mapping with Destroy"`
}

// RetireSource is Keep, or when the source is destroyed.
type RetireSource struct {
	Destroy *RetireDestroy `json:"Destroy" doc:"the source's zvols are destroyed once the target has run that long"`
}

// RetireDestroy says when.
type RetireDestroy struct {
	After Duration `json:"after" doc:"how long the target has to have run"`
}
