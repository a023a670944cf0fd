// Package webhook is where git servers call after a push. A call whose signature is good is a hint to look at the
// repository, and no more: nothing in it is believed, and whoever calls without the secret is told nothing.
package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/ustclug/pve-reconcile/internal/config"
)

const (
	// MaxBody is the longest body that is read, in bytes: the most that GitHub and GitLab send.
	MaxBody = 25 << 20
	// MinSecret is the shortest secret that counts, in bytes.
	MinSecret = 16
	// keep is how much of a body is looked at for the branch.
	keep = 64 << 10
	// inFlight is how many calls are served at a time; more are turned away.
	inFlight = 8
	// every is how often a hint is given at most. A later one is not lost, but waits.
	every = 2 * time.Second
	// quiet is how often refused calls are told of.
	quiet = time.Minute
)

// Receiver answers the calls. It is an http.Handler.
type Receiver struct {
	path, branch string
	secret       func() (config.Secret, error)
	notice       func(string)
	changed      chan struct{}
	seats        chan struct{}
	every        time.Duration

	mu      sync.Mutex
	last    time.Time // of the hint before
	pending *time.Timer
	told    time.Time // when refused calls were last told of
	refused int       // since then
}

// New makes a receiver for the configured path. branch is the one that is followed, "" when any push may matter. secret is
// asked for each call, so that the file may be replaced at any time. notice is told of calls that were refused, now and
// then; it never holds anything secret.
func New(path, branch string, secret func() (config.Secret, error), notice func(text string)) *Receiver {
	return &Receiver{
		path: path, branch: branch, secret: secret, notice: notice,
		changed: make(chan struct{}, 1), seats: make(chan struct{}, inFlight), every: every,
	}
}

// Changed delivers after a good call. Several calls may be one delivery.
func (r *Receiver) Changed() <-chan struct{} { return r.changed }

// ServeHTTP answers 204 to a call whose signature is good, 503 when too many are made at a time, and 404 to anything else,
// always without a word.
func (r *Receiver) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	if q.URL.Path != r.path || q.Method != http.MethodPost {
		w.WriteHeader(http.StatusNotFound) // never meant for us: not worth a word
		return
	}
	select {
	case r.seats <- struct{}{}:
		defer func() { <-r.seats }()
	default:
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	ref, err := r.receive(q)
	if err != nil {
		r.refuse(q, err)
		w.WriteHeader(http.StatusNotFound)
		return
	}
	if concerns(ref, r.branch) {
		r.ring(time.Now())
	}
	w.WriteHeader(http.StatusNoContent)
}

// receive reads a call and checks its signature. ref is the reference that it names, "" when none can be told.
func (r *Receiver) receive(q *http.Request) (ref string, err error) {
	if q.ContentLength > MaxBody {
		return "", fmt.Errorf("the body is longer than %d MiB", MaxBody>>20)
	}
	claims := claimsOf(q.Header)
	if len(claims) == 0 {
		return "", errors.New("there is no signature: set the secret of the webhook on the git server")
	}
	secret, err := r.secret()
	if err != nil {
		return "", err
	}
	if len(secret) < MinSecret {
		return "", fmt.Errorf("the secret is shorter than %d characters: make one with `openssl rand -hex 32`", MinSecret)
	}
	mac := hmac.New(sha256.New, []byte(secret.Reveal()))
	begin, err := digest(q.Body, mac)
	if err != nil {
		return "", err
	}
	if err := verify(claims, secret.Reveal(), mac.Sum(nil)); err != nil {
		return "", err
	}
	return refOf(begin), nil
}

// digest hashes a body and returns its beginning. The rest is not kept.
func digest(body io.Reader, mac hash.Hash) (begin []byte, err error) {
	limited := io.LimitReader(body, MaxBody+1)
	begin, err = io.ReadAll(io.LimitReader(limited, keep))
	if err != nil {
		return nil, errors.New("the body broke off")
	}
	mac.Write(begin)
	rest, err := io.Copy(mac, limited)
	switch {
	case err != nil:
		return nil, errors.New("the body broke off")
	case int64(len(begin))+rest > MaxBody:
		return nil, fmt.Errorf("the body is longer than %d MiB", MaxBody>>20)
	}
	return begin, nil
}

// ring gives a hint, at once or when the time since the one before is over. A call that is repeated does no more.
func (r *Receiver) ring(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.pending != nil {
		return
	}
	if wait := r.every - now.Sub(r.last); wait > 0 && !r.last.IsZero() {
		r.pending = time.AfterFunc(wait, func() {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.pending = nil
			r.deliver(time.Now())
		})
		return
	}
	r.deliver(now)
}

func (r *Receiver) deliver(now time.Time) {
	r.last = now
	select {
	case r.changed <- struct{}{}:
	default: // not taken yet: one is enough
	}
}

// refuse tells the person who set it up what is wrong, at most once a minute: strangers knock often.
func (r *Receiver) refuse(q *http.Request, why error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refused++
	now := time.Now()
	if !r.told.IsZero() && now.Sub(r.told) < quiet {
		return
	}
	from, _, err := net.SplitHostPort(q.RemoteAddr)
	if err != nil {
		from = "somebody"
	}
	text := fmt.Sprintf("webhook: a call from %s was refused: %v", from, why)
	if more := r.refused - 1; more > 0 {
		text += fmt.Sprintf(" (and %d before it)", more)
	}
	r.told, r.refused = now, 0
	r.notice(text)
}
