package config

import (
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/ustclug/pve-reconcile/internal/strictyaml"
	"github.com/ustclug/pve-reconcile/schema"
)

// Validate returns everything that is wrong with a config after Default. The
// problems have a place if the config came from Parse.
func Validate(c Config) []strictyaml.Problem {
	v := &validation{doc: c.doc}
	v.word("owner", c.Owner, ownerForm, "a name of lower-case letters, digits and - . as in owner: ustclug")
	v.file("stateDir", c.StateDir, true)
	v.source(c.Source)
	v.verify(c.Source)
	v.webhook(c.Webhook)
	v.metrics(c.Metrics)
	v.notify(c.Notify)
	if len(c.Clusters) == 0 {
		v.add("clusters", "required", "name at least one, as in clusters: {main: {endpoint: ...}}")
	}
	for _, name := range slices.Sorted(maps.Keys(c.Clusters)) {
		v.cluster(name, c.Clusters[name], len(c.Clusters) > 1)
	}
	v.nodes(c.Clusters)
	for _, name := range slices.Sorted(maps.Keys(c.Hosts)) {
		v.host(name, c.Hosts[name])
	}
	v.loop(c)
	if n := c.Policies.MaxDeletions; n != nil && *n < 0 {
		v.add("policies.maxDeletions", fmt.Sprintf("%d is negative", *n), "0 lets no guest be deleted")
	}
	return v.problems
}

var (
	ownerForm = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$`)
	nameForm  = regexp.MustCompile(`^[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?$`)
	hostForm  = regexp.MustCompile(`^[a-zA-Z0-9]([a-zA-Z0-9.-]*[a-zA-Z0-9])?$`)
	userForm  = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9_.-]*$`)
	envForm   = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
)

type validation struct {
	doc      strictyaml.Document
	problems []strictyaml.Problem
}

func (v *validation) add(path, text, hint string) {
	v.problems = append(v.problems, v.doc.Problem(path, text, hint))
}

func (v *validation) word(path, value string, form *regexp.Regexp, want string) {
	switch {
	case value == "":
		v.add(path, "required", "write "+want)
	case !form.MatchString(value):
		v.add(path, fmt.Sprintf("%.60q cannot be used", value), "write "+want)
	}
}

// file checks a path, which has to be absolute: cron and systemd start the
// program in other directories than people do.
func (v *validation) file(at, value string, required bool) {
	switch {
	case value == "" && required:
		v.add(at, "required", "name a file")
	case value == "":
	case strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f }):
		v.add(at, "holds a control character", "remove it")
	case strings.HasPrefix(value, "~"):
		v.add(at, "~ is not expanded", "write the whole path, as in /root"+strings.TrimPrefix(value, "~"))
	case !path.IsAbs(value):
		v.add(at, fmt.Sprintf("%.60q is relative", value), "write the whole path, as in /etc/pve-reconcile/"+path.Base(value))
	}
}

func (v *validation) unused(at, value, why string) {
	if value != "" {
		v.add(at, "is not used: "+why, "remove it")
	}
}

func (v *validation) source(s Source) {
	v.branch(s.Branch)
	v.directory(s.Path)
	at, err := ParseLocation(s.URL)
	var bad *LocationError
	if errors.As(err, &bad) {
		v.add("source.url", bad.Text, bad.Hint)
		return
	}
	over := fmt.Sprintf("%s is read over %s", at, at.Transport)
	if at.Transport == Local {
		over = at.Path + " is on this machine"
	}
	if at.Transport == HTTPS {
		v.file("source.tokenFile", s.TokenFile, false)
		v.file("source.caFile", s.CAFile, false)
		if s.Username != "" && s.TokenFile == "" {
			v.add("source.username", "there is no token for it", "add source.tokenFile, or remove it")
		}
		if strings.ContainsAny(s.Username, ":\n\r") {
			v.add("source.username", "holds a colon or a line break", "write the user name only")
		}
	} else {
		v.unused("source.tokenFile", s.TokenFile, over)
		v.unused("source.username", s.Username, over)
		v.unused("source.caFile", s.CAFile, over)
	}
	if at.Transport == SSH {
		v.file("source.keyFile", s.KeyFile, true)
		v.file("source.knownHostsFile", s.KnownHostsFile, true)
	} else {
		v.unused("source.keyFile", s.KeyFile, over)
		v.unused("source.knownHostsFile", s.KnownHostsFile, over)
	}
}

