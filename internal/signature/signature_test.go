package signature

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/hiddeco/sshsig"
	"golang.org/x/crypto/ssh"
	"golang.org/x/tools/txtar"
)

// made is when the commits of the tests were made.
var made = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// object is a commit with a signature, as git stores it; "" gives one without.
func object(message, signature string) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\nparent 1234567890123456789012345678901234567890\n")
	fmt.Fprintf(&b, "author Bob <bob@example.org> 1 +0000\ncommitter Ann <ann@example.org> %d +0100\n", made.Unix())
	if signature != "" {
		b.WriteString("gpgsig " + strings.ReplaceAll(strings.TrimSuffix(signature, "\n"), "\n", "\n ") + "\n")
	}
	b.WriteString("encoding UTF-8\n\n" + message)
	return []byte(b.String())
}

func edKey(t testing.TB, seed byte) ssh.Signer {
	t.Helper()
	s, err := ssh.NewSignerFromKey(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize)))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func rsaKey(t testing.TB, bits int) ssh.Signer {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	s, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func line(s ssh.Signer) string {
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(s.PublicKey())))
}

func sshSign(t testing.TB, s ssh.Signer, payload []byte, space string) string {
	t.Helper()
	sig, err := sshsig.Sign(bytes.NewReader(payload), s, sshsig.HashSHA512, space)
	if err != nil {
		t.Fatal(err)
	}
	return string(sshsig.Armor(sig))
}

// verdict is who signed, or why it does not count.
func verdict(by string, err error) string {
	if err != nil {
		return err.Error()
	}
	return "signed by " + by
}

func TestSSH(t *testing.T) {
	ann, eve := edKey(t, 1), edKey(t, 2)
	key := line(ann)
	good := object("change\n", sshSign(t, ann, object("change\n", ""), "git"))
	for _, c := range []struct{ signers, want string }{
		{"ann@example.org " + key, "signed by ann@example.org"},
		{"ann@example.org,*@example.com " + key + " Ann at work", "signed by ann@example.org,*@example.com"},
		{`"Ann Author" ` + key, "signed by Ann Author"},
		{"# nobody\n\nann@example.org\t" + key + "\r\n", "signed by ann@example.org"},
		{`ann namespaces="git" ` + key, "signed by ann"},
		{`ann NAMESPACES="file,g?t" ` + key, "signed by ann"},
		{`ann namespaces="*,!git" ` + key, `is signed by ann, who may not (allowed:1): the key is for "*,!git", not for git`},
		{`ann namespaces="file" ` + key, `is signed by ann, who may not (allowed:1): the key is for "file", not for git`},
		{"ann namespaces=\"file\" " + key + "\nann2 " + key, "signed by ann2"},
		{`ann valid-after="20260301Z",valid-before="20260302Z" ` + key, "signed by ann"},
		{`ann valid-after="20260301120000Z" ` + key, "signed by ann"},
		{`ann valid-after="202603011201Z" ` + key, "is signed by ann, who may not (allowed:1): the key is valid from 2026-03-01 12:01:00 UTC, the commit is of 2026-03-01 12:00:00 UTC"},
		{`ann valid-before="20260301120000Z" ` + key, "is signed by ann, who may not (allowed:1): the key was valid until 2026-03-01 12:00:00 UTC, the commit is of 2026-03-01 12:00:00 UTC"},
		{"eve " + line(eve), "is signed with the SSH key " + ssh.FingerprintSHA256(ann.PublicKey()) + ", which allowed does not list"},
	} {
		s, err := ParseSigners("allowed", []byte(c.signers))
		if err != nil {
			t.Errorf("%s: %v", c.signers, err)
			continue
		}
		if have := verdict(Trust{SSH: s}.Check(good, made)); have != c.want {
			t.Errorf("%s:\nhave %s\nwant %s", c.signers, have, c.want)
		}
	}
	long := rsaKey(t, 2048)
	s, err := ParseSigners("allowed", []byte("ann "+key+"\nrsa "+line(long)))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		object []byte
		want   string
	}{
		"unsigned":        {object("change\n", ""), "is not signed"},
		"changed":         {bytes.Replace(good, []byte("change"), []byte("attack"), 1), "does not match its SSH signature, made with the key of ann: it was changed after it was signed"},
		"other tree":      {bytes.Replace(good, []byte("tree 4b"), []byte("tree 5b"), 1), "does not match its SSH signature, made with the key of ann: it was changed after it was signed"},
		"other namespace": {object("change\n", sshSign(t, ann, object("change\n", ""), "file")), `has an SSH signature that was made for "file", not for git`},
		"rsa":             {object("x", sshSign(t, long, object("x", ""), "git")), "signed by rsa"},
		"garbage":         {object("x", "-----BEGIN SSH SIGNATURE-----\nAAAA\n-----END SSH SIGNATURE-----"), "has an SSH signature that cannot be read"},
		"openpgp":         {object("x", "-----BEGIN PGP SIGNATURE-----\n"), "is signed with OpenPGP, and source.verify.keyring names no file"},
		"x509":            {object("x", "-----BEGIN SIGNED MESSAGE-----\n"), "is signed with an X.509 certificate, which is not supported: use SSH or OpenPGP"},
		"unknown":         {object("x", "hello"), `has a signature of an unknown kind, "hello"`},
		"two":             {bytes.Replace(good, []byte("encoding UTF-8\n"), []byte("gpgsig x\n"), 1), "has 2 signatures, one is wanted"},
		"two trees":       {bytes.Replace(good, []byte("encoding UTF-8\n"), []byte("tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\n"), 1), "is no commit that can be read: it has 2 lines tree"},
		"no headers":      {[]byte("hello"), "is no commit that can be read: it has no end of its headers"},
	} {
		if have := verdict(Trust{SSH: s}.Check(c.object, made)); have != c.want {
			t.Errorf("%s:\nhave %s\nwant %s", name, have, c.want)
		}
	}
	if have := verdict(Trust{}.Check(good, made)); have != "is signed with an SSH key, and source.verify.allowedSigners names no file" {
		t.Errorf("have %s", have)
	}
}

