package pve

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// tlsConfig trusts what the options say and nothing else. There is no insecure mode.
func tlsConfig(o Options) (*tls.Config, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	switch {
	case len(o.CA) > 0 && o.Fingerprint != "":
		return nil, errors.New("both a CA and a fingerprint are given: keep one")
	case len(o.CA) > 0:
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(o.CA) {
			return nil, errors.New("the CA file holds no PEM certificate: it should be a copy of /etc/pve/pve-root-ca.pem")
		}
	case o.Fingerprint != "":
		want, err := parseFingerprint(o.Fingerprint)
		if err != nil {
			return nil, err
		}
		// The certificate itself is pinned, so names, dates and issuers do not matter. VerifyConnection also sees resumed sessions.
		conf.InsecureSkipVerify = true
		conf.VerifyConnection = func(s tls.ConnectionState) error {
			if have := sha256.Sum256(s.PeerCertificates[0].Raw); have != want {
				return &pinError{want: want, have: have}
			}
			return nil
		}
	}
	return conf, nil
}

func parseFingerprint(text string) (sum [sha256.Size]byte, err error) {
	raw, err := hex.DecodeString(strings.ReplaceAll(strings.TrimSpace(text), ":", ""))
	if err != nil || len(raw) != len(sum) {
		return sum, fmt.Errorf("fingerprint %q is not a SHA-256: copy the 32 pairs of `pvenode cert info`", text)
	}
	copy(sum[:], raw)
	return sum, nil
}

// printFingerprint writes AA:BB:..., as PVE does.
func printFingerprint(sum [sha256.Size]byte) string {
	pairs := make([]string, len(sum))
	for i, b := range sum {
		pairs[i] = fmt.Sprintf("%02X", b)
	}
	return strings.Join(pairs, ":")
}

// pinError is a server that shows another certificate than the pinned one.
type pinError struct{ want, have [sha256.Size]byte }

func (e *pinError) Error() string {
	return fmt.Sprintf("the certificate's fingerprint is %s, not %s as configured", printFingerprint(e.have), printFingerprint(e.want))
}

// distrusted tells whether a request failed because of the server's certificate, and what can be done about it.
func distrusted(err error) (text, advice string, ok bool) {
	const check = "compare it with `pvenode cert info` on the host itself, and if it is the same "
	if pin := (*pinError)(nil); errors.As(err, &pin) {
		return pin.Error(), check + "(the certificate was renewed), write `fingerprint: " + printFingerprint(pin.have) + "` in the config file", true
	}
	if v := (*tls.CertificateVerificationError)(nil); errors.As(err, &v) && len(v.UnverifiedCertificates) > 0 {
		leaf := printFingerprint(sha256.Sum256(v.UnverifiedCertificates[0].Raw))
		return "the certificate is not trusted: " + v.Err.Error(),
			"its fingerprint is " + leaf + ": " + check + "write `fingerprint: " + leaf + "` in the config file, or give a copy of /etc/pve/pve-root-ca.pem as the CA file", true
	}
	return "", "", false
}
