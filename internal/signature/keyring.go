package signature

import (
	"bytes"
	"crypto"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	pgperrors "github.com/ProtonMail/go-crypto/openpgp/errors"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// Keyring holds OpenPGP public keys.
type Keyring struct {
	file string
	keys openpgp.EntityList
}

const publicBlock = "-----BEGIN PGP PUBLIC KEY BLOCK-----"

// ParseKeyring reads public keys as `gpg --export` writes them, armored or not; several armored blocks may follow each
// other. file is for messages.
func ParseKeyring(file string, text []byte) (k *Keyring, err error) {
	defer func() {
		if recover() != nil { // the library does not promise that it survives any input
			k, err = nil, fmt.Errorf("%s: is no OpenPGP keyring that can be read", file)
		}
	}()
	k = &Keyring{file: file}
	if bytes.Contains(text, []byte("-----BEGIN PGP PRIVATE KEY BLOCK-----")) {
		return nil, fmt.Errorf("%s: holds a private key; export public keys only: gpg --armor --export MAIL", file)
	}
	if !bytes.Contains(text, []byte(publicBlock)) {
		if k.keys, err = openpgp.ReadKeyRing(bytes.NewReader(text)); err != nil {
			return nil, fmt.Errorf("%s: is no OpenPGP keyring that can be read; write it with: gpg --armor --export MAIL", file)
		}
	}
	for i, block := range strings.Split(string(text), publicBlock) {
		if i == 0 {
			continue
		}
		keys, err := openpgp.ReadArmoredKeyRing(strings.NewReader(publicBlock + block))
		if err != nil {
			return nil, fmt.Errorf("%s: block %d cannot be read; write it with: gpg --armor --export MAIL", file, i)
		}
		k.keys = append(k.keys, keys...)
	}
	if len(k.keys) == 0 {
		return nil, fmt.Errorf("%s: holds no key; write it with: gpg --armor --export MAIL", file)
	}
	if slices.ContainsFunc(k.keys, func(e *openpgp.Entity) bool { return e.PrivateKey != nil }) {
		return nil, fmt.Errorf("%s: holds a private key; export public keys only: gpg --export MAIL", file)
	}
	return k, nil
}

// strong are the hashes that a signature may be made over.
var strong = []crypto.Hash{crypto.SHA256, crypto.SHA384, crypto.SHA512, crypto.SHA3_256, crypto.SHA3_512}

func (k *Keyring) check(c commit, now time.Time) (by string, err error) {
	defer func() {
		if recover() != nil {
			by, err = "", errors.New("has an OpenPGP signature that cannot be read")
		}
	}()
	block, err := armor.Decode(bytes.NewReader(c.signature))
	if err != nil {
		return "", errors.New("has an OpenPGP signature that cannot be read")
	}
	p, err := packet.Read(block.Body)
	sig, ok := p.(*packet.Signature)
	switch {
	case err != nil || !ok || sig.IssuerKeyId == nil:
		return "", errors.New("has an OpenPGP signature that cannot be read")
	case !slices.Contains(strong, sig.Hash):
		return "", fmt.Errorf("has an OpenPGP signature over %v, which is too weak", sig.Hash)
	}
	id := fmt.Sprintf("%016X", *sig.IssuerKeyId)
	config := &packet.Config{Time: func() time.Time { return now }}
	signer, err := openpgp.CheckArmoredDetachedSignature(k.keys, bytes.NewReader(c.payload), bytes.NewReader(c.signature), config)
	who := id
	if signer != nil {
		who = nameOf(signer)
	}
	switch {
	case err == nil && signer != nil:
		return who, nil
	case errors.Is(err, pgperrors.ErrUnknownIssuer):
		return "", fmt.Errorf("is signed with the OpenPGP key %s, which %s does not hold", id, k.file)
	case errors.Is(err, pgperrors.ErrKeyExpired):
		return "", fmt.Errorf("is signed by %s with the OpenPGP key %s, which has expired: extend it, and export it to %s again", who, id, k.file)
	case errors.Is(err, pgperrors.ErrKeyRevoked):
		return "", fmt.Errorf("is signed by %s with the OpenPGP key %s, which was revoked", who, id)
	case errors.Is(err, pgperrors.ErrSignatureExpired):
		return "", fmt.Errorf("is signed by %s with the OpenPGP key %s, and the signature has expired", who, id)
	}
	return "", fmt.Errorf("does not match its OpenPGP signature of the key %s", id)
}

// nameOf is the owner of a key, in one line.
func nameOf(e *openpgp.Entity) string {
	if id := e.PrimaryIdentity(); id != nil {
		return strings.Join(strings.Fields(strings.ToValidUTF8(id.Name, "?")), " ")
	}
	return fmt.Sprintf("%016X", e.PrimaryKey.KeyId)
}