// branch follows git check-ref-format, as far as mistakes are likely.
func (v *validation) branch(name string) {
	short, isRef := strings.CutPrefix(name, "refs/heads/")
	bad := strings.HasPrefix(name, "-") || strings.HasPrefix(name, "/") || strings.HasSuffix(name, "/") ||
		strings.HasSuffix(name, ".lock") || strings.HasSuffix(name, ".") || name == "@" || strings.ContainsAny(name, " ~^:?*[\\") ||
		strings.Contains(name, "..") || strings.Contains(name, "//") || strings.Contains(name, "@{") ||
		strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f })
	switch {
	case isRef:
		v.add("source.branch", fmt.Sprintf("%.60q is the whole name of a reference", name), "write "+strconv.Quote(short))
	case bad:
		v.add("source.branch", fmt.Sprintf("%.60q is not the name of a branch", name), "write it as git branch prints it")
	}
}

func (v *validation) directory(dir string) {
	clean := path.Clean("/" + dir)[1:]
	switch {
	case path.IsAbs(dir):
		v.add("source.path", "is absolute", "it begins at the top of the repository: write "+strconv.Quote(clean))
	case slices.Contains(strings.Split(dir, "/"), ".."):
		v.add("source.path", "leads out of where it begins", "write it without ..")
	case strings.ContainsFunc(dir, func(r rune) bool { return r < ' ' || r == 0x7f }):
		v.add("source.path", "holds a control character", "remove it")
	}
}

func (v *validation) cluster(name string, c Cluster, several bool) {
	at := "clusters." + name
	if !nameForm.MatchString(name) {
		v.add(at, "this name cannot be used", "a name has letters, digits and -")
	}
	v.endpoint(at+".endpoint", c.Endpoint)
	switch {
	case c.TokenFile == "" && c.TokenEnv == "":
		v.add(at+".tokenFile", "required", "name a file that holds user@realm!name=secret, or a variable with tokenEnv")
	case c.TokenFile != "" && c.TokenEnv != "":
		v.add(at+".tokenEnv", "there is a tokenFile too", "remove one of them")
	case c.TokenEnv != "" && !envForm.MatchString(c.TokenEnv):
		hint := "write its name only, as in tokenEnv: PVE_TOKEN"
		v.add(at+".tokenEnv", "is not the name of an environment variable", hint) // it may be the token itself
	}
	v.file(at+".tokenFile", c.TokenFile, false)
	v.file(at+".caFile", c.CAFile, false)
	if c.CAFile != "" && c.Fingerprint != "" {
		v.add(at+".fingerprint", "there is a caFile too", "remove one of them")
	}
	if _, err := c.Pin(); err != nil {
		v.add(at+".fingerprint", err.Error(), "write 32 bytes as AA:BB:..., as openssl x509 -noout -fingerprint -sha256 prints them")
	}
	if d := c.DriftPolicy; d != "" && d != "Correct" && d != "Report" {
		v.add(at+".driftPolicy", fmt.Sprintf("%.60q is not a drift policy", d), "write Correct or Report")
	}
	for i, text := range c.MaintenanceWindows {
		if _, err := schema.ParseWindow(text); err != nil {
			v.add(fmt.Sprintf("%s.maintenanceWindows[%d]", at, i), err.Error(), "")
		}
	}
	if c.PMXCFS != "off" {
		v.file(at+".pmxcfs", c.PMXCFS, false)
	}
	if several && len(c.Nodes) == 0 {
		v.add(at+".nodes", "required with several clusters", "list the node names of this one")
	}
	for i, node := range c.Nodes {
		if !nameForm.MatchString(node) {
			v.add(fmt.Sprintf("%s.nodes[%d]", at, i), fmt.Sprintf("%.60q is not a node name", node), "write it as pvesh get /nodes prints it")
		}
	}
}

