package signature

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hiddeco/sshsig"
	"golang.org/x/crypto/ssh"
)

// Signers is an allowed_signers file, as ssh-keygen(1) describes it under ALLOWED SIGNERS.
type Signers struct {
	file string
	all  []signer
}

// signer is one line.
type signer struct {
	line        int
	principals  string
	namespaces  string // a list of patterns; "" means any
	after       time.Time
	before      time.Time
	fingerprint string
}

// minimal is the shortest RSA key that counts, as in OpenSSH.
const minimalRSA = 2048

// ParseSigners reads an allowed_signers file. file is for messages. The error lists every problem.
func ParseSigners(file string, text []byte) (*Signers, error) {
	s := &Signers{file: file}
	var problems []error
	n := 0
	for line := range bytes.Lines(text) {
		n++
		one := strings.TrimSpace(string(line))
		if one == "" || one[0] == '#' {
			continue
		}
		signer, err := parseSigner(one)
		if err != nil {
			problems = append(problems, fmt.Errorf("%s:%d: %w", file, n, err))
			continue
		}
		signer.line = n
		s.all = append(s.all, signer)
	}
	if len(problems) == 0 && len(s.all) == 0 {
		problems = append(problems, fmt.Errorf("%s: lists nobody; write a line for each person: MAIL ssh-ed25519 AAAA…", file))
	}
	return s, errors.Join(problems...)
}

func parseSigner(line string) (signer, error) {
	var s signer
	rest, quoted := strings.CutPrefix(line, `"`)
	if quoted {
		var closed bool
		if s.principals, rest, closed = strings.Cut(rest, `"`); !closed {
			return s, errors.New("the quote before the principals is not closed")
		}
	} else if at := strings.IndexAny(line, " \t"); at >= 0 {
		s.principals, rest = line[:at], line[at:]
	} else {
		return s, errors.New("has one word only; write: MAIL ssh-ed25519 AAAA…")
	}
	if strings.HasPrefix(s.principals, "ssh-") || strings.HasPrefix(s.principals, "ecdsa-") || strings.HasPrefix(s.principals, "sk-") {
		return s, fmt.Errorf("begins with a key; write the mail address of its owner before it: MAIL %s …", s.principals)
	}
	if s.principals == "" {
		return s, errors.New("names no principal; write: MAIL ssh-ed25519 AAAA…")
	}
	key, _, options, _, err := ssh.ParseAuthorizedKey([]byte(rest))
	if err != nil {
		return s, errors.New("holds no public key that can be read; write: MAIL ssh-ed25519 AAAA…")
	}
	if err := usable(key); err != nil {
		return s, err
	}
	s.fingerprint = ssh.FingerprintSHA256(key)
	seen := map[string]bool{}
	for _, option := range options {
		name, value, _ := strings.Cut(option, "=")
		name = strings.ToLower(name)
		if seen[name] {
			return s, fmt.Errorf("option %s is given twice", name)
		}
		seen[name] = true
		if err := s.option(name, value); err != nil {
			return s, err
		}
	}
	if !s.before.IsZero() && !s.after.IsZero() && !s.before.After(s.after) {
		return s, errors.New("valid-before is not after valid-after")
	}
	return s, nil
}

