// Package admit decides whether a revision of the manifests may be applied, and whether what is missing from it may count
// as removed (law 15). It is pure: the repository and the state directory are facts it is given, and it never asks for
// them, nor does it know what a manifest says.
package admit

import (
	"fmt"
	"slices"
	"strings"
)

// Reason is one word for a status condition.
type Reason string

const (
	// HistoryRewritten: the revision does not descend from what was applied before. Nothing is applied.
	HistoryRewritten Reason = "HistoryRewritten"
	// SourceShrunk: the tree lost so many manifests that it is likely a mistake. Nothing counts as removed.
	SourceShrunk Reason = "SourceShrunk"
	// Unverified: a commit is not signed by somebody who may sign. Nothing of the revision is used.
	Unverified Reason = "Unverified"
)

// Blocks tells reasons for which nothing is applied from those for which only removals are held back.
func (r Reason) Blocks() bool { return r == HistoryRewritten || r == Unverified }

// Finding is why a revision is not let through, or not in full.
type Finding struct {
	Reason Reason
	Text   string // what is found, in one line
	Advice string // what a person can do
	// Dropped and Added are the two sides of a history that was rewritten, the newest first; Added are the commits that are
	// not verified, with why, for Unverified. Cut lists may be followed by a line that counts the rest.
	Dropped, Added []string
}

// Error is the finding in one line.
func (f *Finding) Error() string { return string(f.Reason) + ": " + f.Text + "; " + f.Advice }

// Accepted is what the state directory remembers of the revision that was let through last.
type Accepted struct {
	Head    string   // the revision, "" when nothing is known
	Objects int      // how many objects its manifests declared
	Aside   []string // revisions applied before that an acknowledged history no longer has
}

// Baselines are the revisions that a new one has to descend from: the one let through last, and the newest that was begun
// on each object, but for those that were set aside when a person acknowledged another history.
func (a Accepted) Baselines(begun []string) []string {
	all := slices.DeleteFunc(slices.Clone(begun), func(r string) bool { return r == "" || slices.Contains(a.Aside, r) })
	if a.Head != "" {
		all = append(all, a.Head)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// Commit is one commit, as far as a message needs it.
type Commit struct{ Hash, Subject, Author string }

func (c Commit) String() string { return fmt.Sprintf("%.10s %q by %s", c.Hash, c.Subject, c.Author) }

// History is how a revision stands to its baselines.
type History struct {
	Commit, Branch           string
	Missing, Gone            []string // baselines it does not descend from; those of them that the repository has lost
	Dropped, Added           []Commit // the newest few
	DroppedCount, AddedCount int
}

// Rewritten says whether a history was rewritten since it was applied; nil when it was not.
func (h History) Rewritten() *Finding {
	if len(h.Missing) == 0 {
		return nil
	}
	f := Finding{
		Reason: HistoryRewritten,
		Text: fmt.Sprintf("%s is now at %.10s, which does not descend from %s, applied before: nothing is applied",
			branch(h.Branch), h.Commit, shorts(h.Missing)),
		Advice: fmt.Sprintf("if the rewritten history is meant, accept it: reconcile ack %.10s; if not, push the branch as it was", h.Commit),
	}
	for _, c := range h.Dropped {
		f.Dropped = append(f.Dropped, c.String())
	}
	f.Dropped = rest(f.Dropped, h.DroppedCount)
	for _, gone := range h.Gone {
		f.Dropped = append(f.Dropped, fmt.Sprintf("%.10s, which the repository no longer has", gone))
	}
	for _, c := range h.Added {
		f.Added = append(f.Added, c.String())
	}
	f.Added = rest(f.Added, h.AddedCount)
	return &f
}

func rest(list []string, count int) []string {
	if more := count - len(list); more > 0 {
		list = append(list, fmt.Sprintf("and %d more", more))
	}
	return list
}

func branch(name string) string {
	if name == "" {
		return "the branch"
	}
	return "branch " + name
}

func shorts(commits []string) string {
	out := make([]string, len(commits))
	for i, c := range commits {
		out[i] = fmt.Sprintf("%.10s", c)
	}
	if len(out) > 3 {
		out = append(out[:3], fmt.Sprintf("%d others", len(out)-3))
	}
	return strings.Join(out, ", ")
}

// Doubt is a commit whose signature does not count, and why: "is not signed".
type Doubt struct {
	Commit Commit
	Why    string
}

// Doubted says that commits are not verified: refused of count that are new, of which the newest few are listed.
func Doubted(commit string, doubts []Doubt, refused, count int) *Finding {
	f := &Finding{
		Reason: Unverified,
		Text:   fmt.Sprintf("%d of %d new commits up to %.10s are not signed by anybody who may sign: nothing of them is used", refused, count, commit),
		Advice: "have them signed by somebody whom the files of source.verify list, and pushed again",
	}
	for _, d := range doubts {
		f.Added = append(f.Added, d.Commit.String()+" "+d.Why)
	}
	f.Added = rest(f.Added, refused)
	return f
}

// Tree is what the manifests of a revision hold.
type Tree struct {
	Commit  string
	Objects int // declared, those with problems included
	// Unread: some document could not be told what it is, so that the count says too little. Nothing counts as removed then
	// anyway.
	Unread bool
}

// Shrunk says whether a tree lost more than percent of the objects that were declared before, or all of them; nil when it
// did not. known are the objects that were applied once, for a state directory that remembers no count.
func (a Accepted) Shrunk(t Tree, percent, known int) *Finding {
	before := a.Objects
	if a.Head == "" && t.Objects == 0 {
		before = known
	}
	switch {
	case t.Unread, t.Objects >= before:
		return nil
	case t.Objects > 0 && (before-t.Objects)*100 <= before*percent:
		return nil
	}
	text := fmt.Sprintf("the manifests declare %d of what were %d objects", t.Objects, before)
	if t.Objects == 0 {
		text = fmt.Sprintf("no manifest is left, there were %d", before)
	}
	return &Finding{
		Reason: SourceShrunk,
		Text:   text + ": nothing is taken away, deleted or given up",
		Advice: fmt.Sprintf("if that is meant, accept it: reconcile ack %.10s; if not, check source.path and what was committed", t.Commit),
	}
}

// Next is what to remember once a revision is let through.
func (a Accepted) Next(t Tree) Accepted {
	next := Accepted{Head: t.Commit, Objects: t.Objects, Aside: a.Aside}
	if t.Unread {
		next.Objects = max(a.Objects, t.Objects) // what could not be read may be all that was there
	}
	return next
}

// Acknowledge is what to remember once a person accepted a revision: it counts as let through, and nothing has to descend
// any more from the revisions that are missing from its history.
func (a Accepted) Acknowledge(t Tree, missing []string) Accepted {
	next := Accepted{Head: t.Commit, Objects: t.Objects}
	next.Aside = slices.Concat(a.Aside, missing)
	slices.Sort(next.Aside)
	next.Aside = slices.Compact(next.Aside)
	return next
}
