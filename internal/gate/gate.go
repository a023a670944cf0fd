// Package gate stands between the newest revision and whoever would apply it: it asks the repository and the state
// directory for the facts, has reconciler/admit decide, and remembers what was let through. It applies nothing, and never
// lets anything of a revision be used before its signatures are checked, where the config wants that.
package gate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ustclug/pve-reconcile/internal/config"
	"github.com/ustclug/pve-reconcile/internal/signature"
	"github.com/ustclug/pve-reconcile/internal/source"
	"github.com/ustclug/pve-reconcile/internal/state"
	"github.com/ustclug/pve-reconcile/reconciler/admit"
)

// Gate is the gate of one source and one state directory. It keeps nothing between questions.
type Gate struct {
	Source   *source.Source
	StateDir string
	// MaxShrink is which part of the objects may vanish at once, in percent.
	MaxShrink int
	// Verify says who may sign; nil: signatures are not looked at.
	Verify *config.Verify
	// Outside are directories that whoever may push writes to: the files of Verify may not be in them.
	Outside []string
	Now     func() time.Time
}

// New is the gate that a config asks for.
func New(c config.Config, s *source.Source) Gate {
	g := Gate{Source: s, StateDir: c.StateDir, MaxShrink: int(*c.Policies.MaxShrink), Verify: c.Source.Verify, Outside: []string{c.StateDir}, Now: time.Now}
	if at, err := config.ParseLocation(c.Source.URL); err == nil && at.Transport == config.Local {
		g.Outside = append(g.Outside, at.Path)
	}
	return g
}

// Admission is the answer for one revision.
type Admission struct {
	// Finding is why it is not let through, or not in full; nil when it is.
	Finding *admit.Finding
	// Notes are for people: what was let through without a look.
	Notes []string

	gate     Gate
	commit   string
	accepted state.Accepted
	tree     admit.Tree
	weighed  bool
	known    int // objects in the ledger
}

// Examine looks at the signatures and the history of a revision, before anything of it is used. ledger tells what was
// begun on each object. With a Finding that blocks, nothing of the revision may be used; otherwise load its manifests and
// call Weigh.
func (g Gate) Examine(ctx context.Context, rev source.Revision, ledger *state.Ledger) (*Admission, error) {
	a := &Admission{gate: g, commit: rev.Commit, known: len(ledger.Entries())}
	var err error
	if a.accepted, err = state.ReadAccepted(g.StateDir); err != nil {
		return nil, err
	}
	before := remembered(a.accepted).Baselines(ledger.Begun())
	if a.Finding, err = g.unverified(ctx, rev, before, a.accepted); err != nil || a.Finding != nil {
		return a, err
	}
	h, err := g.history(ctx, rev, before)
	if err != nil {
		return nil, err
	}
	if a.Finding = h.Rewritten(); a.Finding == nil && len(before) == 0 {
		a.Notes = append(a.Notes, fmt.Sprintf("nothing is known to be applied before (a first run, or a lost state directory): revision %s is accepted as it is", rev.Short()))
	}
	return a, nil
}

// Weigh compares what the manifests of the revision hold with what was there before.
func (a *Admission) Weigh(objects int, unread bool) {
	a.tree, a.weighed = admit.Tree{Commit: a.commit, Objects: objects, Unread: unread}, true
	if a.Finding == nil {
		a.Finding = remembered(a.accepted).Shrunk(a.tree, a.gate.MaxShrink, a.known)
	}
}

// Record remembers the revision as let through, if it is. Call it before the first write that is made because of it: the
// next revision then has to descend from it, whatever happens meanwhile. It writes only what is news.
func (a *Admission) Record() error {
	if a.Finding != nil || !a.weighed {
		return nil
	}
	next := remembered(a.accepted).Next(a.tree)
	verified := a.gate.Verify != nil
	if next.Head == a.accepted.Head && next.Objects == a.accepted.Objects && verified == a.accepted.Verified {
		return nil
	}
	a.accepted = state.Accepted{Head: next.Head, Objects: next.Objects, Aside: next.Aside, Verified: verified, When: a.gate.Now().UTC()}
	return state.WriteAccepted(a.gate.StateDir, a.accepted)
}

func remembered(s state.Accepted) admit.Accepted {
	return admit.Accepted{Head: s.Head, Objects: s.Objects, Aside: s.Aside}
}

// history asks the repository how a revision stands to those before.
func (g Gate) history(ctx context.Context, rev source.Revision, before []string) (admit.History, error) {
	c, err := g.Source.Compare(ctx, before, rev.Commit)
	if err != nil {
		return admit.History{}, err
	}
	return admit.History{
		Commit: rev.Commit, Branch: rev.Branch, Missing: c.Missing, Gone: c.Gone,
		Dropped: commits(c.Dropped), Added: commits(c.Added), DroppedCount: c.DroppedCount, AddedCount: c.AddedCount,
	}, nil
}