func TestSignersRefused(t *testing.T) {
	key := line(edKey(t, 1))
	for text, want := range map[string]string{
		"":                                  "f: lists nobody; write a line for each person: MAIL ssh-ed25519 AAAA…",
		"ann":                               "f:1: has one word only; write: MAIL ssh-ed25519 AAAA…",
		"ann hello world":                   "f:1: holds no public key that can be read; write: MAIL ssh-ed25519 AAAA…",
		key:                                 "f:1: begins with a key; write the mail address of its owner before it: MAIL ssh-ed25519 …",
		`"ann ` + key:                       "f:1: the quote before the principals is not closed",
		"ann cert-authority " + key:         "f:1: cert-authority is not supported: list the keys of the people themselves",
		"ann verify-required " + key:        `f:1: option "verify-required" is not known; there are namespaces, valid-after and valid-before`,
		`ann namespaces="" ` + key:          `f:1: namespaces is empty; write namespaces="git"`,
		`ann valid-after="tomorrow" ` + key: `f:1: valid-after: "tomorrow" is not a time; write YYYYMMDD or YYYYMMDDHHMM[SS], with a Z for UTC`,
		`ann valid-after="20261301" ` + key: `f:1: valid-after: "20261301" is not a time; write YYYYMMDD or YYYYMMDDHHMM[SS], with a Z for UTC`,
		`ann valid-before="2026" ` + key:    `f:1: valid-before: "2026" is not a time; write YYYYMMDD or YYYYMMDDHHMM[SS], with a Z for UTC`,
		"ann " + line(rsaKey(t, 1024)):      "f:1: is an RSA key of 1024 bits, at least 2048 are wanted",
		"# one\nann\nbob\nann " + key:       "f:2: has one word only; write: MAIL ssh-ed25519 AAAA…\nf:3: has one word only; write: MAIL ssh-ed25519 AAAA…",
		`ann valid-after=20260102,valid-before=20260101 ` + key: "f:1: valid-before is not after valid-after",
		`ann valid-after=20260102,valid-after=20270102 ` + key:  "f:1: option valid-after is given twice",
	} {
		if _, err := ParseSigners("f", []byte(text)); err == nil || err.Error() != want {
			t.Errorf("%s:\nhave %v\nwant %s", text, err, want)
		}
	}
}

func TestPatterns(t *testing.T) {
	for _, c := range []struct {
		list, word string
		want       bool
	}{
		{"git", "git", true},
		{"g*", "git", true},
		{"*", "", true},
		{"g?t", "git", true},
		{"g?t", "gt", false},
		{"*t*", "git", true},
		{"*a*b*c", "xaybzbc", true},
		{"*a*b*c", "xaybz", false},
		{"", "git", false},
		{"file,git", "git", true},
		{"!git,*", "git", false},
		{"*,!git", "gitx", true},
		{"git*", "git", true},
		{"it", "git", false},
		{"gi", "git", false},
	} {
		if have := matchList(c.list, c.word); have != c.want {
			t.Errorf("%q %q: have %v", c.list, c.word, have)
		}
	}
}

