package schema

import (
	"testing"
	"time"
)

func TestWindow(t *testing.T) {
	at := func(s string) time.Time {
		v, err := time.Parse(time.RFC3339, s)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for _, c := range []struct {
		window, now string
		in          bool
		next        string
	}{
		{"Sat 02:00-06:00 Asia/Shanghai", "2026-11-27T17:59:59Z", false, "2026-11-27T18:00:00Z"},
		{"Sat 02:00-06:00 Asia/Shanghai", "2026-11-27T18:00:00Z", true, "2026-11-27T18:00:00Z"},
		{"Sat 02:00-06:00 Asia/Shanghai", "2026-11-27T22:00:00Z", false, "2026-12-04T18:00:00Z"},
		{"Mon-Fri 22:00-04:00", "2026-11-28T03:00:00Z", true, "2026-11-27T22:00:00Z"},
		{"Mon-Fri 22:00-04:00", "2026-11-29T03:00:00Z", false, "2026-11-30T22:00:00Z"},
		{"Sat,Sun 00:00-24:00 UTC", "2026-11-29T23:59:00Z", true, "2026-11-29T00:00:00Z"},
		{"Fri-Mon 01:00-02:00 UTC", "2026-11-30T01:30:00Z", true, "2026-11-30T01:00:00Z"},
		{"daily 02:00-02:00 UTC", "2026-11-30T01:30:00Z", true, "2026-11-29T02:00:00Z"},
		// The clock goes forward at 02:00 on 2026-03-29 in Berlin.
		{"Sun 02:30-04:00 Europe/Berlin", "2026-03-29T01:45:00Z", true, "2026-03-29T01:30:00Z"},
	} {
		w, err := ParseWindow(c.window)
		if err != nil {
			t.Fatal(err)
		}
		if in := w.Contains(at(c.now)); in != c.in {
			t.Errorf("%s contains %s: %v", c.window, c.now, in)
		}
		if next := w.Next(at(c.now)); !next.Equal(at(c.next)) {
			t.Errorf("%s after %s: %s, want %s", c.window, c.now, next.UTC(), c.next)
		}
	}
	for _, bad := range []string{"", "Sat", "Sat 2-6", "Samstag 02:00-06:00", "Sat 02:00-06:00 Mars/Base", "Sat 02:00-06:00 Local", "Sat 25:00-26:00", "Sat- 02:00-03:00", "Sat 02:00-06:00 UTC now"} {
		if w, err := ParseWindow(bad); err == nil {
			t.Errorf("%q: %+v", bad, w)
		}
	}
	if (Window{}).Contains(at("2026-11-27T18:00:00Z")) {
		t.Error("no window contains nothing")
	}
}
