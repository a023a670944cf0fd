package schema

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Window is a span of time that comes back every week: "Sat 02:00-06:00 Asia/Shanghai", "Mon-Fri 22:00-04:00",
// "daily 02:00-06:00 UTC". It ends on the day after when its end is not later than its start. Without a zone it is in UTC.
type Window struct {
	Text string
	days [7]bool // by time.Weekday, of the start
	from int     // minutes after midnight, on the clock of the zone
	to   int     // minutes; above 24*60 it ends on the day after
	zone *time.Location
}

var weekdays = []string{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"}

// ParseWindow reads a window.
func ParseWindow(text string) (Window, error) {
	w := Window{Text: text, zone: time.UTC}
	words := strings.Fields(text)
	if len(words) < 2 || len(words) > 3 {
		return w, fmt.Errorf("%q is not a window: write days, hours and a time zone, as in \"Sat 02:00-06:00 Asia/Shanghai\" or \"Mon-Fri 22:00-04:00 UTC\"", text)
	}
	if err := w.readDays(words[0]); err != nil {
		return w, err
	}
	start, end, ok := strings.Cut(words[1], "-")
	from, good := minutes(start)
	to, fine := minutes(end)
	if !ok || !good || !fine {
		return w, fmt.Errorf("%q are not hours: write them as 02:00-06:00", words[1])
	}
	if w.from, w.to = from, to; to <= from {
		w.to += 24 * 60
	}
	if len(words) == 3 {
		zone, err := time.LoadLocation(words[2])
		if err != nil || words[2] == "Local" {
			return w, fmt.Errorf("%q is not a time zone: write its name, as Asia/Shanghai or UTC", words[2])
		}
		w.zone = zone
	}
	return w, nil
}

func (w *Window) readDays(text string) error {
	if text == "daily" {
		w.days = [7]bool{true, true, true, true, true, true, true}
		return nil
	}
	for part := range strings.SplitSeq(text, ",") {
		first, last, span := strings.Cut(part, "-")
		from := slices.Index(weekdays, first)
		to := from
		if span {
			to = slices.Index(weekdays, last)
		}
		if from < 0 || to < 0 {
			return fmt.Errorf("%q are not days: write daily, or Mon, Tue, Wed, Thu, Fri, Sat, Sun, with a comma or dash between", text)
		}
		for d := from; ; d = (d + 1) % 7 {
			w.days[d] = true
			if d == to {
				break
			}
		}
	}
	return nil
}

func minutes(text string) (int, bool) {
	t, err := time.Parse("15:04", text)
	if text == "24:00" {
		return 24 * 60, true
	}
	return t.Hour()*60 + t.Minute(), err == nil && len(text) == 5
}

// Zero tells whether there is no window, which means always.
func (w Window) Zero() bool { return w.Text == "" }

func (w Window) String() string { return w.Text }

// Contains tells whether a moment lies in the window.
func (w Window) Contains(now time.Time) bool {
	_, ok := w.Left(now)
	return ok
}

// Left is how much of the window is left at a moment in it.
func (w Window) Left(now time.Time) (time.Duration, bool) {
	for _, back := range []int{0, -1} { // a window that began yesterday can last
		if start, end, ok := w.on(now, back); ok && !now.Before(start) && now.Before(end) {
			return end.Sub(now), true
		}
	}
	return 0, false
}

// Next is when the window opens next, or opened, when the moment lies in it.
func (w Window) Next(now time.Time) time.Time {
	for day := -1; day <= 8; day++ {
		if start, end, ok := w.on(now, day); ok && now.Before(end) {
			return start
		}
	}
	return time.Time{}
}

// on is the window that begins so many days after the moment's day. Hours that a change of the clock leaves out are those
// that time.Date makes of them.
func (w Window) on(now time.Time, days int) (start, end time.Time, ok bool) {
	if w.zone == nil {
		return start, end, false
	}
	y, m, d := now.In(w.zone).Date()
	start = time.Date(y, m, d+days, 0, w.from, 0, 0, w.zone)
	end = time.Date(y, m, d+days, 0, w.to, 0, 0, w.zone)
	return start, end, w.days[time.Date(y, m, d+days, 12, 0, 0, 0, w.zone).Weekday()]
}

func checkWindow(s string) string {
	if _, err := ParseWindow(s); err != nil {
		return err.Error()
	}
	return ""
}
