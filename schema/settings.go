package schema

// Startup is the order and the delays of automatic start and shutdown.
type Startup struct {
	Order *int `json:"order,omitempty" prop:"order,bare" min:"0" doc:"position; lower starts earlier and stops later"`
	Up    *int `json:"up,omitempty" prop:"up" min:"0" doc:"seconds to wait after this guest was started"`
	Down  *int `json:"down,omitempty" prop:"down" min:"0" doc:"seconds a shutdown of this guest may take"`
}

// Agent is the QEMU guest agent.
type Agent struct {
	Enabled     *bool  `json:"enabled" prop:"enabled,bare" default:"0" doc:"talk to the agent inside the guest"`
	Type        string `json:"type,omitempty" prop:"type" default:"virtio" enum:"virtio|isa" doc:"kind of port"`
	FreezeFS    *bool  `json:"freezeFS,omitempty" prop:"freeze-fs-on-backup" alias:"freeze-fs,guest-fsfreeze" default:"1" doc:"freeze file systems for backups"`
	FSTrimClone *bool  `json:"fstrimClonedDisks,omitempty" prop:"fstrim_cloned_disks" default:"0" doc:"fstrim after a disk was moved or the guest migrated"`
}

// Machine is the emulated machine.
type Machine struct {
	Type     string `json:"type,omitempty" prop:"type,bare" pattern:"(pc|q35|virt|(pc|virt|pc-i440fx|pc-q35)-\\d+(\\.\\d+)+)(\\+pve\\d+)?(\\.pxe)?" doc:"q35, pc, or a version of them (pc-q35-9.2+pve1)"`
	VIOMMU   string `json:"viommu,omitempty" prop:"viommu" enum:"intel|virtio" doc:"virtual IOMMU"`
	AWBits   *int   `json:"awBits,omitempty" prop:"aw-bits" min:"32" max:"64" doc:"address width of the virtual IOMMU (PVE 9)"`
	EnableS3 *bool  `json:"enableS3,omitempty" prop:"enable-s3" doc:"suspend to memory"`
	EnableS4 *bool  `json:"enableS4,omitempty" prop:"enable-s4" doc:"suspend to disk"`
}

// UnmarshalScalar lets `machine: q35` stand for `machine: {type: q35}`.
func (m *Machine) UnmarshalScalar(text string) error { m.Type = text; return nil }

// Numa is one emulated NUMA node.
type Numa struct {
	CPUs      []string `json:"cpus" prop:"cpus" kind:"semicolons" pattern:"\\d+(-\\d+)?" doc:"guest CPUs of this node"`
	HostNodes []string `json:"hostnodes,omitempty" prop:"hostnodes" kind:"semicolons" pattern:"\\d+(-\\d+)?" doc:"host nodes to use"`
	Memory    *Size    `json:"memory,omitempty" prop:"memory" kind:"mebibytes" doc:"memory of this node"`
	Policy    string   `json:"policy,omitempty" prop:"policy" enum:"preferred|bind|interleave" doc:"allocation policy"`
}

// CloudInit groups the cloud-init settings.
type CloudInit struct {
	User         string               `json:"user,omitempty" pve:"ciuser" also:"username" doc:"user to set up"`
	PasswordHash string               `json:"passwordHash,omitempty" pve:"cipassword" kind:"secret" pattern:"\\$[0-9a-z]+\\$.+" doc:"crypt hash of the password (mkpasswd -m sha-512), never the password"`
	SSHKeys      []string             `json:"sshKeys,omitempty" pve:"sshkeys" kind:"sshkeys" doc:"public keys, one an entry"`
	Type         string               `json:"type,omitempty" pve:"citype" enum:"configdrive2|nocloud|opennebula" doc:"format; PVE chooses by ostype"`
	Upgrade      *bool                `json:"upgrade,omitempty" pve:"ciupgrade" default:"1" doc:"upgrade packages at first boot"`
	Nameserver   []string             `json:"nameserver,omitempty" pve:"nameserver" kind:"addresses" pattern:"[0-9A-Za-z.:-]+" also:"dns" doc:"DNS servers"`
	SearchDomain []string             `json:"searchdomain,omitempty" pve:"searchdomain" kind:"words" pattern:"[0-9A-Za-z_.-]+" doc:"DNS search domains"`
	Custom       *CICustom            `json:"custom,omitempty" pve:"cicustom" doc:"own files in place of the generated ones"`
	IPConfig     map[string]*IPConfig `json:"ipconfig,omitempty" pve:"ipconfig[0-31]" doc:"addresses by card: ipconfig0 for net0"`
}