func commits(revs []source.Revision) []admit.Commit {
	out := make([]admit.Commit, len(revs))
	for i, r := range revs {
		out[i] = admit.Commit{Hash: r.Commit, Subject: r.Subject, Author: r.Author}
	}
	return out
}

// unverified looks at the signatures of what is new. A head that was let through with its signatures checked is not looked
// at again: a key that expires later does not take back what it signed.
func (g Gate) unverified(ctx context.Context, rev source.Revision, before []string, accepted state.Accepted) (*admit.Finding, error) {
	if g.Verify == nil || accepted.Head == rev.Commit && accepted.Verified {
		return nil, nil
	}
	trust, err := g.trust()
	if err != nil {
		return nil, err
	}
	check := func(object []byte) error { _, err := trust.Check(object, g.Now()); return err }
	// A tip that is a baseline itself was begun, but not let through with its signatures checked.
	since := before
	if accepted.Head == rev.Commit {
		since = nil
	}
	doubts, refused, count, err := g.Source.Doubts(ctx, since, rev.Commit, check)
	if err != nil || refused == 0 {
		return nil, err
	}
	d := make([]admit.Doubt, len(doubts))
	for i, x := range doubts {
		d[i] = admit.Doubt{Commit: commits([]source.Revision{x.Revision})[0], Why: x.Err.Error()}
	}
	return admit.Doubted(rev.Commit, d, refused, count), nil
}

// Acknowledgement is what a person accepts, or would accept.
type Acknowledgement struct {
	Revision source.Revision
	History  admit.History
	// Before and After are the objects declared by what was let through last, and by this one.
	Before, After int

	gate Gate
	next admit.Accepted
}

// ErrNothingToAcknowledge: the revision is let through without a word.
var ErrNothingToAcknowledge = errors.New("nothing waits to be acknowledged")

// Acknowledge prepares the acceptance of a revision in the history of the newest one, tip. Nothing is remembered before
// Accept. A revision that is not verified cannot be acknowledged, and nothing of it is read: err is the *admit.Finding
// then. objects counts what its manifests declare.
func (g Gate) Acknowledge(ctx context.Context, tip string, rev source.Revision, ledger *state.Ledger, objects func() (int, error)) (*Acknowledgement, error) {
	accepted, err := state.ReadAccepted(g.StateDir)
	if err != nil {
		return nil, err
	}
	known := remembered(accepted)
	before := known.Baselines(ledger.Begun())
	f, err := g.unverified(ctx, rev, before, accepted)
	if err != nil {
		return nil, err
	}
	if f != nil {
		return nil, f
	}
	h, err := g.history(ctx, rev, before)
	if err != nil {
		return nil, err
	}
	if len(h.Missing) > 0 && h.AddedCount == 0 && rev.Commit != tip {
		return nil, fmt.Errorf("%s was applied before, and the branch went on from there: acknowledge a commit that is new, as %.10s", rev.Short(), tip)
	}
	n, err := objects()
	if err != nil {
		return nil, err
	}
	tree := admit.Tree{Commit: rev.Commit, Objects: n}
	if h.Rewritten() == nil && known.Shrunk(tree, g.MaxShrink, len(ledger.Entries())) == nil {
		return nil, ErrNothingToAcknowledge
	}
	return &Acknowledgement{
		Revision: rev, History: h, Before: accepted.Objects, After: n,
		gate: g, next: known.Acknowledge(tree, h.Missing),
	}, nil
}

// Accept remembers the acknowledged revision as let through.
func (a *Acknowledgement) Accept() error {
	return state.WriteAccepted(a.gate.StateDir, state.Accepted{
		Head: a.next.Head, Objects: a.next.Objects, Aside: a.next.Aside, Acknowledged: true, Verified: a.gate.Verify != nil, When: a.gate.Now().UTC(),
	})
}

// trust reads who may sign.
func (g Gate) trust() (signature.Trust, error) {
	var t signature.Trust
	var errs []error
	if name := g.Verify.AllowedSigners; name != "" {
		text, err := readTrusted(name, g.Outside)
		if err == nil {
			t.SSH, err = signature.ParseSigners(name, text)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("source.verify.allowedSigners: %w", err))
		}
	}
	if name := g.Verify.Keyring; name != "" {
		text, err := readTrusted(name, g.Outside)
		if err == nil {
			t.OpenPGP, err = signature.ParseKeyring(name, text)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("source.verify.keyring: %w", err))
		}
	}
	return t, errors.Join(errs...)
}
