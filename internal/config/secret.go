package config

import (
	"fmt"
	"io"
	"strings"
)

// Redacted is what a Secret prints as, whatever prints it.
const Redacted = "[redacted]"

// Secret is a value that must not be printed: fmt, encoding/json and the log
// libraries that use them or MarshalText show [redacted]. Only Reveal returns it.
type Secret string

// Reveal returns the value itself, for the one place that sends it.
func (s Secret) Reveal() string { return string(s) }

// String returns [redacted].
func (s Secret) String() string { return Redacted }

// GoString returns [redacted], for %#v.
func (s Secret) GoString() string { return Redacted }

// Format writes [redacted] for every verb, %x and %q included.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, Redacted) }

// MarshalText returns [redacted].
func (s Secret) MarshalText() ([]byte, error) { return []byte(Redacted), nil }

// MarshalJSON returns "[redacted]".
func (s Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + Redacted + `"`), nil }

// Redact replaces every occurrence of the secrets in text: the last net under
// texts that other programs and libraries made. Secrets shorter than four
// bytes are left, because replacing them would garble the text and say more.
func Redact(text string, secrets ...Secret) string {
	for _, s := range secrets {
		if len(s) >= 4 {
			text = strings.ReplaceAll(text, string(s), Redacted)
		}
	}
	return text
}