// CICustom names snippet volumes that replace the generated cloud-init files.
type CICustom struct {
	Meta    string `json:"meta,omitempty" prop:"meta" kind:"volid" doc:"meta data"`
	Network string `json:"network,omitempty" prop:"network" kind:"volid" doc:"network configuration"`
	User    string `json:"user,omitempty" prop:"user" kind:"volid" doc:"user data"`
	Vendor  string `json:"vendor,omitempty" prop:"vendor" kind:"volid" doc:"vendor data"`
}

// IPConfig is the cloud-init address of one card.
type IPConfig struct {
	IP  string `json:"ip,omitempty" prop:"ip" kind:"cidr4" doc:"10.0.0.2/24, dhcp or manual"`
	GW  string `json:"gw,omitempty" prop:"gw" kind:"ip4" doc:"gateway"`
	IP6 string `json:"ip6,omitempty" prop:"ip6" kind:"cidr6" doc:"2001:db8::2/64, dhcp, auto or manual"`
	GW6 string `json:"gw6,omitempty" prop:"gw6" kind:"ip6" doc:"IPv6 gateway"`
}

// VGA is the display.
type VGA struct {
	Type      string `json:"type,omitempty" prop:"type,bare" default:"std" enum:"cirrus|qxl|qxl2|qxl3|qxl4|none|serial0|serial1|serial2|serial3|std|virtio|virtio-gl|vmware" doc:"card"`
	Memory    *int   `json:"memory,omitempty" prop:"memory" min:"4" max:"512" doc:"memory in MiB"`
	Clipboard string `json:"clipboard,omitempty" prop:"clipboard" enum:"vnc" doc:"clipboard"`
}

// UnmarshalScalar lets `vga: serial0` stand for `vga: {type: serial0}`.
func (v *VGA) UnmarshalScalar(text string) error { v.Type = text; return nil }

// Audio is the sound card.
type Audio struct {
	Device string `json:"device" prop:"device" enum:"ich9-intel-hda|intel-hda|AC97" doc:"card"`
	Driver string `json:"driver,omitempty" prop:"driver" default:"spice" enum:"spice|none" doc:"backend"`
}

// USB is a USB device of the host, by mapping (any token that may use it) or by address (root@pam), or a SPICE channel.
type USB struct {
	Host    string `json:"host,omitempty" prop:"host,bare" kind:"nocase" pattern:"(0x)?[0-9A-Fa-f]{4}:(0x)?[0-9A-Fa-f]{4}|\\d+-\\d+(\\.\\d+)*|[Ss][Pp][Ii][Cc][Ee]" doc:"vendor:product, bus-port, or spice"`
	Mapping string `json:"mapping,omitempty" prop:"mapping" pattern:"[A-Za-z][A-Za-z0-9_-]+" doc:"resource mapping of the cluster"`
	USB3    *bool  `json:"usb3,omitempty" prop:"usb3" default:"0" doc:"USB 3"`
}

// HostPCI is a PCI device of the host, by mapping or (root@pam only) by address.
type HostPCI struct {
	Host        string `json:"host,omitempty" prop:"host,bare" pattern:"[0-9A-Fa-f:.;]+" doc:"address; root@pam only"`
	Mapping     string `json:"mapping,omitempty" prop:"mapping" pattern:"[A-Za-z][A-Za-z0-9_-]+" doc:"resource mapping of the cluster"`
	PCIe        *bool  `json:"pcie,omitempty" prop:"pcie" default:"0" doc:"as PCIe device (q35)"`
	ROMBar      *bool  `json:"rombar,omitempty" prop:"rombar" default:"1" doc:"show the ROM"`
	ROMFile     string `json:"romfile,omitempty" prop:"romfile" pattern:"[^,;]+" doc:"own ROM file; root@pam only"`
	XVGA        *bool  `json:"xVGA,omitempty" prop:"x-vga" default:"0" doc:"as primary display"`
	LegacyIGD   *bool  `json:"legacyIGD,omitempty" prop:"legacy-igd" default:"0" doc:"legacy mode of integrated graphics"`
	MDev        string `json:"mdev,omitempty" prop:"mdev" pattern:"[^/.:,]+" doc:"mediated device type"`
	Driver      string `json:"driver,omitempty" prop:"driver" default:"vfio" enum:"vfio|keep" doc:"host driver (PVE 9)"`
	VendorID    string `json:"vendorID,omitempty" prop:"vendor-id" kind:"nocase" pattern:"0x[0-9A-Fa-f]{4}" doc:"vendor id shown"`
	DeviceID    string `json:"deviceID,omitempty" prop:"device-id" kind:"nocase" pattern:"0x[0-9A-Fa-f]{4}" doc:"device id shown"`
	SubVendorID string `json:"subVendorID,omitempty" prop:"sub-vendor-id" kind:"nocase" pattern:"0x[0-9A-Fa-f]{4}" doc:"subsystem vendor id shown"`
	SubDeviceID string `json:"subDeviceID,omitempty" prop:"sub-device-id" kind:"nocase" pattern:"0x[0-9A-Fa-f]{4}" doc:"subsystem device id shown"`
}

