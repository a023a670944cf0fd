package loop

import (
	"maps"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/ustclug/pve-reconcile/reconciler"
)

// Item is what is to be said of one object.
type Item struct {
	Object     reconciler.Object
	Conditions []reconciler.Condition
	Looked     time.Time // when its last round ended
}

// board keeps what is to be said of every object.
type board struct {
	mu     sync.Mutex
	items  map[reconciler.Key]Item
	others []Item                            // that no round is made of
	before map[string][]reconciler.Condition // by "Kind/name": as they were written last
	moved  bool                              // something was set since
}

func (b *board) set(k reconciler.Key, o reconciler.Object, now time.Time) (was Item, known bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	was, known = b.items[k]
	if !known {
		was.Conditions = b.before[k.String()]
	}
	b.moved = true
	b.items[k] = Item{Object: o, Conditions: reconciler.Conditions(o, was.Conditions, now), Looked: now}
	return was, known
}

func (b *board) keep(keys []reconciler.Key) {
	b.mu.Lock()
	defer b.mu.Unlock()
	kept := map[reconciler.Key]bool{}
	for _, k := range keys {
		kept[k] = true
	}
	maps.DeleteFunc(b.items, func(k reconciler.Key, _ Item) bool { return !kept[k] })
	names := map[string]bool{}
	for k := range kept {
		names[k.String()] = true
	}
	b.before, b.moved = maps.Clone(b.before), true
	maps.DeleteFunc(b.before, func(k string, _ []reconciler.Condition) bool { return !names[k] })
}

func (b *board) copy() map[reconciler.Key]Item {
	b.mu.Lock()
	defer b.mu.Unlock()
	return maps.Clone(b.items)
}

// unattended keeps the objects that no round is made of, and returns those that were not among them.
func (b *board) unattended(objects []reconciler.Object, now time.Time) (news []reconciler.Object) {
	b.mu.Lock()
	defer b.mu.Unlock()
	before := b.others
	b.others = nil
	for _, o := range objects {
		it := Item{Object: o, Looked: now}
		i := slices.IndexFunc(before, func(x Item) bool {
			return x.Object.Kind == o.Kind && x.Object.Name == o.Name && x.Object.ID.VMID == o.ID.VMID && x.Object.Verdict == o.Verdict
		})
		if i >= 0 {
			it.Conditions = before[i].Conditions
		} else {
			news = append(news, o)
		}
		it.Conditions = reconciler.Conditions(o, it.Conditions, now)
		b.others = append(b.others, it)
	}
	return news
}

// flush writes what is in sync to the ledger, and since when conditions are as they are. What a crash loses of it is found
// again by the next look. What cannot be written is tried again each time, and told once.
func (l *Loop) flush() {
	l.flushing.Lock()
	defer l.flushing.Unlock()
	l.unwritten("what is in sync", l.Reconciler.Ledger.Flush())
	before, now := l.board.turn()
	if now == nil {
		return
	}
	err := Keep(l.State, before, now)
	if err != nil {
		l.board.lost(before)
	}
	l.unwritten("since when conditions are as they are", err)
}

// unwritten says that something could not be noted in the state directory, and that it is again.
func (l *Loop) unwritten(what string, err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	switch was := l.trouble[what]; {
	case text == was:
	case text == "":
		l.Log.Info(what + " is noted again")
	default:
		l.Log.Error(what+" could not be noted; that is tried again", zap.Error(err))
	}
	l.trouble[what] = text
}

// turn is what was written last and what is to be written now; nil when nothing was set since.
func (b *board) turn() (before, now map[string][]reconciler.Condition) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.moved {
		return nil, nil
	}
	before, now, b.moved = b.before, map[string][]reconciler.Condition{}, false
	for k, c := range b.before { // of objects that were not looked at yet
		now[k] = c
	}
	for k, it := range b.items {
		now[k.String()] = it.Conditions
	}
	b.before = now
	return before, now
}

// lost says that what turn returned could not be written: the next turn returns it again.
func (b *board) lost(before map[string][]reconciler.Condition) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.before, b.moved = before, true
}
