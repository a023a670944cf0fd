package source

import (
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing/object"
)

// Revision is one commit, as far as people and status need it.
type Revision struct {
	// Commit is the full hash, 40 hex digits.
	Commit string `json:"commit"`
	// Branch is the branch it was the tip of; empty for a commit looked up by hash.
	Branch string `json:"branch,omitempty"`
	// Author is "Name <mail>".
	Author string `json:"author"`
	// Subject is the first line of the message.
	Subject string `json:"subject"`
	// When is the committer's time.
	When time.Time `json:"when"`
}

// Short returns the first ten digits of the hash.
func (r Revision) Short() string { return short(r.Commit) }

func short(commit string) string { return commit[:min(10, len(commit))] }

// The author and subject are what anybody who may push wrote: they reach
// terminals and logs, so control characters are removed here.
func revisionOf(c *object.Commit, branch string) Revision {
	subject, _, _ := strings.Cut(strings.TrimSpace(c.Message), "\n")
	author := c.Author.Name
	if c.Author.Email != "" {
		author += " <" + c.Author.Email + ">"
	}
	return Revision{
		Commit:  c.Hash.String(),
		Branch:  branch,
		Author:  oneLine(author, 200),
		Subject: oneLine(subject, 200),
		When:    c.Committer.When,
	}
}
