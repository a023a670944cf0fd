package reconciler

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// Queue decides which object has its round next. Each object has one round at a time; a failed one is tried again after a
// pause that doubles; one that waits or fails holds up no other. It never looks at an object itself.
//
// Objects are in groups (a cluster). In each group a few rounds observe at a time; a round that begins to make steps
// leaves that crowd, and Limits bounds it from there.
type Queue struct {
	o QueueOptions

	mu      sync.Mutex
	ctx     context.Context
	items   map[Key]*item
	groups  map[string]*group
	turned  time.Time // when a round last began, ended, or began to make steps
	running sync.WaitGroup
}

// QueueOptions say how a Queue works.
type QueueOptions struct {
	// Round makes a round of an object. It calls working before its first step.
	Round func(ctx context.Context, k Key, working func()) Next
	// Group is the crowd that an object belongs to.
	Group func(Key) string
	// After lists objects that go first when they are in the queue as well. Objects that wait for each other have their
	// rounds all the same, one of them too early.
	After func(Key) []Key
	// Crowd is how many rounds of a group observe at a time.
	Crowd int
	Retry Backoff
}

// Next is what a round says about the one after it. The zero value: none, until somebody asks.
type Next struct {
	Failed bool          // try again after a pause that doubles
	After  time.Duration // look again after this time, which is no failure; 0: no
}

// Backoff is the pause before an object is tried again: First, doubling up to Max, each shortened by up to a fifth at
// random, so that many do not come at once.
type Backoff struct{ First, Max time.Duration }

// Pause is the time after so many failures in a row, from 1.
func (b Backoff) Pause(failures int) time.Duration {
	d := b.First
	for range failures - 1 {
		if d *= 2; d >= b.Max {
			break
		}
	}
	return Jitter(min(d, b.Max))
}

// Jitter shortens a time by up to a fifth at random.
func Jitter(d time.Duration) time.Duration {
	if d < 5 {
		return d
	}
	return d - rand.N(d/5)
}

// phase is where an object is.
type phase string

// The phases.
const (
	idle    phase = "idle"
	ready   phase = "ready"   // as soon as there is room
	pausing phase = "pausing" // until its time comes
	working phase = "working" // has its round
)

type item struct {
	key      Key
	group    *group
	phase    phase
	again    bool // asked for during its round
	hurry    bool // asked for urgently during its round
	failures int
	due      time.Time
	timer    *time.Timer
	gone     bool // no longer in the manifests
}

// group holds the objects that are ready, the urgent ones first.
type group struct {
	urgent, ready []*item
	crowd         int
}

// NewQueue makes a queue. Start starts it.
func NewQueue(o QueueOptions) *Queue {
	return &Queue{o: o, items: map[Key]*item{}, groups: map[string]*group{}}
}

// Start begins to make rounds, with ctx. When ctx ends no new one begins; Wait returns when the last is over.
func (q *Queue) Start(ctx context.Context) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.ctx = ctx
	q.dispatch()
}

// Wait waits for the rounds that are being made.
func (q *Queue) Wait() { q.running.Wait() }

