// Package hostkey decides whether a server's SSH key is the one that is known. It never trusts a key on first sight, and
// never writes a known_hosts file.
package hostkey

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"github.com/skeema/knownhosts"
	"golang.org/x/crypto/ssh"
	xknownhosts "golang.org/x/crypto/ssh/knownhosts"
)

// Refusal says which key of which server was not accepted, and what a person can do.
type Refusal struct{ Text, Hint string }

func (r *Refusal) Error() string { return r.Text + "; " + r.Hint }

// Keys are the keys one server may show. For one handshake.
type Keys struct {
	// Algorithms are to be asked for, so that the server shows a key that can be compared.
	Algorithms []string
	// Refused is why the last key was not accepted, nil when it was. It is kept here because the SSH handshake returns it
	// in a text of its own.
	Refused *Refusal

	file, addr string
	verify     ssh.HostKeyCallback
}

// Read reads the keys of addr (host:port) from a known_hosts file.
func Read(file, addr string) (*Keys, error) {
	if _, err := os.Stat(file); err != nil {
		return nil, fmt.Errorf("knownHostsFile: %w", err)
	}
	db, err := knownhosts.NewDB(file)
	if err != nil {
		return nil, fmt.Errorf("knownHostsFile %s: %w; each line is: host key-type key", file, err)
	}
	return &Keys{file: file, addr: addr, verify: db.HostKeyCallback(), Algorithms: db.HostKeyAlgorithms(addr)}, nil
}

// Check is an ssh.HostKeyCallback. The name it is given may be one for display, so the address asked for is used instead.
func (k *Keys) Check(_ string, peer net.Addr, key ssh.PublicKey) error {
	err := k.verify(k.addr, peer, key)
	if err == nil {
		k.Refused = nil
		return nil
	}
	k.Refused = k.explain(key, err)
	return k.Refused
}

func (k *Keys) explain(key ssh.PublicKey, err error) *Refusal {
	shown := key.Type() + " " + ssh.FingerprintSHA256(key)
	host := knownhosts.Normalize(k.addr)
	var unlike *xknownhosts.KeyError
	if !errors.As(err, &unlike) {
		return &Refusal{fmt.Sprintf("host key %s of %s: %v", shown, host, err), "ask its administrator, and correct " + k.file}
	}
	if len(unlike.Want) == 0 {
		name, port, _ := net.SplitHostPort(k.addr)
		return &Refusal{
			fmt.Sprintf("%s is not in %s; it shows the key %s", host, k.file, shown),
			fmt.Sprintf("compare the fingerprint with the server's administrator, then append the line of ssh-keyscan -p %s %s", port, name),
		}
	}
	var known []string
	for _, want := range unlike.Want {
		known = append(known, fmt.Sprintf("%s %s (line %d)", want.Key.Type(), ssh.FingerprintSHA256(want.Key), want.Line))
	}
	name, port, _ := net.SplitHostPort(k.addr)
	return &Refusal{
		fmt.Sprintf("the host key of %s has changed: it shows the key %s, but %s has %s", host, shown, k.file, strings.Join(known, ", ")),
		fmt.Sprintf("ask the server's administrator for its fingerprint. If it was installed anew, put the line of `ssh-keyscan -p %s %s` in place of that one; if not, somebody is in between", port, name),
	}
}
