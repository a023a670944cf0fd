package config

import (
	"fmt"
	"maps"
	"net"
	"net/mail"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/ustclug/pve-reconcile/internal/notice"
)

// defaults of one place where news goes to.
func (n Notify) defaults() Notify {
	duration(&n.After, time.Minute)
	if n.CommitStatus == nil && n.Verdicts == nil {
		n.Verdicts = notice.Bad()
	}
	if n.CommitStatus == nil && n.Kinds == nil {
		n.Kinds = notice.Kinds()
	}
	if n.Webhook != nil {
		w := *n.Webhook
		set(&w.Body, notice.DefaultBody)
		n.Webhook = &w
	}
	if n.SMTP != nil {
		s := *n.SMTP
		set(&s.Security, "starttls")
		n.SMTP = &s
	}
	if n.CommitStatus != nil {
		s := *n.CommitStatus
		set(&s.Context, "pve-reconcile")
		if s.Forge == "github" {
			set(&s.API, "https://api.github.com")
		}
		n.CommitStatus = &s
	}
	return n
}

// notify checks where news goes to.
func (v *validation) notify(all map[string]Notify) {
	for _, name := range slices.Sorted(maps.Keys(all)) {
		at, n := "notify."+name, all[name]
		if !nameForm.MatchString(name) {
			v.add(at, "this name cannot be used", "a name has letters, digits and -")
		}
		ways := 0
		for _, is := range []bool{n.Webhook != nil, n.SMTP != nil, n.CommitStatus != nil} {
			if is {
				ways++
			}
		}
		if ways != 1 {
			v.add(at, fmt.Sprintf("has %d of webhook, smtp and commitStatus", ways), "write one of them; another place gets another name")
		}
		v.among(at+".verdicts", n.Verdicts, notice.Verdicts())
		v.among(at+".kinds", n.Kinds, notice.Kinds())
		if n.CommitStatus != nil && (n.Verdicts != nil || n.Kinds != nil) {
			v.add(at, "a commit status is about the whole commit", "remove verdicts and kinds")
		}
		v.post(at+".webhook", n.Webhook)
		v.smtp(at+".smtp", n.SMTP)
		v.commitStatus(at+".commitStatus", n.CommitStatus)
	}
}

func (v *validation) among(at string, have, allowed []string) {
	for i, x := range have {
		if !slices.Contains(allowed, x) {
			v.add(fmt.Sprintf("%s[%d]", at, i), fmt.Sprintf("%.60q is not known", x), "write one of "+strings.Join(allowed, ", "))
		}
	}
	if have != nil && len(have) == 0 {
		v.add(at, "is empty: nothing would be told", "list some, or remove it")
	}
}

func (v *validation) post(at string, w *WebhookOut) {
	if w == nil {
		return
	}
	switch {
	case w.URL == "" && w.URLFile == "":
		v.add(at+".url", "required", "write it, or name a file that holds it with urlFile")
	case w.URL != "" && w.URLFile != "":
		v.add(at+".urlFile", "there is a url too", "remove one of them")
	case w.URL != "":
		if text := CheckURL(w.URL); text != "" {
			v.add(at+".url", text, "as in https://chat.example/hooks/pve")
		}
	}
	v.file(at+".urlFile", w.URLFile, false)
	v.file(at+".tokenFile", w.TokenFile, false)
	v.file(at+".caFile", w.CAFile, false)
	if _, err := notice.ParseBody(w.Body); err != nil {
		v.add(at+".body", err.Error(), `as in {"text": {{json .Text}}}`)
	}
}

// CheckURL says what is wrong with a URL that is posted to, without repeating it; "" when nothing is.
func CheckURL(text string) string {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return "is not a URL"
	case u.User != nil:
		return "carries a user name or a password"
	case u.Scheme == "http" && !here(u.Hostname()):
		return "http:// is not encrypted"
	case u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "":
		return "is not an https:// URL"
	case u.Port() != "" && !portOK(u.Port()):
		return "has a port that is not between 1 and 65535"
	case u.Fragment != "":
		return "has a fragment"
	}
	return ""
}

func here(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func (v *validation) smtp(at string, s *SMTP) {
	if s == nil {
		return
	}
	host, port, err := net.SplitHostPort(s.Server)
	switch {
	case s.Server == "":
		v.add(at+".server", "required", "write host:port, as in mail.example:587")
	case err != nil || !portOK(port) || !hostForm.MatchString(host) && net.ParseIP(host) == nil:
		v.add(at+".server", fmt.Sprintf("%.60q is not host:port", s.Server), "as in mail.example:587")
	case s.Security == "none" && !here(host):
		v.add(at+".security", "none is not encrypted", "write starttls or tls; none is for a server on this machine, as 127.0.0.1:25")
	}
	if !slices.Contains([]string{"starttls", "tls", "none"}, s.Security) {
		v.add(at+".security", fmt.Sprintf("%.60q is not known", s.Security), "write starttls, tls or none")
	}
	if (s.Username == "") != (s.PasswordFile == "") {
		v.add(at, "username and passwordFile belong together", "write both, or none")
	}
	v.file(at+".passwordFile", s.PasswordFile, false)
	v.file(at+".caFile", s.CAFile, false)
	v.address(at+".from", s.From)
	if len(s.To) == 0 {
		v.add(at+".to", "required", "list who gets the mail, as in [root@example.org]")
	}
	for i, to := range s.To {
		v.address(fmt.Sprintf("%s.to[%d]", at, i), to)
	}
}

func (v *validation) address(at, text string) {
	a, err := mail.ParseAddress(text)
	switch {
	case text == "":
		v.add(at, "required", "write an address, as in root@example.org")
	case err != nil || a.Address != text:
		v.add(at, fmt.Sprintf("%.60q is not a mail address", text), "write it without a name, as in root@example.org")
	}
}

var repositoryForm = regexp.MustCompile(`^[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)+$`)

func (v *validation) commitStatus(at string, s *CommitStatus) {
	if s == nil {
		return
	}
	if !slices.Contains([]string{"github", "gitlab", "gitea", "forgejo"}, s.Forge) {
		v.add(at+".forge", fmt.Sprintf("%.60q is not known", s.Forge), "write github, gitlab, gitea or forgejo")
	}
	if s.API == "" {
		v.add(at+".api", "required", "as in https://git.example.org/api/v4 (gitlab) or https://git.example.org/api/v1 (gitea, forgejo)")
	} else if text := CheckURL(s.API); text != "" {
		v.add(at+".api", text, "as in https://git.example.org/api/v4 (gitlab) or https://git.example.org/api/v1 (gitea, forgejo)")
	}
	if !repositoryForm.MatchString(s.Repository) {
		v.add(at+".repository", fmt.Sprintf("%.60q is not owner/name", s.Repository), "as in group/infra")
	}
	v.file(at+".tokenFile", s.TokenFile, true)
	v.file(at+".caFile", s.CAFile, false)
}
