package sim

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// replay is one recording under way.
type replay struct {
	t       testing.TB
	rec     recording
	s       *Server
	clock   *ManualClock
	known   map[string]string // what was generated: recorded -> ours
	taken   map[string]bool   // ours that stand for something recorded
	tickets map[string]string
	csrf    string
}

var generated = regexp.MustCompile(`(?i)\b(?:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|(?:[0-9a-f]{2}:){5}[0-9a-f]{2}|[0-9a-f]{40}|[0-9a-f]{32})\b`)

func newReplay(t testing.TB, rec recording) *replay {
	t.Helper()
	w := readWorld(t, worldFile(rec.name))
	return replayOf(t, rec, w)
}

// worldFile is the starting world of a recording.
func worldFile(name string) string { return filepath.Join("testdata", "contract", name+".world") }

func replayOf(t testing.TB, rec recording, w *World) *replay {
	clock := NewManualClock(w.Clock)
	p := &replay{t: t, rec: rec, clock: clock, s: New(w, Options{Clock: clock}), known: map[string]string{}, taken: map[string]bool{}, tickets: map[string]string{}}
	p.same(w.String())
	for _, e := range rec.exchanges {
		p.same(e.Request.BodyAsSent)
	}
	return p
}

// same notes generated-looking texts that both sides share from the start.
func (p *replay) same(text string) {
	if decoded, err := url.QueryUnescape(text); err == nil {
		text = decoded
	}
	for _, word := range generated.FindAllString(text, -1) {
		if len(word) != 40 {
			p.known[word], p.taken[word] = word, true
		}
	}
}

// step plays one exchange; the answer is the difference, or "".
func (p *replay) step(i int) string {
	e := p.rec.exchanges[i]
	p.between(i + 1)
	start := p.clock.Now()
	r := p.request(e)
	rep := p.s.answer(r)
	if end := start.Add(time.Duration(e.Response.Seconds * float64(time.Second))); p.clock.Now().Before(end) {
		p.clock.Jump(end.Sub(p.clock.Now()))
	}
	what := fmt.Sprintf("%s %s %s", e.Request.Method, e.Request.Path, e.Request.BodyAsSent)
	if rep.status != e.Response.Status || rep.reason != p.rewrite(e.Response.Reason) {
		return fmt.Sprintf("%s\n\thave %d %s %s\n\twant %d %s", what, rep.status, rep.reason, rep.body, e.Response.Status, e.Response.Reason)
	}
	if diff := p.compareBody(e, rep); diff != "" {
		return what + "\n\t" + diff
	}
	return ""
}

// between applies what happened outside the recording before an exchange: a world fragment named "NAME@N.world".
func (p *replay) between(n int) {
	path := filepath.Join("testdata", "contract", fmt.Sprintf("%s@%d.world", p.rec.name, n))
	raw, err := os.ReadFile(path)
	if err != nil {
		return
	}
	fragment := NewWorld()
	p.s.Edit(func(w *World) {
		fragment.Nodes = []*Node{}
		for _, node := range w.Nodes {
			fragment.Nodes = append(fragment.Nodes, &Node{Name: node.Name, Volumes: map[string][]*Volume{}})
		}
		for _, s := range splitSections(string(raw)) {
			if err := fragment.readSection(s); err != nil {
				p.t.Fatalf("%s: %v", path, err)
			}
		}
		for id, role := range fragment.Access.Roles {
			w.Access.Roles[id] = role
		}
		w.Access.ACL = append(w.Access.ACL, fragment.Access.ACL...)
		for id, vm := range fragment.VMs {
			w.VMs[id] = vm
		}
		for _, node := range fragment.Nodes {
			for storage, list := range node.Volumes {
				w.Node(node.Name).Volumes[storage] = append(w.Node(node.Name).Volumes[storage], list...)
			}
		}
	})
	p.same(string(raw))
	if !fragment.Clock.IsZero() {
		p.clock.Jump(fragment.Clock.Sub(p.clock.Now()))
	}
}

