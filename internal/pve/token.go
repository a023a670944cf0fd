package pve

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// renewal is how long a token counts before it is read again.
const renewal = time.Second

// credential is the token that requests are made with. It is read again, so that one that was replaced is used without a restart.
type credential struct {
	read func() (string, error) // nil: it never changes

	mu      sync.Mutex
	id      string // user@realm!name, the part that may be shown
	secret  string
	old     []string // secrets that were used before: no text may show them either
	at      time.Time
	trouble error // why it could not be read again last
}

// parse takes a token apart; nil when it has another form.
func parse(text string) []string { return tokenForm.FindStringSubmatch(strings.TrimSpace(text)) }

// authorize puts the token into a request. While it cannot be read again, the one before is used: whether it still is one PVE
// says.
func (t *credential) authorize(r *http.Request) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.read != nil && time.Since(t.at) >= renewal {
		t.at = time.Now()
		text, err := t.read()
		m := parse(text)
		if err == nil && m == nil {
			err = fmt.Errorf("the token is not of the form user@realm!name=secret")
		}
		if t.trouble = err; err == nil && m[2] != t.secret {
			t.old = append(t.old, t.secret)
		}
		if err == nil {
			t.id, t.secret = m[1], m[2]
		}
	}
	r.Header.Set("Authorization", "PVEAPIToken="+t.id+"="+t.secret)
	return nil
}

// name is the part that may be shown.
func (t *credential) name() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.id
}

// secrets are those that no text may show.
func (t *credential) secrets() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append(slices.Clone(t.old), t.secret)
}

// unread is why the token could not be read again, nil when it could.
func (t *credential) unread() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.trouble
}
