package source

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/transport"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"
	"golang.org/x/crypto/ssh"

	"github.com/ustclug/pve-reconcile/internal/config"
)

// explain says what an error of the exchange means for the person who has to
// mend it. It returns nil when the error may as well come from the clone.
func (s *session) explain(ctx context.Context, err error) error {
	if cause := ctx.Err(); cause != nil {
		if errors.Is(cause, context.DeadlineExceeded) {
			return problem(Unreachable, "", "not done in time: %w", cause)
		}
		return cause
	}
	if s.hosts != nil && s.hosts.Refused != nil {
		return problem(UntrustedServer, s.hosts.Refused.Hint, "%s", s.hosts.Refused.Text)
	}
	// go-git wraps answers in a type that does not unwrap.
	var odd *plumbing.UnexpectedError
	if errors.As(err, &odd) {
		err = odd.Err
	}
	for _, explain := range []func(error) *Error{s.explainAccess, s.explainTLS, s.explainHTTP, s.explainNetwork} {
		if e := explain(err); e != nil {
			return e
		}
	}
	return nil
}

func (s *session) explainAccess(err error) *Error {
	var noAuth *ssh.ServerAuthError
	text := err.Error()
	switch {
	case errors.Is(err, transport.ErrEmptyRemoteRepository):
		return problem(EmptyRepository, "commit the manifests and push", "the repository has no commit yet")
	case errors.Is(err, git.NoMatchingRefSpecError{}):
		return problem(BranchMissing, "", "the branch was deleted while it was fetched")
	case errors.Is(err, transport.ErrAuthenticationRequired) && s.settings.TokenFile == "":
		return problem(Unauthorized, "set source.tokenFile to a file with a token that may read the repository", "the server wants a token%s", s.answer(err))
	case errors.Is(err, transport.ErrAuthenticationRequired):
		return problem(Unauthorized, "put a valid one that may read the repository there", "the server refused the token of %s%s", s.settings.TokenFile, s.answer(err))
	case errors.Is(err, transport.ErrAuthorizationFailed):
		return problem(Unauthorized, "give the token read access to the repository", "the server forbids it (403)%s", s.answer(err))
	case errors.As(err, &noAuth), strings.Contains(text, "unable to authenticate"):
		return problem(Unauthorized, "register its public half as a deploy key with read access",
			"the server accepts neither the key %s (%s) nor another one for the user %s", s.settings.KeyFile, s.key, s.at.User)
	case errors.Is(err, transport.ErrRepositoryNotFound), strings.Contains(text, "repository not exported"):
		hint := "check source.url"
		if s.at.Transport == config.HTTPS && s.settings.TokenFile == "" {
			hint += "; a private repository also looks like this without source.tokenFile"
		}
		return problem(NotFound, hint, "the server knows no such repository")
	case strings.Contains(text, "object-format=sha256"):
		return problem(Unsupported, sha256Hint, "the repository uses SHA-256 object names")
	}
	return nil
}

// answer is what the server's body said, if it is a short text.
func (s *session) answer(err error) string {
	_, body, _ := strings.Cut(err.Error(), ": ")
	body = strings.TrimSpace(body)
	if body == "" || strings.HasPrefix(body, "<") {
		return ""
	}
	return fmt.Sprintf(" (%s)", oneLine(config.Redact(body, s.secrets...), 160))
}

func (s *session) explainTLS(err error) *Error {
	var bad *tls.CertificateVerificationError
	var alert tls.AlertError
	var record tls.RecordHeaderError
	switch {
	case errors.As(err, &bad):
		hint := "set source.caFile to the PEM certificate of the authority that signed it"
		if s.settings.CAFile != "" {
			hint = "put the authority that signed it into " + s.settings.CAFile
		}
		if strings.Contains(bad.Err.Error(), "expired") {
			hint = "renew the server's certificate, and check the clock of both machines"
		}
		if strings.Contains(bad.Err.Error(), "valid for") {
			hint = "use the name that is in the certificate"
		}
		return problem(UntrustedServer, hint, "certificate of %s: %s", s.at.Host, oneLine(bad.Err.Error(), 200))
	case errors.As(err, &record):
		return problem(Unreachable, "check the port in source.url", "%s port %d does not speak TLS", s.at.Host, s.at.Port)
	case errors.As(err, &alert):
		return problem(Unreachable, "", "TLS with %s: %s", s.at.Host, oneLine(alert.Error(), 200))
	}
	return nil
}

func (s *session) explainHTTP(err error) *Error {
	var answered *githttp.Err
	if errors.As(err, &answered) {
		code := answered.StatusCode()
		hint := ""
		if code < 500 {
			hint = "check source.url"
		}
		return problem(Unreachable, hint, "the server answers %d %s", code, http.StatusText(code))
	}
	var moved *redirectError
	if errors.As(err, &moved) {
		return problem(Unreachable, "if that is right, set source.url to it", "the server redirects to %s://%s", moved.to.Scheme, moved.to.Host)
	}
	if text := err.Error(); strings.Contains(text, "http redirect") {
		return problem(Unreachable, "set source.url to where the repository is now", "%s", s.clean(err))
	}
	return nil
}

func (s *session) explainNetwork(err error) *Error {
	var netErr net.Error
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		return problem(Unreachable, "check source.url and /etc/resolv.conf", "the name %s is not known", dns.Name)
	case errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &netErr) && netErr.Timeout():
		return problem(Unreachable, "", "%s port %d went silent for %v", s.at.Host, s.at.Port, s.options.Idle)
	case errors.Is(err, syscall.ECONNREFUSED):
		return problem(Unreachable, "check the port in source.url, and whether the server runs", "%s port %d refuses connections", s.at.Host, s.at.Port)
	case errors.As(err, &netErr), errors.Is(err, net.ErrClosed):
		return problem(Unreachable, "", "%s", s.clean(err))
	case errors.Is(err, io.EOF) && s.at.Transport == config.SSH && s.hosts != nil:
		return problem(Unreachable, "", "%s port %d closed the connection", s.at.Host, s.at.Port)
	}
	return nil
}

const sha256Hint = "git libraries for Go cannot read them: make a repository with git init --object-format=sha1 and push the history there"
