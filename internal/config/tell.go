package config

import "fmt"

// Metrics is an address at which /metrics, /healthz and /readyz answer.
type Metrics struct {
	// Listen is an address of this machine and a port: 127.0.0.1:9464.
	Listen string `json:"listen"`
}

func (v *validation) metrics(m *Metrics) {
	if m == nil {
		return
	}
	local, err := loopback(m.Listen)
	switch {
	case m.Listen == "":
		v.add("metrics.listen", "required", "write address:port, as in 127.0.0.1:9464")
	case err != nil:
		v.add("metrics.listen", fmt.Sprintf("%.60q is not address:port", m.Listen), "as in 127.0.0.1:9464 or [::1]:9464")
	case !local:
		v.add("metrics.listen", "is reached from other machines, and anybody could read it", "listen on 127.0.0.1, and put a proxy that knows who asks in front")
	}
}

// Notify is one place where news goes to: exactly one of Webhook, SMTP and
// CommitStatus.
type Notify struct {
	// Webhook is POSTed to.
	Webhook *WebhookOut `json:"webhook,omitempty"`
	// SMTP sends mail.
	SMTP *SMTP `json:"smtp,omitempty"`
	// CommitStatus marks commits at the server that has the repository.
	CommitStatus *CommitStatus `json:"commitStatus,omitempty"`
	// Verdicts are told, and that they are over. Default: Blocked, Failed,
	// Refused, Unknown, RestartNeeded, Drifted, NotFollowed.
	Verdicts []string `json:"verdicts,omitempty"`
	// Kinds are told of: VirtualMachine, Node, Migration, Source. Default: all.
	Kinds []string `json:"kinds,omitempty"`
	// After is how long something has to stand before it is told. Default: 1m.
	After Duration `json:"after,omitempty"`
}

// WebhookOut is a URL that takes JSON.
type WebhookOut struct {
	// URL is https, or http on this machine.
	URL string `json:"url,omitempty"`
	// URLFile holds the URL instead, where whoever knows it may post.
	URLFile string `json:"urlFile,omitempty"`
	// Body is a template (Go's text/template) that makes JSON.
	// Default: {"text": {{json .Text}}}.
	Body string `json:"body,omitempty"`
	// TokenFile holds a token that is sent as Authorization: Bearer.
	TokenFile string `json:"tokenFile,omitempty"`
	// CAFile holds PEM certificates that are trusted besides the system's.
	CAFile string `json:"caFile,omitempty"`
}

// SMTP is a mail server.
type SMTP struct {
	// Server is host:port.
	Server string `json:"server"`
	// Security is starttls, tls, or none, which is for this machine only.
	// Default: starttls.
	Security string `json:"security,omitempty"`
	// Username to log in as, with PasswordFile.
	Username string `json:"username,omitempty"`
	// PasswordFile holds the password on one line.
	PasswordFile string `json:"passwordFile,omitempty"`
	// CAFile holds PEM certificates that are trusted besides the system's.
	CAFile string `json:"caFile,omitempty"`
	// From is the sender.
	From string `json:"from"`
	// To are the receivers.
	To []string `json:"to"`
}

// CommitStatus is a repository at a forge.
type CommitStatus struct {
	// Forge is github, gitlab, gitea or forgejo.
	Forge string `json:"forge"`
	// API is the base of its API. Default for github: https://api.github.com.
	API string `json:"api,omitempty"`
	// Repository is owner/name; with subgroups for gitlab.
	Repository string `json:"repository"`
	// TokenFile holds the access token.
	TokenFile string `json:"tokenFile"`
	// Context is what the mark is called. Default: pve-reconcile.
	Context string `json:"context,omitempty"`
	// CAFile holds PEM certificates that are trusted besides the system's.
	CAFile string `json:"caFile,omitempty"`
}
