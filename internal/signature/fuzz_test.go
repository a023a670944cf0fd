package signature

import (
	"bytes"
	"strings"
	"testing"
)

// FuzzSigners: whatever is read as an allowed_signers file names a principal and a key in each line, and what was made
// with none of the keys never counts.
func FuzzSigners(f *testing.F) {
	key := line(edKey(f, 1))
	for _, seed := range []string{
		"ann " + key, `"Ann A" namespaces="git,file",valid-after="20260101Z",valid-before=202612311200 ` + key + " comment",
		"ann cert-authority " + key, "# x\n\n*@example.org,!eve@example.org " + key, "ann namespaces=\"git " + key, "ann ssh-ed25519 AAAA",
	} {
		f.Add([]byte(seed))
	}
	eve := edKey(f, 2)
	forged := object("x", sshSign(f, eve, object("x", ""), namespace))
	mark := []byte(strings.Fields(line(eve))[1])
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := ParseSigners("f", text)
		if err != nil {
			return
		}
		if len(s.all) == 0 {
			t.Fatal("nobody is listed, and nothing is wrong with that")
		}
		for _, l := range s.all {
			if l.principals == "" || !strings.HasPrefix(l.fingerprint, "SHA256:") {
				t.Fatalf("have %+v", l)
			}
		}
		if by, err := (Trust{SSH: s}).Check(forged, made); err == nil && !bytes.Contains(text, mark) {
			t.Fatalf("a key that is not listed counts as %s", by)
		}
	})
}

// FuzzCommit: no commit counts as signed but by a signature, and what was signed is the object without it.
func FuzzCommit(f *testing.F) {
	ann := edKey(f, 1)
	good := object("change\n", sshSign(f, ann, object("change\n", ""), namespace))
	f.Add(good)
	f.Add(object("change\n", ""))
	f.Add(object("x", "-----BEGIN PGP SIGNATURE-----\n\niQ==\n-----END PGP SIGNATURE-----"))
	f.Add([]byte("tree x\nauthor a\ncommitter b> 1 +0000\ngpgsig x\n y\ngpgsig-sha256 z\n\nm"))
	s, err := ParseSigners("f", []byte("ann "+line(ann)))
	if err != nil {
		f.Fatal(err)
	}
	signed := object("change\n", "")
	f.Fuzz(func(t *testing.T, raw []byte) {
		c, err := parse(raw)
		if err == nil && len(c.payload)+len(c.signature) > len(raw)+1 {
			t.Fatalf("have %d bytes out of %d", len(c.payload)+len(c.signature), len(raw))
		}
		if _, err := (Trust{SSH: s}).Check(raw, made); err == nil && !bytes.Equal(c.payload, signed) {
			t.Fatalf("something else counts as signed: %q", c.payload)
		}
	})
}
