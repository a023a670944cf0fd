package sim

import (
	"strings"
)

// permitted checks what the schema asks for before a call runs (src: RPCEnvironment::check_api2_permissions).
func (c *call) permitted(e *endpoint) error {
	if e.check == nil || c.who.root() {
		return nil
	}
	list, ok := e.check.([]any)
	if !ok || len(list) == 0 {
		return nil
	}
	return c.allowed(list)
}

func (c *call) allowed(list []any) error {
	word := func(i int) string {
		if i < len(list) {
			if text, ok := list[i].(string); ok {
				return text
			}
		}
		return ""
	}
	switch word(0) {
	case "perm":
		path := c.fill(word(1))
		any := word(3) == "any"
		return c.check(path, words(list[2]), any)
	case "perm-modify":
		path := c.fill(word(1))
		return c.check(path, []string{"Permissions.Modify"}, false)
	case "and", "or":
		var last error
		for _, part := range list[1:] {
			sub, ok := part.([]any)
			if !ok {
				continue
			}
			last = c.allowed(sub)
			if (last == nil) == (word(0) == "or") {
				return last
			}
		}
		return last
	case "userid-group":
		return c.check("/access/groups", words(list[1]), true)
	case "userid-param":
		if word(1) == "self" {
			if c.params["userid"] == c.who.user {
				return nil
			}
			return deniedText("")
		}
		_, realm, _ := strings.Cut(c.params["userid"], "@")
		return c.check("/access/realm/"+realm, []string{word(1)}, false)
	}
	return nil
}

func words(v any) []string {
	var out []string
	if list, ok := v.([]any); ok {
		for _, one := range list {
			if text, ok := one.(string); ok {
				out = append(out, text)
			}
		}
	}
	return out
}

func (c *call) fill(path string) string {
	for strings.Contains(path, "{") {
		before, rest, _ := strings.Cut(path, "{")
		name, after, _ := strings.Cut(rest, "}")
		path = before + c.params[name] + after
	}
	return path
}

// check asks for all privileges on a path, or for any of them.
func (c *call) check(path string, privileges []string, any bool) error {
	if c.who.root() || c.rights.unlimited(c.who) {
		return nil
	}
	have := c.rights.privileges(c.who, path)
	for _, privilege := range privileges {
		if _, ok := have[privilege]; ok == any {
			if any {
				return nil
			}
			return denied(path, privilege)
		}
	}
	if any {
		return denied(path, privileges...)
	}
	return nil
}

// may is check of one privilege as a yes or no.
func (c *call) may(path string, privileges ...string) bool {
	return c.check(path, privileges, true) == nil
}

func (c *call) checkVM(id int, privilege string) error {
	return c.check(vmPath(id), []string{privilege}, false)
}

func vmPath(id int) string { return "/vms/" + itoa(id) }
