package config

import (
	"fmt"
	"net/url"
	"path"
	"regexp"
	"strconv"
	"strings"
)

// Transport is how a repository is reached.
type Transport string

const (
	// Local is a directory on this machine, read in place.
	Local Transport = "local"
	// HTTPS is git's smart protocol over HTTPS.
	HTTPS Transport = "https"
	// SSH is git's smart protocol over SSH.
	SSH Transport = "ssh"
)

// Location is a parsed source.url. It never holds a password.
type Location struct {
	Transport Transport
	// User is the account on the SSH server; empty otherwise.
	User string
	// Host is the server's name or address, without brackets; empty for Local.
	Host string
	// Port is the server's port; the transport's own when the URL has none.
	Port int
	// Path is the directory for Local and the path on the server otherwise.
	Path string
	url  string
}

// String returns the URL, or the directory for Local.
func (l Location) String() string {
	if l.Transport == Local {
		return l.Path
	}
	return l.url
}

// LocationError says why a source.url cannot be used and what to write.
// Neither text repeats a password of the URL.
type LocationError struct{ Text, Hint string }

func (e *LocationError) Error() string { return e.Text + "; " + e.Hint }

var scpForm = regexp.MustCompile(`^(?:([^@:/\s]+)@)?([A-Za-z0-9][A-Za-z0-9.-]*):([^/\s][^\s]*|/[^/\s][^\s]*)$`)

var portForm = regexp.MustCompile(`^[0-9]{1,5}$`)

// ParseLocation parses a source.url: an absolute directory, file://, https://,
// ssh://user@host/path or user@host:path. Errors are *LocationError.
func ParseLocation(text string) (Location, error) {
	switch {
	case text == "":
		return Location{}, &LocationError{"required", "name a directory, an https:// or an ssh:// URL"}
	case strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return Location{}, &LocationError{"holds a control character", "remove it"}
	case strings.HasPrefix(text, "/"):
		return Location{Transport: Local, Path: path.Clean(text)}, nil
	case strings.Contains(text, " "):
		return Location{}, &LocationError{"holds a space", "write it as %20"}
	}
	scheme, _, isURL := strings.Cut(text, "://")
	if !isURL {
		return parseSCP(text)
	}
	u, err := url.Parse(text)
	if err != nil { // the error repeats the URL, password and all
		return Location{}, &LocationError{"is not a URL", "write https://host/path or ssh://user@host/path"}
	}
	if u.RawQuery != "" || u.Fragment != "" {
		return Location{}, &LocationError{"has a query or a fragment", "remove what follows ? or #"}
	}
	if _, has := u.User.Password(); has {
		return Location{}, &LocationError{"carries a password", "remove it from the URL and put it in a file named by tokenFile (https) or use keyFile (ssh)"}
	}
	switch strings.ToLower(scheme) {
	case "file":
		return parseFile(u)
	case "https":
		return parseHTTPS(u)
	case "ssh", "git+ssh", "ssh+git":
		return parseSSH(u)
	case "http", "git", "ftp":
		return Location{}, &LocationError{
			scheme + ":// is not encrypted: anyone on the way could change the manifests",
			"use https:// or ssh://",
		}
	}
	return Location{}, &LocationError{
		fmt.Sprintf("scheme %q is not known", scheme),
		"use a directory, file://, https:// or ssh://",
	}
}

func parseFile(u *url.URL) (Location, error) {
	if u.Host != "" && u.Host != "localhost" {
		return Location{}, &LocationError{
			fmt.Sprintf("file:// names the host %q", u.Host),
			"file:///path is on this machine; for another one use ssh://user@" + u.Host + "/path",
		}
	}
	if u.Path == "" {
		return Location{}, &LocationError{"file:// has no path", "write file:///srv/git/infra.git"}
	}
	return Location{Transport: Local, Path: path.Clean(u.Path)}, nil
}

func parseHTTPS(u *url.URL) (Location, error) {
	if u.User != nil {
		return Location{}, &LocationError{
			"carries a user name or a token before the @",
			"remove it; the user name belongs in source.username, a token in the file named by source.tokenFile",
		}
	}
	l := Location{Transport: HTTPS, Path: u.Path, Port: 443}
	if err := l.host(u); err != nil {
		return Location{}, err
	}
	u.Scheme = "https"
	l.url = u.String()
	return l, nil
}

func parseSSH(u *url.URL) (Location, error) {
	l := Location{Transport: SSH, User: u.User.Username(), Path: u.Path, Port: 22}
	if err := l.host(u); err != nil {
		return Location{}, err
	}
	if l.User == "" {
		return Location{}, &LocationError{"names no user", "write ssh://git@" + u.Host + u.Path + " with the account of the git server"}
	}
	if strings.HasPrefix(u.Path, "/~") {
		return Location{}, &LocationError{
			"~ in an ssh:// URL is not understood",
			fmt.Sprintf("write the whole path, or %s@%s:path for a path below the home directory", l.User, l.Host),
		}
	}
	u.Scheme = "ssh"
	l.url = u.String()
	return l, nil
}

func (l *Location) host(u *url.URL) error {
	l.Host = u.Hostname()
	if l.Host == "" {
		return &LocationError{"names no host", "write " + string(l.Transport) + "://host/path"}
	}
	if p := u.Port(); p != "" {
		n, err := strconv.Atoi(p)
		if err != nil || n < 1 || n > 65535 {
			return &LocationError{fmt.Sprintf("port %s is not between 1 and 65535", p), "correct the port"}
		}
		l.Port = n
	}
	if l.Path == "" || l.Path == "/" {
		return &LocationError{"names no repository", "add its path after the host, as in " + string(l.Transport) + "://" + u.Host + "/group/infra.git"}
	}
	return nil
}

func parseSCP(text string) (Location, error) {
	m := scpForm.FindStringSubmatch(text)
	if m == nil {
		return Location{}, &LocationError{
			"is neither an absolute directory nor a URL",
			"write /srv/git/infra.git, https://host/path, ssh://user@host/path or user@host:path",
		}
	}
	if m[1] == "" {
		return Location{}, &LocationError{"names no user", "write git@" + text + " with the account of the git server, or an absolute directory"}
	}
	if port, rest, _ := strings.Cut(m[3], "/"); portForm.MatchString(port) {
		return Location{}, &LocationError{
			fmt.Sprintf("%s after the colon may be a port or a directory", port),
			fmt.Sprintf("write ssh://%s@%s:%s/%s for a port, or ./%s for a directory", m[1], m[2], port, rest, m[3]),
		}
	}
	return Location{Transport: SSH, User: m[1], Host: m[2], Port: 22, Path: m[3], url: text}, nil
}
