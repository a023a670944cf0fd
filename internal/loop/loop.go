// Package loop is the daemon without its surroundings: it follows a source of revisions, asks for rounds of objects when
// something moved, and keeps what is to be said of them. It decides nothing about an object, makes no step itself, keeps
// nothing that the next start would need, and never ends because of what it was told by git or a host.
package loop

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/ustclug/pve-reconcile/internal/source"
	"github.com/ustclug/pve-reconcile/reconciler"
	"github.com/ustclug/pve-reconcile/reconciler/admit"
)

// Options are what a Loop works with.
type Options struct {
	Reconciler *reconciler.Reconciler
	// Fetch returns the newest revision of the source. With an error it returns the last good one, if there is one.
	Fetch func(context.Context) (source.Revision, error)
	// Load reads the manifests of a revision.
	Load func(context.Context, source.Revision) (reconciler.Input, error)
	// Admit may refuse to follow a revision, with what a person can do about it; then the one before stays in force. Nil: all
	// are followed.
	Admit func(ctx context.Context, rev source.Revision, in reconciler.Input) error
	// Wake is a hint that the source may have moved. It is never more than a hint: the source is asked.
	Wake <-chan struct{}
	// Moved names what changed on the hosts, where something notices. Nil: nobody does.
	Moved <-chan Move

	Poll  time.Duration // between looks at the source
	Drift time.Duration // between looks at everything
	Retry reconciler.Backoff
	Crowd int    // rounds that observe one cluster at a time
	State string // state directory

	Observers []reconciler.Observer
	Log       *zap.Logger
}

// Move is what changed in a cluster.
type Move struct {
	Cluster     string
	Guests      []int // vmids
	Definitions bool  // storages or options of the datacenter
}

// Loop is one daemon's work.
type Loop struct {
	Options
	queue *reconciler.Queue
	board board
	poke  chan struct{} // look at the source now
	emits sync.Mutex    // observers are told one thing at a time

	flushing sync.Mutex
	trouble  map[string]string // what could not be noted in the state directory, and why

	mu      sync.Mutex
	current *work
	around  *reconciler.Around
	source  Source
	pulse   Pulse
}

// work is the revision that is being followed.
type work struct {
	revision source.Revision
	pass     *reconciler.Pass
	ctx      context.Context
	cancel   context.CancelCauseFunc
}

// Source is how it stands with the source.
type Source struct {
	Revision source.Revision `json:"revision"`          // the one followed
	Seen     time.Time       `json:"seen,omitzero"`     // when the source last answered
	Error    string          `json:"error,omitempty"`   // why it cannot be read, or is not followed
	Refused  string          `json:"refused,omitempty"` // commit that is not followed
	Since    time.Time       `json:"since,omitzero"`    // of the error
	Finding  *admit.Finding  `json:"-"`                 // what stands against the newest revision, nil when nothing does
}

var errSuperseded = errors.New("a newer revision is followed")

// New makes a loop. Run runs it.
func New(o Options) *Loop {
	l := &Loop{Options: o, poke: make(chan struct{}, 1), around: o.Reconciler.NewAround(), trouble: map[string]string{}}
	l.board.items = map[reconciler.Key]Item{}
	o.Reconciler.Moves.OnLook = func(o reconciler.Object) {
		l.board.set(reconciler.Key{Kind: o.Kind, Name: o.Name}, o, l.Reconciler.Now())
	}
	l.queue = reconciler.NewQueue(reconciler.QueueOptions{
		Round: l.round, Group: l.group, After: l.after, Crowd: o.Crowd, Retry: o.Retry,
	})
	return l
}

// Run works until ctx ends, and then until the steps that were begun are over.
func (l *Loop) Run(ctx context.Context) {
	l.beat(func(p *Pulse, now time.Time) { p.Began = now })
	l.emit(reconciler.Event{Type: reconciler.EventStarted})
	before, err := Remember(l.State)
	if err != nil {
		l.Log.Warn("since when conditions are as they are is forgotten", zap.Error(err))
	}
	l.board.before = before
	l.queue.Start(ctx)
	var both sync.WaitGroup
	both.Go(func() { l.follow(ctx) })
	both.Go(func() { l.watch(ctx) })
	both.Wait()
	l.queue.Wait()
	l.flush()
	l.emit(reconciler.Event{Type: reconciler.EventStopped})
}

// Trigger looks at the source now.
func (l *Loop) Trigger() {
	select {
	case l.poke <- struct{}{}:
	default: // a look is due already
	}
}

// follow looks at the source, from time to time and whenever somebody says that it may have moved.
func (l *Loop) follow(ctx context.Context) {
	for {
		l.beat(func(p *Pulse, now time.Time) { p.Asking = now })
		l.look(ctx)
		l.beat(func(p *Pulse, now time.Time) { p.Asking, p.Asked = time.Time{}, now })
		next := time.NewTimer(reconciler.Jitter(l.Poll))
		select {
		case <-ctx.Done():
			next.Stop()
			return
		case <-next.C:
		case <-l.Wake:
		case <-l.poke:
		}
		next.Stop()
	}
}

// watch asks for a round of everything from time to time, and of single guests when they moved.
func (l *Loop) watch(ctx context.Context) {
	next := time.NewTimer(reconciler.Jitter(l.Drift))
	defer next.Stop()
	flush := time.NewTicker(time.Second)
	defer flush.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-next.C:
			l.sweep(ctx)
			next.Reset(reconciler.Jitter(l.Drift))
		case moved := <-l.Moved:
			l.moved(moved)
		case <-flush.C:
			l.flush()
			l.beat(func(p *Pulse, now time.Time) { p.Ticked = now })
		}
	}
}

// emit tells everybody.
func (l *Loop) emit(e reconciler.Event) {
	l.emits.Lock()
	defer l.emits.Unlock()
	e.Time = l.Reconciler.Now()
	for _, tell := range l.Observers {
		tell(e)
	}
}

func (l *Loop) now() *work {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.current
}
