package config

import (
	"errors"
	"regexp"
	"strings"
)

// Token is an API token of PVE.
type Token struct {
	// ID is user@realm!name. It is not secret; PVE writes it into its logs.
	ID string
	// Value is the secret part, a UUID.
	Value Secret
}

var (
	tokenIDForm = regexp.MustCompile(`^[^\s:/!=]+@[A-Za-z][A-Za-z0-9._-]+![A-Za-z][A-Za-z0-9._-]+$`)
	uuidForm    = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)
)

// ParseToken takes user@realm!name=secret apart. Its errors say what is wrong
// without repeating any of it.
func ParseToken(s Secret) (Token, error) {
	const want = "; it has to be user@realm!name=secret, as pveum user token add prints its full-tokenid and value"
	text := s.Reveal()
	id, value, found := strings.Cut(text, "=")
	switch {
	case text == "":
		return Token{}, errors.New("the token is empty" + want)
	case strings.HasPrefix(text, "PVEAPIToken"), strings.HasPrefix(text, "Authorization"):
		return Token{}, errors.New("the token begins with the name of a header: remove that" + want)
	case strings.HasPrefix(text, `"`), strings.HasPrefix(text, "'"):
		return Token{}, errors.New("the token is in quotes: remove them" + want)
	case uuidForm.MatchString(text):
		return Token{}, errors.New("the token is the secret part only: user@realm!name= is missing before it")
	case !found:
		return Token{}, errors.New("the token has no = between its name and its secret" + want)
	case !strings.Contains(id, "@"):
		return Token{}, errors.New("the token has no @realm after the user" + want)
	case !strings.Contains(id, "!"):
		return Token{}, errors.New("the token has no !name after user@realm: this may be a password, which is not used" + want)
	case !tokenIDForm.MatchString(id):
		return Token{}, errors.New("what is before the = is not user@realm!name" + want)
	case !uuidForm.MatchString(value):
		return Token{}, errors.New("the secret after the = is not a UUID" + want)
	}
	return Token{ID: id, Value: Secret(value)}, nil
}
