package sim

import "strings"

// route is a node of the path tree.
type route struct {
	literal  map[string]*route
	variable *route
	name     string // of the variable
	methods  map[string]*endpoint
	path     string
}

func (r *route) add(e *endpoint) {
	at := r
	for _, part := range strings.Split(strings.Trim(e.path, "/"), "/") {
		if strings.HasPrefix(part, "{") {
			if at.variable == nil {
				at.variable = &route{name: strings.Trim(part, "{}")}
			}
			at = at.variable
			continue
		}
		if at.literal == nil {
			at.literal = map[string]*route{}
		}
		if at.literal[part] == nil {
			at.literal[part] = &route{}
		}
		at = at.literal[part]
	}
	if at.methods == nil {
		at.methods = map[string]*endpoint{}
	}
	at.methods[e.method], at.path = e, e.path
}

// find walks a decoded path. A volume id may hold slashes: it takes the rest of the path.
func (r *route) find(parts []string) (at *route, vars map[string]string) {
	at, vars = r, map[string]string{}
	for i, part := range parts {
		if next := at.literal[part]; next != nil {
			at = next
			continue
		}
		if at.variable == nil {
			return nil, nil
		}
		at = at.variable
		vars[at.name] = part
		if at.name == "volume" {
			vars[at.name] = strings.Join(parts[i:], "/")
			break
		}
		if at.name == "poolid" {
			vars[at.name] = strings.Join(parts[i:], "/")
			break
		}
	}
	if at.methods == nil {
		return nil, nil
	}
	return at, vars
}
