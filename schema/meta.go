package schema

import (
	"strconv"
	"strings"

	"github.com/google/uuid"
)

// APIVersion is the version of the manifests this program reads.
const APIVersion = "pve.ustclug.org/v1alpha1"

// The kinds of objects.
const (
	KindVM        = "VirtualMachine"
	KindNode      = "Node"
	KindMigration = "Migration"
)

// TypeMeta says what a document is.
type TypeMeta struct {
	APIVersion string `json:"apiVersion" doc:"pve.ustclug.org/v1alpha1"`
	Kind       string `json:"kind" doc:"kind of the object"`
}

// Metadata names an object.
type Metadata struct {
	Name        string            `json:"name" pattern:"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?" doc:"name of the object, unique among its kind; PVE shows a guest by it"`
	Labels      map[string]string `json:"labels,omitempty" doc:"free labels for people and scripts; reconcile does not read them"`
	Annotations map[string]string `json:"annotations,omitempty" doc:"free notes for people and scripts; reconcile does not read them"`
	DependsOn   []string          `json:"dependsOn,omitempty" kind:"set" pattern:"[A-Za-z]+/[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?" doc:"objects that have to be ready before a step is made of this one, as kind and name: VirtualMachine/gateway, Node/pve-5"`
}

// ID addresses a guest: where it should live and its number there.
type ID struct {
	Cluster string
	Node    string
	VMID    int
}

// String prints cluster/vmid, the part of the address that does not change when a guest moves.
func (id ID) String() string { return id.Cluster + "/" + strconv.Itoa(id.VMID) }

// ID is the address of the VM.
func (v VM) ID() ID { return ID{Cluster: v.Spec.Cluster, Node: v.Spec.Node, VMID: v.Spec.VMID} }

// namespace of the derived uuids; changing it would disown every guest ever created.
var namespace = uuid.MustParse("6f0f4c9a-3d52-5c1e-9b34-7c1d8f2b6a10")

// DeriveUUID is the smbios1 uuid of a guest that reconcile creates: UUIDv5 of owner, cluster and vmid. It is a function of
// the manifest, so that no ledger has to be kept to know one's own guests again.
func DeriveUUID(owner string, id ID) string {
	return uuid.NewSHA1(namespace, []byte(owner+"\x00"+id.Cluster+"\x00"+strconv.Itoa(id.VMID))).String()
}

// Resolve fills in what the manifest leaves to the place it is used in: the cluster, and the uuid of a guest to create.
func (v VM) Resolve(owner, cluster string) VM {
	if v.Spec.Cluster == "" {
		v.Spec.Cluster = cluster
	}
	if v.Spec.UUID == "" {
		v.Spec.UUID, v.derived = DeriveUUID(owner, v.ID()), true
	}
	v.Spec.UUID = strings.ToLower(v.Spec.UUID)
	return v
}

// Adopts tells whether the manifest states the uuid itself: then it means a guest that is already there.
func (v VM) Adopts() bool { return !v.derived }

// UUID reads the smbios1 uuid out of a live config, "" when it has none.
func UUID(config map[string]string) string {
	row, _ := RowOf("smbios1")
	return strings.ToLower(row.Parse(config["smbios1"])["uuid"])
}

// Absent tells whether the object is a tombstone.
func (v VM) Absent() bool { return v.Spec.State == "Absent" }

// GuestName is the name PVE shows.
func (v VM) GuestName() string {
	if v.Spec.Name != "" {
		return v.Spec.Name
	}
	return v.Metadata.Name
}

// Unnamed is the object's name that stands for a guest without a name, which PVE shows as "VM 101".
func Unnamed(vmid int) string { return "vm-" + strconv.Itoa(vmid) }

// CompareKeys orders PVE keys by name, and slots of one family by number: net2 before net10.
func CompareKeys(x, y string) int {
	px, nx := cutNumber(x)
	py, ny := cutNumber(y)
	if c := strings.Compare(px, py); c != 0 {
		return c
	}
	return nx - ny
}

func cutNumber(key string) (prefix string, n int) {
	end := len(key)
	for end > 0 && '0' <= key[end-1] && key[end-1] <= '9' {
		end--
	}
	if end == len(key) {
		return key, -1
	}
	n, err := strconv.Atoi(key[end:])
	if err != nil {
		return key, -1
	}
	return key[:end], n
}
