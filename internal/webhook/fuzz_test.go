package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"testing"
)

// FuzzCall: no call is heard that does not carry the secret or an HMAC made with it, whatever its headers and body are.
func FuzzCall(f *testing.F) {
	f.Add(0, "sha256="+sign("x"), "", []byte("x"))
	f.Add(1, secret, "sha256="+sign(`{"ref":"refs/heads/main"}`), []byte(`{"ref":"refs/heads/main"}`))
	f.Add(2, sign(""), "", []byte(""))
	f.Add(4, "sha256=", "sha256=", []byte(`{"a":[1,{"ref":"x"}],"ref":2}`))
	f.Fuzz(func(t *testing.T, which int, one, two string, body []byte) {
		h := http.Header{}
		first := schemes[uint(which)%uint(len(schemes))]
		h.Add(first.header, one)
		if two != "" {
			h.Add("X-Reconcile-Signature", two)
		}
		m := hmac.New(sha256.New, []byte(secret))
		m.Write(body)
		want := hex.EncodeToString(m.Sum(nil))
		claims := claimsOf(h)
		if len(claims) == 0 {
			t.Fatal("a signature was not seen")
		}
		if verify(claims, secret, m.Sum(nil)) == nil {
			for _, c := range claims {
				digits := c.value[len(c.prefix):]
				if have, err := hex.DecodeString(digits); c.value != secret && (err != nil || hex.EncodeToString(have) != want) {
					t.Fatalf("%s: %q counts", c.header, c.value)
				}
			}
		}
		if ref := refOf(body); ref == "" && !concerns(ref, "main") {
			t.Fatal("a push that does not say what it is about is not heard")
		}
	})
}
