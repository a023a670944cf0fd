package sim

import "sort"

// privilegeSets are PVE's privileges by the kind of object (src: PVE::AccessControl). Some changed with 9.0.
var privilegeSets = map[string]struct{ admin, user, audit []string }{
	"VM": {
		admin: []string{
			"VM.Allocate", "VM.Clone", "VM.Config.CPU", "VM.Config.Disk", "VM.Config.HWType", "VM.Config.Memory",
			"VM.Config.Network", "VM.Config.Options", "VM.Migrate", "VM.Snapshot", "VM.Snapshot.Rollback",
		},
		user:  []string{"VM.Backup", "VM.Config.CDROM", "VM.Config.Cloudinit", "VM.Console", "VM.PowerMgmt"},
		audit: []string{"VM.Audit"},
	},
	"Sys": {
		admin: []string{"Sys.Console", "Sys.Syslog", "Sys.PowerMgmt", "Sys.Modify", "Sys.Incoming", "Sys.AccessNetwork"},
		audit: []string{"Sys.Audit"},
	},
	"Datastore": {
		admin: []string{"Datastore.Allocate", "Datastore.AllocateTemplate"},
		user:  []string{"Datastore.AllocateSpace"},
		audit: []string{"Datastore.Audit"},
	},
	"SDN":     {admin: []string{"SDN.Allocate"}, user: []string{"SDN.Use"}, audit: []string{"SDN.Audit"}},
	"User":    {admin: []string{"User.Modify", "Realm.Allocate", "Realm.AllocateUser", "Group.Allocate", "Permissions.Modify"}},
	"Pool":    {admin: []string{"Pool.Allocate"}, audit: []string{"Pool.Audit"}},
	"Mapping": {admin: []string{"Mapping.Modify"}, user: []string{"Mapping.Use"}, audit: []string{"Mapping.Audit"}},
}

var (
	guestAgentPrivileges = []string{
		"VM.GuestAgent.Audit", "VM.GuestAgent.FileRead", "VM.GuestAgent.FileSystemMgmt", "VM.GuestAgent.FileWrite",
		"VM.GuestAgent.Unrestricted", "VM.Replicate",
	}
	rootPrivileges = []string{"Permissions.Modify", "Realm.Allocate", "Sys.PowerMgmt", "Sys.Modify", "Sys.AccessNetwork"}
)

func (s *schema) nine() bool {
	return s.endpoints["/nodes/{node}/qemu/{vmid}/config"]["PUT"].params.byName["allow-ksm"] != nil
}

// privileges lists every privilege of this version.
func (s *schema) privileges() []string { return s.privilegeList }

// builtinRoles are the roles that every installation has.
func (s *schema) builtinRoles() map[string][]string { return s.roleTable }

func (s *schema) makePrivileges() []string {
	var all []string
	for _, set := range privilegeSets {
		all = append(append(append(all, set.admin...), set.user...), set.audit...)
	}
	if s.nine() {
		all = append(all, guestAgentPrivileges...)
	} else {
		all = append(all, "VM.Monitor")
	}
	sort.Strings(all)
	return all
}

func (s *schema) knowsPrivilege(name string) bool { return contains(s.privileges(), name) }

// makeRoles lists the roles as PVE makes them (src: PVE::AccessControl::create_roles).
func (s *schema) makeRoles() map[string][]string {
	vm := privilegeSets["VM"]
	vmUser := append(append([]string{}, vm.user...), vm.audit...)
	vmAdmin := append(append([]string{}, vm.admin...), vmUser...)
	if s.nine() {
		vmUser = append(vmUser, "VM.GuestAgent.Audit", "VM.GuestAgent.FileRead", "VM.GuestAgent.FileWrite", "VM.GuestAgent.FileSystemMgmt", "VM.GuestAgent.Unrestricted")
		vmAdmin = append(vmAdmin, guestAgentPrivileges...)
	} else {
		vmAdmin = append(vmAdmin, "VM.Monitor")
	}
	pick := func(kind string, admin, user bool) []string {
		set := privilegeSets[kind]
		out := append([]string{}, set.audit...)
		if user {
			out = append(out, set.user...)
		}
		if admin {
			out = append(out, set.admin...)
		}
		return out
	}
	var audit, admin []string
	for _, kind := range []string{"VM", "Sys", "Datastore", "SDN", "Pool", "Mapping"} {
		audit = append(audit, privilegeSets[kind].audit...)
	}
	for _, privilege := range s.privileges() {
		if !contains(rootPrivileges, privilege) {
			admin = append(admin, privilege)
		}
	}
	sysAdmin := []string{"Permissions.Modify", "Sys.Audit", "Sys.Console", "Sys.Syslog"}
	return map[string][]string{
		"Administrator":     s.privileges(),
		"NoAccess":          {},
		"PVEAdmin":          admin,
		"PVEAuditor":        audit,
		"PVEVMAdmin":        vmAdmin,
		"PVEVMUser":         vmUser,
		"PVEDatastoreAdmin": pick("Datastore", true, true),
		"PVEDatastoreUser":  pick("Datastore", false, true),
		"PVESDNAdmin":       pick("SDN", true, true),
		"PVESDNUser":        pick("SDN", false, true),
		"PVEPoolAdmin":      pick("Pool", true, true),
		"PVEPoolUser":       pick("Pool", false, true),
		"PVEMappingAdmin":   pick("Mapping", true, true),
		"PVEMappingUser":    pick("Mapping", false, true),
		"PVEMappingAuditor": pick("Mapping", false, false),
		"PVESysAdmin":       sysAdmin,
		"PVETemplateUser":   {"VM.Clone", "VM.Audit"},
		"PVEUserAdmin":      {"User.Modify", "Group.Allocate", "Realm.AllocateUser"},
	}
}
