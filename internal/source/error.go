package source

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
)

// Reason is why a source could not be read: one word for a status condition.
type Reason string

const (
	// Unreachable: no usable answer from the server. Time may heal it.
	Unreachable Reason = "Unreachable"
	// Unauthorized: the server refused the token or the key.
	Unauthorized Reason = "Unauthorized"
	// UntrustedServer: the server's certificate or host key is not the one expected.
	UntrustedServer Reason = "UntrustedServer"
	// NotFound: no repository at that place.
	NotFound Reason = "NotFound"
	// EmptyRepository: a repository without any commit.
	EmptyRepository Reason = "EmptyRepository"
	// BranchMissing: the repository has no such branch, and it never had one here.
	BranchMissing Reason = "BranchMissing"
	// BranchGone: the branch was read before and has been deleted since.
	BranchGone Reason = "BranchGone"
	// PathMissing: the commit has no such sub-directory.
	PathMissing Reason = "PathMissing"
	// CommitMissing: the commit is not in the repository.
	CommitMissing Reason = "CommitMissing"
	// Unsupported: a repository format that cannot be read.
	Unsupported Reason = "Unsupported"
	// Unreadable: files of the repository, the cache or a credential that
	// cannot be read or are damaged.
	Unreadable Reason = "Unreadable"
	// Locked: another process works in the cache.
	Locked Reason = "Locked"
)

// Error says why a source could not be read. It never holds a secret.
type Error struct {
	// Reason is for programs.
	Reason Reason
	// Source is the URL or directory, without credentials.
	Source string
	// Text says what is wrong.
	Text string
	// Hint says what to do about it; empty where nothing but time helps.
	Hint string
	// Last is the last good revision, when Fetch found one earlier; its commit
	// is empty otherwise.
	Last Revision

	cause error
}

// Error returns "git URL: what is wrong; what to do (last good ...)".
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "git %s: %s", e.Source, e.Text)
	if e.Hint != "" {
		b.WriteString("; " + e.Hint)
	}
	if e.Last.Commit != "" {
		fmt.Fprintf(&b, " (revision %s stays in force)", e.Last.Short())
	}
	return b.String()
}

// Unwrap returns the cause, so that a cancelled context is seen as one.
func (e *Error) Unwrap() error { return e.cause }

func problem(r Reason, hint, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Reason: r, Text: err.Error(), Hint: hint, cause: errors.Unwrap(err)}
}

// reasonOf returns the Reason of err, or "" when it has none.
func reasonOf(err error) Reason {
	var e *Error
	if errors.As(err, &e) {
		return e.Reason
	}
	return ""
}

// oneLine makes foreign text printable: no control characters, no line breaks,
// at most limit characters.
func oneLine(text string, limit int) string {
	text = strings.Join(strings.Fields(strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar || unicode.Is(unicode.Bidi_Control, r) {
			return -1
		}
		if unicode.IsControl(r) || unicode.IsSpace(r) {
			return ' '
		}
		return r
	}, text)), " ")
	if r := []rune(text); len(r) > limit {
		text = string(r[:limit-1]) + "…"
	}
	return text
}