// option sets one option; names are told apart without case, as OpenSSH does.
func (s *signer) option(name, value string) error {
	text, quoted := strings.CutPrefix(value, `"`)
	if quoted {
		text = strings.TrimSuffix(text, `"`)
	}
	var err error
	switch name {
	case "cert-authority":
		return errors.New("cert-authority is not supported: list the keys of the people themselves")
	case "namespaces":
		if text == "" {
			return errors.New(`namespaces is empty; write namespaces="git"`)
		}
		s.namespaces = text
	case "valid-after":
		s.after, err = date(text)
	case "valid-before":
		s.before, err = date(text)
	default:
		return fmt.Errorf("option %.40q is not known; there are namespaces, valid-after and valid-before", name)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// date reads YYYYMMDD, YYYYMMDDHHMM or YYYYMMDDHHMMSS, in local time, or in UTC with a Z at the end.
func date(text string) (time.Time, error) {
	digits, utc := strings.CutSuffix(text, "Z")
	zone := time.Local
	if utc {
		zone = time.UTC
	}
	layouts := map[int]string{8: "20060102", 12: "200601021504", 14: "20060102150405"}
	t, err := time.ParseInLocation(layouts[len(digits)], digits, zone)
	if err != nil || layouts[len(digits)] == "" || strings.Trim(digits, "0123456789") != "" {
		return time.Time{}, fmt.Errorf("%.40q is not a time; write YYYYMMDD or YYYYMMDDHHMM[SS], with a Z for UTC", text)
	}
	return t, nil
}

// usable refuses keys that prove nothing, or something else than a person.
func usable(key ssh.PublicKey) error {
	if _, ok := key.(*ssh.Certificate); ok {
		return errors.New("is a certificate, which is not supported: list the key itself")
	}
	switch key.Type() {
	case "ssh-dss":
		return errors.New("is a DSA key, which is too weak")
	case ssh.KeyAlgoRSA:
		if n := bits(key); n < minimalRSA {
			return fmt.Errorf("is an RSA key of %d bits, at least %d are wanted", n, minimalRSA)
		}
	}
	return nil
}

// bits of an RSA key; 0 when they cannot be told.
func bits(key ssh.PublicKey) int {
	var w struct {
		Type string
		E, N []byte
	}
	if ssh.Unmarshal(key.Marshal(), &w) != nil {
		return 0
	}
	return len(bytes.TrimLeft(w.N, "\x00")) * 8
}

// check finds the line that lets the signature of a commit count.
func (s *Signers) check(c commit) (by string, err error) {
	sig, err := sshsig.Unarmor(c.signature)
	if err != nil {
		return "", errors.New("has an SSH signature that cannot be read")
	}
	fingerprint := ssh.FingerprintSHA256(sig.PublicKey)
	listed := slices.DeleteFunc(slices.Clone(s.all), func(l signer) bool { return l.fingerprint != fingerprint })
	if len(listed) == 0 {
		return "", fmt.Errorf("is signed with the SSH key %s, which %s does not list", fingerprint, s.file)
	}
	if err := usable(sig.PublicKey); err != nil {
		return "", fmt.Errorf("is signed with the SSH key %s, which %w", fingerprint, err)
	}
	if sig.Namespace != namespace {
		return "", fmt.Errorf("has an SSH signature that was made for %.40q, not for git", sig.Namespace)
	}
	if err := sshsig.Verify(bytes.NewReader(c.payload), sig, sig.PublicKey, sig.HashAlgorithm, namespace); err != nil {
		return "", fmt.Errorf("does not match its SSH signature, made with the key of %s: it was changed after it was signed", listed[0].principals)
	}
	for _, l := range listed {
		if err = l.allows(c.when); err == nil {
			return l.principals, nil
		}
		err = fmt.Errorf("is signed by %s, who may not (%s:%d): %w", l.principals, s.file, l.line, err)
	}
	return "", err
}

func (s signer) allows(when time.Time) error {
	const day = "2006-01-02 15:04:05 MST"
	switch {
	case s.namespaces != "" && !matchList(s.namespaces, namespace):
		return fmt.Errorf("the key is for %q, not for git", s.namespaces)
	case !s.after.IsZero() && when.Before(s.after):
		return fmt.Errorf("the key is valid from %s, the commit is of %s", s.after.UTC().Format(day), when.UTC().Format(day))
	case !s.before.IsZero() && !when.Before(s.before):
		return fmt.Errorf("the key was valid until %s, the commit is of %s", s.before.UTC().Format(day), when.UTC().Format(day))
	}
	return nil
}

// matchList is OpenSSH's pattern-list: some pattern matches, and none that is negated with !.
func matchList(list, word string) bool {
	found := false
	for pattern := range strings.SplitSeq(list, ",") {
		pattern, negated := strings.CutPrefix(strings.TrimSpace(pattern), "!")
		if matchPattern(pattern, word) {
			if negated {
				return false
			}
			found = true
		}
	}
	return found
}

// matchPattern knows * and ? and nothing else.
func matchPattern(pattern, word string) bool {
	star, mark := -1, 0
	p, w := 0, 0
	for w < len(word) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, w
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == word[w]):
			p++
			w++
		case star >= 0: // let the last star take one more
			mark++
			p, w = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}
