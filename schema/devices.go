package schema

// Disk is a disk or a CD drive in a slot. What it is comes from exactly one of storage (with size, importFrom or
// cloudInit), volume or cdrom; the other fields are options of PVE's drive string.
type Disk struct {
	Storage    string `json:"storage,omitempty" kind:"storage" doc:"PVE storage the disk is allocated on; an existing disk is never moved nor allocated again"`
	Size       *Size  `json:"size,omitempty" doc:"size, whole MiB: 300Gi; a larger size grows the disk, a smaller one is refused"`
	Volume     string `json:"volume,omitempty" kind:"volid" doc:"existing volume to attach: local-zfs:vm-200-disk-0"`
	ImportFrom string `json:"importFrom,omitempty" kind:"volid" doc:"volume whose content a new disk is filled with when it is created"`
	CDROM      string `json:"cdrom,omitempty" also:"iso" pattern:"none|[A-Za-z0-9_.-]+:[^,]+" doc:"CD drive: none, or the volume of an ISO image (local:iso/debian.iso)"`
	CloudInit  *bool  `json:"cloudInit,omitempty" doc:"the cloud-init drive, allocated on storage"`

	Discard      *bool    `json:"discard,omitempty" prop:"discard" kind:"onoff" default:"ignore" doc:"pass the guest's discards on; without it fstrim in the guest frees nothing"`
	SSD          *bool    `json:"ssd,omitempty" prop:"ssd" default:"0" doc:"show the disk as an SSD (not virtio)"`
	IOThread     *bool    `json:"iothread,omitempty" prop:"iothread" default:"0" doc:"own I/O thread (scsi and virtio)"`
	Cache        string   `json:"cache,omitempty" prop:"cache" default:"none" enum:"none|writethrough|writeback|unsafe|directsync" doc:"host cache mode"`
	AIO          string   `json:"aio,omitempty" prop:"aio" enum:"native|threads|io_uring" doc:"asynchronous I/O mode"`
	Backup       *bool    `json:"backup,omitempty" prop:"backup" default:"1" doc:"include in backups"`
	Replicate    *bool    `json:"replicate,omitempty" prop:"replicate" default:"1" doc:"include in replication jobs"`
	ReadOnly     *bool    `json:"readOnly,omitempty" prop:"ro" default:"0" doc:"read-only (scsi and virtio)"`
	Shared       *bool    `json:"shared,omitempty" prop:"shared" default:"0" doc:"the volume is on all nodes"`
	Snapshot     *bool    `json:"snapshot,omitempty" prop:"snapshot" default:"0" doc:"discard all writes when the guest stops"`
	DetectZeroes *bool    `json:"detectZeroes,omitempty" prop:"detect_zeroes" doc:"detect writes of zeros"`
	Queues       *int     `json:"queues,omitempty" prop:"queues" min:"2" doc:"queues (scsi)"`
	SCSIBlock    *bool    `json:"scsiblock,omitempty" prop:"scsiblock" default:"0" doc:"full pass-through of a host block device (scsi)"`
	Serial       string   `json:"serial,omitempty" prop:"serial" kind:"urlencoded" pattern:"[ -~]{1,20}" doc:"serial number shown to the guest, up to 20 characters"`
	WWN          string   `json:"wwn,omitempty" prop:"wwn" kind:"nocase" pattern:"0x[0-9A-Fa-f]{16}" doc:"world wide name (not virtio)"`
	Vendor       string   `json:"vendor,omitempty" prop:"vendor" pattern:"[A-Za-z0-9_\\s-]{0,8}" doc:"vendor shown to the guest (scsi)"`
	Product      string   `json:"product,omitempty" prop:"product" pattern:"[A-Za-z0-9_\\s-]{0,16}" doc:"product shown to the guest (scsi)"`
	Model        string   `json:"model,omitempty" prop:"model" kind:"urlencoded" pattern:"[ -~]{1,40}" doc:"model shown to the guest (ide), up to 40 characters"`
	RError       string   `json:"rerror,omitempty" prop:"rerror" enum:"ignore|report|stop" doc:"what to do on read errors"`
	WError       string   `json:"werror,omitempty" prop:"werror" enum:"enospc|ignore|report|stop" doc:"what to do on write errors"`
	Format       string   `json:"format,omitempty" prop:"format" enum:"raw|qcow2|vmdk" doc:"image format on a directory storage"`
	BPS          *int     `json:"bps,omitempty" prop:"bps" min:"0" doc:"limit, bytes per second"`
	BPSRead      *int     `json:"bpsRead,omitempty" prop:"bps_rd" min:"0" doc:"limit on reading, bytes per second"`
	BPSWrite     *int     `json:"bpsWrite,omitempty" prop:"bps_wr" min:"0" doc:"limit on writing, bytes per second"`
	BPSMaxLen    *int     `json:"bpsMaxLength,omitempty" prop:"bps_max_length" min:"1" doc:"length of bursts, seconds"`
	BPSReadLen   *int     `json:"bpsReadMaxLength,omitempty" prop:"bps_rd_max_length" alias:"bps_rd_length" min:"1" doc:"length of read bursts, seconds"`
	BPSWriteLen  *int     `json:"bpsWriteMaxLength,omitempty" prop:"bps_wr_max_length" alias:"bps_wr_length" min:"1" doc:"length of write bursts, seconds"`
	IOPS         *int     `json:"iops,omitempty" prop:"iops" min:"0" doc:"limit, operations per second"`
	IOPSMax      *int     `json:"iopsMax,omitempty" prop:"iops_max" min:"0" doc:"burst, operations per second"`
	IOPSMaxLen   *int     `json:"iopsMaxLength,omitempty" prop:"iops_max_length" min:"1" doc:"length of bursts, seconds"`
	IOPSRead     *int     `json:"iopsRead,omitempty" prop:"iops_rd" min:"0" doc:"limit on reading, operations per second"`
	IOPSReadMax  *int     `json:"iopsReadMax,omitempty" prop:"iops_rd_max" min:"0" doc:"read burst, operations per second"`
	IOPSReadLen  *int     `json:"iopsReadMaxLength,omitempty" prop:"iops_rd_max_length" alias:"iops_rd_length" min:"1" doc:"length of read bursts, seconds"`
	IOPSWrite    *int     `json:"iopsWrite,omitempty" prop:"iops_wr" min:"0" doc:"limit on writing, operations per second"`
	IOPSWriteMax *int     `json:"iopsWriteMax,omitempty" prop:"iops_wr_max" min:"0" doc:"write burst, operations per second"`
	IOPSWriteLen *int     `json:"iopsWriteMaxLength,omitempty" prop:"iops_wr_max_length" alias:"iops_wr_length" min:"1" doc:"length of write bursts, seconds"`
	MBPS         *float64 `json:"mbps,omitempty" prop:"mbps" min:"0" doc:"limit, megabytes per second"`
	MBPSMax      *float64 `json:"mbpsMax,omitempty" prop:"mbps_max" min:"0" doc:"burst, megabytes per second"`
	MBPSRead     *float64 `json:"mbpsRead,omitempty" prop:"mbps_rd" min:"0" doc:"limit on reading, megabytes per second"`
	MBPSReadMax  *float64 `json:"mbpsReadMax,omitempty" prop:"mbps_rd_max" min:"0" doc:"read burst, megabytes per second"`
	MBPSWrite    *float64 `json:"mbpsWrite,omitempty" prop:"mbps_wr" min:"0" doc:"limit on writing, megabytes per second"`
	MBPSWriteMax *float64 `json:"mbpsWriteMax,omitempty" prop:"mbps_wr_max" min:"0" doc:"write burst, megabytes per second"`
}