// Pin returns the 32 bytes of the fingerprint, nil without one.
func (c Cluster) Pin() ([]byte, error) {
	if c.Fingerprint == "" {
		return nil, nil
	}
	pin, err := hex.DecodeString(strings.ReplaceAll(c.Fingerprint, ":", ""))
	switch {
	case err != nil:
		return nil, errors.New("is not made of hexadecimal digits")
	case len(pin) == 20:
		return nil, errors.New("is a SHA-1 fingerprint, SHA-256 is wanted")
	case len(pin) != 32:
		return nil, fmt.Errorf("has %d bytes", len(pin))
	}
	return pin, nil
}

func (v *validation) endpoint(at, text string) {
	const want = "write https://host:8006"
	u, err := url.Parse(text)
	switch {
	case text == "":
		v.add(at, "required", want)
	case err != nil:
		v.add(at, "is not a URL", want)
	case u.User != nil:
		v.add(at, "carries a user name or a password", want+" and put the token into tokenFile")
	case u.Scheme == "http":
		v.add(at, "http:// is not encrypted", "write https://"+u.Host)
	case u.Scheme != "https" || u.Hostname() == "":
		v.add(at, "is not an https:// URL", want)
	case u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "":
		v.add(at, "has something after host and port", "write https://"+u.Host)
	case u.Port() == "":
		v.add(at, "names no port", fmt.Sprintf("write https://%s:8006, or :443 if a proxy is in front", u.Host))
	case !portOK(u.Port()):
		v.add(at, "port "+u.Port()+" is not between 1 and 65535", want)
	}
}

func portOK(text string) bool {
	n, err := strconv.Atoi(text)
	return err == nil && n > 0 && n < 65536
}

// nodes checks that a node name tells its cluster.
func (v *validation) nodes(clusters map[string]Cluster) {
	first := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(clusters)) {
		for i, node := range clusters[name].Nodes {
			if other, taken := first[node]; taken {
				v.add(fmt.Sprintf("clusters.%s.nodes[%d]", name, i), fmt.Sprintf("%.60q is in clusters.%s already", node, other), "a node belongs to one cluster")
				continue
			}
			first[node] = name
		}
	}
}

func (v *validation) host(name string, h Host) {
	at := "hosts." + name
	if !hostForm.MatchString(name) {
		v.add(at, "this name cannot be used", "a name has letters, digits, - and .")
	}
	if h.Local {
		const why = "commands are run on this machine itself (local: true)"
		v.unused(at+".address", h.Address, why)
		v.unused(at+".user", h.User, why)
		v.unused(at+".keyFile", h.KeyFile, why)
		v.unused(at+".knownHostsFile", h.KnownHostsFile, why)
		return
	}
	host, port, err := net.SplitHostPort(h.Address)
	switch {
	case h.Address == "":
		v.add(at+".address", "required", "write host or host:port, or local: true for the machine this program runs on")
	case strings.Contains(h.Address, "@"):
		v.add(at+".address", "carries a user name", "put it into "+at+".user")
	case err != nil || !portOK(port) || !hostForm.MatchString(host) && net.ParseIP(host) == nil:
		v.add(at+".address", fmt.Sprintf("%.60q is not host or host:port", h.Address), "as in mirrors2.example:22 or [2001:db8::1]:22")
	}
	if !userForm.MatchString(h.User) {
		v.add(at+".user", fmt.Sprintf("%.60q is not a user name", h.User), "as in root")
	}
	v.file(at+".keyFile", h.KeyFile, true)
	v.file(at+".knownHostsFile", h.KnownHostsFile, true)
}