// Keep drops all objects but these. A round that is being made is not disturbed.
func (q *Queue) Keep(keys []Key) {
	keep := map[Key]bool{}
	for _, k := range keys {
		keep[k] = true
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for k, it := range q.items {
		if keep[k] {
			continue
		}
		it.withdraw()
		if it.gone = true; it.phase != working {
			delete(q.items, k)
		}
	}
}

// Add asks for a round of each object, after those that are ready. One that pauses after a failure goes on pausing.
func (q *Queue) Add(keys ...Key) { q.add(keys, false) }

// Urge asks for a round of each object now, before others, whatever happened before.
func (q *Queue) Urge(keys ...Key) { q.add(keys, true) }

func (q *Queue) add(keys []Key, urgent bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, k := range keys {
		it := q.item(k)
		it.gone = false
		if urgent {
			it.failures = 0
		}
		switch {
		case it.phase == working:
			it.again, it.hurry = true, it.hurry || urgent
		case it.phase == pausing && it.failures > 0 && !urgent:
		case it.phase == ready && !urgent:
		default:
			it.withdraw()
			it.enter(urgent)
		}
	}
	q.dispatch()
}

func (q *Queue) item(k Key) *item {
	it, ok := q.items[k]
	if !ok {
		name := q.o.Group(k)
		if q.groups[name] == nil {
			q.groups[name] = &group{}
		}
		it = &item{key: k, group: q.groups[name], phase: idle}
		q.items[k] = it
	}
	return it
}

func (it *item) enter(urgent bool) {
	it.phase = ready
	if urgent {
		it.group.urgent = append(it.group.urgent, it)
	} else {
		it.group.ready = append(it.group.ready, it)
	}
}

// withdraw takes an object out of where it waits.
func (it *item) withdraw() {
	switch it.phase {
	case ready:
		same := func(o *item) bool { return o == it }
		it.group.urgent = slices.DeleteFunc(it.group.urgent, same)
		it.group.ready = slices.DeleteFunc(it.group.ready, same)
		it.phase = idle
	case pausing:
		it.timer.Stop()
		it.phase = idle
	case idle, working:
	}
}

// dispatch begins rounds while there is room.
func (q *Queue) dispatch() {
	if q.ctx == nil || q.ctx.Err() != nil {
		return
	}
	for _, g := range q.groups {
		for g.crowd < q.o.Crowd {
			it := q.first(g.urgent)
			if it == nil {
				it = q.first(g.ready)
			}
			if it == nil {
				break
			}
			it.withdraw()
			it.phase = working
			g.crowd++
			q.turned = time.Now()
			q.running.Add(1)
			go q.round(q.ctx, it)
		}
	}
}

// first is the first that no other has to go before.
func (q *Queue) first(list []*item) *item {
	for _, it := range list {
		if !slices.ContainsFunc(q.o.After(it.key), func(k Key) bool { return q.before(it.key, k) }) {
			return it
		}
	}
	return nil
}

// before tells whether k is in the queue and has to go before an object, and not the other way round as well.
func (q *Queue) before(me, k Key) bool {
	other, ok := q.items[k]
	return ok && (other.phase == ready || other.phase == working) && !slices.Contains(q.o.After(k), me)
}

func (q *Queue) round(ctx context.Context, it *item) {
	defer q.running.Done()
	var once sync.Once
	leave := func() {
		once.Do(func() {
			q.mu.Lock()
			defer q.mu.Unlock()
			it.group.crowd--
			q.turned = time.Now()
			q.dispatch()
		})
	}
	next := q.o.Round(ctx, it.key, leave)
	leave()
	q.mu.Lock()
	defer q.mu.Unlock()
	q.turned = time.Now()
	q.settle(it, next)
	q.dispatch()
}

// settle puts an object where its round says.
func (q *Queue) settle(it *item, next Next) {
	it.phase = idle
	again, hurry := it.again, it.hurry
	it.again, it.hurry = false, false
	if it.gone {
		delete(q.items, it.key)
		return
	}
	pause := next.After
	if next.Failed {
		it.failures++
		pause = q.o.Retry.Pause(it.failures)
	} else {
		it.failures = 0
	}
	switch {
	case again && (hurry || !next.Failed):
		if hurry {
			it.failures = 0
		}
		it.enter(hurry)
	case pause > 0:
		it.phase, it.due = pausing, time.Now().Add(pause)
		it.timer = time.AfterFunc(pause, func() { q.wake(it) })
	}
}

// wake makes an object ready whose pause is over.
func (q *Queue) wake(it *item) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if it.phase != pausing || time.Now().Before(it.due) {
		return // woken by something else meanwhile
	}
	it.phase = idle
	it.enter(false)
	q.dispatch()
}

// Pause is an object that waits for its time.
type Pause struct {
	Key      Key
	Until    time.Time
	Failures int // in a row
}

// Depth says what the queue holds.
type Depth struct {
	Ready, Working int
	Observing      int       // of those at work, the ones that make no steps yet
	Turned         time.Time // when a round last began, ended, or began to make steps; zero: never
	Pausing        []Pause   // by name
}

// Depth says what the queue holds now.
func (q *Queue) Depth() Depth {
	q.mu.Lock()
	defer q.mu.Unlock()
	d := Depth{Turned: q.turned}
	for _, g := range q.groups {
		d.Observing += g.crowd
	}
	for _, it := range q.items {
		switch it.phase {
		case ready:
			d.Ready++
		case working:
			d.Working++
		case pausing:
			d.Pausing = append(d.Pausing, Pause{it.key, it.due, it.failures})
		case idle:
		}
	}
	slices.SortFunc(d.Pausing, func(a, b Pause) int { return a.Key.compare(b.Key) })
	return d
}
