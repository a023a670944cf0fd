package loop

import (
	"strings"
	"testing"
	"time"

	"github.com/ustclug/pve-reconcile/internal/source"
	"github.com/ustclug/pve-reconcile/reconciler"
)

func TestStuckIsWhatMakesNoProgress(t *testing.T) {
	now := time.Date(2026, 11, 28, 3, 0, 0, 0, time.UTC)
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	p := Patience{Tick: time.Minute, Source: 10 * time.Minute, Round: 30 * time.Minute}
	fine := Pulse{Began: ago(time.Hour), Ticked: ago(time.Second), Asked: ago(time.Minute)}
	with := func(change func(*Status)) Status {
		s := Status{Pulse: fine}
		change(&s)
		return s
	}
	for _, c := range []struct {
		name string
		s    Status
		want string // "": nothing is stuck
	}{
		{"fine", with(func(*Status) {}), ""},
		{"not begun", Status{}, ""},
		{"just begun", Status{Pulse: Pulse{Began: ago(time.Second)}}, ""},
		{"begun and then nothing", Status{Pulse: Pulse{Began: ago(2 * time.Minute)}}, "stood still for 2m0s"},
		{"no tick", with(func(s *Status) { s.Pulse.Ticked = ago(2 * time.Minute) }), "stood still for 2m0s"},
		{"the source hangs", with(func(s *Status) { s.Pulse.Asking = ago(11 * time.Minute) }), "asked for 11m0s without an end"},
		{"the source is being asked", with(func(s *Status) { s.Pulse.Asking, s.Pulse.Asked = ago(time.Minute), ago(11*time.Minute) }), ""},
		{"nobody asks the source", with(func(s *Status) { s.Pulse.Asked = ago(11 * time.Minute) }), "not asked for 11m0s"},
		{"the source fails", with(func(s *Status) { s.Source.Error = "unreachable" }), ""},
		{"a long step", with(func(s *Status) { s.Queue = reconciler.Depth{Working: 1, Turned: ago(90 * time.Hour)} }), ""},
		{"a look hangs", with(func(s *Status) { s.Queue = reconciler.Depth{Working: 2, Observing: 1, Turned: ago(31 * time.Minute)} }), "1 objects have been looked at for 31m0s"},
		{"all pause", with(func(s *Status) {
			s.Queue = reconciler.Depth{Pausing: make([]reconciler.Pause, 3), Turned: ago(time.Hour)}
		}), ""},
	} {
		if have := c.s.Stuck(now, p); (c.want == "") != (have == "") || !strings.Contains(have, c.want) {
			t.Errorf("%s: %q, want %q", c.name, have, c.want)
		}
	}
}

func TestSettledMeansEverythingWasLookedAt(t *testing.T) {
	followed := Source{Revision: source.Revision{Commit: strings.Repeat("a", 40)}}
	for want, s := range map[string]Status{
		"no revision is followed yet":           {},
		"no revision is followed yet: no route": {Source: Source{Error: "no route"}},
		"1 of 3 objects were not looked at yet": {Source: followed, Objects: 3, Looked: 2},
		"":                                      {Source: followed, Objects: 3, Looked: 3},
	} {
		if have := s.Settled(); have != want {
			t.Errorf("%q, want %q", have, want)
		}
	}
}