// pgpKey is a key made at a time, with a lifetime in seconds, 0 for ever.
func pgpKey(t testing.TB, name string, at time.Time, lifetime uint32) *openpgp.Entity {
	t.Helper()
	e, err := openpgp.NewEntity(name, "", strings.ToLower(name)+"@example.org", &packet.Config{
		Algorithm: packet.PubKeyAlgoEdDSA, Time: func() time.Time { return at }, KeyLifetimeSecs: lifetime,
	})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func public(t testing.TB, e *openpgp.Entity, armored bool) []byte {
	t.Helper()
	var b bytes.Buffer
	if !armored {
		if err := e.Serialize(&b); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	w, err := armor.Encode(&b, openpgp.PublicKeyType, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Serialize(w); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return append(b.Bytes(), '\n')
}

func pgpSign(t testing.TB, e *openpgp.Entity, payload []byte, hash crypto.Hash) string {
	t.Helper()
	var b bytes.Buffer
	c := &packet.Config{DefaultHash: hash, Time: func() time.Time { return made }}
	if err := openpgp.ArmoredDetachSign(&b, e, bytes.NewReader(payload), c); err != nil {
		t.Fatal(err)
	}
	return b.String() + "\n"
}

func TestOpenPGP(t *testing.T) {
	ann, bob, eve := pgpKey(t, "Ann", made, 0), pgpKey(t, "Bob", made, 86400), pgpKey(t, "Eve", made, 0)
	id := func(e *openpgp.Entity) string { return fmt.Sprintf("%016X", e.PrimaryKey.KeyId) }
	good := object("change\n", pgpSign(t, ann, object("change\n", ""), crypto.SHA256))
	bobs := object("change\n", pgpSign(t, bob, object("change\n", ""), crypto.SHA512))
	gone := pgpKey(t, "Gone", made, 0)
	gones := object("change\n", pgpSign(t, gone, object("change\n", ""), crypto.SHA512))
	if err := gone.RevokeKey(packet.KeyCompromised, "stolen", &packet.Config{Time: func() time.Time { return made.Add(time.Hour) }}); err != nil {
		t.Fatal(err)
	}
	armored := bytes.Join([][]byte{public(t, ann, true), public(t, bob, true), public(t, gone, true)}, nil)
	binary := bytes.Join([][]byte{public(t, ann, false), public(t, bob, false), public(t, gone, false)}, nil)
	for form, text := range map[string][]byte{"armored": armored, "binary": binary} {
		k, err := ParseKeyring("ring", text)
		if err != nil {
			t.Fatalf("%s: %v", form, err)
		}
		for _, c := range []struct {
			object []byte
			now    time.Time
			want   string
		}{
			{good, made.Add(time.Hour), "signed by Ann <ann@example.org>"},
			{bobs, made.Add(time.Hour), "signed by Bob <bob@example.org>"},
			{bobs, made.Add(48 * time.Hour), "is signed by Bob <bob@example.org> with the OpenPGP key " + id(bob) + ", which has expired: extend it, and export it to ring again"},
			{gones, made.Add(48 * time.Hour), "is signed by Gone <gone@example.org> with the OpenPGP key " + id(gone) + ", which was revoked"},
			{object("x", pgpSign(t, eve, object("x", ""), crypto.SHA256)), made, "is signed with the OpenPGP key " + id(eve) + ", which ring does not hold"},
			{bytes.Replace(good, []byte("change"), []byte("attack"), 1), made.Add(time.Hour), "does not match its OpenPGP signature of the key " + id(ann)},
			{object("x", "-----BEGIN PGP SIGNATURE-----\n\nAAAA\n-----END PGP SIGNATURE-----"), made, "has an OpenPGP signature that cannot be read"},
			{object("x", sshSign(t, edKey(t, 1), object("x", ""), "git")), made, "is signed with an SSH key, and source.verify.allowedSigners names no file"},
		} {
			if have := verdict(Trust{OpenPGP: k}.Check(c.object, c.now)); have != c.want {
				t.Errorf("%s:\nhave %s\nwant %s", form, have, c.want)
			}
		}
	}
	var private bytes.Buffer
	if err := ann.SerializePrivate(&private, nil); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"":                 "ring: holds no key",
		"hello":            "ring: is no OpenPGP keyring that can be read",
		private.String():   "ring: holds a private key",
		publicBlock + "\n": "ring: block 1 cannot be read",
	} {
		if _, err := ParseKeyring("ring", []byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.20q: have %v, want %s", text, err, want)
		}
	}
}

// What gpg and ssh-keygen made, from `git cat-file commit`; the name of each part is who signed it.
func TestRealSignatures(t *testing.T) {
	a, err := txtar.ParseFile("testdata/real.txtar")
	if err != nil {
		t.Fatal(err)
	}
	var trust Trust
	now := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	count := 0
	for _, f := range a.Files {
		switch f.Name {
		case "keyring":
			trust.OpenPGP, err = ParseKeyring(f.Name, f.Data)
		case "signers":
			trust.SSH, err = ParseSigners(f.Name, f.Data)
		default:
			count++
			who, _, _ := strings.Cut(f.Name, " (merge")
			if have := verdict(trust.Check(f.Data, now)); have != "signed by "+who {
				t.Errorf("%s: have %s", f.Name, have)
			}
			if have := verdict(trust.Check(append(f.Data, "more\n"...), now)); !strings.HasPrefix(have, "does not match") {
				t.Errorf("%s, changed: have %s", f.Name, have)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if count != 5 {
		t.Errorf("have %d commits", count)
	}
}
