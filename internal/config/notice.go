package config

import (
	"errors"
	"fmt"
	"net"
	"path"
	"strings"
)

// verify checks source.verify. Whoever may push could change a file in the
// repository, and with it who may sign.
func (v *validation) verify(s Source) {
	if s.Verify == nil {
		return
	}
	if s.Verify.AllowedSigners == "" && s.Verify.Keyring == "" {
		v.add("source.verify", "names no file", "add allowedSigners (SSH) or keyring (OpenPGP), or remove verify")
	}
	at, err := ParseLocation(s.URL)
	for _, f := range []struct{ at, name string }{{"source.verify.allowedSigners", s.Verify.AllowedSigners}, {"source.verify.keyring", s.Verify.Keyring}} {
		v.file(f.at, f.name, false)
		if err == nil && at.Transport == Local && inside(f.name, at.Path) {
			v.add(f.at, "is inside the repository: whoever may push could change it", "put it elsewhere, as in /etc/pve-reconcile/"+path.Base(f.name))
		}
	}
}

func inside(name, dir string) bool {
	return strings.HasPrefix(path.Clean(name)+"/", strings.TrimSuffix(dir, "/")+"/")
}

// webhook checks the place that git servers call.
func (v *validation) webhook(w *Webhook) {
	if w == nil {
		return
	}
	v.file("webhook.secretFile", w.SecretFile, true)
	v.file("webhook.certFile", w.CertFile, false)
	v.file("webhook.keyFile", w.KeyFile, false)
	if (w.CertFile == "") != (w.KeyFile == "") {
		v.add("webhook", "certFile and keyFile belong together", "name both, or none")
	}
	if !strings.HasPrefix(w.Path, "/") || path.Clean(w.Path) != w.Path || strings.ContainsAny(w.Path, " ?#%") {
		v.add("webhook.path", fmt.Sprintf("%.60q is not the path of a URL", w.Path), "write it as in /push, without spaces and escapes")
	}
	local, err := loopback(w.Listen)
	switch {
	case w.Listen == "":
		v.add("webhook.listen", "required", "write address:port, as in 127.0.0.1:9443")
	case err != nil:
		v.add("webhook.listen", fmt.Sprintf("%.60q is not address:port", w.Listen), "as in 127.0.0.1:9443 or [::1]:9443")
	case !local && w.CertFile == "":
		v.add("webhook.listen", "is reached from other machines, and not encrypted", "add certFile and keyFile, or listen on 127.0.0.1 behind a proxy")
	}
}

// loopback tells whether an address and port is of this machine only.
func loopback(listen string) (bool, error) {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return false, err
	}
	ip := net.ParseIP(host)
	if ip == nil || !portOK(port) {
		return false, errors.New("no address and port")
	}
	return ip.IsLoopback(), nil
}