// rewrite puts our generated texts where a recorded text has its own.
func (p *replay) rewrite(text string) string {
	text = recordedUPID.ReplaceAllStringFunc(text, func(upid string) string {
		if ours, ok := p.known[upid]; ok {
			return ours
		}
		return upid
	})
	return generated.ReplaceAllStringFunc(text, func(word string) string {
		if ours, ok := p.known[word]; ok {
			return ours
		}
		return word
	})
}

var recordedUPID = regexp.MustCompile(`UPID:[^:\s/]+:[0-9A-F]+:[0-9A-F]+:[0-9A-F]+:[^/\s"]*:`)

func (p *replay) request(e exchange) *http.Request {
	path, query, hasQuery := strings.Cut(e.Request.Path, "?")
	var parts []string
	for _, part := range strings.Split(path, "/") {
		if decoded, err := url.PathUnescape(part); err == nil && recordedUPID.MatchString(decoded) {
			part = url.PathEscape(p.rewrite(decoded))
		}
		parts = append(parts, part)
	}
	target := strings.Join(parts, "/")
	if hasQuery {
		target += "?" + p.rewrite(query)
	}
	body, contentType := p.requestBody(e)
	r, err := http.NewRequest(e.Request.Method, "https://pve1:8006"+target, strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	for name, value := range e.Request.Headers {
		r.Header.Set(name, p.header(name, value))
	}
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	return r
}

func (p *replay) requestBody(e exchange) (body, contentType string) {
	if string(e.Request.Body) == `"<raw>"` {
		return uploads[p.rec.name][p.uploadNumber(e)], e.Request.Headers["Content-Type"]
	}
	var wrapped struct {
		JSON json.RawMessage `json:"json"`
	}
	if err := json.Unmarshal(e.Request.Body, &wrapped); err == nil && wrapped.JSON != nil {
		return string(wrapped.JSON), ""
	}
	var text string
	if err := json.Unmarshal(e.Request.Body, &text); err == nil {
		return text, ""
	}
	sent := e.Request.BodyAsSent
	if strings.Contains(sent, "%3Csecret%3E") || strings.Contains(sent, "<secret>") {
		form, err := url.ParseQuery(sent)
		if err != nil {
			p.t.Fatal(err)
		}
		form.Set("password", p.s.w.Access.Shadow[form.Get("username")])
		sent = form.Encode()
	}
	return p.rewrite(sent), ""
}

// uploads are the bodies that the recording only calls "<raw>".
var uploads = map[string][]string{"38-upload": {
	multipartBody("iso", "up.iso", strings.Repeat("\x00", 4096)),
	multipartBody("snippets", "s.yaml", "x"),
	multipartBody("import", "disk.qcow2", "no image"),
}}

func multipartBody(content, file, data string) string {
	return "--XXBOUNDARYXX\r\nContent-Disposition: form-data; name=\"content\"\r\n\r\n" + content +
		"\r\n--XXBOUNDARYXX\r\nContent-Disposition: form-data; name=\"filename\"; filename=\"" + file +
		"\"\r\nContent-Type: application/octet-stream\r\n\r\n" + data + "\r\n--XXBOUNDARYXX--\r\n"
}

func (p *replay) uploadNumber(e exchange) int {
	p.tickets["uploads"] += "x"
	return len(p.tickets["uploads"]) - 1
}

var cookieUser = regexp.MustCompile(`PVE%3A([^%]+)%40([a-z]+)%3A`)

func (p *replay) header(name, value string) string {
	if id, ok := strings.CutSuffix(value, "=<secret>"); ok {
		return id + "=" + p.s.w.Access.Secrets[strings.TrimPrefix(id, "PVEAPIToken=")]
	}
	if m := cookieUser.FindStringSubmatch(value); name == "Cookie" && m != nil {
		user := m[1] + "@" + m[2]
		if p.tickets[user] == "" {
			p.tickets[user], p.csrf = p.s.session.open(user, p.clock.Now().Unix())
		}
		return "PVEAuthCookie=" + url.QueryEscape(p.tickets[user])
	}
	if value == "<csrf-token>" {
		return p.csrf
	}
	return value
}
