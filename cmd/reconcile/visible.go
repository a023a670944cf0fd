package main

import (
	"io"

	"github.com/ustclug/pve-reconcile/reconciler/step"
)

// visible writes texts of others (descriptions of guests, answers of PVE, commits) so that no terminal obeys them: control
// characters but line breaks and tabs, and what turns the direction of writing, are shown as escapes.
type visible struct{ to io.Writer }

func (v visible) Write(text []byte) (int, error) {
	if _, err := io.WriteString(v.to, step.Escaped(string(text))); err != nil {
		return 0, err
	}
	return len(text), nil
}
