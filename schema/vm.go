package schema

// VM is one checked VirtualMachine object.
type VM struct {
	TypeMeta `json:",inline"`
	Metadata Metadata `json:"metadata" doc:"what the object is called"`
	Spec     VMSpec   `json:"spec" doc:"what should be true of the guest"`

	derived bool // the uuid was derived by Resolve
}

// VMSpec is the field table of a virtual machine. One line is one setting: its YAML name, PVE's key, its rules and its
// manual. The tags:
//
//	json     the name in the manifest; without omitempty it must be given
//	pve      PVE's config key; "net[0-31]" on a map is a family of keys; on a struct the key holds a property string
//	prop     the sub-key inside a property string; ",bare" marks PVE's default key, printed without its name
//	kind     how the value is written and compared, where the Go type does not say it (kinds.go)
//	default  what PVE takes when the key is absent; without a key, what reconcile takes
//	enum     the allowed values, separated by |; min and max bound numbers; pattern is anchored on both sides
//	root     "true": PVE lets only root@pam itself set it, no token (FACTS §2)
//	fill     "true": PVE takes the property string only with this sub-key, so that its default is written with the others
//	needs    the slots without which the setting means nothing ("scsi" for scsihw)
//	also     what people call it elsewhere, in lower case: an unknown field of that name is told of this one
//	doc      the manual
type VMSpec struct {
	Cluster string `json:"cluster,omitempty" pattern:"[A-Za-z0-9_.-]+" doc:"cluster of the config file; needed only when several are configured and none lists the node"`
	Node    string `json:"node" pattern:"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?" doc:"PVE node the guest lives on; a guest found on another node is never moved nor made again"`
	VMID    int    `json:"vmid" min:"100" max:"999999999" also:"id" doc:"PVE's id of the guest, unique in the cluster"`
	UUID    string `json:"uuid,omitempty" pve:"smbios1" prop:"uuid" kind:"uuid" doc:"smbios1 uuid of the guest; state it to adopt an existing guest, leave it out for one that reconcile creates (then it is derived from owner, cluster and vmid)"`
	State   string `json:"state,omitempty" default:"Present" enum:"Present|Absent" doc:"Absent is the tombstone: with the uuid stated, the guest is shut down and deleted with its disks"`

	Power         string `json:"power,omitempty" default:"Unmanaged" enum:"Running|Stopped|Unmanaged" doc:"Running starts a stopped guest, Stopped shuts a running one down (gracefully), Unmanaged does neither"`
	RestartPolicy string `json:"restartPolicy,omitempty" default:"Never" enum:"Never|Allowed" doc:"Allowed: with power Running, a guest with changes that wait for a restart is shut down gracefully and started again"`

	MaintenanceWindows []string `json:"maintenanceWindows,omitempty" kind:"set" doc:"when the guest may be shut down or restarted, as Sat 02:00-06:00 Asia/Shanghai; left out, the cluster's in the config file, which is any time unless stated"`

	DriftPolicy string    `json:"driftPolicy,omitempty" enum:"Correct|Report" doc:"what to do about settings of the manifest that somebody changed on the host: Correct writes them again, Report shows them and leaves them alone; left out, the cluster's in the config file, which is Correct unless stated"`
	Ignore      []Ignored `json:"ignore,omitempty" doc:"settings that are left to others once the guest or device is there: neither written, taken away nor noted"`

	Overrule map[string]string `json:"overrule,omitempty" doc:"recommendations of the node that this guest does not follow: what they name (discard, agent, onboot, mac, vmid) and why"`

	Name        string   `json:"name,omitempty" pve:"name" kind:"name" doc:"name shown by PVE, if it is not metadata.name"`
	Description string   `json:"description,omitempty" pve:"description" kind:"description" also:"notes comment" doc:"notes shown by PVE, Markdown; white space at the end does not count"`
	Tags        []string `json:"tags,omitempty" pve:"tags" kind:"tags" pattern:"[A-Za-z0-9_][A-Za-z0-9_.+-]*" doc:"tags: letters, digits, and _ . + - after the first character; order and case do not count unless the datacenter's tag-style says so"`
	OnBoot      *bool    `json:"onboot,omitempty" pve:"onboot" default:"0" also:"autostart start startonboot start_on_boot" doc:"start with the host"`
	Startup     *Startup `json:"startup,omitempty" pve:"startup" doc:"order and delays of automatic start; a token needs Sys.Modify on / to set it"`
	Protection  *bool    `json:"protection,omitempty" pve:"protection" default:"0" doc:"PVE refuses to remove the guest or its disks"`
	Agent       *Agent   `json:"agent,omitempty" pve:"agent" doc:"QEMU guest agent"`
	Hotplug     []string `json:"hotplug,omitempty" pve:"hotplug" kind:"hotplug" default:"network,disk,usb" enum:"network|disk|cpu|memory|usb|cloudinit|0|1" doc:"what PVE may hot-plug; 0 (nothing) and 1 (network, disk and usb) stand alone"`

	CPU       *CPU             `json:"cpu,omitempty" doc:"processor"`
	Numa      *bool            `json:"numa,omitempty" pve:"numa" default:"0" doc:"emulate NUMA; needed to hot-plug memory"`
	NumaNodes map[string]*Numa `json:"numaNodes,omitempty" pve:"numa[0-7]" doc:"NUMA topology by PVE key"`
	Memory    *Size            `json:"memory,omitempty" pve:"memory" prop:"current,bare" kind:"mebibytes" default:"512" also:"ram mem" doc:"memory, whole MiB: 16Gi, 16384 (MiB)"`
	Balloon   *Size            `json:"balloon,omitempty" pve:"balloon" kind:"mebibytes" doc:"least memory when ballooning; 0 switches the balloon device off"`
	Shares    *int             `json:"shares,omitempty" pve:"shares" min:"0" max:"50000" default:"1000" doc:"weight for automatic ballooning"`
	AllowKSM  *bool            `json:"allowKSM,omitempty" pve:"allow-ksm" default:"1" doc:"let the host merge equal pages (PVE 9)"`

	OSType   string   `json:"ostype,omitempty" pve:"ostype" default:"other" enum:"other|wxp|w2k|w2k3|w2k8|wvista|win7|win8|win10|win11|l24|l26|solaris" doc:"guest operating system; l26 is Linux"`
	Machine  *Machine `json:"machine,omitempty" pve:"machine" doc:"machine type, as text (q35) or with its options"`
	BIOS     string   `json:"bios,omitempty" pve:"bios" default:"seabios" enum:"seabios|ovmf" doc:"firmware"`
	Boot     []string `json:"boot,omitempty" pve:"boot" kind:"bootorder" pattern:"(net|scsi|virtio|sata|ide|usb|hostpci)\\d+" doc:"devices to boot from, in order: scsi0, virtio0, sata0, ide2, net0, usb0 or hostpci0; devices PVE appended by itself are not a difference"`
	ACPI     *bool    `json:"acpi,omitempty" pve:"acpi" default:"1" doc:"ACPI"`
	KVM      *bool    `json:"kvm,omitempty" pve:"kvm" default:"1" doc:"hardware virtualisation"`
	Tablet   *bool    `json:"tablet,omitempty" pve:"tablet" default:"1" doc:"USB tablet as pointing device"`
	Freeze   *bool    `json:"freeze,omitempty" pve:"freeze" default:"0" doc:"freeze the CPU at start"`
	Reboot   *bool    `json:"reboot,omitempty" pve:"reboot" default:"1" doc:"false: the guest exits instead of rebooting"`
	Local    *bool    `json:"localtime,omitempty" pve:"localtime" doc:"real time clock in local time; unset, PVE decides by ostype"`
	Start    string   `json:"startdate,omitempty" pve:"startdate" default:"now" pattern:"now|\\d{4}-\\d{1,2}-\\d{1,2}(T\\d{1,2}:\\d{1,2}:\\d{1,2})?" doc:"first date of the real time clock"`
	TDF      *bool    `json:"tdf,omitempty" pve:"tdf" default:"0" doc:"time drift fix"`
	Keyboard string   `json:"keyboard,omitempty" pve:"keyboard" enum:"de|de-ch|da|en-gb|en-us|es|fi|fr|fr-be|fr-ca|fr-ch|hu|is|it|ja|lt|mk|nl|no|pl|pt|pt-br|sv|sl|tr" doc:"keyboard layout of the VNC server"`
	Arch     string   `json:"arch,omitempty" pve:"arch" root:"true" enum:"x86_64|aarch64" doc:"processor architecture"`

	SCSIHW   string              `json:"scsihw,omitempty" pve:"scsihw" default:"lsi" needs:"scsi" enum:"lsi|lsi53c810|virtio-scsi-pci|virtio-scsi-single|megasas|pvscsi" doc:"SCSI controller; PVE's default is lsi"`
	Disks    map[string]*Disk    `json:"disks,omitempty" pve:"scsi[0-30],virtio[0-15],sata[0-5],ide[0-3]" doc:"disks and CD drives by slot"`
	EFIDisk  *EFIDisk            `json:"efidisk,omitempty" pve:"efidisk0" doc:"disk for the firmware's variables"`
	TPMState *TPMState           `json:"tpmstate,omitempty" pve:"tpmstate0" doc:"disk for the TPM's state"`
	Networks map[string]*Network `json:"networks,omitempty" pve:"net[0-31]" also:"nics nic interfaces cards" doc:"network cards by slot; the slot decides the order inside the guest"`
	Init     *CloudInit          `json:"cloudInit,omitempty" doc:"cloud-init; the drive itself is a disk with cloudInit: true"`

	VGA      *VGA                 `json:"vga,omitempty" pve:"vga" doc:"display, as text (std, serial0) or with its options"`
	Audio    *Audio               `json:"audio,omitempty" pve:"audio0" doc:"sound card"`
	Serial   map[string]string    `json:"serial,omitempty" pve:"serial[0-3]" pattern:"socket|/dev/.+" doc:"serial ports: socket, or a device of the host (root@pam only)"`
	Parallel map[string]string    `json:"parallel,omitempty" pve:"parallel[0-2]" root:"true" pattern:"/dev/parport\\d+|/dev/usb/lp\\d+" doc:"parallel ports of the host"`
	USB      map[string]*USB      `json:"usb,omitempty" pve:"usb[0-13]" doc:"USB devices"`
	HostPCI  map[string]*HostPCI  `json:"hostpci,omitempty" pve:"hostpci[0-15]" doc:"PCI devices of the host; a token may use mappings only"`
	VirtioFS map[string]*VirtioFS `json:"virtiofs,omitempty" pve:"virtiofs[0-9]" doc:"directories of the host shared with the guest"`
	RNG      *RNG                 `json:"rng,omitempty" pve:"rng0" doc:"random number generator"`
	Watchdog *Watchdog            `json:"watchdog,omitempty" pve:"watchdog" doc:"hardware watchdog"`
	IVSHMem  *IVSHMem             `json:"ivshmem,omitempty" pve:"ivshmem" root:"true" doc:"shared memory between guests and host"`
	SMBIOS   *SMBIOS              `json:"smbios,omitempty" pve:"smbios1" doc:"SMBIOS type 1 fields; the uuid is spec.uuid"`
	SEV      *SEV                 `json:"amdSEV,omitempty" pve:"amd-sev" root:"true" doc:"AMD secure encrypted virtualisation"`
	TDX      *TDX                 `json:"intelTDX,omitempty" pve:"intel-tdx" root:"true" doc:"Intel trust domain extensions (PVE 9)"`
	Spice    *Spice               `json:"spice,omitempty" pve:"spice_enhancements" root:"true" doc:"SPICE extras"`

	MigrateDowntime *float64 `json:"migrateDowntime,omitempty" pve:"migrate_downtime" default:"0.1" min:"0" doc:"longest stop in seconds when PVE migrates inside the cluster"`
	MigrateSpeed    *int     `json:"migrateSpeed,omitempty" pve:"migrate_speed" default:"0" min:"0" doc:"speed limit in MB/s when PVE migrates inside the cluster"`
	VMStateStorage  string   `json:"vmstatestorage,omitempty" pve:"vmstatestorage" kind:"storage" doc:"storage for saved memory"`

	Hookscript    string `json:"hookscript,omitempty" pve:"hookscript" root:"true" kind:"volid" doc:"script run around the guest's life, a volume of content type snippets"`
	Args          string `json:"args,omitempty" pve:"args" root:"true" doc:"extra arguments for QEMU"`
	HugePages     string `json:"hugepages,omitempty" pve:"hugepages" root:"true" enum:"any|2|1024" doc:"huge pages, MiB"`
	KeepHugePages *bool  `json:"keephugepages,omitempty" pve:"keephugepages" root:"true" default:"0" doc:"keep huge pages after the guest stopped"`
	VMGenID       string `json:"vmgenid,omitempty" pve:"vmgenid" root:"true" kind:"uuid" doc:"VM generation id; PVE makes one up"`
}

