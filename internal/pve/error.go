package pve

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/ustclug/pve-reconcile/reconciler/step"
)

// Error is what went wrong with one call, or with the task it started. It wraps one of the sentinels of package step where
// one fits. Its text is one line and holds no secret.
type Error struct {
	Cluster string
	Call    string            // "PUT /nodes/pve1/qemu/200/config"
	Task    string            // UPID, when the call was answered and its task failed
	Status  int               // HTTP status; 0 when there was no answer
	Text    string            // PVE's own words
	Params  map[string]string // what is wrong with each parameter (status 400)
	Advice  string            // what to do

	kind  error // sentinel of package step
	cause error
	final bool // asking again soon cannot help
}

// Error reads outside in: cluster, call, task, what PVE said, what to do.
func (e *Error) Error() string {
	parts := []string{e.Cluster, e.Call}
	if e.Task != "" {
		parts = append(parts, "task "+e.Task)
	}
	parts = append(parts, strings.TrimSuffix(e.Text, "."))
	var params []string
	for _, name := range slices.Sorted(maps.Keys(e.Params)) {
		params = append(params, name+": "+e.Params[name])
	}
	if len(params) > 0 {
		parts = append(parts, strings.Join(params, "; "))
	}
	if e.Advice != "" {
		parts = append(parts, e.Advice)
	}
	return strings.Join(parts, ": ")
}

// Unwrap gives the sentinel of package step and the cause, where there are any.
func (e *Error) Unwrap() []error {
	var out []error
	for _, err := range []error{e.kind, e.cause} {
		if err != nil {
			out = append(out, err)
		}
	}
	return out
}

func (e *Error) lockTimeout() bool { return e.Task == "" && lockTimeout.MatchString(e.Text) }

// gone tells whether PVE has no config of the guest on the node it was asked of (FACTS §1: a 500, there is no 404).
func (e *Error) gone() bool {
	return e.Status == http.StatusInternalServerError && noConfig.MatchString(e.Text)
}

func (c *Cluster) errorOf(r request) *Error {
	return &Error{Cluster: c.opts.Name, Call: r.method + " " + r.path}
}

// refuse is an error of this program's own making: nothing was sent.
func (c *Cluster) refuse(r request, format string, args ...any) error {
	e := c.errorOf(r)
	e.Text = fmt.Sprintf(format, args...)
	return e
}

// refused makes the error of an answer that is not a success.
func (c *Cluster) refused(r request, x *exchange) error {
	e := c.errorOf(r)
	e.Status = x.status
	var body struct {
		Message text
		Errors  map[string]text
	}
	_ = json.Unmarshal(x.body, &body) // empty or a page: then the status line is all there is
	e.Text = c.clean(string(body.Message), r.hide)
	isPVE := e.Text != "" || x.status == http.StatusUnauthorized // a 401 has no body (FACTS §1)
	if e.Text == "" {
		e.Text = c.clean(x.reason, r.hide)
	}
	if !isPVE {
		e.Text = fmt.Sprintf("%d %s", x.status, e.Text)
	}
	for name, why := range body.Errors {
		if e.Params == nil {
			e.Params = map[string]string{}
		}
		e.Params[name] = c.clean(string(why), r.hide)
	}
	switch s := x.status; {
	case s == http.StatusUnauthorized:
		e.kind, e.Advice = step.ErrForbidden, c.tokenAdvice()
		e.Text = "the token was refused (" + e.Text + ")"
	case s/100 == 3:
		e.kind, e.final = step.ErrUnreachable, true
		e.Advice = "something before PVE redirects, and the token is not sent elsewhere. " + apiItself
	case s >= 595 && s <= 599 || s >= 502 && s <= 504:
		e.kind, e.Advice = step.ErrUnreachable, "the node that should answer could not be reached"
		if s != 595 && r.method != http.MethodGet { // 595 is a connection that was never made
			e.Advice += "; " + unknownOutcome
		}
	case s == http.StatusForbidden:
		e.kind = step.ErrForbidden
		if e.Advice = notPVE; isPVE {
			e.Advice = c.privilegeAdvice(e.Text)
		}
	case !isPVE && s < 500:
		e.Advice = notPVE
	default:
		e.judge()
	}
	return e
}

const (
	apiItself = "The endpoint must be the API itself, https://host:8006"
	notPVE    = "PVE does not answer like this: is a proxy between? " + apiItself
)

const unknownOutcome = "whether the change was made is not known, look again before repeating it"

// foreign is a success that PVE did not write: the page of a proxy, or half an answer.
func (c *Cluster) foreign(r request) error {
	e := c.errorOf(r)
	e.kind, e.Text = step.ErrUnreachable, "the answer is no JSON with data"
	e.Advice = notPVE
	if r.method != http.MethodGet {
		e.Advice += "; " + unknownOutcome
	}
	return e
}

// noAnswer makes the error of a request that nobody answered. parent is the caller's context, before the time limit.
func (c *Cluster) noAnswer(parent context.Context, r request, x *exchange, err error) error {
	e := c.errorOf(r)
	e.kind, e.cause = step.ErrUnreachable, err
	inner := err
	if u := (*url.Error)(nil); errors.As(err, &u) {
		inner = u.Err
	}
	timeout := net.Error(nil)
	if text, advice, ok := distrusted(err); ok {
		e.Text, e.Advice, e.final = text, advice, true
		return e
	}
	switch {
	case parent.Err() != nil && errors.Is(parent.Err(), context.Canceled):
		e.kind, e.cause, e.Text = nil, context.Canceled, "interrupted"
	case parent.Err() != nil || errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		e.Text = "no answer in time"
	case strings.HasSuffix(inner.Error(), "EOF"):
		e.Text = "the connection was closed before the answer"
	default:
		e.Text = c.clean(inner.Error(), r.hide)
	}
	switch {
	case r.method != http.MethodGet && x.sent.Load():
		e.Advice = unknownOutcome
	case !x.sent.Load() && e.kind != nil:
		e.Advice = "is the endpoint right, and pveproxy up?"
	}
	return e
}

// perlPlace is where in PVE's sources an error was thrown.
var perlPlace = regexp.MustCompile(` at /usr/share/perl5/\S+ line \d+\.?$`)

// clean makes one line of a text and takes secrets out.
func (c *Cluster) clean(s string, hide []string) string {
	for _, secret := range append(c.token.secrets(), hide...) {
		if secret != "" {
			s = strings.ReplaceAll(s, secret, "***")
		}
	}
	s = perlPlace.ReplaceAllString(strings.TrimSpace(s), "")
	s = strings.ReplaceAll(s, "\n", "; ")
	s = strings.Join(strings.FieldsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }), " ")
	if r := []rune(s); len(r) > 1000 {
		s = string(r[:1000]) + "..."
	}
	return s
}
