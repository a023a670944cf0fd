// Package signature decides whether a commit is signed by somebody who may sign: SSH signatures against an
// allowed_signers file, OpenPGP ones against a keyring. It is pure: it opens no file, asks no key server and no agent, and
// never takes a signature for good that it cannot check.
package signature

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Trust says who may sign. Either half may be missing.
type Trust struct {
	SSH     *Signers
	OpenPGP *Keyring
}

// namespace is what git puts into SSH signatures, so that one made for something else is no signature of a commit.
const namespace = "git"

// Check tells who signed a commit, given as git stores it. The error says why the signature does not count: it is
// missing, damaged, or of somebody who may not sign. An SSH key has to be valid when the commit was made, an OpenPGP key
// now, as git does it. The commit's author plays no part.
func (t Trust) Check(commit []byte, now time.Time) (by string, err error) {
	c, err := parse(commit)
	if err != nil {
		return "", err
	}
	switch kind, _, _ := strings.Cut(string(c.signature), "\n"); kind {
	case "":
		return "", errors.New("is not signed")
	case "-----BEGIN SSH SIGNATURE-----":
		if t.SSH == nil {
			return "", errors.New("is signed with an SSH key, and source.verify.allowedSigners names no file")
		}
		return t.SSH.check(c)
	case "-----BEGIN PGP SIGNATURE-----":
		if t.OpenPGP == nil {
			return "", errors.New("is signed with OpenPGP, and source.verify.keyring names no file")
		}
		return t.OpenPGP.check(c, now)
	case "-----BEGIN SIGNED MESSAGE-----":
		return "", errors.New("is signed with an X.509 certificate, which is not supported: use SSH or OpenPGP")
	default:
		return "", fmt.Errorf("has a signature of an unknown kind, %.40q", kind)
	}
}
