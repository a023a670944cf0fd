package blockcopy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// Range is a part of a device, in bytes from its start.
type Range struct {
	From int64 `json:"from"`
	To   int64 `json:"to"` // behind the last byte
}

// Unreadable is the error of a device that has ranges which cannot be read. Nothing was written in their place.
type Unreadable struct {
	Device string
	Ranges []Range // in order, not touching each other
	Err    error   // what the first one said
}

func (u *Unreadable) Error() string {
	var text strings.Builder
	for i, r := range u.Ranges {
		if i == 20 {
			fmt.Fprintf(&text, " and %d more", len(u.Ranges)-i)
			break
		}
		fmt.Fprintf(&text, " [%d, %d)", r.From, r.To)
	}
	return fmt.Sprintf("%s cannot be read at bytes%s: %v", u.Device, text.String(), u.Err)
}

func (u *Unreadable) Unwrap() error { return u.Err }

// unreadable collects bad ranges from all workers.
type unreadable struct {
	mu    sync.Mutex
	found Unreadable
}

var errNarrowed = errors.New("unreadable ranges were found")

// narrow reads p again page by page, to tell exactly which pages are bad. A range that can be read on the second try
// is no error: p is then filled.
func (u *unreadable) narrow(ctx context.Context, d device, p []byte, off int64, first *readError) error {
	var bad []Range
	for at := 0; at < len(p); at += page {
		if err := ctx.Err(); err != nil {
			return err
		}
		to := min(at+page, len(p))
		err := readFull(d, p[at:to], off+int64(at))
		if err == nil {
			continue
		}
		if !errors.As(err, new(*readError)) {
			return err
		}
		bad = append(bad, Range{off + int64(at), off + int64(to)})
	}
	if len(bad) == 0 {
		return nil
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.found.Device != "" && u.found.Device != d.Name() {
		return errNarrowed // one end is enough to stop; its ranges are reported
	}
	u.found.Device, u.found.Err = d.Name(), first.err
	u.found.Ranges = append(u.found.Ranges, bad...)
	return errNarrowed
}

// report is the collected error, nil when everything could be read.
func (u *unreadable) report() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.found.Ranges) == 0 {
		return nil
	}
	slices.SortFunc(u.found.Ranges, func(a, b Range) int { return cmp.Compare(a.From, b.From) })
	merged := u.found.Ranges[:1]
	for _, r := range u.found.Ranges[1:] {
		if last := &merged[len(merged)-1]; r.From <= last.To {
			last.To = max(last.To, r.To)
			continue
		}
		merged = append(merged, r)
	}
	return &Unreadable{Device: u.found.Device, Ranges: merged, Err: u.found.Err}
}
