package notify

import (
	"maps"
	"slices"
	"time"

	"github.com/ustclug/pve-reconcile/internal/notice"
)

// kept is what is remembered of a receiver.
type kept struct {
	About   map[string]*about `json:"about,omitempty"` // by Kind/name
	Queue   []entry           `json:"queue,omitempty"` // the oldest first
	Seq     int64             `json:"seq,omitempty"`   // of the newest entry
	Dropped int               `json:"dropped,omitempty"`
	Commits []commit          `json:"commits,omitempty"` // the oldest first
	Trouble string            `json:"trouble,omitempty"` // what Once said last
}

// entry is one thing to tell.
type entry struct {
	Seq      int64            `json:"seq"`
	At       time.Time        `json:"at"`
	Message  *notice.Message  `json:"message,omitempty"`
	Standing *notice.Standing `json:"standing,omitempty"`
}

// about is what a receiver was told about an object, and what holds now. An edge is a verdict with its reason, "" when
// there is nothing to tell.
type about struct {
	Told    string         `json:"told,omitempty"`
	Verdict string         `json:"verdict,omitempty"` // of Told
	Edge    string         `json:"edge,omitempty"`
	Since   time.Time      `json:"since"`
	Now     notice.Message `json:"now"`
	seen    time.Time
}

// hear takes note of how an object is. It tells whether that is new.
func (p *place) hear(m notice.Message, now time.Time) bool {
	key, edge := m.Kind+"/"+m.Name, ""
	if slices.Contains(p.conf.Verdicts, m.Verdict) {
		edge = m.Verdict + "/" + m.Reason
	}
	a := p.About[key]
	if a == nil {
		if edge == "" {
			return false
		}
		a = &about{}
		p.About[key] = a
	}
	a.seen = now
	if m.Time = a.Since; a.Edge == edge {
		a.Now = m
		return false
	}
	a.Edge, a.Since = edge, now
	m.Time = now
	a.Now = m
	return true
}

// ripen queues what has stood long enough.
func (p *place) ripen(now time.Time) (moved bool) {
	for _, key := range slices.Sorted(maps.Keys(p.About)) {
		a := p.About[key]
		switch {
		case now.Sub(a.seen) > forgotten || a.Edge == "" && a.Told == "":
			delete(p.About, key)
			moved = true
		case a.Edge != a.Told && now.Sub(a.Since) >= time.Duration(p.conf.After):
			m := a.Now
			m.Was, m.Over = a.Verdict, a.Edge == ""
			m.Text = words(m)
			p.push(entry{At: now, Message: &m})
			a.Told, a.Verdict = a.Edge, m.Verdict
			moved = true
		}
	}
	return moved
}

// words is a message in one line.
func words(m notice.Message) string {
	who := m.Kind
	if m.Name != "" {
		who += "/" + m.Name
	}
	if m.Over {
		return who + " on " + m.Host + ": no longer " + m.Was + ", now " + m.Verdict
	}
	text := who + " on " + m.Host + " is " + m.Verdict
	if m.Reason != "" && m.Reason != m.Verdict {
		text += " (" + m.Reason + ")"
	}
	if m.Text != "" {
		text += ": " + m.Text
	}
	return text
}

func (p *place) push(e entry) {
	p.Seq++
	e.Seq = p.Seq
	p.Queue = append(p.Queue, e)
}

// bound drops the oldest of too many, and what is too old to be news.
func (p *place) bound(now time.Time) (moved bool) {
	for len(p.Queue) > mostWaiting || len(p.Queue) > 0 && now.Sub(p.Queue[0].At) > oldest {
		p.Queue = slices.Delete(p.Queue, 0, 1)
		p.Dropped++
		p.given++
		moved = true
	}
	return moved
}

// delivered forgets what was delivered. Some of it may have been dropped meanwhile.
func (p *place) delivered(batch []entry, dropped int) {
	last := batch[len(batch)-1].Seq
	p.Queue = slices.DeleteFunc(p.Queue, func(e entry) bool { return e.Seq <= last })
	p.Dropped = max(0, p.Dropped-dropped)
	p.sent += len(batch)
}

// commit is what was said of a commit, and what is to be said.
type commit struct {
	Told  notice.Standing `json:"told"`
	Now   notice.Standing `json:"now"`
	Since time.Time       `json:"since"`
}

// stand queues what is to be said of commits: that one is being carried out at once, how that went when it has stood for long
// enough. Of one commit only the newest word waits.
func (p *place) stand(all []notice.Standing, now time.Time) (moved bool) {
	for _, s := range all {
		i := slices.IndexFunc(p.Commits, func(c commit) bool { return c.Now.Commit == s.Commit })
		if i < 0 {
			p.Commits = append(p.Commits, commit{Now: s, Since: now})
			i, moved = len(p.Commits)-1, true
		}
		c := &p.Commits[i]
		if c.Now != s {
			c.Now, c.Since, moved = s, now, true
		}
		first := c.Told.Commit == "" && s.State == "pending"
		if c.Told == s || !first && now.Sub(c.Since) < time.Duration(p.conf.After) {
			continue
		}
		c.Told, moved = s, true
		p.Queue = slices.DeleteFunc(p.Queue, func(e entry) bool { return e.Standing != nil && e.Standing.Commit == s.Commit })
		p.push(entry{At: now, Standing: &s})
	}
	if over := len(p.Commits) - mostCommits; over > 0 {
		p.Commits = slices.Delete(p.Commits, 0, over)
	}
	return moved
}
