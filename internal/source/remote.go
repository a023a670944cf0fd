package source

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"sort"
	"strconv"
	"strings"

	"github.com/go-git/go-git/v5"
	gitconfig "github.com/go-git/go-git/v5/config"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/transport"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"
	gitssh "github.com/go-git/go-git/v5/plumbing/transport/ssh"
	"golang.org/x/crypto/ssh"

	"github.com/ustclug/pve-reconcile/internal/config"
	"github.com/ustclug/pve-reconcile/internal/host/hostkey"
)

// remote is a repository on a server. Credentials are read anew for each
// session, so that a replaced token or key needs no restart.
type remote struct {
	at       config.Location
	url      string
	settings config.Source
	options  Options
}

// session is what one exchange with the server needs.
type session struct {
	*remote
	auth    transport.AuthMethod
	ca      []byte
	proxy   transport.ProxyOptions
	hosts   *hostkey.Keys // SSH only
	key     string        // fingerprint of our own key, SSH only
	secrets []config.Secret
	close   func()
}

func (r *remote) connect(ctx context.Context) (*session, error) {
	s := &session{remote: r, close: func() {}}
	var err error
	switch r.at.Transport {
	case config.HTTPS:
		err = s.useHTTPS()
	case config.SSH:
		err = s.useSSH(ctx)
	case config.Local: // read in place, never connected to
	}
	return s, err
}

func (s *session) useHTTPS() error {
	if name := s.settings.CAFile; name != "" {
		pem, err := os.ReadFile(name)
		if err != nil {
			return problem(Unreadable, "correct source.caFile", "caFile: %w", err)
		}
		if !x509.NewCertPool().AppendCertsFromPEM(pem) {
			return problem(Unreadable, "it has to begin with -----BEGIN CERTIFICATE-----", "caFile %s holds no PEM certificate", name)
		}
		s.ca = pem
	}
	if name := s.settings.TokenFile; name != "" {
		token, err := s.options.Token(name)
		if err != nil {
			return problem(Unreadable, "", "tokenFile: %w", err)
		}
		s.secrets = append(s.secrets, token)
		user := s.settings.Username
		if user == "" {
			user = "git"
		}
		s.auth = &githttp.BasicAuth{Username: user, Password: token.Reveal()}
	}
	return nil
}

func (s *session) useSSH(ctx context.Context) error {
	key, err := s.options.Key(s.settings.KeyFile)
	if err != nil {
		return problem(Unreadable, "", "keyFile: %w", err)
	}
	signer, err := ssh.ParsePrivateKey([]byte(key.Reveal()))
	var locked *ssh.PassphraseMissingError
	switch {
	case errors.As(err, &locked):
		return problem(Unreadable, "nobody is there to type it: make a key of its own with ssh-keygen -t ed25519 -N '' and register it as a read-only deploy key",
			"keyFile %s is protected by a passphrase", s.settings.KeyFile)
	case err != nil:
		return problem(Unreadable, "it has to be a private key as ssh-keygen writes it", "keyFile %s: no usable private key", s.settings.KeyFile)
	}
	addr := net.JoinHostPort(s.at.Host, strconv.Itoa(s.at.Port))
	s.hosts, err = hostkey.Read(s.settings.KnownHostsFile, addr)
	if err != nil {
		return problem(Unreadable, "correct source.knownHostsFile", "%w", err)
	}
	s.key = ssh.FingerprintSHA256(signer.PublicKey())
	s.auth = &gitssh.PublicKeys{
		User:   s.at.User,
		Signer: signer,
		HostKeyCallbackHelper: gitssh.HostKeyCallbackHelper{
			HostKeyCallback:   s.hosts.Check,
			HostKeyAlgorithms: s.hosts.Algorithms,
		},
	}
	s.proxy.URL, s.close = routeSSH(ctx, addr)
	return nil
}

