package sim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// call is one request on its way through the server. Operations run under the server's lock.
type call struct {
	s      *Server
	w      *World
	who    identity
	path   string            // decoded, without /api2/json
	params map[string]string // checked
	order  []string          // names in the order they were sent
	odd    map[string]string // parameters that are no scalars, with what they are in Perl's words
	upload *upload
	node   *Node
	rights *rights
}

func (c *call) has(name string) bool   { _, ok := c.params[name]; return ok }
func (c *call) str(name string) string { return c.params[name] }
func (c *call) num(name string) int    { return atoi(c.params[name]) }
func (c *call) flag(name string) bool  { return c.params[name] == "1" }

// operation answers a call with data for "data", a listing, or an error.
type operation func(*call) (any, error)

// answer serves one request and records it.
func (s *Server) answer(r *http.Request) reply {
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		return reply{drop: true}
	}
	c := &call{s: s}
	rep := s.route(r, raw, c)
	if rep.status == 401 && s.config.AuthDelay > 0 {
		time.Sleep(s.config.AuthDelay)
	}
	s.log.add(r, c, rep)
	return rep
}

var formatters = map[string]bool{"json": true, "extjs": true, "html": true, "text": true, "png": true, "jpg": true, "spiceconfig": true}

// route takes a request apart: format, method, who, what.
func (s *Server) route(r *http.Request, raw []byte, c *call) reply {
	path := r.URL.EscapedPath()
	rest, ok := strings.CutPrefix(path, "/api2/")
	if !ok {
		return plainReply(404, "Not Found")
	}
	format, rest, _ := strings.Cut(rest, "/")
	switch r.Method {
	case "GET", "POST", "PUT", "DELETE":
	default:
		return emptyReply(501, fmt.Sprintf("method '%s' not available", r.Method))
	}
	if !formatters[format] {
		return plainReply(501, fmt.Sprintf("no formatter for uri /%s, %s", rest, format))
	}
	parts := decodeParts(rest)
	c.path = "/" + strings.Join(parts, "/")
	public := c.path == "/access/ticket" || c.path == "/access/domains" && r.Method == "GET"
	if !public {
		who, refused := s.authenticate(r)
		if refused != nil {
			return *refused
		}
		c.who = who
	}
	if failed := c.readParams(r, raw); failed != nil {
		return *failed
	}
	at, vars := s.schemaNow().routes.find(parts)
	if at == nil && r.Method == "GET" {
		if raw, ok := s.read(c.path); ok {
			return okReply(raw)
		}
	}
	if at == nil || at.methods[r.Method] == nil {
		return notImplemented(r.Method, c.path)
	}
	for name, value := range vars {
		c.params[name] = value
	}
	return s.perform(at.methods[r.Method], c, public)
}

// read finds an answer of the world for a path that the published schema extract does not have.
func (s *Server) read(path string) (json.RawMessage, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	raw, ok := s.w.Reads[path]
	return raw, ok
}

func (s *Server) schemaNow() *schema {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.schema
}

func decodeParts(path string) []string {
	var parts []string
	for _, part := range strings.Split(strings.Trim(path, "/"), "/") {
		if decoded, err := url.PathUnescape(part); err == nil {
			part = decoded
		}
		parts = append(parts, part)
	}
	return parts
}

// readParams merges query and body (FACTS §1).
func (c *call) readParams(r *http.Request, raw []byte) *reply {
	c.params, c.odd = map[string]string{}, map[string]string{}
	if failed := c.readForm(r.URL.RawQuery); failed != nil {
		return failed
	}
	if r.Method == "GET" || r.Method == "DELETE" || len(raw) == 0 {
		return nil
	}
	kind := r.Header.Get("Content-Type")
	media, options, err := mime.ParseMediaType(kind)
	if err != nil {
		media = kind
	}
	switch media {
	case "application/x-www-form-urlencoded":
		return c.readForm(string(raw))
	case "application/json":
		return c.readJSON(raw)
	case "multipart/form-data":
		return c.readUpload(raw, options["boundary"])
	}
	rep := plainReply(506, fmt.Sprintf("upload 'Content-Type '%s' not implemented", kind))
	return &rep
}

func (c *call) set(name, value string) {
	if _, again := c.params[name]; again {
		c.params[name] += "\x00" + value
		return
	}
	c.params[name] = value
	c.order = append(c.order, name)
}

func (c *call) readForm(form string) *reply {
	for _, pair := range strings.FieldsFunc(form, func(r rune) bool { return r == '&' || r == ';' }) {
		key, value, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(key)
		if err != nil {
			name = key
		}
		text, err := url.QueryUnescape(value)
		if err != nil {
			text = value
		}
		c.set(name, text)
	}
	return nil
}

