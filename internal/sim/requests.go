package sim

import (
	"net/http"
	"strings"
	"sync"
	"time"
)

// Request is one call that the server answered.
type Request struct {
	Time   time.Time
	Method string
	Path   string // without /api2/json and query
	Params map[string]string
	User   string
	Status int // 0: the connection was cut
	Bytes  int // of the body sent
}

// requestLog keeps the newest calls, and counts all.
type requestLog struct {
	mu    sync.Mutex
	list  []Request
	count int
}

const keptRequests = 20000

var secretParams = map[string]bool{"password": true, "cipassword": true, "secret": true, "otp": true, "tfa-challenge": true}

func (l *requestLog) add(r *http.Request, c *call, rep reply) {
	entry := Request{Time: time.Now(), Method: r.Method, Path: c.path, User: c.who.id(), Status: rep.status, Bytes: len(rep.body)}
	if c.path == "" {
		entry.Path = strings.TrimPrefix(r.URL.Path, "/api2/json")
	}
	for name, value := range c.params {
		if name == "node" || name == "vmid" && strings.Contains(c.path, "/qemu/") {
			continue
		}
		if entry.Params == nil {
			entry.Params = map[string]string{}
		}
		if secretParams[name] {
			value = "<secret>"
		}
		entry.Params[name] = value
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.count++
	if len(l.list) >= keptRequests {
		l.list = append(l.list[:0:0], l.list[keptRequests/2:]...)
	}
	l.list = append(l.list, entry)
}

// Requests lists the calls answered since the last ResetRequests, oldest first; of very many only the newest.
func (s *Server) Requests() []Request {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	return append([]Request(nil), s.log.list...)
}

// RequestCount is how many calls were answered since the last ResetRequests.
func (s *Server) RequestCount() int {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	return s.log.count
}

// ResetRequests forgets the calls so far.
func (s *Server) ResetRequests() {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	s.log.list, s.log.count = nil, 0
}
