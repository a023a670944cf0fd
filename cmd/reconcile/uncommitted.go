package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/ustclug/pve-reconcile/manifests"
)

// uncommitted says which manifests in a working tree on this machine are not as in the revision: only what is committed counts,
// which is easily forgotten. "" when none; that it cannot be told hinders nobody.
func (p *program) uncommitted(ctx context.Context) string {
	differ, err := p.source.Uncommitted(ctx, p.revision, manifests.Reads)
	if err != nil || len(differ) == 0 {
		return ""
	}
	const most = 3
	text := strings.Join(differ[:min(most, len(differ))], ", ")
	if more := len(differ) - most; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return fmt.Sprintf("not committed in %s, and so not seen: %s", strings.TrimPrefix(p.config.Source.URL, "file://"), text)
}