// VirtioFS is a directory of the host shared with the guest.
type VirtioFS struct {
	DirID       string `json:"dirid" prop:"dirid,bare" pattern:"[A-Za-z][A-Za-z0-9_-]+" doc:"directory mapping of the cluster"`
	Cache       string `json:"cache,omitempty" prop:"cache" default:"auto" enum:"auto|always|metadata|never" doc:"cache mode"`
	DirectIO    *bool  `json:"directIO,omitempty" prop:"direct-io" default:"0" doc:"honour direct I/O"`
	ExposeACL   *bool  `json:"exposeACL,omitempty" prop:"expose-acl" default:"0" doc:"POSIX ACLs"`
	ExposeXAttr *bool  `json:"exposeXattr,omitempty" prop:"expose-xattr" default:"0" doc:"extended attributes"`
}

// RNG is the random number generator.
type RNG struct {
	Source   string `json:"source" prop:"source,bare" enum:"/dev/urandom|/dev/random|/dev/hwrng" doc:"source on the host"`
	MaxBytes *int   `json:"maxBytes,omitempty" prop:"max_bytes" default:"1024" min:"0" doc:"bytes per period; 0 is no limit"`
	Period   *int   `json:"period,omitempty" prop:"period" default:"1000" min:"1" doc:"period in ms"`
}

// Watchdog is the hardware watchdog.
type Watchdog struct {
	Model  string `json:"model,omitempty" prop:"model,bare" enum:"i6300esb|ib700" doc:"card"`
	Action string `json:"action,omitempty" prop:"action" enum:"reset|shutdown|poweroff|pause|debug|none" doc:"what happens when it fires"`
}

// IVSHMem is memory shared between guests.
type IVSHMem struct {
	Size *int   `json:"size" prop:"size" min:"1" doc:"size in MiB"`
	Name string `json:"name,omitempty" prop:"name" pattern:"[A-Za-z0-9-]+" doc:"name of the file"`
}

// SMBIOS are the SMBIOS type 1 fields. PVE keeps them in base64 when they hold anything but letters and digits.
type SMBIOS struct {
	Manufacturer string `json:"manufacturer,omitempty" prop:"manufacturer" kind:"base64" doc:"manufacturer"`
	Product      string `json:"product,omitempty" prop:"product" kind:"base64" doc:"product"`
	Version      string `json:"version,omitempty" prop:"version" kind:"base64" doc:"version"`
	Serial       string `json:"serial,omitempty" prop:"serial" kind:"base64" doc:"serial number"`
	SKU          string `json:"sku,omitempty" prop:"sku" kind:"base64" doc:"SKU"`
	Family       string `json:"family,omitempty" prop:"family" kind:"base64" doc:"family"`
}

// SEV is AMD's encrypted virtualisation.
type SEV struct {
	Type         string `json:"type" prop:"type,bare" enum:"std|es|snp" doc:"variant"`
	AllowSMT     *bool  `json:"allowSMT,omitempty" prop:"allow-smt" default:"1" doc:"allow SMT (snp)"`
	KernelHashes *bool  `json:"kernelHashes,omitempty" prop:"kernel-hashes" default:"0" doc:"measure the kernel"`
	NoDebug      *bool  `json:"noDebug,omitempty" prop:"no-debug" default:"0" doc:"forbid debugging"`
	NoKeySharing *bool  `json:"noKeySharing,omitempty" prop:"no-key-sharing" default:"0" doc:"forbid key sharing"`
}

// TDX is Intel's trust domain extensions.
type TDX struct {
	Type        string `json:"type" prop:"type,bare" enum:"tdx" doc:"variant"`
	Attestation *bool  `json:"attestation" prop:"attestation" default:"1" doc:"attestation through vsock"`
	VsockCID    *int   `json:"vsockCID,omitempty" prop:"vsock-cid" default:"2" min:"2" doc:"vsock CID of the quote service"`
	VsockPort   *int   `json:"vsockPort,omitempty" prop:"vsock-port" default:"4050" min:"0" doc:"vsock port of the quote service"`
}

// Spice are extras of the SPICE display.
type Spice struct {
	FolderSharing  *bool  `json:"foldersharing,omitempty" prop:"foldersharing" default:"0" doc:"folder sharing"`
	VideoStreaming string `json:"videostreaming,omitempty" prop:"videostreaming" default:"off" enum:"off|all|filter" doc:"video streaming"`
}
