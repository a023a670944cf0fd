package sim

import (
	"crypto/tls"
	"fmt"
	"hash/fnv"
	"math/rand"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Options say how a Server runs; the zero value answers at once and never fails.
type Options struct {
	// Clock is the world's clock. Nil: the machine's clock, Speed times as fast.
	Clock Clock
	// Speed is how much faster than the machine's clock the world goes; 1 takes the time PVE takes.
	// 0: nothing takes time; a wait moves the world's clock instead.
	Speed float64
	// AuthDelay is how long every 401 takes, in real time (PVE: 3 s).
	AuthDelay time.Duration
	// Faults are what goes wrong; more may be added with AddFault.
	Faults []Fault
	// Version overrides the world's PVE version ("8.4.21").
	Version string
	// Hosts are real hosts that stand for nodes: the zfspool storages of the node use their pools, and the commands of
	// World.Guests run there. While one does not answer, neither does the API.
	Hosts map[string]Shell
	// Fresh is how old what such a host said may be in an answer that changes nothing; PVE's own figures are seconds old too.
	Fresh time.Duration
	// PMXCFS is a directory to keep as the cluster's file system looks (PVE: /etc/pve); "": none.
	PMXCFS string
	// LockExpiry is after what time a lock there is freed on request. Default: pmxcfs' two minutes.
	LockExpiry time.Duration
	// Seed makes generated uuids, MACs and PIDs repeatable.
	Seed int64
}

// Server answers the API of one node of a world. It is an http.Handler; Listen serves it over HTTPS.
type Server struct {
	mu     sync.Mutex
	w      *World
	schema *schema
	clock  Clock
	config Options
	random *rand.Rand
	pid    int64

	watched time.Time // the guests of real hosts

	faults   []*Fault
	log      requestLog
	session  *sessions
	snapshot *broadcast
	files    *clusterFiles // nil without Options.PMXCFS

	cert      *certificate
	listeners []net.Listener
	conns     map[net.Conn]bool
	closed    bool
}

// New starts a world. The world is copied: the caller's value does not change.
func New(w *World, c Options) *Server {
	s := &Server{
		w: w.Clone(), config: c, clock: c.Clock, conns: map[net.Conn]bool{}, pid: 100000,
	}
	sum := fnv.New64a()
	sum.Write([]byte(s.w.String()))
	s.random = rand.New(rand.NewSource(c.Seed ^ int64(sum.Sum64()))) // another world makes up other MACs
	if s.clock == nil {
		s.clock = newClock(w.Clock, c.Speed)
	}
	if c.Version != "" {
		s.w.Version = c.Version
	}
	s.schema = schemaFor(s.w.Version)
	s.session = newSessions(s.random)
	if c.Speed > 0 {
		for kind, d := range usualTaskTime {
			if _, ok := s.w.Settings.TaskTime[kind]; !ok {
				s.w.Settings.TaskTime[kind] = d
			}
		}
	}
	for _, n := range s.w.Nodes {
		if shell := c.Hosts[n.Name]; shell != nil {
			n.shell, n.backing = shell, zfsHost{shell}
		}
		if n.Booted.IsZero() {
			n.Booted = s.clock.Now().Add(-time.Hour)
		}
	}
	for i := range c.Faults {
		s.AddFault(c.Faults[i])
	}
	s.snapshot = newBroadcast(s)
	if c.PMXCFS != "" {
		s.files = newClusterFiles(c.PMXCFS, c.LockExpiry)
		s.writeFiles()
		go s.keepFiles()
	}
	return s
}

// usualTaskTime is about what tasks take on a real host.
var usualTaskTime = map[string]time.Duration{
	"qmcreate": time.Second, "qmconfig": 500 * time.Millisecond, "qmstart": 3 * time.Second, "qmstop": 2 * time.Second,
	"qmshutdown": 8 * time.Second, "qmreboot": 12 * time.Second, "qmdestroy": 2 * time.Second, "resize": time.Second,
	"qmmove": 10 * time.Second, "qmclone": 10 * time.Second, "qmsnapshot": time.Second, "qmrollback": 2 * time.Second,
	"qmdelsnapshot": time.Second, "qmtemplate": time.Second, "imgdel": time.Second, "srvreload": 3 * time.Second,
}

// Edit changes the world directly, as an operator with a shell on the host would.
func (s *Server) Edit(change func(*World)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settle()
	change(s.w)
	s.schema = schemaFor(s.w.Version)
	s.writeFiles()
}

// Dump is a copy of the world as it is now.
func (s *Server) Dump() *World {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settle()
	w := s.w.Clone()
	w.Clock = s.clock.Now().UTC().Truncate(time.Second)
	return w
}

// Now is the time in the world.
func (s *Server) Now() time.Time { return s.clock.Now() }

// ServeHTTP answers one request. On a connection that can be hijacked it answers itself and goes on serving it,
// because net/http cannot send PVE's reason phrases.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rep := s.answer(r)
	if hijacker, ok := w.(http.Hijacker); ok {
		conn, rw, err := hijacker.Hijack()
		if err == nil {
			if s.write(conn, r, rep) {
				s.loop(conn, rw.Reader)
				return
			}
			if err := conn.Close(); err != nil {
				return
			}
			return
		}
	}
	w.Header().Set("Content-Type", rep.contentType())
	w.WriteHeader(rep.status)
	if _, err := w.Write(rep.body); err != nil {
		return // the client is gone
	}
}

// Listen serves HTTPS on a loopback address ("127.0.0.1:0") with the certificate of CertPEM.
func (s *Server) Listen(addr string) (string, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return "", fmt.Errorf("listen on %s: %w", addr, err)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return "", fmt.Errorf("listen on %s: the simulator listens on loopback addresses only (127.0.0.1:PORT)", addr)
	}
	cert, err := s.certificate()
	if err != nil {
		return "", err
	}
	plain, err := net.Listen("tcp", addr)
	if err != nil {
		return "", fmt.Errorf("listen on %s: %w", addr, err)
	}
	l := tls.NewListener(plain, &tls.Config{Certificates: []tls.Certificate{cert.pair}, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}})
	s.mu.Lock()
	s.listeners = append(s.listeners, l)
	s.mu.Unlock()
	go s.accept(l)
	return "https://" + plain.Addr().String(), nil
}

// Close stops listening and cuts all connections.
func (s *Server) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	var first error
	for _, l := range s.listeners {
		if err := l.Close(); err != nil && first == nil {
			first = err
		}
	}
	for conn := range s.conns {
		if err := conn.Close(); err != nil && first == nil && !strings.Contains(err.Error(), "use of closed") {
			first = err
		}
	}
	s.listeners, s.conns = nil, map[net.Conn]bool{}
	return first
}
