package sim

import (
	"strings"
	"time"
)

func init() {
	on("POST /access/ticket", login)
	on("GET /access/permissions", permissions)
	on("GET /access/acl", listACL)
	on("PUT /access/acl", updateACL)
	on("GET /access/roles", listRoles)
	on("POST /access/roles", createRole)
	on("GET /access/roles/{roleid}", readRole)
	on("PUT /access/roles/{roleid}", updateRole)
	on("DELETE /access/roles/{roleid}", deleteRole)
	on("GET /access/domains", func(c *call) (any, error) {
		return []any{
			map[string]any{"realm": "pam", "type": "pam", "comment": "Linux PAM standard authentication"},
			map[string]any{"realm": "pve", "type": "pve", "comment": "Proxmox VE authentication server"},
		}, nil
	})
}

// login answers POST /access/ticket.
func login(c *call) (any, error) {
	name := c.str("username")
	if realm := c.str("realm"); realm != "" && !strings.Contains(name, "@") {
		name += "@" + realm
	}
	user := c.w.Access.Users[name]
	password, known := c.w.Access.Shadow[name]
	byTicket, _ := c.s.session.user(c.str("password"))
	if user == nil || !user.Enabled || byTicket != name && (!known || password != c.str("password")) {
		if c.s.config.AuthDelay > 0 {
			c.s.mu.Unlock()
			time.Sleep(c.s.config.AuthDelay)
			c.s.mu.Lock()
		}
		return nil, &failure{status: 401, text: "authentication failure"}
	}
	c.who, c.rights = identity{user: name}, c.w.rights()
	ticket, csrf := c.s.session.open(name, c.s.clock.Now().Unix())
	return map[string]any{"username": name, "ticket": ticket, "CSRFPreventionToken": csrf, "cap": c.capabilities()}, nil
}

// capabilities is the overview of rights that the web page gets (src: RPCEnvironment::compute_api_permission).
func (c *call) capabilities() map[string]any {
	groups := map[string]struct {
		path     string
		prefixes []string
	}{
		"vms": {"/vms", []string{"VM."}}, "storage": {"/storage", []string{"Datastore."}}, "nodes": {"/nodes", []string{"Sys."}},
		"sdn": {"/sdn", []string{"SDN."}}, "mapping": {"/mapping", []string{"Mapping."}}, "access": {"/access", nil}, "dc": {"/", nil},
	}
	caps := map[string]any{}
	for name, g := range groups {
		cap := map[string]any{}
		for privilege := range c.rights.privileges(c.who, g.path) {
			wanted := privilege == "Permissions.Modify" && name != "dc"
			for _, prefix := range g.prefixes {
				wanted = wanted || strings.HasPrefix(privilege, prefix)
			}
			switch name {
			case "access":
				wanted = wanted || privilege == "User.Modify" || privilege == "Group.Allocate"
			case "dc":
				wanted = privilege == "Sys.Audit" || privilege == "Sys.Modify" || strings.HasPrefix(privilege, "SDN.")
			case "nodes":
				wanted = wanted || privilege == "Sys.Syslog"
			}
			if wanted {
				cap[privilege] = 1
			}
		}
		caps[name] = cap
	}
	return caps
}

// permissions tells the caller's own rights.
func permissions(c *call) (any, error) {
	who := c.who
	if other := c.str("userid"); other != "" && other != c.who.id() {
		user, token, _ := strings.Cut(other, "!")
		who = identity{user: user, token: token}
		if who.user != c.who.user {
			if err := c.check("/access", []string{"Sys.Audit"}, false); err != nil {
				return nil, err
			}
		}
	}
	paths := map[string]bool{}
	if path := c.str("path"); path != "" {
		paths[path] = true
	} else {
		for _, path := range []string{"/", "/access", "/access/groups", "/nodes", "/pool", "/sdn", "/storage", "/vms"} {
			paths[path] = true
		}
		for _, acl := range c.w.Access.ACL {
			paths[acl.Path] = true
		}
	}
	answer := map[string]any{}
	for path := range paths {
		have := map[string]any{}
		for privilege, propagate := range c.rights.privileges(who, path) {
			have[privilege] = atoi(bit(propagate))
		}
		if len(have) > 0 || c.has("path") {
			answer[path] = have
		}
	}
	return answer, nil
}

func aclKind(who string) string {
	switch {
	case strings.HasPrefix(who, "@"):
		return "group"
	case strings.Contains(who, "!"):
		return "token"
	}
	return "user"
}