// list returns the server's branches and the one its HEAD names.
func (r *remote) list(ctx context.Context) (branches map[string]plumbing.Hash, head string, err error) {
	ctx = withIdle(ctx, r.options.Idle)
	s, err := r.connect(ctx)
	if err != nil {
		return nil, "", err
	}
	defer s.close()
	client := git.NewRemote(nil, &gitconfig.RemoteConfig{Name: "origin", URLs: []string{r.url}})
	refs, err := client.ListContext(ctx, &git.ListOptions{Auth: s.auth, CABundle: s.ca, ProxyOptions: s.proxy})
	if err != nil {
		if e := s.explain(ctx, err); e != nil {
			return nil, "", e
		}
		return nil, "", problem(Unreachable, "", "unexpected answer: %s", s.clean(err))
	}
	branches = map[string]plumbing.Hash{}
	for _, ref := range refs {
		switch {
		case ref.Target() != "" && ref.Target().Validate() != nil, ref.Name().Validate() != nil:
			// A name that git forbids could lead out of the clone.
		case ref.Name() == plumbing.HEAD && ref.Type() == plumbing.SymbolicReference:
			head = ref.Target().Short()
		case ref.Name().IsBranch() && ref.Type() == plumbing.HashReference:
			branches[ref.Name().Short()] = ref.Hash()
		}
	}
	return branches, head, nil
}

// errAmbiguous marks an error that may come from the server or from the clone.
var errAmbiguous = errors.New("exchange broke off")

// fetch brings a branch and its whole history into repo.
func (r *remote) fetch(ctx context.Context, repo *git.Repository, branch string) error {
	ctx = withIdle(ctx, r.options.Idle)
	s, err := r.connect(ctx)
	if err != nil {
		return err
	}
	defer s.close()
	client := git.NewRemote(repo.Storer, &gitconfig.RemoteConfig{Name: "origin", URLs: []string{r.url}})
	err = client.FetchContext(ctx, &git.FetchOptions{
		Auth: s.auth, CABundle: s.ca, ProxyOptions: s.proxy,
		Tags: git.NoTags,
		// Without the plus a rewritten branch is left where it was, silently.
		RefSpecs: []gitconfig.RefSpec{gitconfig.RefSpec("+" + plumbing.NewBranchReferenceName(branch).String() + ":" + trackingRef(branch).String())},
	})
	if err == nil || errors.Is(err, git.NoErrAlreadyUpToDate) {
		return nil
	}
	if e := s.explain(ctx, err); e != nil {
		return e
	}
	return fmt.Errorf("%w: %s", errAmbiguous, s.clean(err))
}

func (s *session) clean(err error) string {
	return oneLine(config.Redact(err.Error(), s.secrets...), 300)
}

// pick chooses the branch to follow among those a repository has.
func pick(branches map[string]plumbing.Hash, head, want string) (string, error) {
	if len(branches) == 0 {
		return "", problem(EmptyRepository, "commit the manifests and push", "the repository has no commit yet")
	}
	if want == "" {
		if head == "" {
			return "", problem(BranchMissing, "set source.branch to one of: "+names(branches), "no branch is configured and the repository's HEAD names none")
		}
		if _, ok := branches[head]; !ok {
			return "", problem(BranchMissing, "set source.branch to one of: "+names(branches), "HEAD names the branch %s, which does not exist", head)
		}
		return head, nil
	}
	if _, ok := branches[want]; !ok {
		return "", problem(BranchMissing, "set source.branch to one of: "+names(branches), "there is no branch %s", want)
	}
	return want, nil
}

func names(branches map[string]plumbing.Hash) string {
	var all []string
	for name := range branches {
		all = append(all, oneLine(name, 60))
	}
	sort.Strings(all)
	if more := len(all) - 10; more > 0 {
		all = append(all[:10], fmt.Sprintf("and %d more", more))
	}
	return strings.Join(all, ", ")
}

func trackingRef(branch string) plumbing.ReferenceName {
	return plumbing.NewRemoteReferenceName("origin", branch)
}