// EFIDisk is the disk that keeps the firmware's variables. PVE sets its size (FACTS §5).
type EFIDisk struct {
	Storage         string `json:"storage,omitempty" kind:"storage" doc:"PVE storage the disk is allocated on"`
	Volume          string `json:"volume,omitempty" kind:"volid" doc:"existing volume to attach"`
	Type            string `json:"efitype,omitempty" prop:"efitype" default:"2m" enum:"2m|4m" doc:"size class of the variables; 4m for secure boot"`
	PreEnrolledKeys *bool  `json:"preEnrolledKeys,omitempty" prop:"pre-enrolled-keys" default:"0" doc:"come with secure boot keys"`
	MSCert          string `json:"msCert,omitempty" prop:"ms-cert" default:"2011" enum:"2011|2023|2023w|2023k" doc:"generation of the enrolled certificates (PVE 9)"`
	Format          string `json:"format,omitempty" prop:"format" enum:"raw|qcow2|vmdk" doc:"image format on a directory storage"`
}

// TPMState is the disk that keeps the TPM's state. PVE sets its size (FACTS §5).
type TPMState struct {
	Storage string `json:"storage,omitempty" kind:"storage" doc:"PVE storage the disk is allocated on"`
	Volume  string `json:"volume,omitempty" kind:"volid" doc:"existing volume to attach"`
	Version string `json:"version,omitempty" prop:"version" default:"v1.2" enum:"v1.2|v2.0" doc:"TPM version"`
	Format  string `json:"format,omitempty" prop:"format" enum:"raw|qcow2|vmdk" doc:"image format on a directory storage (PVE 9)"`
}

// Network is a network card. A MAC that PVE made up is kept when none is declared.
type Network struct {
	Model    string   `json:"model" prop:"model,bare" enum:"e1000|e1000-82540em|e1000-82544gc|e1000-82545em|e1000e|i82551|i82557b|i82559er|ne2k_isa|ne2k_pci|pcnet|rtl8139|virtio|vmxnet3" doc:"card model; virtio is the fast one"`
	MAC      string   `json:"mac,omitempty" prop:"macaddr" kind:"mac" doc:"MAC address; left out, PVE makes one up, which is then kept"`
	Bridge   string   `json:"bridge" prop:"bridge" pattern:"[A-Za-z0-9_.-]+" doc:"bridge of the node: vmbr0"`
	Tag      *int     `json:"tag,omitempty" prop:"tag" min:"1" max:"4094" also:"vlan vlanid vlan_id" doc:"VLAN"`
	Trunks   []string `json:"trunks,omitempty" prop:"trunks" kind:"semicolons" pattern:"\\d+(-\\d+)?" doc:"VLANs passed through"`
	Firewall *bool    `json:"firewall,omitempty" prop:"firewall" default:"0" doc:"PVE firewall on this card"`
	LinkDown *bool    `json:"linkDown,omitempty" prop:"link_down" default:"0" doc:"cable pulled"`
	MTU      *int     `json:"mtu,omitempty" prop:"mtu" min:"1" max:"65520" doc:"MTU (virtio); 1 takes the bridge's"`
	Queues   *int     `json:"queues,omitempty" prop:"queues" min:"0" max:"64" doc:"packet queues (virtio)"`
	Rate     *float64 `json:"rate,omitempty" prop:"rate" min:"0" doc:"limit, megabytes per second"`
}
