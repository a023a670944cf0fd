package sim

import (
	"fmt"
	"strconv"
	"strings"
)

// Access is user.cfg with the secrets beside it.
type Access struct {
	Users   map[string]*User
	Tokens  map[string]*Token // "user@realm!name"
	Groups  map[string]*Group
	Roles   map[string][]string // made by hand; the built-in ones are not listed
	ACL     []ACL
	Pools   map[string]*Pool
	Secrets map[string]string // token secrets, by token id
	Shadow  map[string]string // passwords, by user id
}

// User is one account.
type User struct {
	ID             string
	Enabled        bool
	Expire         int64
	First, Last    string
	Email, Comment string
	Keys           string
}

// Token is an API token; Privsep narrows it to its own ACL.
type Token struct {
	ID      string
	Expire  int64
	Privsep bool
	Comment string
}

// Group is a set of users.
type Group struct {
	ID, Comment string
	Users       []string
}

// ACL gives roles on a path to users, tokens or groups ("@group").
type ACL struct {
	Path      string
	Propagate bool
	Who       []string
	Roles     []string
}

// Pool groups VMs and storages.
type Pool struct {
	ID, Comment string
	VMs         []string
	Storages    []string
}

func newAccess() *Access {
	return &Access{
		Users: map[string]*User{"root@pam": {ID: "root@pam", Enabled: true}}, Tokens: map[string]*Token{}, Groups: map[string]*Group{},
		Roles: map[string][]string{}, Pools: map[string]*Pool{}, Secrets: map[string]string{}, Shadow: map[string]string{},
	}
}

func (a *Access) readUsers(s *section) error {
	for i, line := range strings.Split(s.body, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		f := strings.Split(line, ":")
		kind := f[0]
		f = append(f[1:], "", "", "", "", "", "", "", "", "")
		switch kind {
		case "user":
			expire, err := parseCount(f[2])
			if err != nil {
				return s.errorf(i+1, "expire: %v", err)
			}
			a.Users[f[0]] = &User{ID: f[0], Enabled: f[1] == "1", Expire: expire, First: decodeText(f[3]), Last: decodeText(f[4]), Email: f[5], Comment: decodeText(f[6]), Keys: f[7]}
		case "token":
			expire, err := parseCount(f[1])
			if err != nil {
				return s.errorf(i+1, "expire: %v", err)
			}
			a.Tokens[f[0]] = &Token{ID: f[0], Expire: expire, Privsep: f[2] == "1", Comment: decodeText(f[3])}
		case "group":
			a.Groups[f[0]] = &Group{ID: f[0], Users: splitList(f[1]), Comment: decodeText(f[2])}
		case "role":
			a.Roles[f[0]] = splitList(f[1])
		case "acl":
			a.ACL = append(a.ACL, ACL{Propagate: f[0] == "1", Path: f[1], Who: splitList(f[2]), Roles: splitList(f[3])})
		case "pool":
			a.Pools[f[0]] = &Pool{ID: f[0], Comment: decodeText(f[1]), VMs: splitList(f[2]), Storages: splitList(f[3])}
		default:
			return s.errorf(i+1, "unknown line %q; known are user, token, group, role, acl, pool", kind)
		}
	}
	return nil
}

func parseCount(text string) (int64, error) {
	if text == "" {
		return 0, nil
	}
	return strconv.ParseInt(text, 10, 64)
}

func (a *Access) readSecrets(s *section) error {
	for i, line := range strings.Split(s.body, "\n") {
		words := strings.Fields(line)
		switch {
		case len(words) == 0 || strings.HasPrefix(words[0], "#"):
		case len(words) != 2:
			return s.errorf(i+1, "want a name and a secret")
		case s.name == "token.cfg":
			a.Secrets[words[0]] = words[1]
		default:
			a.Shadow[words[0]] = words[1]
		}
	}
	return nil
}

func (a *Access) print(b *strings.Builder) {
	var lines, tokens, shadow strings.Builder
	for _, id := range sortedKeys(a.Users) {
		u := a.Users[id]
		fmt.Fprintf(&lines, "user:%s:%s:%d:%s:%s:%s:%s:%s:\n", u.ID, bit(u.Enabled), u.Expire, encodeText(u.First), encodeText(u.Last), u.Email, encodeText(u.Comment), u.Keys)
	}
	for _, id := range sortedKeys(a.Tokens) {
		t := a.Tokens[id]
		fmt.Fprintf(&lines, "token:%s:%d:%s:%s:\n", t.ID, t.Expire, bit(t.Privsep), encodeText(t.Comment))
	}
	for _, id := range sortedKeys(a.Groups) {
		g := a.Groups[id]
		fmt.Fprintf(&lines, "group:%s:%s:%s:\n", g.ID, strings.Join(g.Users, ","), encodeText(g.Comment))
	}
	for _, id := range sortedKeys(a.Pools) {
		p := a.Pools[id]
		fmt.Fprintf(&lines, "pool:%s:%s:%s:%s:\n", p.ID, encodeText(p.Comment), strings.Join(p.VMs, ","), strings.Join(p.Storages, ","))
	}
	for _, id := range sortedKeys(a.Roles) {
		fmt.Fprintf(&lines, "role:%s:%s:\n", id, strings.Join(a.Roles[id], ","))
	}
	for _, acl := range a.ACL {
		fmt.Fprintf(&lines, "acl:%s:%s:%s:%s:\n", bit(acl.Propagate), acl.Path, strings.Join(acl.Who, ","), strings.Join(acl.Roles, ","))
	}
	for _, id := range sortedKeys(a.Secrets) {
		fmt.Fprintf(&tokens, "%s %s\n", id, a.Secrets[id])
	}
	for _, id := range sortedKeys(a.Shadow) {
		fmt.Fprintf(&shadow, "%s %s\n", id, a.Shadow[id])
	}
	body(b, "user.cfg", lines.String())
	body(b, "token.cfg", tokens.String())
	body(b, "shadow.cfg", shadow.String())
}