func listACL(c *call) (any, error) {
	rows := []any{}
	for _, acl := range c.w.Access.ACL {
		if !c.may(acl.Path, "Permissions.Modify") && !c.may("/access", "Sys.Audit") {
			continue
		}
		for _, who := range acl.Who {
			for _, role := range acl.Roles {
				rows = append(rows, map[string]any{"path": acl.Path, "type": aclKind(who), "ugid": strings.TrimPrefix(who, "@"), "roleid": role, "propagate": atoi(bit(acl.Propagate))})
			}
		}
	}
	return rows, nil
}

func updateACL(c *call) (any, error) {
	path := c.str("path")
	who := append(splitList(c.str("users")), splitList(c.str("tokens"))...)
	for _, group := range splitList(c.str("groups")) {
		who = append(who, "@"+group)
	}
	for _, role := range splitList(c.str("roles")) {
		if c.rights.rolePrivileges(role) == nil {
			return nil, dief("ACL update failed: role '%s' does not exist", role)
		}
		for _, one := range who {
			if err := c.knownPrincipal(one); err != nil {
				return nil, err
			}
			c.dropACL(path, one, role)
			if !c.flag("delete") {
				c.w.Access.ACL = append(c.w.Access.ACL, ACL{Path: path, Propagate: c.str("propagate") != "0", Who: []string{one}, Roles: []string{role}})
			}
		}
	}
	return nil, nil
}

func (c *call) knownPrincipal(who string) error {
	a := c.w.Access
	switch aclKind(who) {
	case "group":
		if a.Groups[who[1:]] == nil {
			return dief("ACL update failed: group '%s' does not exist", who[1:])
		}
	case "token":
		if a.Tokens[who] == nil {
			return dief("ACL update failed: no such token '%s'", who)
		}
	default:
		if a.Users[who] == nil {
			return dief("ACL update failed: user '%s' does not exist", who)
		}
	}
	return nil
}

func (c *call) dropACL(path, who, role string) {
	var kept []ACL
	for _, acl := range c.w.Access.ACL {
		if acl.Path != path || !contains(acl.Who, who) || !contains(acl.Roles, role) {
			kept = append(kept, acl)
			continue
		}
		for _, w := range acl.Who {
			for _, r := range acl.Roles {
				if w != who || r != role {
					kept = append(kept, ACL{Path: path, Propagate: acl.Propagate, Who: []string{w}, Roles: []string{r}})
				}
			}
		}
	}
	c.w.Access.ACL = kept
}

func listRoles(c *call) (any, error) {
	rows := []any{}
	builtin := c.s.schema.builtinRoles()
	for _, role := range sortedKeys(builtin) {
		rows = append(rows, map[string]any{"roleid": role, "privs": strings.Join(builtin[role], ","), "special": 1})
	}
	for _, role := range sortedKeys(c.w.Access.Roles) {
		rows = append(rows, map[string]any{"roleid": role, "privs": strings.Join(c.w.Access.Roles[role], ","), "special": 0})
	}
	return rows, nil
}

func createRole(c *call) (any, error) {
	id := c.str("roleid")
	if c.rights.rolePrivileges(id) != nil {
		return nil, dief("create role failed: role '%s' already exists", id)
	}
	c.w.Access.Roles[id] = append([]string{}, splitList(c.str("privs"))...)
	return nil, nil
}

func readRole(c *call) (any, error) {
	list := c.rights.rolePrivileges(c.str("roleid"))
	if list == nil {
		return nil, dief("role '%s' does not exist", c.str("roleid"))
	}
	answer := map[string]any{}
	for _, privilege := range list {
		answer[privilege] = 1
	}
	return answer, nil
}

func updateRole(c *call) (any, error) {
	id := c.str("roleid")
	have, ok := c.w.Access.Roles[id]
	if !ok {
		return nil, dief("update role failed: role '%s' does not exist or is special", id)
	}
	if !c.flag("append") {
		have = nil
	}
	for _, privilege := range splitList(c.str("privs")) {
		if !contains(have, privilege) {
			have = append(have, privilege)
		}
	}
	c.w.Access.Roles[id] = append([]string{}, have...)
	return nil, nil
}

func deleteRole(c *call) (any, error) {
	id := c.str("roleid")
	if _, ok := c.s.schema.builtinRoles()[id]; ok {
		return nil, dief("delete role failed: auto-generated role '%s' cannot be deleted", id)
	}
	if _, ok := c.w.Access.Roles[id]; !ok {
		return nil, dief("delete role failed: role '%s' does not exist", id)
	}
	delete(c.w.Access.Roles, id)
	return nil, nil
}