// CPU groups the processor settings: PVE's keys sockets, cores, vcpus, cpulimit, cpuunits, affinity and the cpu string.
type CPU struct {
	Sockets       *int     `json:"sockets,omitempty" pve:"sockets" min:"1" default:"1" doc:"sockets"`
	Cores         *int     `json:"cores,omitempty" pve:"cores" min:"1" default:"1" doc:"cores per socket"`
	VCPUs         *int     `json:"vcpus,omitempty" pve:"vcpus" min:"1" also:"vcpu" doc:"CPUs plugged in at start, at most sockets times cores"`
	Limit         *float64 `json:"limit,omitempty" pve:"cpulimit" min:"0" max:"128" default:"0" doc:"limit in CPUs of computing time; 0 is none"`
	Units         *int     `json:"units,omitempty" pve:"cpuunits" kind:"weight" min:"1" max:"262144" doc:"weight against other guests; above 10000 it counts as 10000"`
	Affinity      string   `json:"affinity,omitempty" pve:"affinity" root:"true" pattern:"\\d+(-\\d+)?(,\\d+(-\\d+)?)*" doc:"host cores the guest may run on: 0,5,8-11"`
	Type          string   `json:"type,omitempty" pve:"cpu" prop:"cputype,bare" default:"kvm64" fill:"true" pattern:"[A-Za-z0-9_.+-]+" doc:"model: host, x86-64-v2-AES, ..., custom-NAME"`
	Flags         []string `json:"flags,omitempty" pve:"cpu" prop:"flags" kind:"flags" pattern:"[+-][a-z0-9-]+" doc:"flags switched on or off: +aes, -pcid"`
	Hidden        *bool    `json:"hidden,omitempty" pve:"cpu" prop:"hidden" default:"0" doc:"hide that this is a KVM guest"`
	HVVendorID    string   `json:"hvVendorID,omitempty" pve:"cpu" prop:"hv-vendor-id" pattern:"[A-Za-z0-9]{1,12}" doc:"Hyper-V vendor id"`
	PhysBits      string   `json:"physBits,omitempty" pve:"cpu" prop:"phys-bits" pattern:"host|[89]|[1-5]\\d|6[0-4]" doc:"physical address bits, 8 to 64, or host"`
	GuestPhysBits *int     `json:"guestPhysBits,omitempty" pve:"cpu" prop:"guest-phys-bits" min:"32" max:"64" doc:"physical address bits inside the guest (PVE 9)"`
	Level         *int     `json:"level,omitempty" pve:"cpu" prop:"level" min:"0" max:"4294967295" doc:"highest CPUID leaf (PVE 9)"`
}
