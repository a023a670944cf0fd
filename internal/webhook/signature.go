package webhook

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// scheme is how one kind of git server proves that a call is its own.
type scheme struct {
	header string
	prefix string // before the hexadecimal digits
	token  bool   // the header is the secret itself
}

// schemes is the table of what is understood. HMAC is SHA-256 of the body with the secret. Gitea and Forgejo also send
// GitHub's header; the SHA-1 in X-Hub-Signature is never looked at.
var schemes = []scheme{
	{header: "X-Hub-Signature-256", prefix: "sha256="},
	{header: "X-Gitlab-Token", token: true},
	{header: "X-Gitea-Signature"},
	{header: "X-Forgejo-Signature"},
	{header: "X-Reconcile-Signature", prefix: "sha256="},
}

// claim is what a call says to prove itself.
type claim struct {
	scheme
	value string
}

// claimsOf lists the signatures of a call.
func claimsOf(h http.Header) []claim {
	var out []claim
	for _, s := range schemes {
		for _, v := range h.Values(s.header) {
			out = append(out, claim{s, v})
		}
	}
	return out
}

// verify wants every signature of a call to be good. mac is the HMAC of the body. It takes the same time wherever a
// signature is wrong.
func verify(claims []claim, secret string, mac []byte) error {
	if len(claims) == 0 {
		return errors.New("there is no signature")
	}
	for _, c := range claims {
		if c.token {
			have, want := sha256.Sum256([]byte(c.value)), sha256.Sum256([]byte(secret))
			if !hmac.Equal(have[:], want[:]) {
				return fmt.Errorf("%s is not the secret in webhook.secretFile", c.header)
			}
			continue
		}
		digits, ok := strings.CutPrefix(c.value, c.prefix)
		have, err := hex.DecodeString(digits)
		if !ok || err != nil || len(have) != sha256.Size {
			return fmt.Errorf("%s is not %s64 hexadecimal digits", c.header, strings.Replace(c.prefix, "=", "= and ", 1))
		}
		if !hmac.Equal(have, mac) {
			return fmt.Errorf("%s does not match: the git server has another secret than webhook.secretFile, or the body was changed on the way", c.header)
		}
	}
	return nil
}

// refOf finds the reference that a push is about: "ref" at the top of the JSON, which all servers write near the
// beginning. "" when it cannot be told.
func refOf(begin []byte) string {
	d := json.NewDecoder(bytes.NewReader(begin))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return ""
	}
	for {
		key, err := d.Token()
		if err != nil || key == json.Delim('}') {
			return ""
		}
		if key == "ref" {
			value, err := d.Token()
			ref, ok := value.(string)
			if err != nil || !ok {
				return ""
			}
			return ref
		}
		var skipped json.RawMessage
		if d.Decode(&skipped) != nil {
			return ""
		}
	}
}

// concerns tells whether a push may have moved the branch: yes, unless it says that it was another one.
func concerns(ref, branch string) bool {
	name, isBranch := strings.CutPrefix(ref, "refs/heads/")
	switch {
	case ref == "", branch == "" && isBranch:
		return true
	case isBranch:
		return name == branch
	}
	return !strings.HasPrefix(ref, "refs/")
}
