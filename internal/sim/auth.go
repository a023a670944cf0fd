package sim

import (
	"fmt"
	"math/rand"
	"net/http"
	"net/url"
	"strings"
	"sync"
)

// identity is who asks: a user, or a token of a user.
type identity struct{ user, token string }

func (i identity) id() string {
	if i.token == "" {
		return i.user
	}
	return i.user + "!" + i.token
}

// root tells whether it is root@pam itself; its tokens are not (FACTS §2).
func (i identity) root() bool { return i.user == "root@pam" && i.token == "" }

// sessions holds the tickets given out.
type sessions struct {
	mu      sync.Mutex
	random  *rand.Rand
	tickets map[string]string // ticket -> user
	csrf    map[string]string // user -> token
}

func newSessions(random *rand.Rand) *sessions {
	return &sessions{random: random, tickets: map[string]string{}, csrf: map[string]string{}}
}

// open makes a ticket for a user whose password was right.
func (t *sessions) open(user string, now int64) (ticket, csrf string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	ticket = fmt.Sprintf("PVE:%s:%08X::%016x%016x", user, now, t.random.Uint64(), t.random.Uint64())
	if t.csrf[user] == "" {
		t.csrf[user] = fmt.Sprintf("%08X:%016x", now, t.random.Uint64())
	}
	t.tickets[ticket] = user
	return ticket, t.csrf[user]
}

func (t *sessions) user(ticket string) (user, csrf string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	user = t.tickets[ticket]
	return user, t.csrf[user]
}

// unauthorized is a 401 without a body.
func unauthorized(reason string) *reply {
	r := emptyReply(401, reason)
	return &r
}

// authenticate finds out who asks (FACTS §1, §2).
func (s *Server) authenticate(r *http.Request) (identity, *reply) {
	if secret, ok := strings.CutPrefix(r.Header.Get("Authorization"), "PVEAPIToken="); ok {
		return s.byToken(secret)
	}
	cookie, err := r.Cookie("PVEAuthCookie")
	if err != nil || cookie.Value == "" {
		return identity{}, unauthorized("No ticket")
	}
	ticket, err := url.QueryUnescape(strings.ReplaceAll(cookie.Value, "+", "%2B"))
	if err != nil {
		return identity{}, unauthorized("No ticket")
	}
	user, csrf := s.session.user(ticket)
	if user == "" {
		return identity{}, unauthorized("permission denied - invalid PVE ticket")
	}
	if r.Method != http.MethodGet && r.Header.Get("CSRFPreventionToken") != csrf {
		return identity{}, unauthorized("Permission denied - invalid csrf token")
	}
	return identity{user: user}, nil
}

func (s *Server) byToken(text string) (identity, *reply) {
	id, secret, ok := strings.Cut(text, "=")
	user, token, isToken := strings.Cut(id, "!")
	if !ok || !isToken {
		return identity{}, unauthorized("Authentication failed!")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	known := s.w.Access.Tokens[id]
	owner := s.w.Access.Users[user]
	now := s.clock.Now().Unix()
	if known == nil || owner == nil || s.w.Access.Secrets[id] != secret || !owner.Enabled ||
		known.Expire != 0 && known.Expire < now || owner.Expire != 0 && owner.Expire < now {
		return identity{}, unauthorized("Authentication failed!")
	}
	return identity{user: user, token: token}, nil
}
