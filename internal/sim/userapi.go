package sim

import (
	"strings"
)

func init() {
	on("GET /access/users", listUsers)
	on("POST /access/users", createUser)
	on("GET /access/users/{userid}", readUser)
	on("PUT /access/users/{userid}", updateUser)
	on("DELETE /access/users/{userid}", deleteUser)
	on("GET /access/users/{userid}/token", func(c *call) (any, error) {
		rows := []any{}
		for id, token := range c.tokensOf(c.str("userid")) {
			row := token.(map[string]any)
			row["tokenid"] = id
			rows = append(rows, row)
		}
		return rows, nil
	})
	on("GET /access/users/{userid}/token/{tokenid}", readToken)
	on("POST /access/users/{userid}/token/{tokenid}", createToken)
	on("PUT /access/users/{userid}/token/{tokenid}", updateToken)
	on("DELETE /access/users/{userid}/token/{tokenid}", deleteToken)
}

func (t *Token) row() map[string]any {
	row := map[string]any{"expire": t.Expire, "privsep": atoi(bit(t.Privsep))}
	if t.Comment != "" {
		row["comment"] = t.Comment
	}
	return row
}

func (c *call) tokensOf(user string) map[string]any {
	found := map[string]any{}
	for id, token := range c.w.Access.Tokens {
		if name, ok := strings.CutPrefix(id, user+"!"); ok {
			found[name] = token.row()
		}
	}
	return found
}

func (u *User) row() map[string]any {
	row := map[string]any{"enable": atoi(bit(u.Enabled)), "expire": u.Expire}
	for key, value := range map[string]string{"firstname": u.First, "lastname": u.Last, "email": u.Email, "comment": u.Comment, "keys": u.Keys} {
		if value != "" {
			row[key] = value
		}
	}
	return row
}

func (c *call) groupsOf(user string) []string {
	groups := []string{}
	for _, id := range sortedKeys(c.w.Access.Groups) {
		if contains(c.w.Access.Groups[id].Users, user) {
			groups = append(groups, id)
		}
	}
	return groups
}

func listUsers(c *call) (any, error) {
	rows := []any{}
	all := c.may("/access/groups", "User.Modify", "Sys.Audit")
	for _, id := range sortedKeys(c.w.Access.Users) {
		if !all && (id != c.who.user || c.who.token != "") {
			continue
		}
		u := c.w.Access.Users[id]
		if c.has("enabled") && u.Enabled != c.flag("enabled") {
			continue
		}
		row := u.row()
		row["userid"] = id
		_, realm, _ := strings.Cut(id, "@")
		row["realm-type"] = realm
		if c.flag("full") {
			row["groups"] = strings.Join(c.groupsOf(id), ",")
			tokens := []any{}
			found := c.tokensOf(id)
			for _, name := range sortedKeys(found) {
				token := found[name].(map[string]any)
				token["tokenid"] = name
				tokens = append(tokens, token)
			}
			row["tokens"] = tokens
		}
		rows = append(rows, row)
	}
	return rows, nil
}

func (c *call) user() (*User, error) {
	u := c.w.Access.Users[c.str("userid")]
	if u == nil {
		return nil, dief("no such user ('%s')", c.str("userid"))
	}
	return u, nil
}

func readUser(c *call) (any, error) {
	u, err := c.user()
	if err != nil {
		return nil, err
	}
	row := u.row()
	row["groups"] = c.groupsOf(u.ID)
	if tokens := c.tokensOf(u.ID); len(tokens) > 0 {
		row["tokens"] = tokens
	}
	return row, nil
}

func (c *call) setUser(u *User) {
	if c.has("enable") {
		u.Enabled = c.flag("enable")
	}
	if c.has("expire") {
		u.Expire = int64(c.num("expire"))
	}
	for key, field := range map[string]*string{"firstname": &u.First, "lastname": &u.Last, "email": &u.Email, "comment": &u.Comment, "keys": &u.Keys} {
		if c.has(key) {
			*field = c.str(key)
		}
	}
	if c.has("password") {
		c.w.Access.Shadow[u.ID] = c.str("password")
	}
}

func createUser(c *call) (any, error) {
	id := c.str("userid")
	if c.w.Access.Users[id] != nil {
		return nil, dief("create user failed: user '%s' already exists", id)
	}
	u := &User{ID: id, Enabled: true}
	c.setUser(u)
	c.w.Access.Users[id] = u
	return nil, nil
}

func updateUser(c *call) (any, error) {
	u, err := c.user()
	if err != nil {
		return nil, err
	}
	c.setUser(u)
	return nil, nil
}

func deleteUser(c *call) (any, error) {
	u, err := c.user()
	if err != nil {
		return nil, dief("delete user failed: user '%s' does not exist", c.str("userid"))
	}
	delete(c.w.Access.Users, u.ID)
	delete(c.w.Access.Shadow, u.ID)
	for id := range c.tokensOf(u.ID) {
		c.dropToken(u.ID + "!" + id)
	}
	return nil, nil
}

func (c *call) token() (*Token, error) {
	id := c.str("userid") + "!" + c.str("tokenid")
	t := c.w.Access.Tokens[id]
	if t == nil {
		return nil, badParam("tokenid", "no such token '%s' for user '%s'", c.str("tokenid"), c.str("userid"))
	}
	return t, nil
}

func readToken(c *call) (any, error) {
	t, err := c.token()
	if err != nil {
		return nil, err
	}
	return t.row(), nil
}

func createToken(c *call) (any, error) {
	u, err := c.user()
	if err != nil {
		return nil, err
	}
	id := u.ID + "!" + c.str("tokenid")
	if c.w.Access.Tokens[id] != nil {
		return nil, badParam("tokenid", "Token already exists.")
	}
	t := &Token{ID: id, Privsep: c.str("privsep") != "0", Expire: int64(c.num("expire")), Comment: c.str("comment")}
	secret := c.s.newUUID()
	c.w.Access.Tokens[id], c.w.Access.Secrets[id] = t, secret
	return map[string]any{"full-tokenid": id, "value": secret, "info": map[string]any{"privsep": bit(t.Privsep), "expire": t.Expire}}, nil
}

func updateToken(c *call) (any, error) {
	t, err := c.token()
	if err != nil {
		return nil, err
	}
	if c.has("privsep") {
		t.Privsep = c.flag("privsep")
	}
	if c.has("expire") {
		t.Expire = int64(c.num("expire"))
	}
	if c.has("comment") {
		t.Comment = c.str("comment")
	}
	return t.row(), nil
}

func deleteToken(c *call) (any, error) {
	t, err := c.token()
	if err != nil {
		return nil, err
	}
	c.dropToken(t.ID)
	return nil, nil
}

func (c *call) dropToken(id string) {
	delete(c.w.Access.Tokens, id)
	delete(c.w.Access.Secrets, id)
	for _, acl := range c.w.Access.ACL {
		if contains(acl.Who, id) {
			for _, role := range acl.Roles {
				c.dropACL(acl.Path, id, role)
			}
		}
	}
}
