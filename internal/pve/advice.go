package pve

import (
	"fmt"
	"regexp"
	"strings"
)

func (c *Cluster) tokenAdvice() string {
	id := c.token.name()
	user, _, _ := strings.Cut(id, "!")
	text := fmt.Sprintf("is %s%s complete, not expired and not deleted? `pveum user token list %s` on a node shows", id, from(c.opts.TokenFrom), user)
	if err := c.token.unread(); err != nil {
		text += "; another one cannot be read: " + c.clean(err.Error(), nil)
	}
	return text
}

// missing finds path and privileges in "Permission check failed (/vms/121, VM.Audit)".
var missing = regexp.MustCompile(`\((/[^,()]*), ([^()]+)\)`)

// privilegeAdvice says how to grant what a 403 misses. A token never has more than its user (FACTS §2).
func (c *Cluster) privilegeAdvice(text string) string {
	id := c.token.name()
	user, token, _ := strings.Cut(id, "!")
	m := missing.FindStringSubmatch(text)
	switch {
	case m == nil && strings.Contains(text, "("): // it says what else is wrong
		return ""
	case m == nil:
		return fmt.Sprintf("PVE does not say which privilege is missing. Creating a guest takes VM.Allocate on /vms/VMID, Datastore.AllocateSpace and SDN.Use where its disks and cards go; `pveum user token permissions %s %s` shows what the token has", user, token)
	}
	path, names := m[1], strings.FieldsFunc(m[2], func(r rune) bool { return r == '|' || r == ',' || r == ' ' })
	if len(names) == 0 {
		return ""
	}
	role, prepare := roleWith(names[0]), ""
	if role == "" {
		role = "Reconcile-" + strings.ReplaceAll(names[0], ".", "-")
		prepare = fmt.Sprintf("pveum role add %s --privs %s; ", role, names[0])
	}
	return fmt.Sprintf("grant it with `%spveum acl modify %s --token '%s' --role %s`, and with --user %s as well if the user lacks it too", prepare, path, id, role, user)
}

// roleWith is the smallest of PVE's own roles that holds a privilege; "" when only Administrator does.
func roleWith(privilege string) string {
	switch privilege {
	case "Datastore.AllocateSpace", "Datastore.Audit":
		return "PVEDatastoreUser"
	case "Datastore.Allocate", "Datastore.AllocateTemplate":
		return "PVEDatastoreAdmin"
	case "SDN.Use", "SDN.Audit":
		return "PVESDNUser"
	case "Pool.Audit":
		return "PVEPoolUser"
	case "Pool.Allocate":
		return "PVEPoolAdmin"
	case "Mapping.Use", "Mapping.Audit":
		return "PVEMappingUser"
	case "Sys.Audit":
		return "PVEAuditor"
	}
	if strings.HasPrefix(privilege, "VM.") {
		return "PVEVMAdmin"
	}
	return ""
}
