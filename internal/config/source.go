package config

// Source says where the manifests are: one branch of one git repository.
type Source struct {
	// URL of the repository: an absolute directory or file:// on this machine
	// (bare or with a working tree; it is only read, and only what is
	// committed), https://host/path, ssh://user@host/path or user@host:path.
	// http:// and git:// are refused. Passwords and tokens do not belong here.
	URL string `json:"url" also:"repo repository git"`
	// Branch to follow. Default: the branch the repository's HEAD names.
	Branch string `json:"branch,omitempty"`
	// Path of the directory with the manifests inside the repository.
	// Default: the whole repository.
	Path string `json:"path,omitempty"`
	// Interval is how often the daemon looks for a new commit, beside being
	// told of one. Each pause is shortened at random by up to a fifth.
	// Default: 1m.
	Interval Duration `json:"interval,omitempty"`
	// TokenFile holds the password or access token for https, on one line.
	// Only its owner may be able to read it.
	TokenFile string `json:"tokenFile,omitempty" also:"token"`
	// Username sent with the token, for https. Most servers accept any.
	// Default: git.
	Username string `json:"username,omitempty"`
	// CAFile holds PEM certificates that are trusted for https besides the
	// system's.
	CAFile string `json:"caFile,omitempty"`
	// KeyFile is the private key for ssh, without passphrase. Only its owner
	// may be able to read it. Needed for ssh.
	KeyFile string `json:"keyFile,omitempty"`
	// KnownHostsFile holds the ssh server's host keys in OpenSSH's format.
	// Needed for ssh: an unknown key is never accepted.
	KnownHostsFile string `json:"knownHostsFile,omitempty"`
	// Verify says who may sign commits. Without it, signatures are not looked
	// at.
	Verify *Verify `json:"verify,omitempty"`
}

// Verify says who may sign commits. Every commit since the one applied last
// has to be signed by somebody that one of the files lists.
type Verify struct {
	// AllowedSigners holds SSH keys, as ssh-keygen(1) describes it. It has to
	// be outside the repository, and nobody but its owner and group may be
	// able to write it.
	AllowedSigners string `json:"allowedSigners,omitempty"`
	// Keyring holds OpenPGP public keys, as gpg --export writes them. The same
	// holds for it.
	Keyring string `json:"keyring,omitempty"`
}

// Webhook is a place that git servers call after a push.
type Webhook struct {
	// Listen is the address and port: 127.0.0.1:9443.
	Listen string `json:"listen"`
	// Path of the URL. Default: /push.
	Path string `json:"path,omitempty"`
	// SecretFile holds what the git server signs its calls with, on one line.
	// Only its owner may be able to read it.
	SecretFile string `json:"secretFile"`
	// CertFile and KeyFile hold the certificate and the key for https. Without
	// them it is plain HTTP, which is for a proxy on this machine only.
	CertFile string `json:"certFile,omitempty"`
	KeyFile  string `json:"keyFile,omitempty"`
}