func bit(v bool) string {
	if v {
		return "1"
	}
	return "0"
}

// rights computes what an identity may do.
type rights struct {
	access *Access
	schema *schema
	pools  map[string]string // VMID or storage -> pool, by "vms/N" and "storage/ID"
}

func (w *World) rights() *rights {
	r := &rights{access: w.Access, schema: schemaFor(w.Version)}
	if len(w.Access.Pools) > 0 {
		r.pools = map[string]string{}
	}
	for id, pool := range w.Access.Pools {
		for _, vm := range pool.VMs {
			r.pools["/vms/"+vm] = id
		}
		for _, storage := range pool.Storages {
			r.pools["/storage/"+storage] = id
		}
	}
	return r
}

// roles lists the roles of a user or token on a path; the value tells whether it propagates
// (src: AccessControl::roles).
func (r *rights) roles(who, path string) map[string]bool {
	groups := map[string]bool{}
	for id, g := range r.access.Groups {
		if contains(g.Users, who) {
			groups["@"+id] = true
		}
	}
	found := map[string]bool{}
	steps := pathSteps(path)
	for i, step := range steps {
		own, byGroup := map[string]bool{}, map[string]bool{}
		for _, acl := range r.access.ACL {
			if acl.Path != step || i < len(steps)-1 && !acl.Propagate {
				continue
			}
			for _, ugid := range acl.Who {
				into := own
				if groups[ugid] {
					into = byGroup
				} else if ugid != who {
					continue
				}
				for _, role := range acl.Roles {
					into[role] = acl.Propagate
				}
			}
		}
		if len(own) == 0 {
			own = byGroup
		}
		if len(own) > 0 {
			found = own
		}
	}
	if _, no := found["NoAccess"]; no {
		return map[string]bool{"NoAccess": found["NoAccess"]}
	}
	return found
}

func pathSteps(path string) []string {
	steps := []string{"/"}
	step := ""
	for _, part := range strings.Split(strings.Trim(path, "/"), "/") {
		if part != "" {
			step += "/" + part
			steps = append(steps, step)
		}
	}
	return steps
}

// unlimited tells whether an identity has every privilege everywhere: root@pam, and a token of it that is not narrowed.
func (r *rights) unlimited(id identity) bool {
	if id.user != "root@pam" {
		return false
	}
	token := r.access.Tokens[id.id()]
	return id.token == "" || token != nil && !token.Privsep
}

// privileges is what an identity may do on a path; the value is whether it propagates.
func (r *rights) privileges(id identity, path string) map[string]bool {
	user := id.user
	if id.token != "" {
		token := r.access.Tokens[id.id()]
		own := r.privileges(identity{user: user}, path)
		if token == nil || !token.Privsep {
			return own
		}
		narrowed := map[string]bool{}
		for privilege, propagate := range r.granted(id.id(), path) {
			if more, ok := own[privilege]; ok {
				narrowed[privilege] = propagate && more
			}
		}
		return narrowed
	}
	if user == "root@pam" {
		all := map[string]bool{}
		for _, privilege := range r.schema.privileges() {
			all[privilege] = true
		}
		return all
	}
	return r.granted(user, path)
}

func (r *rights) granted(who, path string) map[string]bool {
	found := map[string]bool{}
	collect := func(path string) bool {
		for role, propagate := range r.roles(who, path) {
			if role == "NoAccess" {
				return false
			}
			for _, privilege := range r.rolePrivileges(role) {
				found[privilege] = found[privilege] || propagate
			}
		}
		return true
	}
	if !collect(path) {
		return map[string]bool{}
	}
	if pool, ok := r.pools[path]; ok {
		collect("/pool/" + pool)
	}
	return found
}

func (r *rights) rolePrivileges(role string) []string {
	if list, ok := r.schema.builtinRoles()[role]; ok {
		return list
	}
	return r.access.Roles[role]
}