func (c *call) readJSON(raw []byte) *reply {
	var given map[string]json.RawMessage
	if err := json.Unmarshal(raw, &given); err != nil {
		text := fmt.Sprintf("malformed JSON string, neither tag, array, object, number, string or atom, at character offset 0 (before \"%s\")", raw)
		if bytes.HasPrefix(raw, []byte("{")) {
			text = fmt.Sprintf("'\"' expected, at character offset 1 (before \"%s\")", raw[1:])
		}
		rep := plainReply(500, text+" at /usr/share/perl5/PVE/APIServer/AnyEvent.pm line 934.")
		rep.body = append(rep.body, '\n')
		return &rep
	}
	keys, err := jsonKeys(raw)
	if err != nil {
		keys = sortedKeys(given)
	}
	for _, name := range keys {
		value := bytes.TrimSpace(given[name])
		switch value[0] {
		case '{':
			c.odd[name] = "HASH"
		case '[':
			var list []any
			if err := json.Unmarshal(value, &list); err != nil {
				continue
			}
			words := make([]string, len(list))
			for i, one := range list {
				words[i] = fmt.Sprint(one)
			}
			c.set(name, strings.Join(words, "\x00"))
		case '"':
			var text string
			if err := json.Unmarshal(value, &text); err == nil {
				c.set(name, text)
			}
		case 't':
			c.set(name, "1")
		case 'f':
			c.set(name, "0")
		case 'n':
		default:
			c.set(name, string(value))
		}
	}
	return nil
}

// jsonKeys lists the keys of an object in the order they stand.
func jsonKeys(raw []byte) ([]string, error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	if _, err := dec.Token(); err != nil {
		return nil, err
	}
	var keys []string
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return nil, err
		}
		keys = append(keys, fmt.Sprint(key))
		var skip json.RawMessage
		if err := dec.Decode(&skip); err != nil {
			return nil, err
		}
	}
	return keys, nil
}

// perform checks rights and parameters and runs the operation, in PVE's order.
func (s *Server) perform(e *endpoint, c *call, public bool) reply {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.look(c.path, e.method != "GET" || s.due()); err != nil {
		return reply{drop: true}
	}
	s.settle()
	c.w = s.w
	fault := s.faultFor(e.method, c.path)
	if rep := s.before(fault, c); rep != nil {
		return *rep
	}
	rep := s.run(e, c, public)
	if e.method != "GET" {
		s.writeFiles()
	}
	return s.after(fault, rep)
}

func (s *Server) run(e *endpoint, c *call, public bool) reply {
	if !public {
		c.rights = s.w.rights()
		if err := c.permitted(e); err != nil {
			return errorReply(err)
		}
	}
	if e.onNode || strings.HasPrefix(e.path, "/nodes/{node}/") {
		if rep := c.onNode(); rep != nil {
			return *rep
		}
	}
	given := c.params
	check := &checker{schema: s.schema, nine: s.w.nine()}
	if errors := check.params(e, given, c.odd); len(errors) > 0 {
		return errorReply(badParams(errors))
	}
	if c.node != nil && e.method == "GET" {
		if answer, ok, err := c.node.readDisks(c.path); err != nil {
			return errorReply(err)
		} else if ok {
			return okReply(answer)
		}
	}
	h := operations[e.method+" "+e.path]
	if h == nil {
		if raw, ok := s.w.Reads[c.path]; ok && e.method == "GET" {
			return okReply(raw)
		}
		return errorReply(notCovered("%s %s", e.method, e.path))
	}
	data, err := h(c)
	if err != nil {
		return errorReply(err)
	}
	return okReply(data)
}

// onNode answers for nodes that cannot (FACTS §1), or remembers the node.
func (c *call) onNode() *reply {
	name := c.params["node"]
	if name == "localhost" {
		name = c.w.local().Name
		c.params["node"] = name
	}
	n := c.w.Node(name)
	if n == nil || n.Status == "unresolvable" {
		why := "Temporary failure in name resolution"
		if !dnsName.MatchString(name) {
			why = "Name or service not known"
		}
		rep := errorReply(dief("hostname lookup '%s' failed - failed to get address info for: %s: %s", name, name, why))
		return &rep
	}
	switch n.Status {
	case "refused":
		rep := emptyReply(595, "Connection refused")
		return &rep
	case "offline":
		rep := emptyReply(595, "No route to host")
		return &rep
	}
	c.node = n
	return nil
}
